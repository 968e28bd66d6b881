// SPDX-License-Identifier: Apache-2.0
//! What a client gets of an answer.

use margay::proxy::Outcome;
use margay::proxy::exchange::Push;

use crate::exchange::{Call, FakeExchange};
use crate::http_peer::{After, Peer};
use crate::play::{play, solo, with};
use crate::stage::until;

fn answered(bytes: &'static str, after: After) -> (Outcome, FakeExchange) {
    let peer = Peer::sending(bytes, after);
    let stage = solo(&peer, "");
    let mut exchange = FakeExchange::get();
    let outcome = play(&stage, "/x", &mut exchange);
    (outcome, exchange)
}

#[test]
fn bodies_end_by_length_by_chunks_or_with_the_connection() {
    for (bytes, after) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", After::Keep),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: v\r\n\r\n",
            After::Keep,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            After::Keep,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello", After::Close),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", After::Keep),
        ("\r\nHTTP/1.1 200 OK\nContent-Length: 5\n\nhello", After::Keep),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", After::Close),
    ] {
        let (outcome, exchange) = answered(bytes, after);
        assert_eq!((outcome, exchange.text().as_str()), (Outcome::Done, "hello"), "{bytes}");
        assert!(exchange.is_complete(), "{bytes}");
        assert_eq!(exchange.response_header("Transfer-Encoding"), None);
    }
}

#[test]
fn trailers_reach_clients_that_can_have_them() {
    for (protocol, wanted) in [("HTTP/1.1", false), ("HTTP/2.0", true)] {
        let bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\nX-T: v\r\nContent-Length: 9\r\n\r\n";
        let peer = Peer::sending(bytes, After::Keep);
        let stage = solo(&peer, "");
        let mut exchange = FakeExchange::get();
        exchange.protocol = protocol.into();
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
        let expected = if wanted { vec![(b"X-T".to_vec(), b"v".to_vec())] } else { Vec::new() };
        assert_eq!(exchange.trailers, expected, "{protocol}");
    }
}

#[test]
fn only_a_clean_end_keeps_the_connection() {
    for (bytes, kept) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nA", false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nA", false),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n\r\n",
            false,
        ),
    ] {
        let peer = Peer::sending(bytes, After::Keep);
        let stage = solo(&peer, "");
        for _ in 0..2 {
            assert_eq!(play(&stage, "/x", &mut FakeExchange::get()), Outcome::Done, "{bytes}");
        }
        assert_eq!(peer.connections(), if kept { 1 } else { 2 }, "{bytes}");
    }
}

#[test]
fn bytes_behind_the_end_close_the_connection() {
    let peer =
        Peer::sending("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nAHTTP/1.1 200 OK\r\n\r\n", After::Keep);
    let stage = solo(&peer, "");
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert_eq!((exchange.text().as_str(), exchange.logged("MGY3107")), ("A", 1));
    until("the connection to be closed", || peer.closed() == 1);
}

#[test]
fn headers_of_the_connection_stay_behind_and_all_others_pass() {
    let (_, exchange) = answered(
        "HTTP/1.1 200 Fine\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nTrailer: X\r\nUpgrade: h2c\r\nServer: S\r\nDate: D\r\nVia: 1.1 x\r\n\
         Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Long: a\r\n  b\r\nContent-Length: 0\r\n\r\n",
        After::Keep,
    );
    let headers: Vec<_> = exchange
        .calls
        .iter()
        .filter_map(|call| match call {
            Call::Header(name, value) => Some(format!("{name}: {value}")),
            _ => None,
        })
        .collect();
    assert_eq!(
        headers,
        ["Server: S", "Date: D", "Via: 1.1 x", "Set-Cookie: a=1", "Set-Cookie: b=2", "X-Long: a  b"]
    );
    assert_eq!(exchange.content_length(), Some(0));
}

#[test]
fn the_answer_says_which_way_it_came_if_asked() {
    let peer = Peer::sending("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", After::Keep);
    let stage = with(&peer, "", "ProxyVia On");
    let mut exchange = FakeExchange::get();
    play(&stage, "/x", &mut exchange);
    assert_eq!(exchange.response_header("Via"), Some("1.1 www.example.test"));
}

#[test]
fn interim_answers_pass_but_for_an_unasked_100() {
    let peer = Peer::sending(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA",
        After::Keep,
    );
    let stage = solo(&peer, "");
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    assert_eq!(exchange.calls.iter().filter(|call| **call == Call::Interim).count(), 1);
    assert_eq!(exchange.calls[0], Call::Line { status: 103, length: None });
    assert_eq!(exchange.text(), "A");
    let mut quiet = FakeExchange::get().variable("proxy-interim-response", "Suppress");
    play(&stage, "/x", &mut quiet);
    assert!(!quiet.calls.contains(&Call::Interim));
}

