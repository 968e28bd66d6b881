// SPDX-License-Identifier: Apache-2.0
//! Checks of scripted members.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::backend::NotSecure;
use crate::config::{Directive, Draft, Facts, Origin, Place, Plan};

/// What a scripted member does with one connection; it returns what it was sent.
fn member(script: impl FnOnce(&mut TcpStream) -> Vec<u8> + Send + 'static) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        script(&mut stream)
    });
    (port, thread)
}

/// Reads up to the end of a request head.
fn request_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
        seen.push(byte[0]);
    }
    seen
}

fn plan_of(url: &str, words: &str) -> Plan {
    let mut draft = Draft::new();
    let site = draft.site("main server", None);
    let args = format!("balancer://c {url} timeout=20 {words}");
    let place = Place { site, section: None };
    draft.directive(Directive::BalancerMember, place, &args, Origin::new("t", 1)).unwrap();
    draft.compile(&Facts::default()).plan.unwrap()
}

fn check_at(port: u16, path: &str, words: &str) -> Result<Answer, BackendError> {
    let plan = plan_of(&format!("ajp://127.0.0.1:{port}{path}"), words);
    let member = &plan.members[0];
    probe(member, member.health.as_ref().unwrap(), &Pool::new(member), &|_| Err(NotSecure::Missing))
}

fn answered(words: &str, bytes: &'static [u8]) -> Result<Answer, BackendError> {
    let (port, thread) = member(move |stream| {
        let seen = request_of(stream);
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        // The check closes; until then the answer must not be taken back by a reset.
        let _ = stream.read(&mut [0]);
        seen
    });
    let result = check_at(port, "", words);
    thread.join().unwrap();
    result
}

