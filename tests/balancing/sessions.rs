// SPDX-License-Identifier: Apache-2.0
//! Requests that belong to a member.

use std::time::Duration;

use margay::balance::{NoMember, RequestView, Tried};
use margay::base::status::Status;

use crate::cluster::{BALANCER, Cluster};

const ROUTE_A: &str = "JSESSIONID=s.A";
const ROUTE_B: &str = "JSESSIONID=s.B";

#[test]
fn a_session_stays_with_its_member() {
    let cluster = Cluster::by_requests("A, B").sticky();
    for _ in 0..5 {
        assert_eq!(cluster.request_with(ROUTE_B), ("B".into(), false));
    }
    assert_eq!(cluster.request_with("JSESSIONID=s.nobody"), ("A".into(), true));
    assert_eq!(cluster.request_with(""), ("A".into(), true));
}

#[test]
fn without_stickysession_no_route_ever_changes() {
    let cluster = Cluster::by_requests("A, B");
    assert_eq!(cluster.request_with(ROUTE_B), ("A".into(), false));
}

#[test]
fn after_sticky_requests_the_others_catch_up() {
    let cluster = Cluster::by_requests("A, B").sticky();
    for _ in 0..3 {
        cluster.request_with(ROUTE_A);
    }
    assert_eq!(cluster.slot("A").lbstatus(), -300);
    assert_eq!(cluster.slot("B").lbstatus(), 300);
    cluster.expect("B B B A B");
}

#[test]
fn a_session_in_another_letter_case_sticks_and_says_so() {
    let cluster = Cluster::by_requests("A, B").sticky();
    let view = RequestView { path: b"/", query: None, cookies: std::iter::once(&b"jsessionid=s.B"[..]) };
    let sticky = cluster.chooser().in_force(BALANCER).sticky().unwrap();
    let session = cluster.chooser().session(BALANCER, &sticky, &view).unwrap();
    assert_eq!((session.name, session.case_differs), ("JSESSIONID", Some(&b"jsessionid"[..])));
    let choice = cluster.chooser().choose(BALANCER, Some(&session), &Tried::default(), cluster.now).unwrap();
    assert_eq!((choice.member, choice.by_route), (cluster.id("B"), true));
    assert_eq!(choice.session_route, Some(&b"B"[..]));
}

#[test]
fn a_session_moves_when_its_member_is_down_and_comes_back_after_the_rest() {
    let mut cluster = Cluster::by_requests("A retry=5, B").sticky();
    assert_eq!(cluster.request_with(ROUTE_A), ("A".into(), false));
    cluster.kill("A");
    assert_eq!(cluster.request_with(ROUTE_A), ("B".into(), true));
    cluster.revive("A");
    assert_eq!(cluster.request_with(ROUTE_A), ("B".into(), true));
    cluster.pass(Duration::from_millis(5001));
    assert_eq!(cluster.request_with(ROUTE_A), ("A".into(), false));
}

#[test]
fn nofailover_refuses_the_sessions_of_a_member_that_is_down_and_no_others() {
    let refusal = "AH01167: balancer://c: All workers are in error state for route (A)";
    let mut cluster =
        Cluster::by_requests("A retry=5, B").sticky().with(|balancer| balancer.no_failover = true);
    cluster.kill("A");
    assert_eq!(cluster.request_with(ROUTE_A).0, refusal);
    assert_eq!(cluster.slot("A").elected(), 1);
    assert_eq!(cluster.request_with(ROUTE_A).0, refusal);
    assert_eq!(cluster.slot("A").elected(), 1);
    for cookie in ["", ROUTE_B, "JSESSIONID=s.ZZZ"] {
        assert_eq!(cluster.request_with(cookie).0, "B");
    }
    cluster.revive("A");
    assert_eq!(cluster.request_with(ROUTE_A).0, refusal);
    cluster.pass(Duration::from_millis(5001));
    assert_eq!(cluster.request_with(ROUTE_A).0, "A");

    cluster.set("A", Status::DISABLED, Status::default());
    assert_eq!(cluster.request_with(ROUTE_A).0, refusal);
    cluster.set("A", Status::DRAIN, Status::DISABLED);
    assert_eq!(cluster.request_with(ROUTE_A).0, "A");
}

#[test]
fn a_refusal_for_a_route_does_not_pass_by_waiting() {
    let route = NoMember::RouteDown { balancer: "c", route: b"A\n" };
    assert!(!route.may_pass() && NoMember::AllFailed { balancer: "c" }.may_pass());
    assert!(route.to_string().ends_with("for route (A\\n)"));
}

#[test]
fn a_redirect_leads_to_another_route() {
    let mut cluster = Cluster::by_requests("A redirect=C, B, C").sticky();
    assert_eq!(cluster.request_with(ROUTE_A), ("A".into(), false));
    cluster.kill("A");
    assert_eq!(cluster.request_with(ROUTE_A), ("C".into(), true));
    assert_eq!(cluster.request_with(ROUTE_A), ("C".into(), true));
}

#[test]
fn redirects_in_a_circle_end() {
    let cluster = Cluster::by_requests("A redirect=B status=D, B redirect=A status=D, C").sticky();
    assert_eq!(cluster.request_with(ROUTE_A), ("C".into(), true));
}

#[test]
fn many_members_of_one_route_that_redirect_to_it_cost_no_explosion() {
    let members = (0..64).map(|n| format!("M{n} route=A redirect=A status=D")).collect::<Vec<_>>().join(", ");
    let cluster = Cluster::by_requests(&format!("{members}, Z")).sticky();
    assert_eq!(cluster.request_with(ROUTE_A), ("Z".into(), true));
}

#[test]
fn of_several_members_of_one_route_the_first_usable_one_serves_and_standbys_last() {
    let mut cluster = Cluster::by_requests("X route=A status=H, Y route=A set=3, Z route=A, B").sticky();
    let names = |cluster: &Cluster| -> Vec<u64> {
        (0..4)
            .map(|n| {
                cluster.region.member(cluster.bindings.member(cluster.plan.balancers[0].members[n])).elected()
            })
            .collect()
    };
    for _ in 0..3 {
        assert_eq!(cluster.request_with(ROUTE_A), ("A".into(), false));
    }
    assert_eq!(names(&cluster), [0, 3, 0, 0]);
    cluster.kill("A");
    assert_eq!(cluster.request_with(ROUTE_A).0, "B");
    assert_eq!(names(&cluster), [1, 4, 1, 1]);
}
