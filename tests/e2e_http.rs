// SPDX-License-Identifier: Apache-2.0
//! Members reached by HTTP: real Tomcats, a WebSocket, and what stock mod_proxy_http would have sent and shown.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::client::Client;
use support::http_peer::{After, Conn, Head, Peer};
use support::httpd::{Builder, Front, Httpd, free_port};
use support::load::{Load, expect_ok};
use support::pair::{DEAD_NODE, over};
use support::tomcat::{Connector, Tomcat};
use support::{PATIENCE, scratch_dir, wait_until};

fn http_tomcats() -> [Tomcat; 2] {
    let launch = |route: &str| Tomcat::launch_with(Connector::Http, scratch_dir(route), route, free_port());
    let mut both = [launch("TomcatA"), launch("TomcatB")];
    both.iter_mut().for_each(|tomcat| tomcat.wait_ready(|_| {}));
    both
}

#[test]
fn killed_tomcat_behind_http_fails_no_idempotent_request_and_comes_back_within_retry() {
    let [mut a, b] = http_tomcats();
    let retry = Duration::from_secs(3);
    let httpd = Httpd::builder("http-kill9")
        .line("<Proxy balancer://c>")
        .line(format!("    BalancerMember {} route=TomcatA retry={}", a.url(), retry.as_secs()))
        .line(format!("    BalancerMember {} route=TomcatB retry={}", b.url(), retry.as_secs()))
        .line("</Proxy>")
        .line("ProxyPass / balancer://c/ stickysession=JSESSIONID|jsessionid")
        .start();
    let load = Load::start(4, httpd.address(), |client| expect_ok(client.get("/")).map(|_| ()));
    load.wait_for_more(200);
    a.kill_9();
    load.wait_for_more(400);
    a.restart();
    let back = Instant::now();
    wait_until("TomcatA to be used again", PATIENCE, || {
        let mut fresh = Client::new(httpd.address());
        fresh.get("/").expect("a response").line("node").as_deref() == Some("TomcatA")
    });
    let took = back.elapsed();
    let outcome = load.stop();
    assert!(outcome.failures.is_empty(), "failed: {:?}", outcome.failures);
    assert!(took < retry + Duration::from_secs(2), "the node was used again only after {took:?}");
    httpd.assert_no_crash();
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn sessions_stay_on_their_tomcat() {
    let [a, b] = http_tomcats();
    let pass = "stickysession=JSESSIONID|jsessionid";
    let httpd = over("http-sticky", &a.url(), &b.url(), "", pass).start();
    // The routes of the helper are A and B, the Tomcats call themselves TomcatA and TomcatB.
    httpd.rewrite(|lines| {
        for line in lines.iter_mut() {
            *line = line.replace("route=A", "route=TomcatA").replace("route=B", "route=TomcatB");
        }
    });
    httpd.graceful();
    for _ in 0..4 {
        let mut client = Client::with_cookies(httpd.address());
        let first = client.get("/").expect("a response");
        for count in 2..6 {
            let next = client.get("/").expect("a response");
            assert_eq!(next.line("node"), first.line("node"));
            assert_eq!(next.line("count"), Some(count.to_string()));
        }
    }
    httpd.assert_no_crash();
}

/// The example of RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A WebSocket server that sends each message back.
fn websocket_echo(conn: &mut Conn, head: &Head) -> std::io::Result<After> {
    assert_eq!(head.get("Sec-WebSocket-Key").as_deref(), Some(KEY));
    assert_eq!(head.get("Upgrade").as_deref(), Some("websocket"));
    conn.send(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        )
        .as_bytes(),
    )?;
    loop {
        let start = conn.read_exact(2)?;
        let length = match start[1] & 0x7f {
            126 => usize::from(u16::from_be_bytes(conn.read_exact(2)?.try_into().expect("two bytes"))),
            short => usize::from(short),
        };
        let mask = conn.read_exact(4)?;
        let data = conn.read_exact(length)?;
        let data: Vec<u8> = data.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        conn.send(&frame(start[0], &data, None))?;
        if start[0] & 0x0f == 8 {
            return Ok(After::Close);
        }
    }
}

