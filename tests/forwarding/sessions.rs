// SPDX-License-Identifier: Apache-2.0
//! Sessions go to their member; what happens when it cannot serve.

use margay::proxy::Outcome;

use crate::ajp_peer::Peer;
use crate::exchange::FakeExchange;
use crate::play::{balanced, balancer, play};
use crate::stage::Stage;

/// Who answers a GET with the session of `route` (empty: without one), or the status.
fn answered_by(stage: &Stage, route: &str) -> String {
    let mut exchange = FakeExchange::get();
    if !route.is_empty() {
        exchange = exchange.session(route);
    }
    match play(stage, "/x", &mut exchange) {
        Outcome::Done => exchange.text(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_session_stays_with_its_member() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let stage = balanced(&[&a, &b], "", "");
    for route in ["B", "B", "A", "B"] {
        assert_eq!(answered_by(&stage, route), route);
    }
    let mut exchange = FakeExchange::get().session("B");
    play(&stage, "/x", &mut exchange);
    let env = &exchange.env[0];
    assert_eq!((env.member, env.route_changed), (1, false));
    assert_eq!(env.session, Some(("JSESSIONID".to_owned(), "B".to_owned())));
    assert!(b.seen()[0].head.attributes.contains(&("6".into(), "B".into())), "the member learns the route");
}

#[test]
fn with_nofailover_a_session_is_refused_when_its_member_is_down() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let stage = balanced(&[&a, &b], "", "nofailover=on");
    a.go_down();
    let mut exchange = FakeExchange::get().session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(503));
    assert_eq!(b.requests(), 0);
    assert_eq!(exchange.log_ids(), ["MGY3004", "MGY2005", "MGY2001"]);
    assert_eq!(answered_by(&stage, "B"), "B");
    assert_eq!(answered_by(&stage, ""), "B");
}

#[test]
fn a_redirect_names_the_stand_in() {
    let peers = [Peer::named("A"), Peer::named("B"), Peer::named("C")];
    let [a, b, c] = peers.each_ref().map(Peer::url);
    let stage = balancer(&[format!("{a} redirect=C"), b, c], "");
    assert_eq!(answered_by(&stage, "A"), "A");
    peers[0].go_down();
    for _ in 0..3 {
        assert_eq!(answered_by(&stage, "A"), "C");
    }
}

#[test]
fn a_draining_member_serves_its_sessions_only() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let stage = balancer(&[format!("{} status=N", a.url()), b.url()], "");
    for (route, expected) in [("", "B"), ("A", "A"), ("", "B"), ("B", "B"), ("Z", "B"), ("A", "A")] {
        assert_eq!(answered_by(&stage, route), expected, "session of {route:?}");
    }
}

#[test]
fn a_session_name_in_another_letter_case_is_used_and_noted_once() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let text = format!(
        "<Proxy balancer://c>\nBalancerMember {} route=A\nBalancerMember {} route=B\n</Proxy>\n\
         ProxyPass / balancer://c/ stickysession=jsessionid",
        a.url(),
        b.url()
    );
    let stage = Stage::new(&text);
    let mut notices = 0;
    for _ in 0..3 {
        for route in ["B", "A"] {
            let mut exchange = FakeExchange::get().session(route);
            assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
            assert_eq!(exchange.text(), route);
            notices += exchange.logged("MGY2101");
        }
    }
    assert_eq!(notices, 1);
}
