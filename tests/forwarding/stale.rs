// SPDX-License-Identifier: Apache-2.0
//! Kept connections that ended, or hold bytes nobody asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use margay::proxy::Outcome;
use margay::proxy::exchange::Level;

use crate::ajp_peer::{After, Peer};
use crate::exchange::FakeExchange;
use crate::play::{balanced, hangs_up, play, response, sends, solo, text_of_get};
use crate::stage::{Stage, until};

/// Opens a connection to the first member that is kept, and closes it at the other end.
fn with_a_stale_connection(stage: &Stage, peer: &Peer) {
    let mut warm = FakeExchange::get().session("A");
    assert_eq!(play(stage, "/warm", &mut warm), Outcome::Done);
    peer.close_connections();
    until("the member to have closed", || peer.closed() == 1);
    peer.forget();
}

#[test]
fn a_stale_connection_is_replaced_once_on_the_same_member() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    for method in ["GET", "PUT", "DELETE"] {
        let stage = balanced(&[&a, &b], "", "");
        let before = a.connections();
        let mut warm = FakeExchange::get().session("A");
        play(&stage, "/warm", &mut warm);
        a.close_connections();
        until("the member to have closed", || a.closed() == before + 1);
        let mut exchange = FakeExchange::new(method).session("A");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
        assert_eq!(exchange.text(), "A");
        assert!(!stage.is_in_error(0));
        assert_eq!(a.connections(), before + 2);
        assert!(exchange.lines().iter().all(|line| line.0 == Level::Debug), "{:?}", exchange.lines());
        drop(stage);
        until("the last connection to end", || a.closed() == before + 2);
    }
    assert_eq!(b.requests(), 0);
}

#[test]
fn a_request_that_may_not_be_repeated_looks_at_its_connection_first() {
    let peer = Peer::named("A");
    let stage = balanced(&[&peer], "", "");
    with_a_stale_connection(&stage, &peer);
    let mut exchange = FakeExchange::with_body("POST", b"order");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert_eq!((exchange.text().as_str(), exchange.log_ids().len()), ("A", 0));
    assert_eq!((peer.requests(), peer.connections(), stage.slot(0).errors()), (1, 2, 0));
}

#[test]
fn a_post_that_a_member_may_have_begun_is_never_sent_twice() {
    for warm in [false, true] {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let stage = balanced(&[&a, &b], "", "");
        if warm {
            play(&stage, "/warm", &mut FakeExchange::get().session("A"));
            a.forget();
        }
        a.set_script(hangs_up);
        for method in ["POST", "PATCH"] {
            a.forget();
            let mut exchange = FakeExchange::with_body(method, b"order").session("A");
            let outcome = play(&stage, "/x", &mut exchange);
            assert_eq!(outcome, Outcome::Answer(500), "warm: {warm}");
            assert_eq!((a.requests(), b.requests()), (1, 0), "warm: {warm}");
            stage.clock.advance(std::time::Duration::from_secs(100));
        }
    }
}

#[test]
fn a_get_on_a_kept_connection_that_the_member_ends_while_working_goes_to_the_next() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let stage = balanced(&[&a, &b], "", "");
    play(&stage, "/warm", &mut FakeExchange::get().session("A"));
    a.forget();
    a.set_script(hangs_up);
    let mut exchange = FakeExchange::get().session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert_eq!(exchange.text(), "B");
    assert_eq!((a.requests(), b.requests()), (2, 1), "once on the kept connection, once on a new one");
    assert!(stage.is_in_error(0));
}

#[test]
fn all_kept_connections_are_given_up_when_one_has_ended() {
    let peer = Arc::new(Peer::start(|conn, head| {
        if head.uri == "/held" {
            conn.wait_until_told();
        }
        conn.answer(200, &[], &[b"A"])
    }));
    let ended = AtomicBool::new(false);
    let stage = solo(&peer, "");
    std::thread::scope(|scope| {
        let held = [(); 2].map(|()| scope.spawn(|| text_of_get(&stage, "/held")));
        until("both requests to arrive", || peer.requests() == 2);
        assert_eq!(text_of_get(&stage, "/x"), "A");
        peer.tell();
        held.into_iter().for_each(|held| assert_eq!(held.join().unwrap(), "A"));
    });
    assert_eq!(peer.connections(), 3);
    // The one used last ends under the next request; the others, as old, are closed from this side.
    peer.set_script(move |conn, head| match ended.swap(true, SeqCst) {
        false => Ok(After::Close),
        true => conn.answer(200, &[], &[head.uri.as_bytes()]),
    });
    assert_eq!(text_of_get(&stage, "/y"), "/y");
    assert_eq!(peer.connections(), 4);
    until("all three to be closed", || peer.closed() == 3);
}

/// A member that sends a second, unasked answer as soon as it is told.
fn babbler(said: Arc<AtomicBool>) -> Peer {
    let wrong = sends(response(200, &[], &[b"of nobody"]));
    Peer::start(move |conn, head| {
        if conn.answer(200, &[], &[b"A"])? == After::Keep && !said.load(SeqCst) {
            conn.wait_until_told();
            wrong(conn, head)?;
            said.store(true, SeqCst);
        }
        Ok(After::Keep)
    })
}

#[test]
fn bytes_that_came_unasked_never_answer_a_request() {
    for method in ["GET", "POST"] {
        let said = Arc::new(AtomicBool::new(false));
        let peer = babbler(said.clone());
        let stage = solo(&peer, "");
        assert_eq!(text_of_get(&stage, "/warm"), "A");
        peer.tell();
        until("the unasked answer to be sent", || said.load(SeqCst));
        let mut exchange = FakeExchange::new(method);
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
        assert_eq!(exchange.text(), "A", "{method}");
        assert_eq!(peer.connections(), 2);
        if method == "GET" {
            let warnings: Vec<_> = exchange.lines().into_iter().map(|line| (line.0, line.1)).collect();
            assert_eq!(warnings, [(Level::Warning, "MGY3108")]);
        }
    }
}