fn frame(first: u8, data: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = vec![first];
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match u8::try_from(data.len()) {
        Ok(short @ 0..126) => bytes.push(masked | short),
        _ => {
            bytes.push(masked | 126);
            bytes.extend(u16::try_from(data.len()).expect("a short message").to_be_bytes());
        }
    }
    let key = mask.unwrap_or_default();
    bytes.extend(mask.iter().flatten());
    bytes.extend(data.iter().zip(key.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

#[test]
fn a_websocket_goes_through() {
    for url in ["http", "ws"] {
        let peer = Peer::start(websocket_echo);
        let httpd = Httpd::builder("websocket")
            .module("reqtimeout")
            .line(format!("ProxyPass /chat {url}://127.0.0.1:{}/chat upgrade=websocket", peer.port()))
            .start();
        let mut stream = TcpStream::connect(httpd.address()).expect("httpd");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let hello = format!(
            "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        // The first message comes in one piece with the request: httpd has read it already when the tunnel opens.
        let first = frame(0x81, b"early", Some([1, 2, 3, 4]));
        stream.write_all(&[hello.as_bytes(), &first].concat()).expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the head");
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert!(head.contains(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n")), "{head}");
        assert!(
            head.contains("Connection: Upgrade\r\n") && head.contains("Upgrade: websocket\r\n"),
            "{head}"
        );
        let expect = |bytes: &[u8], stream: &mut TcpStream| {
            let mut got = vec![0; bytes.len()];
            stream.read_exact(&mut got).expect("an echo");
            assert!(got == bytes);
        };
        expect(&frame(0x81, b"early", None), &mut stream);
        for length in [0, 5, 125, 126, 60_000] {
            let data = vec![b'x'; length];
            stream.write_all(&frame(0x82, &data, Some([9, 8, 7, 6]))).expect("sent");
            expect(&frame(0x82, &data, None), &mut stream);
        }
        stream.write_all(&frame(0x88, b"", Some([0; 4]))).expect("sent");
        expect(&frame(0x88, b"", None), &mut stream);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the end");
        assert!(rest.is_empty());
        drop(stream);
        wait_until("the line in the access log", PATIENCE, || httpd.access_log().contains("GET /chat 101"));
        httpd.assert_no_crash();
        httpd.assert_no_unexpected(&[]);
    }
}

/// A request as bytes, with the names of the host replaced by `HOST`.
const REQUESTS: &[(&str, &str)] = &[
    ("plain", "GET /x/y?a=b HTTP/1.1\r\nHost: HOST\r\nAccept: */*\r\n\r\n"),
    ("encoded", "GET /x/a%20b%7Eu%26 HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("head", "HEAD /x HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    (
        "hop by hop",
        "GET /x HTTP/1.1\r\nHost: HOST\r\nConnection: X-A, keep-alive\r\nX-A: 1\r\nTE: trailers\r\nX-B: 2\r\n\r\n",
    ),
    ("forwarded before", "GET /x HTTP/1.1\r\nHost: HOST\r\nX-Forwarded-For: 10.0.0.1\r\nVia: 1.0 a\r\n\r\n"),
    ("length", "POST /x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\nhello"),
    ("no length", "POST /x HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    (
        "chunked",
        "POST /x HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    ),
    ("old client", "GET /x HTTP/1.0\r\n\r\n"),
    ("other method", "PURGE /x HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("unwanted upgrade", "GET /x HTTP/1.1\r\nHost: HOST\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
    ("blank in query", "GET /x?a=\x01 HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    (
        "both lengths",
        "POST /x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    ("two lengths", "POST /x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    ("max forwards", "GET /x HTTP/1.1\r\nHost: HOST\r\nMax-Forwards: 3\r\n\r\n"),
];

const ANSWERS: &[(&str, &str, After)] = &[
    (
        "/length",
        "HTTP/1.1 200 Fine\r\nServer: S\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
        After::Keep,
    ),
    (
        "/chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
        After::Keep,
    ),
    ("/until-close", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello", After::Close),
    ("/old", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", After::Close),
    ("/empty", "HTTP/1.1 204 No Content\r\n\r\n", After::Keep),
    ("/unchanged", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", After::Keep),
    (
        "/cookies",
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 0\r\n\r\n",
        After::Keep,
    ),
    (
        "/hop",
        "HTTP/1.1 200 OK\r\nConnection: X-H\r\nX-H: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: B\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
        After::Keep,
    ),
    ("/folded", "HTTP/1.1 200 OK\r\nX-F: a\r\n  b\r\nContent-Length: 0\r\n\r\n", After::Keep),
    ("/missing", "HTTP/1.1 404 Gone Fishing\r\nContent-Length: 4\r\n\r\nnone", After::Keep),
    ("/strange", "HTTP/1.1 299 Strange\r\nContent-Length: 0\r\n\r\n", After::Keep),
    ("/no-phrase", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", After::Keep),
    ("/short", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", After::Close),
    ("/no-colon", "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n", After::Keep),
    ("/http2", "HTTP/2.0 200 OK\r\n\r\n", After::Close),
    (
        "/two-lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        After::Keep,
    ),
];

/// What the back end got and the client saw, with the ports taken out.
fn look(front: Front, peer: &Peer, lines: &[&str]) -> Vec<(String, String)> {
    let mut builder: Builder = Httpd::builder("http-compare").front(front);
    for line in lines {
        builder = builder.line(*line);
    }
    let httpd = builder.line(format!("ProxyPass / {}/", peer.url())).start();
    let own = httpd.address().to_string();
    let clean = |text: String| text.replace(&own, "FRONT").replace(&peer.port().to_string(), "BACK");
    let mut seen = Vec::new();
    let mut add = |what: &str, method: &str, bytes: &str| {
        let before = peer.requests();
        let mut client = Client::new(httpd.address());
        client.send_raw(bytes.replace("HOST", &own).as_bytes()).expect("sent");
        let answer = match client.read_response(method) {
            Ok(answer) => {
                let mut headers: Vec<String> = answer
                    .headers
                    .iter()
                    .filter(|(name, _)| !["Date", "Server"].contains(&name.as_str()) || what == "/length")
                    // Where the member told no length, ours is known more often: it may be that all came at once.
                    .filter(|(name, _)| {
                        !["/chunks", "/two-lengths", "/until-close"].contains(&what)
                            || !["Content-Length", "Transfer-Encoding"].contains(&name.as_str())
                    })
                    .map(|(name, value)| format!("{name}: {value}"))
                    .collect();
                headers.sort();
                let page =
                    if answer.status >= 400 && what != "/missing" { String::new() } else { answer.text() };
                let headers = if page.is_empty() && answer.status >= 400 { Vec::new() } else { headers };
                format!("{} complete={} {headers:?} {page:?}", answer.status, answer.complete)
            }
            Err(error) => format!("{:?}", error.kind()),
        };
        let mut requests: Vec<String> = peer.seen()[before..]
            .iter()
            .map(|request| {
                let mut headers: Vec<_> =
                    request.head.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                headers.sort();
                format!("{} {headers:?} {:?}", request.head.line, String::from_utf8_lossy(&request.body))
            })
            .collect();
        // Garbage on a kept connection may answer nothing that was asked: ours asks once more on a new one.
        requests.dedup();
        seen.push((what.to_owned(), clean(format!("{requests:#?}\n{answer}"))));
    };
    for (what, bytes) in REQUESTS {
        add(what, bytes.split(' ').next().unwrap_or_default(), bytes);
    }
    for (target, ..) in ANSWERS {
        add(target, "GET", &format!("GET {target} HTTP/1.1\r\nHost: HOST\r\n\r\n"));
    }
    httpd.assert_no_crash();
    seen
}

#[test]
fn back_end_and_client_see_what_they_see_with_mod_proxy_http() {
    let peer = Peer::start(|conn, head| {
        conn.read_body(head)?;
        match ANSWERS.iter().find(|(target, ..)| *target == head.target()) {
            Some((_, bytes, after)) => {
                conn.send(bytes.as_bytes())?;
                Ok(*after)
            }
            None if head.method() == "HEAD" => {
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")?;
                Ok(After::Keep)
            }
            None => conn.answer("200 OK", &[("X-Own", "1")], b"body"),
        }
    });
    for lines in
        [&[][..], &["ProxyVia On", "ProxyPreserveHost On"], &["ProxyVia Full", "ProxyErrorOverride On"]]
    {
        let (ours, stock) = (look(Front::Margay, &peer, lines), look(Front::Stock, &peer, lines));
        let differing: Vec<String> = ours
            .iter()
            .zip(&stock)
            .filter(|(ours, stock)| ours != stock)
            .map(|((what, ours), (_, stock))| format!("== {what}\nours:  {ours}\nstock: {stock}"))
            .collect();
        assert!(differing.is_empty(), "{lines:?}\n{}", differing.join("\n"));
    }
}
