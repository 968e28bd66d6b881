// SPDX-License-Identifier: Apache-2.0
//! Members that fail: who gets the request next, how often, and what becomes of the member.

use margay::proxy::Outcome;

use crate::ajp_peer::{After, Peer};
use crate::exchange::FakeExchange;
use crate::play::{balanced, balancer, hangs_up, play, solo};
use crate::stage::until;

#[test]
fn an_idempotent_request_moves_to_the_other_member() {
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let (a, b) = (Peer::start(hangs_up), Peer::named("B"));
        let stage = balanced(&[&a, &b], "", "");
        let mut exchange = FakeExchange::new(method).session("A").query("a=1");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
        assert_eq!((a.requests(), b.requests()), (1, 1), "{method}");
        assert_eq!((stage.is_in_error(0), stage.is_in_error(1)), (true, false));
        let env = exchange.env.last().unwrap();
        assert_eq!((env.member, env.route_changed), (1, true));
        assert_eq!(exchange.log_ids(), ["MGY3101", "MGY2005"]);
    }
}

#[test]
fn a_refused_connection_costs_no_request_its_answer() {
    for method in ["GET", "POST"] {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let stage = balanced(&[&a, &b], "", "");
        a.go_down();
        let mut exchange = FakeExchange::with_body(method, b"body").session("A");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
        assert_eq!(exchange.text(), "B");
        assert_eq!(b.seen()[0].body, b"body");
        assert_eq!(exchange.log_ids(), ["MGY3004", "MGY2005"]);
        // The member rests: the next request does not ask it.
        let mut next = FakeExchange::get().session("A");
        assert_eq!(play(&stage, "/x", &mut next), Outcome::Done);
        assert_eq!(next.log_ids(), [""; 0]);
        // And after its rest it is asked again.
        a.come_back();
        stage.clock.advance(std::time::Duration::from_secs(61));
        let mut later = FakeExchange::get().session("A");
        assert_eq!(play(&stage, "/x", &mut later), Outcome::Done);
        assert_eq!(later.text(), "A");
    }
}

#[test]
fn without_maxattempts_every_member_is_tried_once() {
    let peers = [Peer::start(hangs_up), Peer::start(hangs_up), Peer::start(hangs_up)];
    let stage = balanced(&[&peers[0], &peers[1], &peers[2]], "", "");
    assert_eq!(play(&stage, "/x", &mut FakeExchange::get()), Outcome::Answer(503));
    assert_eq!(peers.each_ref().map(Peer::requests), [1, 1, 1]);
}

#[test]
fn maxattempts_limits_the_further_tries() {
    for (most, tries) in [(0, 1), (1, 2), (2, 3)] {
        let peers = [Peer::start(hangs_up), Peer::start(hangs_up), Peer::start(hangs_up)];
        let stage = balanced(&[&peers[0], &peers[1], &peers[2]], "", &format!("maxattempts={most}"));
        assert_eq!(play(&stage, "/x", &mut FakeExchange::get()), Outcome::Answer(503));
        assert_eq!(peers.iter().map(Peer::requests).sum::<usize>(), tries, "maxattempts={most}");
    }
}

#[test]
fn a_plain_worker_is_tried_once_and_never_rests() {
    let peer = Peer::start(hangs_up);
    let stage = solo(&peer, "");
    assert_eq!(play(&stage, "/x", &mut FakeExchange::get()), Outcome::Answer(503));
    assert_eq!(play(&stage, "/x", &mut FakeExchange::with_body("POST", b"x")), Outcome::Answer(500));
    assert_eq!(peer.requests(), 2);
    assert!(!stage.is_in_error(0));
}

#[test]
fn a_head_that_broke_off_is_forgotten_when_another_member_answers() {
    let a = Peer::start(|conn, _| {
        conn.send(&crate::ajp_text::headers_packet(500, &[("X-From", "A")]))?;
        Ok(After::Close)
    });
    let b = Peer::start(|conn, _| conn.answer(200, &[("X-From", "B")], &[b"ok"]));
    let stage = balanced(&[&a, &b], "", "");
    let mut exchange = FakeExchange::get().session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert_eq!((exchange.status(), exchange.response_header("X-From")), (Some(200), Some("B")));
}

#[test]
fn failonstatus_takes_the_member_out_and_the_client_gets_its_answer() {
    let a = Peer::start(|conn, _| conn.answer(503, &[], &[b"sorry"]));
    let b = Peer::named("B");
    let stage = balanced(&[&a, &b], "", "failonstatus=500,503");
    let mut exchange = FakeExchange::get().session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert_eq!((exchange.status(), exchange.text().as_str()), (Some(503), "sorry"));
    assert!(stage.is_in_error(0));
    assert_eq!(exchange.log_ids(), ["MGY2004", "MGY2005"]);
    let mut next = FakeExchange::get().session("A");
    assert_eq!(play(&stage, "/x", &mut next), Outcome::Done);
    assert_eq!(next.text(), "B");
}

#[test]
fn a_busy_pool_sends_the_request_on_and_the_member_stays_in_service() {
    let a = Peer::start(|conn, _| {
        conn.wait_until_told();
        conn.answer(200, &[], &[b"A"])
    });
    let b = Peer::named("B");
    let stage = balancer(&[format!("{} max=1 acquire=20", a.url()), b.url()], "");
    std::thread::scope(|scope| {
        let held = scope.spawn(|| {
            let mut exchange = FakeExchange::get().session("A");
            play(&stage, "/held", &mut exchange);
            exchange.text()
        });
        until("the first request to arrive", || a.requests() == 1);
        for method in ["GET", "POST"] {
            let mut exchange = FakeExchange::new(method).session("A");
            assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
            assert_eq!((exchange.text().as_str(), exchange.log_ids()), ("B", vec!["MGY3002"]));
        }
        assert!(!stage.is_in_error(0));
        a.tell();
        assert_eq!(held.join().unwrap(), "A");
    });
    assert_eq!(stage.slot(0).errors(), 0);
}

#[test]
fn a_request_too_large_for_the_protocol_is_refused_before_it_is_sent() {
    let peer = Peer::named("A");
    let stage = balanced(&[&peer], "", "");
    let mut exchange = FakeExchange::get().header("X-Long", &"x".repeat(9000));
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(400));
    assert_eq!((exchange.log_ids(), peer.connections()), (vec!["MGY3204"], 0));
    assert!(!stage.is_in_error(0));
}

#[test]
fn a_balancer_with_a_timeout_waits_for_a_member_to_come_back() {
    let a = Peer::named("A");
    let stage = balanced(&[&a], "", "timeout=60 forcerecovery=off");
    a.go_down();
    assert_eq!(play(&stage, "/x", &mut FakeExchange::get()), Outcome::Answer(503));
    assert!(stage.is_in_error(0));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut exchange = FakeExchange::with_body("POST", b"x");
            assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
            exchange.text()
        });
        until("the request to have found nobody", || stage.refused() > 0);
        a.come_back();
        stage.clock.advance(std::time::Duration::from_secs(61));
        assert_eq!(waiting.join().unwrap(), "A");
    });
}
