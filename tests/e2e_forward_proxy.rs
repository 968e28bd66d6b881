// SPDX-License-Identifier: Apache-2.0
//! A forward proxy, other proxies in front of back ends, and hosts that are not asked: with mod_proxy and with Margay,
//! clients, back ends, other proxies and the access log have to see the same.
//!
//! The tables are in `tests/forward_proxy/*.cases`, written like those of `tests/beside_stock`; but every `=== name` is a
//! server of its own, because a client of a forward proxy does not choose a virtual host. `{A}` and `{B}` are back ends,
//! `{R}` and `{S}` other proxies.

mod support;

#[path = "beside_stock/cases.rs"]
mod cases;
#[path = "beside_stock/judge.rs"]
mod judge;
#[path = "forward_proxy/stage.rs"]
mod stage;
#[path = "forward_proxy/tunnel.rs"]
mod tunnel;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;

use cases::Table;
use stage::Stage;
use support::client::Client;
use support::http_peer::{After, Peer};
use support::httpd::{Front, Httpd};
use support::tls::Certificates;
use support::{PATIENCE, wait_until};
use tunnel::Tunnels;

/// Fails with every case of a table in which the fronts disagree without a reason, or agree in spite of one.
#[track_caller]
fn assert_alike(name: &str) {
    let table = Table::read(&format!("../forward_proxy/{name}"));
    let mut wrong = Vec::new();
    let mut count = 0;
    for site in &table.sites {
        let stage = Stage::start(name, site);
        for case in &site.cases {
            count += 1;
            let (stock, margay) = stage.play(site, case);
            if let Some(complaint) = judge::judge(case, &stock, &margay) {
                wrong.push(format!("[{} / {}] line {}: {complaint}", site.name, case.name, case.line));
            }
        }
        stage.assert_no_crash();
    }
    assert!(count > 0, "{name}.cases has no case");
    assert!(wrong.is_empty(), "{name}.cases: {} cases are wrong\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn foreign_urls_are_forwarded_alike() {
    assert_alike("forward");
}

#[test]
fn other_proxies_are_asked_alike() {
    assert_alike("remote");
}

#[test]
fn hosts_are_kept_out_alike() {
    assert_alike("block");
}

/// What `-t` says to these lines.
fn said(name: &str, lines: &[&str]) -> String {
    let builder = Httpd::builder(name).module("authz_host").module("access_compat");
    let verdict = lines.iter().fold(builder, |builder, line| builder.line(*line)).check();
    assert!(verdict.ok, "{}", verdict.text);
    verdict.text
}

#[test]
fn a_forward_proxy_for_everybody_is_warned_about() {
    let on = "ProxyRequests On";
    for (number, open) in [
        &[on][..],
        &[on, "<Proxy \"*\">\nRequire all granted\n</Proxy>"],
        &[on, "<Proxy \"http://one.example/\">\nRequire all denied\n</Proxy>"],
        &[
            "<Proxy \"*\">\nRequire local\n</Proxy>",
            "<VirtualHost *:1>\nProxyRequests On\n<Proxy \"*\">\nRequire all granted\n</Proxy>\n</VirtualHost>",
        ],
        // Does not apply to URLs of others.
        &[on, "<Location \"/\">\nRequire ip 10\n</Location>"],
        &[on, "<Directory \"/\">\nRequire ip 10\n</Directory>"],
        &[on, "<Proxy \"*\">\nRequire ip 10\n</Proxy>\n<Proxy \"*\">\nRequire all granted\n</Proxy>"],
        &["<VirtualHost *:1>\nProxyRequests On\n</VirtualHost>"],
    ]
    .into_iter()
    .enumerate()
    {
        let text = said(&format!("open-{number}"), open);
        assert!(text.contains("MGY0330"), "{open:?}: {text}");
        assert!(text.contains("httpd.conf:"), "{text}");
    }
    for (number, closed) in [
        &["ProxyRequests Off"][..],
        &[on, "<Proxy \"*\">\nRequire ip 10\n</Proxy>"],
        &[on, "<Proxy \"*\">\n<RequireAll>\nRequire ip 10\nRequire method GET\n</RequireAll>\n</Proxy>"],
        &[on, "<Proxy \"http://*\">\nOrder deny,allow\nDeny from all\nAllow from 10\n</Proxy>"],
        &[on, "<ProxyMatch \"^http\">\nRequire local\n</ProxyMatch>"],
        &[on, "<Proxy ~ \"^http\">\nRequire local\n</Proxy>"],
        &[on, "<LocationMatch \".\">\nRequire local\n</LocationMatch>"],
        &["<Proxy \"*\">\nRequire local\n</Proxy>", "<VirtualHost *:1>\nProxyRequests On\n</VirtualHost>"],
        &["<VirtualHost *:1>\nProxyRequests On\n<Proxy \"*\">\nRequire local\n</Proxy>\n</VirtualHost>"],
    ]
    .into_iter()
    .enumerate()
    {
        let text = said(&format!("closed-{number}"), closed);
        assert!(!text.contains("MGY0330"), "{closed:?}: {text}");
    }
}

/// A peer that becomes an echo when it is asked for one.
fn echo() -> Peer {
    Peer::start(|conn, head| {
        if head.get("Upgrade").is_none() {
            return conn.answer("400 No Echo", &[], b"");
        }
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
        loop {
            let data = conn.read_some()?;
            if data.is_empty() {
                return Ok(After::Close);
            }
            conn.send(&data)?;
        }
    })
}

#[test]
fn websockets_get_through_directly_and_by_another_proxy() {
    for by_proxy in [false, true] {
        let (echo, other) = (echo(), echo());
        let remote = format!("ProxyRemote ws http://127.0.0.1:{}", other.port());
        let httpd = Httpd::builder("websocket-forward").line("ProxyRequests On");
        let httpd = if by_proxy { httpd.line(remote) } else { httpd }.start();
        let mut client = TcpStream::connect(httpd.address()).expect("the server listens");
        client.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let url = format!("ws://127.0.0.1:{}/chat", echo.port());
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
        client
            .write_all(format!("GET {url} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n\r\n").as_bytes())
            .expect("the server reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        client.write_all(b"hello").expect("the tunnel takes it");
        let mut answer = [0; 5];
        client.read_exact(&mut answer).expect("the echo");
        assert_eq!(&answer, b"hello");
        let (asked, target) = if by_proxy { (&other, url.as_str()) } else { (&echo, "/chat") };
        assert_eq!(asked.seen()[0].head.target(), target);
        drop(client);
        httpd.assert_no_crash();
    }
}

#[test]
fn a_real_mod_proxy_keeps_its_forward_requests() {
    let origin = Peer::named("A");
    let builder = ["slotmem_shm", "proxy", "proxy_http"]
        .into_iter()
        .fold(Httpd::builder("real-forward").front(Front::Margay), |builder, module| builder.module(module));
    let httpd = builder.line("ProxyRequests On\nProxyVia On\nServerName real.test").start();
    let mut client = Client::new(httpd.address());
    let response = client.get(&format!("http://127.0.0.1:{}/x", origin.port())).expect("a response");
    assert_eq!((response.status, response.text().as_str()), (200, "A"));
    assert!(httpd.error_log().contains("MGY0912"), "{}", httpd.error_log());
    httpd.assert_no_crash();
}

#[test]
fn an_expression_that_is_none_is_refused_with_its_line() {
    let verdict = Httpd::builder("bad-remote").line("ProxyRemoteMatch ( http://127.0.0.1:1").check();
    assert!(!verdict.ok);
    let text = "Regular expression for ProxyRemoteMatch could not be compiled.";
    assert!(verdict.text.contains(text) && verdict.text.contains("httpd.conf:"), "{}", verdict.text);
}

#[test]
fn work_of_other_modules_is_named_in_the_log() {
    let httpd = Httpd::builder("others-work").line("ProxyRequests On").start();
    for (request, module) in [
        ("CONNECT www.example.test:443 HTTP/1.1", "mod_proxy_connect"),
        ("GET ftp://www.example.test/ HTTP/1.1", "mod_proxy_ftp"),
    ] {
        let mut client = Client::new(httpd.address());
        client.send_raw(format!("{request}\r\nHost: www.example.test\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(client.read_response("GET").unwrap().status, 500, "{request}");
        assert!(httpd.error_log().contains(module), "{}", httpd.error_log());
    }
}

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(Certificates::for_members);

/// A back end with TLS that notes each request, and what stands in front of it.
fn secure_origin(name: &str) -> Httpd {
    let file = |name: &str| CERTIFICATES.file(name).display().to_string();
    let httpd = Httpd::builder(name)
        .module("ssl")
        .line("SSLEngine On")
        .line(format!("SSLCertificateFile {}", file("member.pem")))
        .line(format!("SSLCertificateKeyFile {}", file("member.key")))
        .line("CustomLog tls.log \"%r host=%{Host}i sni=%{SSL_TLS_SNI}x login=%{Proxy-Authorization}i before=%k\"")
        .start();
    fs::write(httpd.prefix().join("htdocs/file.txt"), "behind TLS").expect("a file to serve");
    httpd
}

fn front(name: &str, front: Front, lines: &[String]) -> Httpd {
    let one_process = "ServerLimit 1\nStartServers 1\nThreadsPerChild 8\nMaxRequestWorkers 8\nMinSpareThreads 1\nMaxSpareThreads 8";
    let ca = format!("SSLProxyCACertificateFile {}", CERTIFICATES.file("ca.pem").display());
    let builder =
        Httpd::builder(&format!("{name}-{front:?}")).front(front).module("ssl").mpm_lines(one_process);
    let builder = builder.line("ServerName main.test\nProxyRequests On\nSSLProxyEngine On").line(ca);
    lines.iter().fold(builder, |builder, line| builder.line(line)).start()
}

/// What the back end noted and the proxy in front of it was asked, for these requests.
fn through(
    name: &str,
    stock_or_margay: Front,
    answer: &'static str,
    words: &str,
    requests: &[&str],
) -> Vec<String> {
    let origin = secure_origin(&format!("{name}-origin-{stock_or_margay:?}"));
    let tunnels = Tunnels::start(answer);
    let port = origin.address().port();
    let lines = [
        format!("ProxyPass /rule/ https://localhost:{port}/"),
        format!("ProxyRemote https http://127.0.0.1:{} {words}", tunnels.port()),
    ];
    let httpd = front(name, stock_or_margay, &lines);
    let mut client = Client::new(httpd.address());
    let mut lines = Vec::new();
    let mut good = 0;
    for request in requests {
        let text = request.replace("{ORIGIN}", &format!("localhost:{port}"));
        client.send_raw(format!("{text}\r\n\r\n").as_bytes()).expect("the server listens");
        let response = client.read_response("GET").expect("a response");
        good += usize::from(response.status == 200);
        let body = if response.status == 200 { response.text() } else { String::new() };
        lines.push(format!("{} {body}", response.status));
    }
    let read = || fs::read_to_string(origin.prefix().join("tls.log")).unwrap_or_default();
    wait_until("the back end's notes", PATIENCE, || read().lines().count() >= good);
    lines.extend(read().lines().map(str::to_owned));
    lines.extend(tunnels.heads());
    httpd.assert_no_crash();
    lines.iter().map(|line| line.replace(&port.to_string(), "ORIGIN")).collect()
}

#[test]
fn tls_behind_another_proxy_is_reached_through_a_tunnel() {
    let requests = [
        "GET https://{ORIGIN}/file.txt HTTP/1.1\r\nHost: x",
        "GET https://{ORIGIN}/file.txt?again HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic abc",
        "GET /rule/file.txt HTTP/1.1\r\nHost: main.test",
        "GET /rule/file.txt?again HTTP/1.1\r\nHost: main.test",
    ];
    let play = |front| through("tunnel", front, "HTTP/1.1 200 Go\r\nVia: 1.1 tunnels", "", &requests);
    assert_eq!(without_logins(&play(Front::Margay)), without_logins(&play(Front::Stock)));
}

/// mod_proxy tells the member behind the tunnel, too, what only the proxy is to know.
fn without_logins(lines: &[String]) -> Vec<String> {
    let cut = |line: &String| match (line.split_once("login="), line.split_once(" before=")) {
        (Some((start, _)), Some((_, end))) => format!("{start}{end}"),
        _ => line.clone(),
    };
    lines.iter().map(cut).collect()
}

#[test]
fn the_proxy_gets_its_login_and_the_member_does_not() {
    let requests = [
        "GET https://{ORIGIN}/file.txt HTTP/1.1\r\nHost: x",
        "GET /rule/file.txt HTTP/1.1\r\nHost: main.test",
    ];
    let seen = through("login", Front::Margay, "HTTP/1.0 200 Go", "me:secret", &requests);
    let text = seen.join("\n");
    assert!(text.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{text}");
    assert!(seen.iter().filter(|line| line.contains("host=")).all(|line| line.contains("login=-")), "{text}");
    let stock = through("login", Front::Stock, "HTTP/1.0 200 Go", "me:secret", &requests);
    assert_eq!(without_logins(&seen), without_logins(&stock));
}

#[test]
fn a_refused_tunnel_is_no_way_to_the_member() {
    for answer in ["HTTP/1.1 407 Who", "HTTP/1.1 200x", "SSH-2.0-OpenSSH_9"] {
        let requests = ["GET https://{ORIGIN}/file.txt HTTP/1.1\r\nHost: x"];
        let seen = through("refused", Front::Margay, answer, "", &requests);
        assert!(seen[0].starts_with("503 "), "{answer}: {seen:?}");
    }
}

#[test]
fn tls_is_forwarded_without_another_proxy() {
    let play = |which: Front| {
        let origin = secure_origin(&format!("tls-origin-{which:?}"));
        let port = origin.address().port();
        let httpd = front("tls-direct", which, &[]);
        let mut client = Client::new(httpd.address());
        let response = client.get(&format!("https://localhost:{port}/file.txt")).expect("a response");
        assert_eq!((response.status, response.text().as_str()), (200, "behind TLS"), "{which:?}");
        // The certificate has another name.
        let response = client.get(&format!("https://127.0.0.1:{port}/file.txt")).expect("a response");
        response.status
    };
    assert_eq!(play(Front::Margay), play(Front::Stock));
}
