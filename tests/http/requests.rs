// SPDX-License-Identifier: Apache-2.0
//! What a member sees of a request.

use margay::proxy::Outcome;

use crate::exchange::FakeExchange;
use crate::http_peer::{Head, Peer};
use crate::play::{play, solo, with};

fn seen(peer: &Peer, lines: &str, mut exchange: FakeExchange) -> Head {
    let stage = with(peer, "", lines);
    assert_eq!(play(&stage, "/a b/c", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    peer.seen().pop().expect("a request").head
}

#[test]
fn a_plain_get_has_these_lines_in_this_order() {
    let peer = Peer::named("A");
    let head = seen(&peer, "", FakeExchange::get().header("Accept", "*/*").query("x=1"));
    assert_eq!(head.line, "GET /a%20b/c?x=1 HTTP/1.1");
    let own = format!("127.0.0.1:{}", peer.port());
    let expected = [
        ("Host", own.as_str()),
        ("Accept", "*/*"),
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Host", "www.example.test"),
        ("X-Forwarded-Server", "www.example.test"),
        ("Connection", "Keep-Alive"),
    ];
    let headers: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, expected);
}

#[test]
fn headers_of_the_connection_stay_behind() {
    let peer = Peer::named("A");
    let request = FakeExchange::get()
        .header("Connection", "close, X-Secret")
        .header("Connection", "x-other")
        .header("X-Secret", "1")
        .header("X-Other", "2")
        .header("X-Kept", "3")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "close")
        .header("TE", "trailers")
        .header("Trailer", "X")
        .header("Upgrade", "h2c");
    let head = seen(&peer, "", request);
    for gone in ["X-Secret", "X-Other", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade"] {
        assert_eq!(head.get(gone), None, "{gone}");
    }
    assert_eq!((head.get("X-Kept"), head.get("Connection")), (Some("3".into()), Some("Keep-Alive".into())));
}

#[test]
fn a_client_cannot_take_away_what_the_server_adds() {
    let peer = Peer::named("A");
    let request = FakeExchange::get()
        .header("Connection", "X-Forwarded-For, X-Forwarded-Host, Via")
        .header("X-Forwarded-For", "10.0.0.1");
    let head = seen(&peer, "ProxyVia On", request);
    assert_eq!(head.get("X-Forwarded-For").unwrap(), "192.0.2.7");
    assert_eq!(head.get("X-Forwarded-Host").unwrap(), "www.example.test");
    assert_eq!(head.get("Via").unwrap(), "1.1 www.example.test");
}

#[test]
fn values_of_proxies_before_stand_in_front() {
    let peer = Peer::named("A");
    let request = FakeExchange::get()
        .header("X-Forwarded-For", "10.0.0.1")
        .header("Via", "1.0 first")
        .header("x-forwarded-for", "10.0.0.2");
    let head = seen(&peer, "ProxyVia Full", request);
    assert_eq!(head.get("X-Forwarded-For").unwrap(), "10.0.0.1, 10.0.0.2, 192.0.2.7");
    assert_eq!(head.get("Via").unwrap(), "1.0 first, 1.1 www.example.test (Apache/9)");
}

#[test]
fn via_is_left_alone_or_removed() {
    let peer = Peer::named("A");
    let via = |lines: &str| seen(&peer, lines, FakeExchange::get().header("Via", "1.0 first")).get("Via");
    assert_eq!(via("").as_deref(), Some("1.0 first"));
    assert_eq!(via("ProxyVia Block"), None);
}

#[test]
fn forwarded_headers_can_be_left_out() {
    let peer = Peer::named("A");
    let head = seen(&peer, "ProxyAddHeaders Off", FakeExchange::get().header("X-Forwarded-For", "10.0.0.1"));
    assert_eq!(head.get("X-Forwarded-For").unwrap(), "10.0.0.1");
    assert_eq!((head.get("X-Forwarded-Host"), head.get("X-Forwarded-Server")), (None, None));
}

#[test]
fn the_host_is_the_members_or_the_clients() {
    let peer = Peer::named("A");
    let head = seen(&peer, "ProxyPreserveHost On", FakeExchange::get());
    assert_eq!(head.get("Host").unwrap(), "www.example.test");
    let mut old = FakeExchange::get();
    old.headers.clear();
    let head = seen(&peer, "ProxyPreserveHost On", old);
    assert_eq!(
        (head.get("Host").unwrap().as_str(), head.get("X-Forwarded-Host")),
        ("www.example.test", None)
    );
}

