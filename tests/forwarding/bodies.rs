// SPDX-License-Identifier: Apache-2.0
//! Request bodies: whole, in pieces, too short, sent again.

use std::sync::{Arc, Mutex};

use margay::proxy::Outcome;

use crate::ajp_peer::{After, Peer};
use crate::ajp_text::{self, ask_packet};
use crate::exchange::{BodyEnd, FakeExchange};
use crate::play::{balanced, balancer, play, solo, text_of_get};
use crate::stage::until;

const EMPTY_PACKET: [u8; 6] = [0x12, 0x34, 0, 2, 0, 0];

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()
}

#[test]
fn bodies_of_every_size_arrive_whole() {
    for method in ["POST", "PUT", "GET"] {
        for length in [0, 1, 8186, 8187, 70_000] {
            let peer = Peer::named("A");
            let stage = solo(&peer, "");
            let body = pattern(length);
            for end in [BodyEnd::WithLastPiece, BodyEnd::Apart] {
                let mut exchange = FakeExchange::with_body(method, &body).ending(end);
                assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
                assert_eq!(exchange.text(), "A");
                let seen = peer.seen().pop().unwrap();
                assert!(seen.body_complete && seen.body == body, "{method} {length}");
            }
            assert_eq!(peer.connections(), 1);
        }
    }
}

#[test]
fn a_body_in_crumbs_fills_its_first_packet() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    let body = pattern(9000);
    let mut exchange = FakeExchange::with_body("POST", b"");
    exchange.coming = body.chunks(3).map(<[u8]>::to_vec).collect();
    exchange.length = margay::wire::ajp::BodyLength::Known(9000);
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    let seen = peer.seen().remove(0);
    assert!(seen.body_complete && seen.body == body);
}

/// A member that notes the size of each packet it gets while asking for the body.
fn noting(sizes: Arc<Mutex<Vec<usize>>>) -> Peer {
    Peer::start(move |conn, _| {
        loop {
            conn.send(&ask_packet(8186))?;
            let size = conn.read_packet()?.len() - 6;
            sizes.lock().unwrap().push(size);
            if size == 0 {
                return conn.answer(200, &[], &[b"ok"]);
            }
        }
    })
}

#[test]
fn a_body_of_unknown_length_is_a_conversation() {
    let sizes = Arc::default();
    let peer = noting(Arc::clone(&sizes));
    let stage = solo(&peer, "");
    let large = pattern(10_000);
    let mut exchange = FakeExchange::chunked("POST", &[b"one", b"three", &large, b"x"]);
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert_eq!(*sizes.lock().unwrap(), [3, 5, 8186, 1814, 1, 0]);
    assert_eq!(stage.slot(0).bytes_written(), 10_009);
}

#[test]
fn an_empty_body_of_unknown_length_ends_at_once() {
    let sizes = Arc::default();
    let peer = noting(Arc::clone(&sizes));
    let mut exchange = FakeExchange::chunked("POST", &[]);
    assert_eq!(play(&solo(&peer, ""), "/x", &mut exchange), Outcome::Done);
    assert_eq!(*sizes.lock().unwrap(), [0]);
}

#[test]
fn each_question_past_the_end_gets_an_empty_packet() {
    for body in [&b""[..], b"hello"] {
        let peer = Peer::start(|conn, head| {
            conn.read_body(head, 8186)?;
            for size in [8186, 0, 1] {
                conn.send(&ask_packet(size))?;
                if conn.read_packet()? != EMPTY_PACKET {
                    return Ok(After::Close);
                }
            }
            conn.answer(200, &[], &[b"ok"])
        });
        let mut exchange = FakeExchange::with_body("POST", body);
        assert_eq!(play(&solo(&peer, ""), "/x", &mut exchange), Outcome::Done);
        assert_eq!(exchange.text(), "ok");
    }
}

#[test]
fn a_get_without_a_body_answers_the_question_for_one() {
    let peer = Peer::start(|conn, _| {
        conn.send(&[ask_packet(8186), ask_packet(8186)].concat())?;
        let answers = [conn.read_packet()?, conn.read_packet()?];
        let text = format!("{}", answers == [EMPTY_PACKET, EMPTY_PACKET]);
        conn.answer(200, &[], &[text.as_bytes()])
    });
    let stage = solo(&peer, "");
    assert_eq!(text_of_get(&stage, "/x"), "true");
    assert_eq!(text_of_get(&stage, "/x"), "true");
    assert_eq!(peer.connections(), 1);
}

#[test]
fn a_question_for_less_gets_less() {
    let peer = Peer::start(|conn, head| {
        conn.read_body(head, 100)?;
        conn.answer(200, &[], &[b"ok"])
    });
    let body = pattern(9000);
    let mut exchange = FakeExchange::with_body("POST", &body);
    assert_eq!(play(&solo(&peer, ""), "/x", &mut exchange), Outcome::Done);
    assert!(peer.seen()[0].body == body);
}

