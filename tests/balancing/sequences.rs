// SPDX-License-Identifier: Apache-2.0
//! The sequences that stock httpd 2.4 shows from a fresh start, one request at a time.

use std::time::Duration;

use margay::balance::{Event, transition};
use margay::base::status::Status;
use margay::config::plan::Method;

use crate::cluster::{BALANCER, Cluster};

#[test]
fn by_requests_shares_out_by_factor() {
    for (members, sequence) in [
        ("A, B", "A B A B A B"),
        ("A, B, C", "A B C A B C"),
        ("A, B factor=2", "B A B B A B B A B B A B"),
        ("A factor=1.5, B", "A B A B A A B A B A A B A B A"),
        ("A, B, C, D factor=2", "D A B C D D A B C D D A B C D"),
        ("A factor=5, B factor=3, C factor=2", "A B C A A B A C B A A B C A A B A C B A"),
        ("A, B status=D, C", "A C A C"),
    ] {
        Cluster::by_requests(members).expect(sequence);
    }
}

#[test]
fn by_busyness_of_idle_members_shares_out_by_factor() {
    Cluster::new(Method::ByBusyness, "A, B factor=2").expect("B A B B A B B A B");
}

#[test]
fn by_busyness_prefers_the_member_with_fewer_requests_under_way() {
    let cluster = Cluster::new(Method::ByBusyness, "A, B factor=50");
    let lane = cluster.region.claim_lane(1, 1);
    let _busy = lane.busy(cluster.bindings.member(cluster.id("B")));
    cluster.expect("A A A A A");
}

#[test]
fn by_traffic_balances_bytes_by_factor() {
    let mut cluster = Cluster::new(Method::ByTraffic, "A, B factor=3");
    cluster.traffic = (180, 20);
    cluster.expect("A B B A B B B A B B B B A B B B");
}

#[test]
fn a_standby_serves_only_when_nobody_else_does() {
    let mut cluster = Cluster::by_requests("A, B status=H");
    cluster.expect("A A A A");
    cluster.kill("A");
    cluster.expect("B B B B");

    let mut cluster = Cluster::by_requests("A, B status=H, C status=H factor=2");
    cluster.kill("A");
    cluster.expect("C B C C B C C B C");
}

#[test]
fn a_spare_replaces_one_member_that_cannot_serve() {
    let mut cluster = Cluster::by_requests("A, B, C status=R");
    cluster.expect("A B A B");
    cluster.kill("A");
    cluster.expect("B C B C");

    for taken_out in [Status::DISABLED, Status::DRAIN] {
        let cluster = Cluster::by_requests("A, B, C status=R");
        cluster.set("A", taken_out, Status::default());
        cluster.expect("B C B C");
    }

    let mut cluster = Cluster::by_requests("A, B, C status=R, D status=R");
    cluster.kill("A");
    cluster.expect("B C B C");
}

#[test]
fn as_many_spares_serve_as_members_cannot() {
    let mut cluster = Cluster::by_requests("A, B, E, C status=R, D status=R");
    cluster.kill("AB");
    cluster.expect("E C D E C D");
}

#[test]
fn a_standby_waits_for_the_last_spare() {
    let mut cluster = Cluster::by_requests("A, B, C status=R, D status=H");
    cluster.kill("AB");
    cluster.expect("C C C");
    cluster.kill("C");
    cluster.expect("D D D");
}

#[test]
fn lbsets_serve_strictly_in_order() {
    let mut cluster = Cluster::by_requests("A, B set=1, C set=1");
    cluster.expect("A A A");
    cluster.kill("A");
    cluster.expect("B C B C");

    let mut cluster = Cluster::by_requests("A, B status=H, C set=1");
    cluster.kill("A");
    cluster.expect("B B B");

    let mut cluster = Cluster::by_requests("A, B set=5");
    cluster.kill("A");
    cluster.expect("B B B");

    Cluster::by_requests("A set=9, B set=7").expect("B B B");
}

