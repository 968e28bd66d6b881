// SPDX-License-Identifier: Apache-2.0
//! Members behind TLS: a second httpd with mod_ssl, and the SSLProxy directives in front of it.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::LazyLock;
use std::time::Instant;

use support::client::{Client, Response};
use support::http_peer::{After, Peer};
use support::httpd::{Builder, Httpd, Mpm};
use support::load::{Load, expect_ok};
use support::tls::Certificates;
use support::{PATIENCE, wait_until};

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(Certificates::for_members);

/// What the member notes of each request: the name asked for, the client's certificate, how many came before it on the
/// same connection.
const NOTE: &str =
    r#"CustomLog tls.log "sni=%{SSL_TLS_SNI}x client=%{SSL_CLIENT_S_DN_CN}x before=%k host=%{Host}i %U""#;

/// A member with TLS that serves a file.
struct Behind {
    httpd: Httpd,
}

impl Behind {
    fn start(name: &str, lines: &[&str]) -> Behind {
        let certificates = &*CERTIFICATES;
        let mut builder = Httpd::builder(name)
            .module("ssl")
            .module("alias")
            .line("SSLEngine On")
            .line(format!("SSLCertificateFile {}", certificates.file("member.pem").display()))
            .line(format!("SSLCertificateKeyFile {}", certificates.file("member.key").display()))
            .line(format!("SSLCACertificateFile {}", certificates.file("ca.pem").display()))
            .line("KeepAlive On\nMaxKeepAliveRequests 0\nKeepAliveTimeout 60")
            .line(NOTE);
        for line in lines {
            builder = builder.line(*line);
        }
        let httpd = builder.start();
        fs::write(httpd.prefix().join("htdocs/file.txt"), "behind TLS").expect("a file to serve");
        Behind { httpd }
    }

    fn port(&self) -> u16 {
        self.httpd.address().port()
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port())
    }

    /// The lines the member noted, when there are so many.
    fn notes(&self, count: usize) -> Vec<String> {
        let read = || fs::read_to_string(self.httpd.prefix().join("tls.log")).unwrap_or_default();
        wait_until("the member's notes", PATIENCE, || read().lines().count() >= count);
        read().lines().map(str::to_owned).collect()
    }
}

fn ca() -> String {
    format!("SSLProxyCACertificateFile {}", CERTIFICATES.file("ca.pem").display())
}

fn machine() -> String {
    let file = CERTIFICATES.file("machine.pem");
    format!("SSLProxyMachineCertificateFile {}", file.display())
}

/// A front of one process, so that kept connections are found again.
fn front(name: &str) -> Builder {
    Httpd::builder(name).module("ssl").mpm_lines("ServerLimit 1\nStartServers 1\nThreadsPerChild 8\nMaxRequestWorkers 8\nMinSpareThreads 1\nMaxSpareThreads 8")
}

fn get(httpd: &Httpd, target: &str) -> Response {
    Client::new(httpd.address()).get(target).expect("a response")
}

fn get_as(httpd: &Httpd, host: &str, target: &str) -> Response {
    let mut client = Client::new(httpd.address());
    client.send_raw(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).expect("sent");
    client.read_response("GET").expect("a response")
}

/// What mod_ssl says at the start of any server.
const INIT: &[&str] = &["AH01882", "AH01873"];

#[test]
fn a_member_behind_tls_answers_over_one_kept_connection() {
    let behind = Behind::start("tls-kept-member", &[]);
    let httpd = front("tls-kept")
        .module("reqtimeout")
        .module("http2")
        .line("SSLProxyEngine On")
        .line("SSLProxyVerify require")
        .line(ca())
        .line(format!("ProxyPass / {}/", behind.url()))
        .start();
    assert!(!httpd.check().text.contains("MGY"), "{}", httpd.check().text);
    for _ in 0..5 {
        let response = get(&httpd, "/file.txt");
        assert_eq!((response.status, response.text().as_str()), (200, "behind TLS"));
    }
    let notes = behind.notes(5);
    let host = format!("host=localhost:{}", behind.port());
    for (before, note) in notes.iter().enumerate() {
        assert_eq!(*note, format!("sni=localhost client=- before={before} {host} /file.txt"));
    }
    httpd.assert_no_crash();
    httpd.assert_no_unexpected(INIT);
}