fn http(words: &str, bytes: &'static [u8]) -> HttpAnswer {
    match answered(words, bytes) {
        Ok(Answer::Http(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_port_that_accepts_is_enough_for_tcp() {
    let (port, thread) = member(|stream| {
        let mut seen = Vec::new();
        stream.read_to_end(&mut seen).unwrap();
        seen
    });
    assert_eq!(check_at(port, "", "hcmethod=TCP").unwrap(), Answer::Connected);
    assert_eq!(thread.join().unwrap(), b"");
    assert!(matches!(check_at(port, "", "hcmethod=TCP"), Err(BackendError::Connect { .. })));
}

#[test]
fn a_cping_wants_exactly_a_cpong() {
    let ponging = |reply: &'static [u8]| {
        let (port, thread) = member(move |stream| {
            let mut ping = [0; 5];
            stream.read_exact(&mut ping).unwrap();
            stream.write_all(reply).unwrap();
            let _ = stream.shutdown(Shutdown::Write);
            ping.to_vec()
        });
        let result = check_at(port, "", "hcmethod=CPING");
        assert_eq!(thread.join().unwrap(), ajp::CPING);
        result
    };
    assert_eq!(ponging(b"AB\0\x01\x09").unwrap(), Answer::Pong);
    for wrong in [&b"AB\0\x01\x08"[..], b"", b"AB\0", b"HTTP/1.1 400 \r\n\r\n", b"AB\0\x01\x09AB"] {
        assert!(matches!(ponging(wrong), Err(BackendError::Ping { .. })), "{wrong:?}");
    }
}

#[test]
fn a_member_that_accepts_and_does_not_answer_fails_after_its_limit() {
    for words in ["hcmethod=CPING ping=50ms", "hcmethod=CPING connectiontimeout=50ms"] {
        let (port, thread) = member(|stream| {
            let mut seen = Vec::new();
            let _ = stream.read_to_end(&mut seen);
            seen
        });
        assert!(matches!(check_at(port, "", words), Err(BackendError::Ping { .. })), "{words}");
        assert_eq!(thread.join().unwrap(), ajp::CPING);
    }
}

#[test]
fn a_member_that_drips_does_not_keep_a_check_alive() {
    let (port, thread) = member(|stream| {
        request_of(stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while stream.write_all(b"H").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Vec::new()
    });
    let started = Instant::now();
    assert!(matches!(check_at(port, "", "hcmethod=GET timeout=1"), Err(BackendError::Timeout)));
    assert!(started.elapsed() < Duration::from_secs(15));
    thread.join().unwrap();
}

#[test]
fn requests_are_written_as_mod_proxy_hcheck_writes_them() {
    let cases = [
        ("", "hcmethod=OPTIONS", "OPTIONS * HTTP/1.0"),
        ("/ctx", "hcmethod=OPTIONS11 hcuri=/x", "OPTIONS * HTTP/1.1"),
        ("", "hcmethod=HEAD hcuri=/ping?x=1", "HEAD /ping?x=1 HTTP/1.0"),
        ("/ctx", "hcmethod=HEAD11 hcuri=/ping", "HEAD /ctx//ping HTTP/1.1"),
        ("/ctx", "hcmethod=GET", "GET /ctx HTTP/1.0"),
        ("", "hcmethod=GET11", "GET / HTTP/1.1"),
    ];
    for (path, words, line) in cases {
        let (port, thread) = member(|stream| {
            let seen = request_of(stream);
            stream.write_all(b"HTTP/1.0 204 No Content\r\n\r\n").unwrap();
            seen
        });
        let answer = check_at(port, path, words).unwrap();
        assert!(matches!(answer, Answer::Http(HttpAnswer { status: 204, .. })), "{answer:?}");
        let seen = String::from_utf8(thread.join().unwrap()).unwrap();
        assert_eq!(seen, format!("{line}\r\nHost: 127.0.0.1:{port}\r\n\r\n"));
    }
}

#[test]
fn an_address_with_colons_stands_in_brackets() {
    let plan = plan_of("ajp://[::1]:8010", "hcmethod=HEAD");
    let check = plan.members[0].health.as_ref().unwrap();
    let request = request(&plan.members[0], check, Verb::Head, HttpVersion::Http10);
    assert_eq!(request, b"HEAD / HTTP/1.0\r\nHost: [::1]:8010\r\n\r\n");
}

#[test]
fn bodies_of_every_framing_are_read() {
    let length = http("hcmethod=GET", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-A:  b \r\n\r\nbody more");
    assert_eq!((length.status, &length.body[..]), (200, &b"body"[..]));
    assert_eq!(length.headers[1], ("X-A".to_owned(), "b".to_owned()));
    let chunked =
        b"HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
    assert_eq!(http("hcmethod=GET11", chunked).body, b"abc0123456789");
    assert_eq!(http("hcmethod=GET", b"HTTP/1.0 503 Busy\n\nall of it").body, b"all of it");
    assert_eq!(http("hcmethod=HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").body, b"");
}

#[test]
fn interim_responses_are_skipped() {
    let answer = http("hcmethod=GET11", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx");
    assert_eq!((answer.status, answer.headers.len()), (200, 0));
}

#[test]
fn what_is_no_http_fails() {
    let wrong: [&'static [u8]; 12] = [
        b"AB\0\x02\x05\x01",
        b"hello\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
    ];
    for bytes in wrong {
        let result = answered("hcmethod=GET", bytes);
        assert!(matches!(result, Err(BackendError::NotHttp(_))), "{}: {result:?}", bytes.escape_ascii());
    }
}

#[test]
fn an_answer_that_ends_early_fails() {
    let cut: [&'static [u8]; 5] = [
        b"",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\nX: y\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
    ];
    for bytes in cut {
        let result = answered("hcmethod=GET", bytes);
        assert!(matches!(result, Err(BackendError::Closed)), "{}: {result:?}", bytes.escape_ascii());
    }
}

#[test]
fn an_endless_head_or_body_is_not_read_to_its_end() {
    let endless = |beginning: &'static [u8]| {
        let (port, thread) = member(move |stream| {
            request_of(stream);
            let _ = stream.write_all(beginning);
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
            Vec::new()
        });
        let result = check_at(port, "", "hcmethod=GET");
        thread.join().unwrap();
        result
    };
    let head = endless(b"HTTP/1.1 200 OK\r\nX: ");
    assert!(matches!(head, Err(BackendError::NotHttp("its head is too long"))), "{head:?}");
    for beginning in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    ] {
        match endless(beginning) {
            Ok(Answer::Http(answer)) => assert_eq!(answer.body.len(), 1 << 20),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_answers_never_panic(
        start in prop::sample::select(vec!["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (port, thread) = member(move |stream| {
            request_of(stream);
            let _ = stream.write_all(start.as_bytes());
            let _ = stream.write_all(&rest);
            Vec::new()
        });
        let _ = check_at(port, "", "hcmethod=GET");
        thread.join().unwrap();
    }
}
