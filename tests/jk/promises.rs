// SPDX-License-Identifier: Apache-2.0
//! What must never happen, each as mod_jk is known to do it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use margay::config::jk::plan::{FailOnStatus, JkOptions, RuleExtensions};
use margay::proxy::Outcome;

use crate::ajp_peer::{After, Peer};
use crate::ajp_text::{chunk_packet, end_packet, headers_packet};
use crate::exchange::{Call, FakeExchange};
use crate::stage::{Ask, Stage, jk};

/// By default mod_jk repeats whatever fits into one packet, on both members, eight times in all.
#[test]
fn a_post_is_never_sent_twice_once_a_container_may_have_begun_it() {
    let begun = |reply: Vec<u8>| {
        move |conn: &mut crate::ajp_peer::Conn, head: &crate::ajp_text::Head| {
            conn.read_body(head, 8186)?;
            conn.send(&reply)?;
            Ok(After::Close)
        }
    };
    let replies = [
        Vec::new(),
        b"AB\0\x01\x0b".to_vec(),
        b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        headers_packet(200, &[]),
        headers_packet(503, &[("Content-Length", "0")]),
    ];
    for reply in replies {
        let (a, b) = (Peer::start(begun(reply.clone())), Peer::start(begun(reply.clone())));
        let stage = Stage::balanced(&[&a, &b], |plan| {
            for member in [0, 1] {
                jk(plan, member).fail_on_status = FailOnStatus(vec![503]);
                jk(plan, member).reply_timeout = Some(Duration::from_millis(300));
            }
        });
        let mut exchange = FakeExchange::with_body("POST", b"an order");
        let outcome = stage.play("/order", &mut exchange);
        assert!(matches!(outcome, Outcome::Answer(502 | 503)), "{reply:?}: {outcome:?}");
        assert_eq!(a.requests() + b.requests(), 1, "{reply:?}");
    }
}

#[test]
fn a_post_goes_to_another_member_when_nobody_can_have_begun_it() {
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let second = Some(Duration::from_secs(1));
    let stage = Stage::balanced(&[&a, &b], |plan| jk(plan, 0).connect_ping = second);
    a.answer_cping_with(b"no");
    let mut exchange = FakeExchange::with_body("POST", b"an order").session("a");
    assert_eq!(stage.play("/order", &mut exchange), Outcome::Done);
    assert_eq!((exchange.text().as_str(), a.requests(), b.requests()), ("b", 0, 1));
    assert_eq!(b.seen()[0].body, b"an order");
}

#[test]
fn a_post_meets_a_closed_kept_connection_and_is_sent_once_on_a_new_one() {
    let peer = Peer::named("x");
    let stage = Stage::alone(&peer, |_| {});
    stage.text_of_get("/x");
    peer.close_connections();
    let mut exchange = FakeExchange::with_body("POST", b"an order");
    assert_eq!(stage.play("/order", &mut exchange), Outcome::Done);
    assert_eq!((peer.requests(), peer.connections()), (2, 2));
}

/// mod_jk sends "partpartgood" here.
#[test]
fn the_output_of_two_members_never_meets_in_one_response() {
    let a = Peer::start(|conn, _| {
        conn.send(&headers_packet(200, &[]))?;
        conn.send(&chunk_packet(b"part"))?;
        Ok(After::Close)
    });
    let b = Peer::named("good");
    let stage = Stage::balanced(&[&a, &b], |_| {});
    let mut exchange = FakeExchange::get().session("a");
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Done);
    assert!(exchange.is_cut(), "{:?}", exchange.calls);
    assert_eq!((exchange.text().as_str(), a.requests(), b.requests()), ("part", 1, 0));
}

#[test]
fn after_headers_only_a_get_moves_on_and_nothing_of_the_first_answer_is_left() {
    let a = Peer::start(|conn, _| {
        conn.send(&headers_packet(404, &[("X-From", "a"), ("Set-Cookie", "from=a")]))?;
        Ok(After::Close)
    });
    let b = Peer::named("good");
    let stage = Stage::balanced(&[&a, &b], |_| {});
    let mut exchange = FakeExchange::get().session("a");
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Done);
    assert_eq!((exchange.status(), exchange.text().as_str()), (Some(200), "good"));
    assert_eq!((exchange.response_header("X-From"), exchange.response_header("Set-Cookie")), (None, None));

    // With FlushHeader the head is out.
    let options = JkOptions { flush_header: true, ..JkOptions::default() };
    let mut exchange = FakeExchange::get().session("a");
    stage.slot(0).set_state(margay::shared::JkState::Ok);
    assert_eq!(stage.ask("/x", &Ask { options, ..Ask::default() }, &mut exchange), Outcome::Done);
    assert!(exchange.is_cut(), "{:?}", exchange.calls);
}