#[test]
fn a_member_of_an_unknown_authority_is_refused() {
    let behind = Behind::start("tls-unknown-ca-member", &[]);
    let certificates = &*CERTIFICATES;
    let httpd = front("tls-unknown-ca")
        .line("LogLevel ssl:info")
        .line("SSLProxyEngine On")
        .line("SSLProxyVerify require")
        .line(format!("SSLProxyCACertificateFile {}", certificates.file("server.pem").display()))
        .line(format!("ProxyPass / {}/", behind.url()))
        .start();
    assert_eq!(get(&httpd, "/file.txt").status, 500);
    let log = httpd.error_log();
    let ours = log.lines().find(|line| line.contains("MGY3010")).expect("a line of ours");
    assert!(ours.contains(&behind.url()) && ours.contains("TLS handshake failed"), "{ours}");
    assert!(log.contains("AH02276"), "mod_ssl says why: {log}");
    httpd.assert_no_crash();
}

#[test]
fn a_member_with_another_name_is_refused_even_unverified() {
    let behind = Behind::start("tls-name-member", &[]);
    let rule = format!("ProxyPass / https://127.0.0.1:{}/", behind.port());
    let checked = front("tls-name").line("SSLProxyEngine On").line(&rule).start();
    assert_eq!(get(&checked, "/file.txt").status, 500);
    assert!(checked.error_log().contains("MGY3010"));
    let unchecked =
        front("tls-no-name").line("SSLProxyEngine On\nSSLProxyCheckPeerName off").line(&rule).start();
    assert_eq!(get(&unchecked, "/file.txt").text(), "behind TLS");
    // An address is checked, but not asked for.
    assert!(behind.notes(1)[0].starts_with("sni=- "), "{:?}", behind.notes(1));
    checked.assert_no_crash();
    unchecked.assert_no_unexpected(INIT);
}

#[test]
fn the_certificate_of_this_server_is_shown_to_a_member_that_asks() {
    let behind = Behind::start("tls-machine-member", &["SSLVerifyClient require"]);
    let httpd = front("tls-machine")
        .line("SSLProxyEngine On")
        .line(ca())
        .line(machine())
        .line(format!("ProxyPass / {}/", behind.url()))
        .start();
    assert_eq!(get(&httpd, "/file.txt").text(), "behind TLS");
    assert!(behind.notes(1)[0].contains("client=client.example.test"), "{:?}", behind.notes(1));
    let without = front("tls-no-machine")
        .line("SSLProxyEngine On")
        .line(ca())
        .line(format!("ProxyPass / {}/", behind.url()))
        .start();
    let status = get(&without, "/file.txt").status;
    assert!((500..=503).contains(&status), "{status}");
    without.assert_no_crash();
    httpd.assert_no_unexpected(INIT);
}

#[test]
fn settings_of_a_proxy_section_act_and_only_there() {
    let behind = Behind::start("tls-section-member", &["SSLVerifyClient optional"]);
    let other = Behind::start("tls-section-other", &[]);
    let httpd = front("tls-section")
        .line(format!("<Proxy {}>", behind.url()))
        .line("    SSLProxyEngine On\n    SSLProxyVerify require")
        .line(ca())
        .line(machine())
        .line("</Proxy>")
        .line(format!("<Proxy {}>", other.url()))
        .line("    SSLProxyEngine On\n    SSLProxyVerify require")
        .line("</Proxy>")
        .line(format!("ProxyPass /a/ {}/", behind.url()))
        .line(format!("ProxyPass /b/ {}/", other.url()))
        .start();
    for _ in 0..2 {
        for _ in 0..2 {
            assert_eq!(get(&httpd, "/a/file.txt").text(), "behind TLS");
        }
        assert!(behind.notes(1)[0].contains("client=client.example.test"), "{:?}", behind.notes(1));
        // Nobody said whom to trust there, and SSLProxyVerify is not ignored.
        assert_eq!(get(&httpd, "/b/file.txt").status, 500);
        httpd.graceful();
    }
    // The second request of a round found the connection of the first.
    assert_eq!(behind.notes(4).iter().filter(|note| note.contains("before=1")).count(), 2);
    httpd.assert_no_crash();
    httpd.assert_no_unexpected(&[INIT, &["MGY3010", "AH01897", "AH02039"]].concat());
}

