// SPDX-License-Identifier: Apache-2.0
//! CPing before each request (`ping=`).

use margay::proxy::Outcome;

use crate::ajp_peer::Peer;
use crate::ajp_text::CPONG;
use crate::exchange::FakeExchange;
use crate::play::{balanced, balancer, play, solo, text_of_get};
use crate::stage::until;

#[test]
fn each_request_follows_an_answered_ping() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "ping=10");
    for count in 1..=3 {
        assert_eq!(text_of_get(&stage, "/x"), "A");
        assert_eq!(peer.cpings(), count);
    }
    assert_eq!(peer.connections(), 1);
}

#[test]
fn a_member_that_does_not_answer_its_ping_gets_no_request() {
    for method in ["GET", "POST"] {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        a.answer_cping(false);
        let stage = balancer(&[format!("{} ping=20ms", a.url()), format!("{} ping=30", b.url())], "");
        let mut exchange = FakeExchange::with_body(method, b"body").session("A");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
        assert_eq!(exchange.text(), "B");
        assert_eq!((a.requests(), b.requests()), (0, 1));
        assert!(stage.is_in_error(0));
        assert_eq!(exchange.log_ids(), ["MGY3005", "MGY2005"]);
    }
}

#[test]
fn a_new_connection_is_pinged_once() {
    let peer = Peer::named("A");
    peer.answer_cping_with(b"?");
    let stage = solo(&peer, "ping=30");
    assert_eq!(play(&stage, "/x", &mut FakeExchange::get()), Outcome::Answer(503));
    assert_eq!((peer.cpings(), peer.connections()), (1, 1));
}

#[test]
fn a_wrong_answer_to_a_ping_is_none() {
    for wrong in [&b"AB\x00\x01\x05"[..], b"HTTP/1.1 400", &[CPONG, CPONG].concat()] {
        let peer = Peer::named("A");
        peer.answer_cping_with(wrong);
        let stage = solo(&peer, "ping=10");
        let mut exchange = FakeExchange::get();
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(503), "{wrong:?}");
        assert_eq!((peer.requests(), exchange.log_ids()), (0, vec!["MGY3005"]));
    }
}

#[test]
fn a_dead_kept_connection_to_a_living_member_is_replaced() {
    for method in ["GET", "POST"] {
        let peer = Peer::named("A");
        let stage = balanced(&[&peer], "ping=10", "");
        play(&stage, "/warm", &mut FakeExchange::get());
        peer.close_connections();
        until("the member to have closed", || peer.closed() == 1);
        let mut exchange = FakeExchange::with_body(method, b"body");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
        assert_eq!((exchange.text().as_str(), exchange.log_ids().len()), ("A", 0));
        assert_eq!((peer.requests(), stage.slot(0).errors()), (2, 0));
    }
}

#[test]
fn a_kept_connection_that_fell_silent_is_replaced() {
    let peer = Peer::named("A");
    let stage = balanced(&[&peer], "ping=1", "");
    play(&stage, "/warm", &mut FakeExchange::get());
    peer.answer_cping(false);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut exchange = FakeExchange::get();
            play(&stage, "/x", &mut exchange)
        });
        // The kept connection is given up after its limit; the new one gets its answer.
        until("the ping on the kept connection", || peer.cpings() == 2);
        peer.answer_cping(true);
        assert_eq!(waiting.join().unwrap(), Outcome::Done);
    });
    assert_eq!(peer.connections(), 2);
}