/// In mod_jk the next client gets it, and from then on everybody the answer before their own.
#[test]
fn a_stray_response_is_given_to_nobody() {
    for method in ["GET", "POST"] {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let peer = Peer::start(move |conn, head| {
            conn.read_body(head, 8186)?;
            let own =
                [headers_packet(200, &[]), chunk_packet(head.uri.as_bytes()), end_packet(true)].concat();
            let stray = [headers_packet(200, &[]), chunk_packet(b"stray"), end_packet(true)].concat();
            conn.send(&own)?;
            // Refused if the front has left: then nothing can be mistaken.
            let result = conn.send(&stray);
            count.fetch_add(1, Ordering::SeqCst);
            result.map(|()| After::Keep)
        });
        let stage = Stage::alone(&peer, |_| {});
        for number in 0..20 {
            let uri = format!("/{number}");
            let mut exchange = FakeExchange::new(method);
            if stage.play(&uri, &mut exchange) == Outcome::Done {
                assert_eq!(exchange.text(), uri, "{method}");
            }
            // On loopback what was sent has arrived: the next request meets a connection with an answer waiting in it.
            // One that comes only after the next request was sent looks like its answer.
            let start = Instant::now();
            while sent.load(Ordering::SeqCst) < peer.requests() {
                assert!(start.elapsed() < Duration::from_secs(60), "the peer sent no second answer");
                std::thread::yield_now();
            }
        }
    }
}

/// mod_jk's child crashes on this header.
#[test]
fn a_response_header_with_the_code_zero_ends_in_an_answer() {
    let peer = Peer::start(|conn, _| {
        conn.send(b"AB\0\x10\x04\0\xc8\0\x02OK\0\0\x01\xa0\0\0\x01v\0")?;
        Ok(After::Keep)
    });
    let stage = Stage::alone(&peer, |_| {});
    assert_eq!(stage.play("/x", &mut FakeExchange::get()), Outcome::Answer(502));
}

/// mod_jk passes it on, and the client takes the body for chunks.
#[test]
fn the_transfer_encoding_of_the_container_is_not_passed_on() {
    let peer = Peer::start(|conn, _| {
        conn.answer(200, &[("Transfer-Encoding", "chunked"), ("Connection", "close")], &[b"ok"])
    });
    let stage = Stage::alone(&peer, |_| {});
    let mut exchange = FakeExchange::get();
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Done);
    let passed = ["Transfer-Encoding", "Connection"].map(|name| exchange.response_header(name).is_some());
    assert_eq!((passed, exchange.text().as_str()), ([false, false], "ok"));
}

/// mod_jk sends one cookie for each attempt, and tells the container the route of the member that failed.
#[test]
fn after_failover_there_is_one_cookie_and_the_route_of_the_member_that_answers() {
    let (a, b) = (Peer::start(|_, _| Ok(After::Close)), Peer::named("b"));
    let stage = Stage::balanced(&[&a, &b], |plan| plan.jk.balancers[0].set_session_cookie = true);
    let mut exchange = FakeExchange::get();
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Done);
    let cookies: Vec<&Call> = exchange
        .calls
        .iter()
        .filter(|call| matches!(call, Call::Header(name, _) if name == "Set-Cookie"))
        .collect();
    assert_eq!(cookies, [&Call::Header("Set-Cookie".into(), "JSESSIONID=.b;PATH=/;HttpOnly".into())]);
    let head = b.seen().pop().unwrap().head;
    assert!(head.attributes.contains(&("6".to_owned(), "b".to_owned())), "{:?}", head.attributes);
}

#[test]
fn over_tls_the_cookie_is_secure_and_a_cookie_without_a_path_has_none() {
    let peer = Peer::named("a");
    let stage = Stage::balanced(&[&peer], |plan| plan.jk.balancers[0].set_session_cookie = true);
    let mut exchange = FakeExchange::get();
    exchange.tls = Some(Default::default());
    let extensions = RuleExtensions { session_cookie_path: Some(String::new()), ..RuleExtensions::default() };
    assert_eq!(stage.ask("/x", &Ask { extensions, ..Ask::default() }, &mut exchange), Outcome::Done);
    assert_eq!(exchange.response_header("Set-Cookie"), Some("JSESSIONID=.a;HttpOnly;Secure"));
}