#[test]
fn without_the_engine_or_mod_ssl_the_answer_is_500_and_the_line_says_what_to_write() {
    let behind = Behind::start("tls-off-member", &[]);
    let rule = format!("ProxyPass / {}/", behind.url());
    let off = front("tls-off").line(&rule).start();
    assert!(off.check().text.contains("MGY0316"), "{}", off.check().text);
    assert_eq!(get(&off, "/file.txt").status, 500);
    let log = off.error_log();
    let line = log.lines().find(|line| line.contains("MGY3009")).expect("a line of ours");
    assert!(line.contains("SSLProxyEngine On") && line.contains(&behind.url()), "{line}");
    let missing = Httpd::builder("tls-missing").line(&rule).start();
    assert_eq!(get(&missing, "/file.txt").status, 500);
    let log = missing.error_log();
    let line = log.lines().find(|line| line.contains("MGY3009")).expect("a line of ours");
    assert!(line.contains("mod_ssl is not loaded") && line.contains(&behind.url()), "{line}");
}

#[test]
fn the_client_s_host_is_asked_for_where_it_is_preserved_and_a_connection_serves_one_name() {
    let behind = Behind::start("tls-sni-member", &[]);
    let httpd = front("tls-sni")
        .line("SSLProxyEngine On")
        .line("SSLProxyVerify require")
        .line(ca())
        .line("ProxyPreserveHost On")
        .line(format!("ProxyPass / {}/", behind.url()))
        .start();
    for host in ["www.example.test", "www.example.test:80", "localhost", "www.example.test"] {
        assert_eq!(get_as(&httpd, host, "/file.txt").text(), "behind TLS", "{host}");
    }
    // A name that the member's certificate has not.
    assert_eq!(get_as(&httpd, "evil.example.test", "/file.txt").status, 500);
    let notes = behind.notes(4);
    let expected =
        [("www.example.test", 0), ("www.example.test", 1), ("localhost", 0), ("www.example.test", 0)];
    for (note, (name, before)) in notes.iter().zip(expected) {
        assert!(note.starts_with(&format!("sni={name} client=- before={before} host={name}")), "{notes:?}");
    }
    httpd.assert_no_crash();
}

#[test]
fn a_balancer_goes_on_to_the_next_member_when_a_handshake_fails() {
    let plain = Httpd::builder("tls-plain-member").start();
    let behind = Behind::start("tls-next-member", &[]);
    let httpd = front("tls-next")
        .line("SSLProxyEngine On")
        .line(ca())
        .line("<Proxy balancer://c>")
        .line(format!("    BalancerMember https://localhost:{} lbset=0", plain.address().port()))
        .line(format!("    BalancerMember {} lbset=1", behind.url()))
        .line("</Proxy>")
        .line("ProxyPass / balancer://c/")
        .start();
    for _ in 0..3 {
        let response = Client::new(httpd.address()).post("/file.txt", b"once").expect("a response");
        // Apache serves no POST of a plain file, but it answers.
        assert!(matches!(response.status, 200 | 405), "{}", response.status);
    }
    let log = httpd.error_log();
    assert_eq!(log.matches("MGY3010").count(), 1, "the member is left alone afterwards: {log}");
    httpd.assert_no_crash();
}

#[test]
fn a_member_that_is_silent_in_the_handshake_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("its number").port();
    let httpd = front("tls-silent")
        .line("SSLProxyEngine On")
        .line(format!("ProxyPass / https://localhost:{port}/ timeout=1"))
        .start();
    let start = Instant::now();
    assert_eq!(get(&httpd, "/").status, 500);
    assert!(start.elapsed() < PATIENCE);
    assert!(httpd.error_log().contains("the TLS handshake took longer than timeout= allows"));
    httpd.assert_no_crash();
}

