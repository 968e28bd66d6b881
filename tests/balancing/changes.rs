// SPDX-License-Identifier: Apache-2.0
//! Values that an administrator changed count at the next choice, without a heap allocation.

use std::time::Duration;

use margay::balance::code_of_method;
use margay::config::plan::Method;
use margay::shared::{Administrator, BalancerChanges, MemberChanges, ShortText};

use crate::allocation::taken_by;
use crate::cluster::{BALANCER, Cluster};

fn text(text: &str) -> ShortText {
    ShortText::of(text.as_bytes()).unwrap()
}

fn of_member<'c>(cluster: &'c Cluster, name: &str) -> &'c MemberChanges {
    cluster.region.member_changes(cluster.bindings.member(cluster.id(name)))
}

fn of_balancer(cluster: &Cluster) -> &BalancerChanges {
    cluster.region.balancer_changes(cluster.bindings.balancer(BALANCER))
}

fn administrator(cluster: &Cluster) -> Administrator<'_> {
    cluster.region.administer(Duration::ZERO).unwrap()
}

/// Who answers a request with this cookie.
fn with(cluster: &Cluster, cookie: &str) -> String {
    cluster.request_with(cookie).0
}

#[test]
fn a_changed_route_takes_the_place_of_the_old_one() {
    let cluster = Cluster::by_requests("A, B").sticky();
    administrator(&cluster).set_route(of_member(&cluster, "A"), &text("north"));
    for _ in 0..4 {
        assert_eq!(cluster.request_with("JSESSIONID=s.north"), ("A".into(), false));
    }
    let old: Vec<String> = (0..4).map(|_| with(&cluster, "JSESSIONID=s.A")).collect();
    assert!(old.contains(&"B".to_owned()), "nobody has the old route: {old:?}");
    administrator(&cluster).set_route(of_member(&cluster, "A"), &text(""));
    assert!((0..4).any(|_| with(&cluster, "JSESSIONID=s.north") == "B"));
}

#[test]
fn a_changed_redirect_is_followed() {
    let mut cluster = Cluster::by_requests("A, B, C redirect=A").sticky();
    administrator(&cluster).set_redirect(of_member(&cluster, "C"), &text("B"));
    cluster.kill("C");
    cluster.expect("A B");
    for _ in 0..3 {
        assert_eq!(with(&cluster, "JSESSIONID=s.C"), "B");
    }
}

#[test]
fn session_names_and_nofailover_can_be_changed_both_ways() {
    let mut cluster = Cluster::by_requests("A, B").sticky();
    let changes = of_balancer(&cluster);
    administrator(&cluster).set_sticky(changes, &text("TICKET"), &text(""));
    assert!((0..4).all(|_| with(&cluster, "TICKET=s.B; JSESSIONID=s.A") == "B"));
    administrator(&cluster).set_no_failover(changes, true);
    cluster.kill("B");
    with(&cluster, "TICKET=s.B");
    assert!(with(&cluster, "TICKET=s.B").starts_with("AH01167"), "{}", with(&cluster, "TICKET=s.B"));
    administrator(&cluster).set_sticky(of_balancer(&cluster), &text(""), &text(""));
    assert_eq!(with(&cluster, "TICKET=s.B"), "A");
}

#[test]
fn numbers_of_a_balancer_can_be_changed() {
    let cluster = Cluster::by_requests("A, B");
    let (changes, values) = (of_balancer(&cluster), || cluster.chooser().in_force(BALANCER));
    assert_eq!(
        (values().wait(), values().max_attempts(), values().method()),
        (None, None, Method::ByRequests)
    );
    let administrator = administrator(&cluster);
    administrator.set_wait_seconds(changes, 7);
    administrator.set_max_attempts(changes, 0);
    administrator.set_method(changes, code_of_method(Method::ByBusyness));
    assert_eq!(values().wait(), Some(Duration::from_secs(7)));
    assert_eq!((values().max_attempts(), values().method()), (Some(0), Method::ByBusyness));
    administrator.set_wait_seconds(changes, 0);
    assert_eq!(values().wait(), None);
}

#[test]
fn a_choice_by_changed_values_takes_no_memory() {
    let cluster = Cluster::by_requests("A, B redirect=A").sticky();
    let administrator = administrator(&cluster);
    administrator.set_sticky(of_balancer(&cluster), &text("TICKET"), &text("ticket"));
    administrator.set_method(of_balancer(&cluster), code_of_method(Method::ByTraffic));
    administrator.set_route(of_member(&cluster, "A"), &text("north"));
    administrator.set_redirect(of_member(&cluster, "B"), &text("north"));
    let chooser = cluster.chooser();
    let taken = taken_by(|| {
        let view = margay::balance::RequestView {
            path: b"/",
            query: None,
            cookies: std::iter::once(&b"TICKET=s.north"[..]),
        };
        let sticky = chooser.in_force(BALANCER).sticky().expect("names");
        let session = chooser.session(BALANCER, &sticky, &view);
        let choice = chooser.choose(BALANCER, session.as_ref(), &Default::default(), cluster.now).unwrap();
        assert!(choice.by_route);
    });
    assert_eq!(taken, 0);
}
