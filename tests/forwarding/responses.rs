// SPDX-License-Identifier: Apache-2.0
//! Plain exchanges, lengths, headers.

use margay::proxy::Outcome;
use margay::proxy::exchange::{MAX_PIECES, Push};

use crate::ajp_peer::Peer;
use crate::ajp_text;
use crate::exchange::FakeExchange;
use crate::play::{balanced, play, response, sends, solo, text_of_get};
use crate::stage::{Stage, until};

#[test]
fn a_get_reaches_the_member_and_its_answer_the_client() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    let mut exchange = FakeExchange::get().query("a=b%20c");
    assert_eq!(play(&stage, "/a b/ü", &mut exchange), Outcome::Done);
    assert_eq!((exchange.status(), exchange.content_length()), (Some(200), Some(1)));
    assert_eq!(
        (exchange.text().as_str(), exchange.response_header("Content-Type")),
        ("A", Some("text/plain"))
    );
    assert!(exchange.is_complete());
    let head = peer.seen().remove(0).head;
    assert_eq!((head.method, head.uri.as_str()), (2, "/a%20b/%C3%BC"));
    assert!(head.attributes.contains(&("5".into(), "a=b%20c".into())));
    assert_eq!(exchange.log_ids(), [""; 0]);
    assert_eq!(stage.slot(0).bytes_read(), 1);
}

#[test]
fn a_post_takes_its_body_along() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    let mut exchange = FakeExchange::with_body("POST", b"hello");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert_eq!(exchange.text(), "A");
    let seen = peer.seen().remove(0);
    assert_eq!((seen.head.method, &seen.body[..], seen.body_complete), (4, &b"hello"[..], true));
    assert_eq!(stage.slot(0).bytes_written(), 5);
}

#[test]
fn responses_without_a_body_stay_without_one_and_keep_their_connection() {
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let peer = Peer::start(sends(response(status, &[("Content-Length", "7")], &[b"chunk", b"more"])));
        let stage = solo(&peer, "");
        for _ in 0..2 {
            let mut exchange = FakeExchange::new(method);
            assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
            assert_eq!(exchange.status(), Some(status));
            assert!(exchange.is_complete() && exchange.body().is_empty(), "{method} {status}");
        }
        assert_eq!(peer.connections(), 1, "{method} {status}");
    }
}

#[test]
fn a_head_keeps_the_length_the_get_would_have() {
    let peer = Peer::start(sends(response(200, &[("Content-Length", "123")], &[])));
    let mut exchange = FakeExchange::new("HEAD");
    assert_eq!(play(&solo(&peer, ""), "/x", &mut exchange), Outcome::Done);
    assert_eq!(exchange.content_length(), Some(123));
}

/// Plays one GET, checks that its connection was closed and another GET gets a new one.
fn on_a_connection_that_ends(bytes: Vec<u8>) -> FakeExchange {
    let peer = Peer::start(sends(bytes));
    let stage = solo(&peer, "");
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    until("the connection to be closed", || peer.closed() == 1);
    peer.set_script(sends(response(200, &[], &[b"next"])));
    assert_eq!(text_of_get(&stage, "/x"), "next");
    assert_eq!((peer.connections(), peer.requests()), (2, 2));
    exchange
}

#[test]
fn a_response_shorter_than_announced_is_cut() {
    let exchange = on_a_connection_that_ends(response(200, &[("Content-Length", "10")], &[b"part"]));
    assert!(exchange.is_cut());
    assert_eq!((exchange.text().as_str(), exchange.logged("MGY3105")), ("part", 1));
}

#[test]
fn a_response_without_a_byte_of_its_body_is_answered_502_and_harms_nobody() {
    let (a, b) = (Peer::start(sends(response(200, &[("Content-Length", "10")], &[]))), Peer::named("B"));
    let stage = balanced(&[&a, &b], "", "");
    let mut exchange = FakeExchange::get().session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(502));
    assert_eq!((exchange.status(), exchange.log_ids()), (None, vec!["MGY3105"]));
    assert!(!stage.is_in_error(0));
    until("the connection to be closed", || a.closed() == 1);
    assert_eq!(b.requests(), 0);
}

#[test]
fn a_body_in_place_of_an_announced_empty_one_is_dropped() {
    let exchange = on_a_connection_that_ends(response(200, &[("Content-Length", "0")], &[b"surprise"]));
    assert_eq!((exchange.status(), exchange.text().as_str()), (Some(200), ""));
    assert!(exchange.is_cut());
}

#[test]
fn a_response_longer_than_announced_never_exceeds_it() {
    for chunks in [&[&b"01234"[..]][..], &[b"0", b"1", b"234"], &[b"01", b"234"]] {
        let exchange = on_a_connection_that_ends(response(200, &[("Content-Length", "2")], chunks));
        assert_eq!((exchange.text().as_str(), exchange.logged("MGY3106")), ("01", 1));
        assert!(!exchange.is_complete());
    }
}

#[test]
fn a_response_that_breaks_off_is_cut_with_its_status() {
    let mut bytes = ajp_text::headers_packet(203, &[]);
    bytes.extend(ajp_text::chunk_packet(b"part"));
    let peer = Peer::start(move |conn, _| {
        conn.send(&bytes)?;
        Ok(crate::ajp_peer::After::Close)
    });
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&solo(&peer, ""), "/x", &mut exchange), Outcome::Done);
    assert!(exchange.is_cut());
    assert_eq!((exchange.text().as_str(), exchange.status()), ("part", Some(203)));
    assert_eq!(exchange.log_ids(), ["MGY3104"]);
    assert_eq!(peer.requests(), 1);
}