#[test]
fn kept_connections_that_the_member_closed_fail_no_request() {
    let behind = Behind::start("tls-stale-member", &[]);
    let httpd =
        front("tls-stale").line("SSLProxyEngine On").line(format!("ProxyPass / {}/", behind.url())).start();
    for round in 0..4 {
        let mut client = Client::new(httpd.address());
        assert_eq!(client.get("/file.txt").expect("a response").text(), "behind TLS", "round {round}");
        let before = behind.httpd.children();
        behind.httpd.graceful();
        // Until the old children are gone they may close the connection while a request is on its way.
        wait_until("the end of the member's old children", PATIENCE, || {
            behind.httpd.children().iter().all(|child| !before.contains(child))
        });
        // A request that may not be sent twice is not risked on a connection that has ended.
        let response = client.post("/file.txt", b"x").expect("a response");
        assert!(matches!(response.status, 200 | 405), "round {round}: {}", response.status);
    }
    httpd.assert_no_crash();
    httpd.assert_no_unexpected(INIT);
}

#[test]
fn a_graceful_restart_of_this_server_fails_nothing() {
    let behind = Behind::start("tls-graceful-member", &[]);
    for mpm in Mpm::ALL {
        let httpd = Httpd::builder(&format!("tls-graceful-{}", mpm.name()))
            .mpm(mpm)
            .module("ssl")
            .line("SSLProxyEngine On")
            .line(ca())
            .line(format!("<Proxy {}>\nSSLProxyVerify require\n</Proxy>", behind.url()))
            .line(format!("ProxyPass / {}/", behind.url()))
            .start();
        let load = Load::start(4, httpd.address(), |client| expect_ok(client.get("/file.txt")).map(|_| ()));
        for _ in 0..3 {
            load.wait_for_more(50);
            httpd.graceful();
        }
        load.wait_for_more(50);
        let outcome = load.stop();
        assert!(outcome.failures.is_empty(), "failed: {:?}", outcome.failures);
        assert!(httpd.stop(), "the server had to be killed");
        httpd.assert_no_crash();
        httpd.assert_no_unexpected(INIT);
    }
}

#[test]
fn redirects_of_a_member_behind_tls_lead_back_here() {
    let behind = Behind::start("tls-redirect-member", &["<Location /old>\nRedirect /new\n</Location>"]);
    let httpd = front("tls-redirect")
        .line("SSLProxyEngine On")
        .line(format!("ProxyPass /app/ {0}/\nProxyPassReverse /app/ {0}/", behind.url()))
        .start();
    let response = get(&httpd, "/app/old");
    let there = format!("http://{}/app/new", httpd.address());
    assert_eq!((response.status, response.header("Location")), (302, Some(there.as_str())));
}

#[test]
fn connections_that_come_and_go_leave_no_memory_behind() {
    let behind = Behind::start("tls-leak-member", &[]);
    let httpd = front("tls-leak")
        .line("SSLProxyEngine On")
        .line(format!("ProxyPass / {}/ enablereuse=off", behind.url()))
        .start();
    let ask = |count: usize| {
        let mut client = Client::new(httpd.address());
        for _ in 0..count {
            assert_eq!(client.get("/file.txt").expect("a response").text(), "behind TLS");
        }
    };
    let open = |httpd: &Httpd| {
        let child = httpd.children()[0];
        fs::read_dir(format!("/proc/{child}/fd")).expect("the child's descriptors").count()
    };
    ask(300);
    let (memory, files) = (httpd.total_pss(), open(&httpd));
    ask(300);
    // A connection with TLS takes some 50 kB.
    let grown = httpd.total_pss().saturating_sub(memory);
    assert!(grown < 2 << 20, "{grown} bytes more after 300 connections");
    assert!(open(&httpd) <= files + 1, "descriptors are left open");
    assert_eq!(behind.notes(600).iter().filter(|note| note.contains("before=0")).count(), 600);
    httpd.assert_no_crash();
}

