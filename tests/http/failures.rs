// SPDX-License-Identifier: Apache-2.0
//! Members that break: what the client gets, what becomes of the member, and what is never sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use margay::proxy::Outcome;

use crate::exchange::FakeExchange;
use crate::http_peer::{After, Conn, Head, Peer};
use crate::play::{balanced, pattern, play, text_of_get};
use crate::stage::until;

fn hangs_up(conn: &mut Conn, head: &Head) -> std::io::Result<After> {
    conn.read_body(head)?;
    Ok(After::Close)
}

#[test]
fn a_dead_member_is_passed_over_by_every_method() {
    for method in ["GET", "POST", "PATCH"] {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let stage = balanced(&[&a, &b], "", "");
        a.go_down();
        let body = pattern(20_000);
        let mut exchange = FakeExchange::with_body(method, &body).session("A");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
        assert_eq!((exchange.text().as_str(), stage.is_in_error(0)), ("B", true));
        assert!(b.seen()[0].body == body);
    }
}

#[test]
fn with_nobody_left_the_answer_is_503() {
    let a = Peer::named("A");
    let stage = balanced(&[&a], "", "");
    a.go_down();
    assert_eq!(play(&stage, "/x", &mut FakeExchange::get()), Outcome::Answer(503));
}

#[test]
fn a_kept_connection_that_ended_is_replaced_unseen() {
    let a = Peer::named("A");
    let stage = balanced(&[&a], "", "");
    for method in ["GET", "POST"] {
        let closed = a.closed();
        assert_eq!(text_of_get(&stage, "/warm"), "A");
        a.close_connections();
        until("the member to have closed", || a.closed() > closed);
        let before = a.requests();
        let mut exchange = FakeExchange::with_body(method, b"body");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
        assert_eq!((a.requests(), stage.is_in_error(0)), (before + 1, false), "{method}");
    }
}

#[test]
fn a_get_whose_member_dies_goes_to_the_next_and_a_post_does_not() {
    for warm in [false, true] {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let stage = balanced(&[&a, &b], "", "");
        if warm {
            play(&stage, "/warm", &mut FakeExchange::get().session("A"));
        }
        let before = a.requests();
        a.set_script(hangs_up);
        let mut get = FakeExchange::get().session("A");
        assert_eq!(play(&stage, "/x", &mut get), Outcome::Done, "{:?}", get.lines());
        assert_eq!((get.text().as_str(), stage.is_in_error(0)), ("B", false));
        let asked = a.requests();
        assert_eq!(asked, before + if warm { 2 } else { 1 });
        let mut post = FakeExchange::with_body("POST", b"order").session("A");
        assert_eq!(play(&stage, "/x", &mut post), Outcome::Answer(502));
        assert_eq!((a.requests(), b.requests()), (asked + 1, 1), "a POST is sent once");
    }
}

#[test]
fn silence_is_answered_502_and_costs_the_member_only_with_failontimeout() {
    for (pass, in_error) in [("", false), ("failontimeout=On", true)] {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        a.set_script(|conn, _| {
            conn.wait_until_told();
            Ok(After::Close)
        });
        let mut stage = balanced(&[&a, &b], "", pass);
        stage.timeout = Duration::from_millis(100);
        let mut exchange = FakeExchange::get().session("A");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(502), "{:?}", exchange.lines());
        assert_eq!((stage.is_in_error(0), b.requests()), (in_error, 0));
    }
}

#[test]
fn what_is_no_http_is_answered_502_and_not_repeated() {
    for bytes in [
        "HTTP/2.0 200 OK\r\n\r\n",
        "<html>",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let (a, b) = (Peer::sending(bytes, After::Close), Peer::named("B"));
        let stage = balanced(&[&a, &b], "", "");
        let mut exchange = FakeExchange::get().session("A");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(502), "{bytes}");
        assert_eq!((stage.is_in_error(0), b.requests()), (false, 0), "{bytes}");
    }
}

#[test]
fn a_head_line_has_its_limit() {
    let a = Peer::start(|conn, _| conn.answer("200 OK", &[("X-Long", "x".repeat(9000).as_str())], b"A"));
    let small = balanced(&[&a], "", "");
    assert_eq!(play(&small, "/x", &mut FakeExchange::get()), Outcome::Answer(502));
    let large = balanced(&[&a], "responsefieldsize=10000", "");
    assert_eq!(text_of_get(&large, "/x"), "A");
}

#[test]
fn an_answer_that_ends_too_soon_is_cut_so_that_the_client_can_tell() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let (a, b) = (Peer::sending(bytes, After::Close), Peer::named("B"));
        let stage = balanced(&[&a, &b], "", "");
        let mut exchange = FakeExchange::get().session("A");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{bytes}");
        assert_eq!(exchange.text(), "hello");
        assert!(exchange.is_cut() && !stage.is_in_error(0) && b.requests() == 0, "{bytes}");
    }
}

#[test]
fn an_answer_nobody_asked_for_reaches_nobody() {
    let a = Peer::named("A");
    let stage = balanced(&[&a], "", "");
    let is_sent = Arc::new(AtomicBool::new(false));
    let sent = Arc::clone(&is_sent);
    a.set_script(move |conn, head| {
        conn.answer("200 OK", &[], b"first")?;
        if head.target() == "/poison" {
            // Waits for the first answer to be taken, then sends one too many.
            conn.wait_until_told();
            conn.answer("200 OK", &[], b"stray")?;
            sent.store(true, Ordering::SeqCst);
        }
        Ok(After::Keep)
    });
    assert_eq!(text_of_get(&stage, "/poison"), "first");
    a.tell();
    // Sent after the next request, it could not be told from that one's answer.
    until("the stray answer to be sent", || is_sent.load(Ordering::SeqCst));
    for _ in 0..20 {
        assert_eq!(text_of_get(&stage, "/x"), "first");
    }
}

#[test]
fn failonstatus_counts_http_answers() {
    let a = Peer::start(|conn, _| conn.answer("503 Busy", &[], b"busy"));
    let stage = balanced(&[&a], "", "failonstatus=503");
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert_eq!((exchange.status(), stage.is_in_error(0)), (Some(503), true));
}
