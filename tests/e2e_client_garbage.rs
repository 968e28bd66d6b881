// SPDX-License-Identifier: Apache-2.0
//! Garbage from the client: no crash, no request that looks complete when it was not.

mod support;

use std::time::Duration;

use support::ajp_peer::{After, Peer};
use support::client::Client;
use support::httpd::Httpd;
use support::{PATIENCE, wait_until};

/// What httpd itself and the modules say about clients that do not keep to the protocol.
const CLIENT_FAULTS: &[&str] = &[
    "AH01102",
    "AH01105",
    "AH01086",
    "AH00992",
    "AH01097",
    "AH02609",
    "AH00877",
    "AH00878",
    "AH00893",
    "AH00986",
    "AH01087",
    "AH00875",
    "AH02429",
    "AH01079",
    "AH01030",
    "proxy_ajp:error",
    "proxy:error",
    "core:error",
    "http:error",
    "[margay:",
];

struct Site {
    httpd: Httpd,
    peer: Peer,
}

impl Site {
    fn start(name: &str) -> Site {
        let peer = Peer::named("ok");
        let httpd = Httpd::builder(name)
            .line(format!("ProxyPass / {}/ retry=0", peer.url()))
            .line("Timeout 2")
            .start();
        Site { httpd, peer }
    }

    /// Sends bytes and an end; what comes back, if anything does.
    fn send(&self, bytes: &[u8]) -> Option<u16> {
        let mut client = Client::new(self.httpd.address()).limit(Duration::from_secs(20));
        client.send_raw(bytes).ok()?;
        client.finish_sending();
        client.read_response("GET").ok().map(|response| response.status)
    }

    #[track_caller]
    fn assert_well(&self, children: &[u32]) {
        let response = Client::new(self.httpd.address()).get("/well").expect("a response");
        assert_eq!((response.status, response.text().as_str()), (200, "ok"));
        self.httpd.assert_no_crash();
        assert_eq!(self.httpd.children(), children, "a child was replaced");
        self.httpd.assert_no_unexpected(CLIENT_FAULTS);
    }
}