/// A member with TLS in front of a script: an httpd that forwards.
fn in_front_of(name: &str, peer: &Peer) -> Behind {
    Behind::start(name, &[&format!("ProxyPass / {}/ upgrade=websocket", peer.url())])
}

#[test]
fn large_bodies_go_both_ways() {
    let peer = Peer::start(|conn, head| {
        conn.read_body(head)?;
        conn.answer("200 OK", &[], &vec![b'y'; 3 << 20])
    });
    let behind = in_front_of("tls-large-member", &peer);
    let httpd =
        front("tls-large").line("SSLProxyEngine On").line(format!("ProxyPass / {}/", behind.url())).start();
    let mut client = Client::new(httpd.address());
    for _ in 0..3 {
        let response = client.post("/x", &vec![b'x'; 2 << 20]).expect("a response");
        assert!(response.complete && response.body.len() == 3 << 20);
        assert!(response.body.iter().all(|byte| *byte == b'y'));
    }
    assert!(peer.seen().iter().all(|seen| seen.body.len() == 2 << 20));
    let notes = behind.notes(3);
    assert!(notes[2].contains("before=2"), "one connection for all: {notes:?}");
    httpd.assert_no_unexpected(INIT);
}

#[test]
fn a_websocket_goes_through_tls() {
    let peer = Peer::start(|conn, head| {
        assert_eq!(head.get("Upgrade").as_deref(), Some("websocket"));
        conn.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello",
        )?;
        loop {
            let size = u32::from_be_bytes(conn.read_exact(4)?.try_into().expect("four bytes"));
            if size == 0 {
                return Ok(After::Close);
            }
            let data = conn.read_exact(size as usize)?;
            conn.send(&data)?;
        }
    });
    let behind = in_front_of("tls-websocket-member", &peer);
    let httpd = front("tls-websocket")
        .line("SSLProxyEngine On")
        .line(format!("ProxyPass /chat wss://localhost:{}/chat", behind.port()))
        .start();
    let mut stream = TcpStream::connect(httpd.address()).expect("httpd");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream
        .write_all(b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\nhello") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the head, and what came with it");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    for size in [1u32, 1000, 20_000, 200_000] {
        let data: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        stream.write_all(&size.to_be_bytes()).expect("sent");
        stream.write_all(&data).expect("sent");
        let mut echo = vec![0; size as usize];
        stream.read_exact(&mut echo).expect("the echo");
        assert!(echo == data, "{size} bytes");
    }
    stream.write_all(&0u32.to_be_bytes()).expect("sent");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the end");
    assert!(rest.is_empty());
    drop(stream);
    wait_until("the end of the tunnel", PATIENCE, || httpd.access_log().contains("GET /chat 101"));
    httpd.assert_no_crash();
    httpd.assert_no_unexpected(INIT);
}

#[test]
fn tls_works_behind_a_unix_socket() {
    let behind = Behind::start("tls-unix-member", &[]);
    let path = std::env::temp_dir().join(format!("margay-tls-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).expect("a socket");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("anybody may connect");
    let port = behind.port();
    std::thread::spawn(move || {
        while let Ok((mut near, _)) = listener.accept() {
            let mut far = TcpStream::connect(("127.0.0.1", port)).expect("the member");
            let (mut near_in, mut far_out) =
                (near.try_clone().expect("a copy"), far.try_clone().expect("a copy"));
            std::thread::spawn(move || std::io::copy(&mut near_in, &mut far_out));
            std::thread::spawn(move || std::io::copy(&mut far, &mut near));
        }
    });
    let httpd = front("tls-unix")
        .line("SSLProxyEngine On\nSSLProxyVerify require")
        .line(ca())
        .line(format!("ProxyPass / unix:{}|https://localhost/", path.display()))
        .start();
    for _ in 0..2 {
        assert_eq!(get(&httpd, "/file.txt").text(), "behind TLS");
    }
    assert!(behind.notes(2)[1].contains("before=1"));
    fs::remove_file(&path).expect("the socket is ours");
    httpd.assert_no_crash();
    httpd.assert_no_unexpected(INIT);
}