#[test]
fn bytes_after_the_end_close_the_connection() {
    let mut bytes = response(200, &[], &[b"ok"]);
    bytes.extend_from_slice(b"AB");
    let exchange = on_a_connection_that_ends(bytes);
    assert!(exchange.is_complete());
    assert_eq!(exchange.text(), "ok");
}

#[test]
fn a_member_that_does_not_offer_reuse_is_not_asked_again_there() {
    let mut bytes = response(200, &[], &[b"ok"]);
    *bytes.last_mut().unwrap() = 0;
    let exchange = on_a_connection_that_ends(bytes);
    assert!(exchange.is_complete());
    assert_eq!(exchange.log_ids(), [""; 0]);
}

#[test]
fn many_small_chunks_arrive_in_order_and_in_writes_of_bounded_size() {
    let chunks: Vec<Vec<u8>> = (0..500u32).map(|n| format!("{n} ").into_bytes()).collect();
    let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    let peer = Peer::start(sends(response(200, &[], &slices)));
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&solo(&peer, ""), "/x", &mut exchange), Outcome::Done);
    assert_eq!(exchange.body(), chunks.concat());
    assert!(exchange.writes().all(|(pieces, _)| pieces.len() <= MAX_PIECES));
    assert!(exchange.writes().any(|(pieces, _)| pieces.len() > 1), "what came together went out together");
}

#[test]
fn a_large_response_arrives_whole() {
    let data: Vec<u8> = (0..300_000u32).flat_map(|n| n.to_be_bytes()).collect();
    let expected = data.clone();
    let peer = Peer::start(move |conn, _| conn.answer(200, &[], &[&data]));
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&solo(&peer, ""), "/x", &mut exchange), Outcome::Done);
    assert!(exchange.is_complete() && exchange.body() == expected);
    assert_eq!(exchange.writes().last().unwrap().1, Push::End);
}

#[test]
fn headers_about_the_members_connection_are_dropped_and_others_kept_in_order() {
    let headers = [
        ("Transfer-Encoding", "chunked"),
        ("connection", "close"),
        ("Keep-Alive", "timeout=5"),
        ("Upgrade", "h2c"),
        ("Trailer", "X"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-Own", "kept"),
    ];
    let peer = Peer::start(sends(response(200, &headers, &[b"ok"])));
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&solo(&peer, ""), "/x", &mut exchange), Outcome::Done);
    let kept: Vec<(String, String)> = exchange
        .calls
        .iter()
        .filter_map(|call| match call {
            crate::exchange::Call::Header(name, value) => Some((name.clone(), value.clone())),
            _ => None,
        })
        .collect();
    let expected = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Own", "kept")];
    assert_eq!(kept, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_contradictory_length_counts_as_none() {
    for headers in
        [[("Content-Length", "2"), ("Content-Length", "3")], [("Content-Length", "2x"), ("X", "y")]]
    {
        let peer = Peer::start(sends(response(200, &headers, &[b"okay"])));
        let mut exchange = FakeExchange::get();
        assert_eq!(play(&solo(&peer, ""), "/x", &mut exchange), Outcome::Done);
        assert_eq!((exchange.content_length(), exchange.text().as_str()), (None, "okay"));
        assert!(exchange.is_complete());
    }
}

#[test]
fn locations_and_cookies_of_the_member_are_turned_back() {
    let headers = [
        ("Location", "http://inner:8080/back/next?x=1"),
        ("Content-Location", "http://elsewhere/back/next"),
        ("Set-Cookie", "a=1; Path=/back; Domain=inner"),
        ("Set-Cookie", "b=1; Path=/other"),
    ];
    let peer = Peer::start(sends(response(302, &headers, &[])));
    let stage = Stage::new(&format!(
        "ProxyPass /app {}/back\nProxyPassReverse /app http://inner:8080/back\n\
         ProxyPassReverseCookiePath /back /app\nProxyPassReverseCookieDomain inner www.example.test",
        peer.url()
    ));
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&stage, "/app/x", &mut exchange), Outcome::Done);
    assert_eq!(peer.seen()[0].head.uri, "/back/x");
    assert_eq!(exchange.response_header("Location"), Some("http://www.example.test/app/next?x=1"));
    assert_eq!(exchange.response_header("Content-Location"), Some("http://elsewhere/back/next"));
    let cookies: Vec<_> = exchange
        .calls
        .iter()
        .filter_map(|call| match call {
            crate::exchange::Call::Header(name, value) if name == "Set-Cookie" => Some(value.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(cookies, ["a=1; Path=/app; Domain=www.example.test", "b=1; Path=/other"]);
}

#[test]
fn an_answer_that_is_no_ajp_is_answered_502() {
    let peer = Peer::start(|conn, _| {
        conn.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        Ok(crate::ajp_peer::After::Close)
    });
    let mut exchange = FakeExchange::with_body("POST", b"x");
    assert_eq!(play(&solo(&peer, ""), "/x", &mut exchange), Outcome::Answer(502));
    assert_eq!(exchange.log_ids(), ["MGY3103"]);
}

#[test]
fn the_servers_own_error_page_takes_the_place_of_the_members() {
    let peer = Peer::start(|conn, _| conn.answer(503, &[("X-Own", "1")], &[b"page"]));
    let stage = crate::stage::Stage::new(&format!("ProxyErrorOverride On 503\nProxyPass / {}/", peer.url()));
    for _ in 0..2 {
        let mut exchange = FakeExchange::get();
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(503));
        assert_eq!(exchange.response_header("X-Own"), None);
    }
    assert_eq!(peer.connections(), 1, "the page was read to its end");
}