#[test]
fn disable_reuse_opens_a_connection_for_each_request() {
    let peer = Peer::named("x");
    let stage = Stage::alone(&peer, |_| {});
    let options = JkOptions { disable_reuse: true, ..JkOptions::default() };
    for _ in 0..3 {
        let mut exchange = FakeExchange::get();
        assert_eq!(stage.ask("/x", &Ask { options, ..Ask::default() }, &mut exchange), Outcome::Done);
    }
    assert_eq!(peer.connections(), 3);
}

#[test]
fn a_request_that_does_not_fit_is_413_and_nobody_is_asked() {
    let peer = Peer::named("x");
    let stage = Stage::balanced(&[&peer], |_| {});
    let long = "x".repeat(9000);
    let mut exchange = FakeExchange::get().header("X-Long", &long);
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Answer(413));
    assert_eq!((peer.requests(), stage.slot(0).state()), (0, margay::shared::JkState::Ok));
    assert!(exchange.lines()[0].2.contains("max_packet_size"), "{:?}", exchange.lines());
}

#[test]
fn a_request_that_cannot_be_sent_leaves_kept_connections_alone() {
    let peer = Peer::named("x");
    let stage = Stage::alone(&peer, |_| {});
    stage.text_of_get("/x");
    let mut exchange = FakeExchange::get().header("X-Long", &"x".repeat(9000));
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Answer(413));
    let mut exchange = FakeExchange::with_body("POST", b"").ending(crate::exchange::BodyEnd::Fails(400));
    exchange.length = margay::wire::ajp::BodyLength::Known(5);
    exchange.coming.clear();
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Client(400));
    stage.text_of_get("/x");
    assert_eq!((peer.requests(), peer.connections()), (2, 1));
}

/// mod_jk sends them as they are.
#[test]
fn control_characters_in_the_path_are_encoded_and_blanks_stay() {
    let peer = Peer::named("x");
    let stage = Stage::alone(&peer, |_| {});
    stage.text_of_get("/a b\r\nGET /c%20d");
    assert_eq!(peer.seen()[0].head.uri, "/a b%0D%0AGET /c%20d");
}

#[test]
fn forward_local_address_sends_the_servers_own() {
    let peer = Peer::named("x");
    let stage = Stage::alone(&peer, |_| {});
    let options = JkOptions { forward_local_address: true, ..JkOptions::default() };
    assert_eq!(stage.ask("/x", &Ask { options, ..Ask::default() }, &mut FakeExchange::get()), Outcome::Done);
    let head = peer.seen().pop().unwrap().head;
    assert_eq!(head.remote_addr, "192.0.2.1");
    assert!(head.attributes.contains(&("AJP_REMOTE_PORT".into(), "0".into())), "{:?}", head.attributes);
}

#[test]
fn flush_packets_pushes_after_each_packet() {
    let peer = Peer::start(|conn, _| {
        conn.send(&headers_packet(200, &[]))?;
        for _ in 0..2 {
            conn.send(&chunk_packet(b"one"))?;
            std::thread::sleep(Duration::from_millis(20));
        }
        conn.send(&end_packet(true))?;
        Ok(After::Keep)
    });
    let stage = Stage::alone(&peer, |_| {});
    for (flush_packets, flush_header) in [(false, false), (true, false), (false, true)] {
        let options = JkOptions { flush_packets, flush_header, ..JkOptions::default() };
        let mut exchange = FakeExchange::get();
        assert_eq!(stage.ask("/x", &Ask { options, ..Ask::default() }, &mut exchange), Outcome::Done);
        let flushed =
            exchange.writes().filter(|(_, push)| *push == margay::proxy::exchange::Push::Flush).count();
        assert_eq!(flushed > 0, flush_packets || flush_header, "{flush_packets}, {flush_header}");
        assert_eq!(exchange.text(), "oneone");
    }
}

#[test]
fn a_short_body_of_the_client_never_looks_whole_and_marks_nobody() {
    let peer = Peer::named("x");
    let stage = Stage::balanced(&[&peer], |_| {});
    let mut exchange = FakeExchange::with_body("POST", b"12345").ending(crate::exchange::BodyEnd::Fails(408));
    exchange.length = margay::wire::ajp::BodyLength::Known(100);
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Client(408));
    assert_eq!((peer.requests(), stage.slot(0).state()), (0, margay::shared::JkState::Ok));
}