#[test]
fn a_client_that_delivers_too_little_never_looks_complete_to_the_member() {
    for (end, status) in [(BodyEnd::Fails(408), 408), (BodyEnd::WithLastPiece, 400), (BodyEnd::Apart, 400)] {
        let peer = Peer::named("A");
        let stage = balanced(&[&peer], "", "");
        let mut exchange = FakeExchange::with_body("PUT", &pattern(9000)).ending(end);
        exchange.length = margay::wire::ajp::BodyLength::Known(20_000);
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Client(status));
        until("the connection to be closed", || peer.closed() == 1);
        assert!(!peer.seen()[0].body_complete);
        assert!(!stage.is_in_error(0));
        assert_eq!((exchange.log_ids(), stage.slot(0).errors()), (vec!["MGY3201"], 0));
    }
}

#[test]
fn a_client_that_fails_before_its_first_packet_costs_no_connection() {
    let peer = Peer::named("A");
    let stage = balanced(&[&peer], "", "");
    let mut exchange = FakeExchange::with_body("POST", b"ab").ending(BodyEnd::Fails(408));
    exchange.length = margay::wire::ajp::BodyLength::Known(3);
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Client(408));
    assert_eq!(peer.connections(), 0);
}

#[test]
fn a_client_that_fails_within_a_body_of_unknown_length_leaves_it_open_at_the_member() {
    let peer = Peer::named("A");
    let stage = balanced(&[&peer], "", "");
    let mut exchange = FakeExchange::chunked("POST", &[b"one", b"two"]).ending(BodyEnd::Fails(400));
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Client(400));
    until("the connection to be closed", || peer.closed() == 1);
    let seen = peer.seen().remove(0);
    assert_eq!((&seen.body[..], seen.body_complete), (&b"onetwo"[..], false));
}

#[test]
fn a_client_that_fails_after_the_response_has_begun_has_it_cut() {
    let peer = Peer::start(|conn, _| {
        let begun = [ajp_text::headers_packet(200, &[]), ajp_text::chunk_packet(b"begun")].concat();
        conn.send(&[begun, ask_packet(8186)].concat())?;
        conn.read_packet()?;
        Ok(After::Close)
    });
    let stage = balanced(&[&peer], "", "");
    let mut exchange = FakeExchange::chunked("POST", &[]).ending(BodyEnd::Fails(400));
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert!(exchange.is_cut());
    assert_eq!((exchange.text().as_str(), exchange.status()), ("begun", Some(200)));
    assert!(!stage.is_in_error(0));
}

#[test]
fn what_one_member_got_of_a_body_is_sent_again_to_the_next() {
    let a = Peer::start(|conn, head| {
        if head.is_streamed() {
            conn.send(&ask_packet(8186))?;
            conn.read_packet()?;
        } else {
            conn.read_first_body(head)?;
        }
        Ok(After::Close)
    });
    let b = Peer::named("B");
    let body = pattern(20_000);
    let requests = [
        FakeExchange::with_body("PUT", &body),
        FakeExchange::chunked("PUT", &[&body[..5000], &body[5000..]]),
        FakeExchange::chunked("PUT", &[&body[..9000], &body[9000..]]),
    ];
    for mut exchange in requests {
        let stage = balanced(&[&a, &b], "", "");
        exchange = exchange.session("A");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
        assert_eq!(exchange.text(), "B");
        let seen = b.seen().pop().unwrap();
        assert!(seen.body_complete && seen.body == body);
    }
    assert_eq!(a.requests(), 3);
}

#[test]
fn a_body_whose_beginning_is_gone_is_not_sent_again() {
    let a = Peer::start(|conn, head| {
        conn.read_first_body(head)?;
        conn.send(&ask_packet(8186))?;
        conn.read_packet()?;
        Ok(After::Close)
    });
    let b = Peer::named("B");
    let stage = balanced(&[&a, &b], "", "");
    let mut exchange = FakeExchange::with_body("PUT", &pattern(20_000)).session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(500));
    assert_eq!((a.requests(), b.requests()), (1, 0));
}

#[test]
fn a_first_packet_fits_the_member_with_the_smallest_packets() {
    let a = Peer::start(|conn, head| {
        conn.read_first_body(head)?;
        Ok(After::Close)
    });
    let b = Peer::named("B");
    let stage = balancer(&[format!("{} iobuffersize=65536", a.url()), b.url()], "");
    let body = pattern(70_000);
    let mut exchange = FakeExchange::with_body("PUT", &body).session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    let seen = b.seen().remove(0);
    assert!(seen.body_complete && seen.body == body);
}

#[test]
fn a_packet_read_for_a_large_member_is_sent_to_a_small_one_in_parts() {
    let a = Peer::start(|conn, _| {
        conn.send(&ask_packet(65530))?;
        conn.read_packet()?;
        Ok(After::Close)
    });
    let b = Peer::named("B");
    let stage = balancer(&[format!("{} iobuffersize=65536", a.url()), b.url()], "");
    let body = pattern(30_000);
    let mut exchange = FakeExchange::chunked("PUT", &[&body]).session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    let seen = b.seen().remove(0);
    assert!(seen.body_complete && seen.body == body, "{} of 30000", seen.body.len());
}