#[test]
fn variables_choose_an_older_protocol_or_a_single_use() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    for (variable, line, connection) in [
        ("force-proxy-request-1.0", "GET /x HTTP/1.0", None),
        ("proxy-nokeepalive", "GET /x HTTP/1.1", Some("close".to_owned())),
    ] {
        let before = peer.connections();
        for _ in 0..2 {
            let mut exchange = FakeExchange::get().variable(variable, "1");
            assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
            let head = peer.seen().pop().unwrap().head;
            assert_eq!((head.line.as_str(), head.get("Connection")), (line, connection.clone()));
        }
        assert_eq!(peer.connections(), before + 2, "{variable}");
    }
}

#[test]
fn one_connection_carries_many_requests() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    for method in ["GET", "HEAD", "POST", "OPTIONS", "PURGE"] {
        peer.set_script(|conn, head| {
            conn.read_body(head)?;
            if head.method() == "HEAD" {
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")?;
                return Ok(crate::http_peer::After::Keep);
            }
            conn.answer("200 OK", &[], b"A")
        });
        let mut exchange = FakeExchange::new(method);
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
        assert!(exchange.is_complete());
    }
    assert_eq!((peer.connections(), peer.requests()), (1, 5));
}

#[test]
fn credentials_for_this_server_are_kept_here() {
    let peer = Peer::named("A");
    let with = || FakeExchange::get().header("Proxy-Authorization", "Basic eA==");
    assert!(seen(&peer, "", with()).get("Proxy-Authorization").is_some());
    let mut logged_in = with();
    logged_in.user = Some(b"me".to_vec());
    assert!(seen(&peer, "", logged_in).get("Proxy-Authorization").is_none());
}

/// What a peer got after the head of its only request.
fn after_head(exchange: &mut FakeExchange) -> Vec<u8> {
    let (say, said) = std::sync::mpsc::channel();
    let peer = Peer::start(move |conn, head| {
        let mut rest = Vec::new();
        conn.read_body(head)?;
        while !rest.ends_with(b"\r\n") {
            rest.extend(conn.read_exact(1)?);
        }
        let _ = say.send(rest);
        conn.answer("200 OK", &[], b"")
    });
    let stage = solo(&peer, "");
    assert_eq!(play(&stage, "/x", exchange), Outcome::Done, "{:?}", exchange.lines());
    said.recv().expect("what came")
}

#[test]
fn an_extra_line_end_can_be_asked_for() {
    let body = vec![b'x'; 20_000];
    for exchange in [
        FakeExchange::new("GET"),
        FakeExchange::with_body("POST", b"abc"),
        FakeExchange::with_body("POST", &body),
        FakeExchange::with_body("POST", b""),
        FakeExchange::chunked("POST", &[&body[..15_000], &body[..5_000]]),
    ] {
        let mut exchange = exchange.variable("proxy-sendextracrlf", "1");
        assert_eq!(after_head(&mut exchange), b"\r\n");
    }
}

#[test]
fn the_first_request_of_a_client_can_be_kept_off_old_connections() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    for (is_first, asked, connections) in
        [(true, true, 1), (false, true, 1), (true, true, 2), (false, true, 2), (true, false, 2)]
    {
        let mut exchange = FakeExchange::new("GET");
        if asked {
            exchange = exchange.variable("proxy-initial-not-pooled", "1");
        }
        exchange.is_first = is_first;
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
        assert_eq!(peer.connections(), connections, "{is_first} {asked}");
    }
}

#[test]
fn a_body_need_not_be_waited_for() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    for (waits, chunked) in [(true, false), (false, true)] {
        let mut exchange = FakeExchange::chunked("POST", &[b"abc"]);
        if !waits {
            exchange = exchange.variable("proxy-prefetch-nonblocking", "1");
        }
        exchange.holds_back = true;
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
        let seen = peer.seen().pop().unwrap();
        assert_eq!((seen.head.is_chunked(), seen.body), (chunked, b"abc".to_vec()));
    }
}
