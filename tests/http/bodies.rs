// SPDX-License-Identifier: Apache-2.0
//! Request bodies: framing, streaming, waiting for leave, and answers that come before the end.

use margay::proxy::Outcome;

use crate::exchange::{BodyEnd, Call, FakeExchange};
use crate::http_peer::{After, Peer};
use crate::play::{balanced, pattern, play, solo, with};

#[test]
fn bodies_of_every_size_arrive_whole() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    for length in [0, 1, 16383, 16385, 100_000] {
        let body = pattern(length);
        for end in [BodyEnd::WithLastPiece, BodyEnd::Apart] {
            let mut known = FakeExchange::with_body("POST", &body).ending(end);
            assert_eq!(play(&stage, "/x", &mut known), Outcome::Done, "{:?}", known.lines());
            let seen = peer.seen().pop().unwrap();
            assert_eq!(seen.head.get("Content-Length").unwrap(), length.to_string());
            assert!(seen.body == body && !seen.head.is_chunked(), "{length}");

            let pieces: Vec<&[u8]> = body.chunks(999).collect();
            let mut unknown = FakeExchange::chunked("POST", &pieces).ending(end);
            if pieces.is_empty() {
                unknown.end = BodyEnd::Apart;
            }
            assert_eq!(play(&stage, "/x", &mut unknown), Outcome::Done, "{:?}", unknown.lines());
            let seen = peer.seen().pop().unwrap();
            assert!(seen.body == body, "{length}");
            assert_eq!(seen.head.is_chunked(), length > 16384, "a small body gets a length");
            assert_eq!(seen.head.get("Content-Length").is_some(), length <= 16384);
        }
    }
    assert_eq!(peer.connections(), 1);
}

#[test]
fn a_request_without_a_body_has_no_length() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    assert_eq!(play(&stage, "/x", &mut FakeExchange::new("POST")), Outcome::Done);
    let head = peer.seen().pop().unwrap().head;
    assert_eq!((head.get("Content-Length"), head.get("Transfer-Encoding")), (None, None));
}

#[test]
fn a_length_can_be_asked_for() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    let body = pattern(50_000);
    for variable in ["proxy-sendcl", "force-proxy-request-1.0"] {
        let pieces: Vec<&[u8]> = body.chunks(3000).collect();
        let mut exchange = FakeExchange::chunked("POST", &pieces).variable(variable, "1");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
        let seen = peer.seen().pop().unwrap();
        assert_eq!(seen.head.get("Content-Length").unwrap(), "50000");
        assert!(seen.body == body && !seen.head.is_chunked());
        assert_eq!(exchange.spooled, 0, "a small body stays in memory");
    }
}

#[test]
fn a_large_body_whose_length_is_asked_for_leaves_memory() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    let body = pattern(1_000_000);
    let pieces: Vec<&[u8]> = body.chunks(16_000).collect();
    let mut exchange = FakeExchange::chunked("POST", &pieces).variable("proxy-sendcl", "1");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    let seen = peer.seen().pop().unwrap();
    assert_eq!(seen.head.get("Content-Length").unwrap(), "1000000");
    assert!(seen.body == body);
    assert!((10..=15).contains(&exchange.spooled), "each 64 KiB: {}", exchange.spooled);
}

#[test]
fn a_client_that_fails_to_deliver_ends_the_members_request() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    let mut exchange = FakeExchange::with_body("POST", &pattern(40_000)).ending(BodyEnd::Fails(408));
    exchange.length = margay::wire::ajp::BodyLength::Known(50_000);
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Client(408));
    crate::stage::until("the connection to be closed", || peer.closed() == 1);
    assert!(peer.seen()[0].body.is_empty(), "the body never became whole");
}

fn asks_leave(method: &str, body: &[u8]) -> FakeExchange {
    FakeExchange::with_body(method, body).header("Expect", "100-continue")
}

#[test]
fn a_member_is_asked_whether_it_wants_the_body() {
    let peer = Peer::start(|conn, head| {
        assert_eq!(head.get("Expect").as_deref(), Some("100-continue"));
        conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        conn.read_body(head)?;
        conn.answer("200 OK", &[], b"A")
    });
    let stage = solo(&peer, "");
    for length in [5, 50_000] {
        let mut exchange = asks_leave("POST", &pattern(length));
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
        assert!(exchange.calls.contains(&Call::Interim));
        assert_eq!(peer.seen().pop().unwrap().body, pattern(length));
    }
    assert_eq!(peer.connections(), 1);
}

#[test]
fn a_member_that_does_not_want_the_body_does_not_get_it() {
    let peer = Peer::start(|conn, _| conn.answer("401 Unauthorized", &[], b"who?"));
    let stage = solo(&peer, "");
    let mut exchange = asks_leave("POST", b"secret");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    assert_eq!((exchange.status(), exchange.text().as_str(), exchange.reads), (Some(401), "who?", 0));
    crate::stage::until("the connection to be closed", || peer.closed() == 1);
}

#[test]
fn this_server_gives_leave_itself_when_told_to() {
    let peer = Peer::named("A");
    let stage = with(&peer, "", "Proxy100Continue Off");
    let mut exchange = asks_leave("POST", b"body");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    let seen = peer.seen().pop().unwrap();
    assert_eq!((seen.head.get("Expect"), &seen.body[..]), (None, &b"body"[..]));
}

#[test]
fn with_ping_a_member_that_gives_no_leave_is_passed_over() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let agreeable = |conn: &mut crate::http_peer::Conn, head: &crate::http_peer::Head| {
        if head.get("Expect").is_some() {
            conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        conn.read_body(head)?;
        conn.answer("200 OK", &[], b"B")
    };
    b.set_script(agreeable);
    a.set_script(|conn, _| {
        conn.wait_until_told();
        Ok(After::Close)
    });
    let stage = balanced(&[&a, &b], "ping=200ms", "");
    let mut exchange = FakeExchange::with_body("POST", b"order").session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    assert_eq!((exchange.text().as_str(), stage.is_in_error(0)), ("B", true));
    assert_eq!(b.seen()[0].body, b"order");
    assert!(!exchange.calls.contains(&Call::Interim), "the client did not ask");
}

#[test]
fn an_error_that_comes_early_ends_the_upload() {
    let peer = Peer::start(|conn, _| {
        conn.answer("413 Too Large", &[], b"stop")?;
        conn.wait_until_told();
        Ok(After::Close)
    });
    let stage = solo(&peer, "");
    let pieces = vec![&[7u8; 16384][..]; 4000];
    let mut exchange = FakeExchange::chunked("POST", &pieces);
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    assert_eq!((exchange.status(), exchange.text().as_str()), (Some(413), "stop"));
    assert!(exchange.reads < 4000, "{} reads", exchange.reads);
}

#[test]
fn an_answer_that_comes_early_does_not_end_the_upload() {
    let peer = Peer::start(|conn, head| {
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")?;
        conn.read_body(head)?;
        conn.send(b"done")?;
        Ok(After::Keep)
    });
    let stage = solo(&peer, "");
    let body = pattern(1_000_000);
    let mut exchange = FakeExchange::with_body("POST", &body);
    exchange.coming = body.chunks(10_000).map(<[u8]>::to_vec).collect();
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    assert_eq!(exchange.text(), "done");
    assert!(peer.seen()[0].body == body);
}