#[test]
fn broken_request_heads_never_reach_the_node_and_hurt_nobody() {
    let site = Site::start("heads");
    let children = site.httpd.children();
    let long = vec![b'a'; 9000];
    let heads: Vec<(&str, Vec<u8>)> = vec![
        ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("an AJP packet", vec![0x12, 0x34, 0, 1, 10]),
        ("no version", b"GET /x HTTP/\r\nHost: a\r\n\r\n".to_vec()),
        ("no target", b"GET\r\nHost: a\r\n\r\n".to_vec()),
        ("control character", b"GET /x\x01y HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("zero byte", b"GET /x\0y HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("encoded zero byte", b"GET /x%00y HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("broken escape", b"GET /x%zz HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("out of the root", b"GET /../../x HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("no colon", b"GET /x HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n".to_vec()),
        ("blank in a name", b"GET /x HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n".to_vec()),
        ("zero in a value", b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n".to_vec()),
        ("no host", b"GET /x HTTP/1.1\r\n\r\n".to_vec()),
        ("two hosts", b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_vec()),
        ("length no number", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n".to_vec()),
        ("length negative", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".to_vec()),
        (
            "length too big",
            b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(),
        ),
        (
            "two lengths",
            b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_vec(),
        ),
        ("unknown coding", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nab".to_vec()),
        ("long target", [b"GET /", &long[..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat()),
        ("long header", [b"GET /x HTTP/1.1\r\nHost: a\r\nX: ", &long[..], b"\r\n\r\n"].concat()),
        (
            "200 headers",
            ["GET /x HTTP/1.1\r\nHost: a\r\n", &"X: 1\r\n".repeat(200), "\r\n"].concat().into_bytes(),
        ),
    ];
    for (name, bytes) in &heads {
        let status = site.send(bytes);
        assert!(status.is_none_or(|code| (400..=505).contains(&code)), "{name}: answered {status:?}");
    }
    assert_eq!(site.peer.requests(), 0, "the node saw {:?}", site.peer.seen());
    site.assert_well(&children);
}

#[test]
fn head_larger_than_the_packet_is_refused_before_anything_is_sent() {
    let site = Site::start("bighead");
    let children = site.httpd.children();
    let value = "v".repeat(5000);
    let mut client = Client::new(site.httpd.address());
    let headers = [("X-One", value.as_str()), ("X-Two", value.as_str())];
    let response = client.request("GET", "/x", &headers, b"").expect("a response");
    assert!(matches!(response.status, 400 | 413 | 431), "{}", response.status);
    assert_eq!(site.peer.requests(), 0);
    site.assert_well(&children);
}

/// Requests whose body never becomes complete, and how the client leaves.
fn short_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let head = |rest: &str| format!("POST /up HTTP/1.1\r\nHost: a\r\n{rest}\r\n\r\n").into_bytes();
    let with = |rest: &str, body: &[u8]| [head(rest), body.to_vec()].concat();
    let big = vec![b'b'; 12_000];
    vec![
        ("no byte of 10", with("Content-Length: 10", b"")),
        ("4 of 10", with("Content-Length: 10", b"abcd")),
        ("12000 of 20000", with("Content-Length: 20000", &big)),
        ("chunked without an end", with("Transfer-Encoding: chunked", b"4\r\nabcd\r\n")),
        ("chunk cut", with("Transfer-Encoding: chunked", b"8\r\nabcd")),
        ("no chunk at all", with("Transfer-Encoding: chunked", b"")),
        ("chunk size no number", with("Transfer-Encoding: chunked", b"zz\r\nabcd\r\n0\r\n\r\n")),
        ("chunk size too big", with("Transfer-Encoding: chunked", b"fffffffffffffffff\r\nab\r\n0\r\n\r\n")),
        ("chunk without its line end", with("Transfer-Encoding: chunked", b"2\r\nabXX0\r\n\r\n")),
    ]
}

#[test]
fn short_body_never_looks_complete_and_costs_the_connection() {
    let site = Site::start("short");
    let children = site.httpd.children();
    for (name, bytes) in short_bodies() {
        site.peer.forget();
        site.peer.close_connections();
        let status = site.send(&bytes);
        assert!(status.is_none_or(|code| (400..=504).contains(&code)), "{name}: answered {status:?}");
        wait_until("the connection that served it to be closed", PATIENCE, || {
            site.peer.closed() == site.peer.connections()
        });
        for seen in site.peer.seen() {
            assert!(!seen.body_complete, "{name}: the node took {:?} for the whole body", seen.body.len());
        }
    }
    site.assert_well(&children);
}

#[test]
fn client_that_sends_too_slowly_gets_no_request_completed() {
    let site = Site::start("slow");
    let children = site.httpd.children();
    let mut client = Client::new(site.httpd.address()).limit(Duration::from_secs(20));
    client.send_raw(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").expect("sent");
    let response = client.read_response("POST");
    let status = response.as_ref().ok().map(|response| response.status);
    assert!(status.is_none_or(|code| matches!(code, 400 | 408)), "{status:?}");
    assert!(site.peer.seen().iter().all(|seen| !seen.body_complete));
    wait_until("its connection to be closed", PATIENCE, || site.peer.closed() == site.peer.connections());
    site.assert_well(&children);
}

#[test]
fn client_that_leaves_during_the_answer_costs_only_its_connection() {
    let site = Site::start("leaves");
    let children = site.httpd.children();
    site.peer.set_script(|conn, head| {
        if head.uri == "/well" {
            return conn.answer(200, &[], &[b"ok"]);
        }
        let big = vec![b'd'; 8000];
        conn.send(&support::ajp_text::headers_packet(200, &[("Content-Type", "text/plain")]))?;
        // The send fails when the front has closed; far more than fits into any buffer.
        for _ in 0..20_000 {
            conn.send(&support::ajp_text::chunk_packet(&big))?;
        }
        Ok(After::Close)
    });
    let mut client = Client::new(site.httpd.address());
    client.send_raw(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    wait_until("the request to reach the node", PATIENCE, || site.peer.requests() == 1);
    client.close();
    wait_until("the node's connection to be closed", PATIENCE, || site.peer.closed() == 1);
    site.assert_well(&children);
}

#[test]
fn pipelined_requests_get_their_own_answers_in_order() {
    let site = Site::start("pipeline");
    let children = site.httpd.children();
    site.peer.set_script(|conn, head| {
        conn.read_body(head, 8186)?;
        let name = if head.uri == "/well" { "ok" } else { head.uri.as_str() }.to_string();
        conn.answer(200, &[], &[name.as_bytes()])
    });
    let mut client = Client::new(site.httpd.address());
    let mut bytes = Vec::new();
    for number in 0..20 {
        bytes.extend_from_slice(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let post = format!("POST /p{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        bytes.extend_from_slice(post.as_bytes());
    }
    client.send_raw(&bytes).expect("sent");
    for number in 0..20 {
        for target in [format!("/{number}"), format!("/p{number}")] {
            assert_eq!(client.read_response("GET").expect("a response").text(), target);
        }
    }
    site.assert_well(&children);
}