#[test]
fn too_many_interim_answers_are_no_answer() {
    let peer = Peer::start(|conn, _| {
        for _ in 0..10 {
            conn.send(b"HTTP/1.1 102 Processing\r\n\r\n")?;
        }
        conn.answer("200 OK", &[], b"A")
    });
    let stage = solo(&peer, "");
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(502));
}

#[test]
fn head_and_bodiless_answers_have_no_body() {
    for (method, bytes) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"),
        ("GET", "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n"),
    ] {
        let peer = Peer::sending(bytes, After::Keep);
        let stage = solo(&peer, "");
        for _ in 0..2 {
            let mut exchange = FakeExchange::new(method);
            assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
            assert!(exchange.is_complete() && exchange.body().is_empty(), "{bytes}");
        }
        assert_eq!(peer.connections(), 1, "{bytes}");
    }
}

#[test]
fn a_pause_of_the_member_brings_the_client_what_there_is() {
    let peer = std::sync::Arc::new(Peer::start(|conn, _| {
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")?;
        conn.wait_until_told();
        conn.send(b"later")?;
        Ok(After::Keep)
    }));
    let stage = solo(&peer, "");
    let teller = peer.clone();
    let mut exchange = FakeExchange::get().on_write(move |_, push| {
        if push == Push::Flush {
            teller.tell();
        }
        Ok(())
    });
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    assert_eq!(exchange.text(), "firstlater");
}

#[test]
fn the_servers_own_error_page_takes_the_place_of_the_members() {
    let peer = Peer::start(|conn, head| {
        let status = head.target().trim_start_matches('/').to_owned();
        conn.answer(&format!("{status} X"), &[("WWW-Authenticate", "Basic"), ("X-Own", "1")], b"page")
    });
    let all = with(&peer, "", "ProxyErrorOverride On");
    let some = with(&peer, "", "ProxyErrorOverride On 502\nProxyErrorOverride On 503");
    for (stage, path, replaced) in [
        (&all, "/404", true),
        (&all, "/302", false),
        (&some, "/404", false),
        (&some, "/503", true),
        (&some, "/502", true),
    ] {
        let mut exchange = FakeExchange::get();
        let outcome = play(stage, path, &mut exchange);
        let status = path[1..].parse().unwrap();
        assert_eq!(outcome, if replaced { Outcome::Answer(status) } else { Outcome::Done }, "{path}");
        assert_eq!(exchange.body().is_empty(), replaced, "{path}");
    }
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&all, "/401", &mut exchange), Outcome::Answer(401));
    assert_eq!(exchange.calls, [Call::ErrorHeader("WWW-Authenticate".into(), "Basic".into())]);
    assert_eq!(peer.connections(), 2, "both pages were read to their end");
}

#[test]
fn addresses_of_the_member_become_this_servers() {
    let peer = Peer::start(|conn, head| {
        let host = head.get("Host").unwrap_or_default();
        let location = format!("http://{host}/back/x");
        conn.answer("302 Found", &[("Location", location.as_str()), ("Set-Cookie", "a=1; Path=/back")], b"")
    });
    let lines = format!("ProxyPassReverse / {}/back/\nProxyPassReverseCookiePath /back /", peer.url());
    let stage = with(&peer, "", &lines);
    let mut exchange = FakeExchange::get();
    play(&stage, "/x", &mut exchange);
    assert_eq!(exchange.response_header("Location"), Some("http://www.example.test/x"));
    assert_eq!(exchange.response_header("Set-Cookie"), Some("a=1; Path=/"));
}

#[test]
fn a_member_behind_a_unix_socket_answers() {
    use std::io::{Read, Write};
    let dir = std::env::temp_dir().join(format!("margay-http-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("s");
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for _ in 0..2 {
            let mut got = Vec::new();
            while !got.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                got.push(byte[0]);
            }
            assert!(String::from_utf8_lossy(&got).contains("\r\nHost: app.test\r\n"));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nU").unwrap();
        }
    });
    let stage = crate::stage::Stage::new(&format!("ProxyPass / unix:{}|http://app.test/", path.display()));
    for _ in 0..2 {
        assert_eq!(crate::play::text_of_get(&stage, "/x"), "U");
    }
    server.join().unwrap();
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(503));
    assert!(
        exchange.lines().iter().any(|line| line.2.contains("no connection to /")),
        "{:?}",
        exchange.lines()
    );
    let _ = std::fs::remove_dir_all(&dir);
}