#[test]
fn a_draining_member_gets_no_new_sessions() {
    let cluster = Cluster::by_requests("A status=N, B").sticky();
    cluster.expect("B B B");
    for _ in 0..3 {
        assert_eq!(cluster.request_with("JSESSIONID=s.A"), ("A".into(), false));
    }
}

#[test]
fn a_failed_member_is_tried_again_when_its_rest_is_over() {
    let mut cluster = Cluster::by_requests("A retry=60, B");
    cluster.kill("A");
    cluster.expect("B B B");
    assert_eq!(cluster.slot("A").elected(), 1);

    cluster.pass(Duration::from_secs(60));
    cluster.expect("B B");
    cluster.pass(Duration::from_millis(1));
    cluster.expect("B B B");
    assert_eq!(cluster.slot("A").elected(), 2);
    assert_eq!(cluster.slot("A").state().retries, 1);

    cluster.revive("A");
    cluster.pass(Duration::from_secs(61));
    assert!(cluster.sequence(4).contains('A'));
    assert_eq!(cluster.slot("A").state().retries, 0);
}

#[test]
fn when_all_have_failed_every_request_tries_all_again() {
    let mut cluster = Cluster::by_requests("A, B, C");
    cluster.kill("ABC");
    cluster.expect("503 503");
    let elected: u64 = ["A", "B", "C"].map(|name| cluster.slot(name).elected()).iter().sum();
    assert_eq!(elected, 6);
    cluster.revive("C");
    cluster.expect("C C C");
}

#[test]
fn without_forced_recovery_requests_are_refused_until_a_rest_is_over() {
    let mut cluster = Cluster::by_requests("A, B").with(|balancer| balancer.force_recovery = false);
    cluster.kill("AB");
    let refused = "AH01170: balancer://c: All workers are in error state";
    assert_eq!(cluster.request(), "503");
    assert_eq!(cluster.request(), refused);
    cluster.revive("AB");
    assert_eq!(cluster.request(), refused);
    cluster.pass(Duration::from_secs(61));
    cluster.expect("B A B");
}

#[test]
fn forced_recovery_spares_what_an_administrator_took_out() {
    let cluster = Cluster::by_requests("A, B, C");
    for (name, flag) in [("A", Status::default()), ("B", Status::STOPPED), ("C", Status::HC_FAIL)] {
        transition::apply(cluster.slot(name), Event::ConnectFailed, cluster.now);
        cluster.set(name, flag, Status::default());
    }
    cluster.expect("A A");
    assert_eq!(cluster.slot("B").status(), Status::INIT.with(Status::STOPPED));
    assert_eq!(cluster.slot("C").status(), Status::INIT.with(Status::HC_FAIL));
    assert_eq!(cluster.region.balancer(cluster.bindings.balancer(BALANCER)).recovered(), 1);
}

#[test]
fn a_member_written_as_failed_is_tried_by_the_first_request() {
    Cluster::by_requests("A status=E, B").expect("A B A B");
}

#[test]
fn a_balancer_without_members_says_so() {
    let cluster = Cluster::by_requests("");
    assert_eq!(cluster.request(), "AH01171: balancer://c: No workers in balancer");
}

#[test]
fn one_request_is_given_to_no_member_twice() {
    let mut cluster = Cluster::by_requests("A status=I, B, C");
    cluster.kill("ABC");
    cluster.expect("503");
    assert_eq!(["A", "B", "C"].map(|name| cluster.slot(name).elected()), [1, 1, 1]);
}

#[test]
fn maxattempts_limits_how_often_a_request_moves_on() {
    let mut cluster = Cluster::by_requests("A, B, C").with(|balancer| balancer.max_attempts = Some(0));
    cluster.kill("A");
    cluster.expect("503 B C");
}

#[test]
fn a_written_maxattempts_may_give_a_request_to_a_member_again() {
    let mut cluster = Cluster::by_requests("A, B").with(|balancer| balancer.max_attempts = Some(5));
    cluster.kill("AB");
    cluster.expect("503");
    assert_eq!(["A", "B"].map(|name| cluster.slot(name).elected()), [3, 3]);
}
