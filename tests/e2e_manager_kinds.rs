// SPDX-License-Identifier: Apache-2.0
//! Members of every kind that join while the server runs: what works for those of the file works for them.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::LazyLock;

use nix::sys::signal::Signal;
use support::ajp_peer::Peer;
use support::client::Client;
use support::http_peer;
use support::httpd::{Front, Httpd, Mpm};
use support::load::{Load, expect_ok};
use support::manager::{answers, assert_all, manage, post, server, values, wait_until_idle, xml};
use support::tls::Certificates;
use support::{PATIENCE, process, wait_until};

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(Certificates::for_members);

const GROWING: &str = "<Proxy balancer://c>\nProxySet stickysession=JSESSIONID nonce=secret growth=5\n</Proxy>\n\
                       ProxyPass / balancer://c/\nProxyPassReverse / balancer://c/";

fn join(httpd: &Httpd, url: &str, form: &str) {
    post(httpd, &format!("b=c&nonce=secret&b_wyes=1&b_nwrkr={url}"));
    post(httpd, &format!("b=c&nonce=secret&w={url}&w_status_D=0&{form}"));
}

#[test]
fn a_member_by_http_joins_beside_one_by_ajp_and_its_redirects_are_turned_back() {
    let (ajp, http) = (
        Peer::named("A"),
        http_peer::Peer::start(|conn, head| {
            let location = format!("http://{}/next", head.get("X-Own").unwrap_or_default());
            conn.answer("302 Found", &[("Location", &location)], b"")
        }),
    );
    let httpd = server("kinds-http", Front::Margay, Mpm::Event, GROWING).start();
    assert_all(&answers(&httpd, "", 2), "503");
    join(&httpd, &ajp.url(), "w_wr=A");
    join(&httpd, &http.url(), "w_wr=H");
    assert_all(&answers(&httpd, "JSESSIONID=s.A", 4), "A");
    let own = http.url().replace("http://", "");
    let headers = [("Cookie", "JSESSIONID=s.H"), ("X-Own", own.as_str())];
    let response = Client::new(httpd.address()).request("GET", "/x", &headers, b"").expect("a response");
    let expected = format!("http://{}/next", httpd.address());
    assert_eq!((response.status, response.header("Location")), (302, Some(expected.as_str())));
}

#[test]
fn a_member_behind_tls_joins_with_the_servers_settings() {
    let certificates = &*CERTIFICATES;
    let behind = Httpd::builder("kinds-tls-member")
        .module("ssl")
        .line("SSLEngine On")
        .line(format!("SSLCertificateFile {}", certificates.file("member.pem").display()))
        .line(format!("SSLCertificateKeyFile {}", certificates.file("member.key").display()))
        .start();
    fs::write(behind.prefix().join("htdocs/x"), "behind TLS").expect("a file to serve");
    let settings = format!(
        "SSLProxyEngine On\nSSLProxyVerify require\nSSLProxyCACertificateFile {}",
        certificates.file("ca.pem").display()
    );
    let httpd = server("kinds-tls", Front::Margay, Mpm::Event, &settings).module("ssl").line(GROWING).start();
    join(&httpd, &format!("https://localhost:{}", behind.address().port()), "");
    assert_all(&answers(&httpd, "", 4), "behind TLS");
}

#[test]
fn a_member_behind_a_unix_socket_joins() {
    let httpd = server("kinds-unix", Front::Margay, Mpm::Event, GROWING).start();
    let path = support::scratch_dir("kinds-unix-socket").join("app.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("for every user");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.extend(byte);
            }
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nunix");
        }
    });
    join(&httpd, &format!("unix:{}|http://localhost/", path.display()), "");
    assert_all(&answers(&httpd, "", 4), "unix");
}

#[test]
fn mod_status_has_a_row_for_who_joined_and_busy_is_counted() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let lines = "ProxyStatus On\n<Location /st>\nSetHandler server-status\n</Location>\nProxyPass /st !";
    let httpd =
        server("kinds-status", Front::Margay, Mpm::Event, lines).module("status").line(GROWING).start();
    join(&httpd, &a.url(), "w_wr=A");
    join(&httpd, &b.url(), "w_wr=B");
    b.set_script(|conn, _| {
        conn.wait_until_told();
        conn.answer(200, &[], &[b"B"])
    });
    let address = httpd.address();
    let waiting = std::thread::spawn(move || Client::new(address).get_with_cookie("/x", "JSESSIONID=s.B"));
    wait_until("one busy member", PATIENCE, || values(&xml(&httpd), "busy") == ["0", "1"]);
    let status = manage(&httpd, "GET", "/st?auto", "").text();
    for line in [
        format!("ProxyBalancer[0]Worker[1]Name: {}", b.url()),
        "ProxyBalancer[0]Worker[1]Busy: 1".to_owned(),
        "ProxyBalancer[0]Worker[1]Status: Init Ok ".to_owned(),
    ] {
        assert!(status.contains(&line), "{line}: {status}");
    }
    b.tell();
    assert_eq!(waiting.join().expect("the thread").expect("a response").status, 200);
    wait_until_idle(&httpd);
}

#[test]
fn who_joined_stays_when_a_configuration_cannot_be_used() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let httpd = server("kinds-bad-file", Front::Margay, Mpm::Event, GROWING).start();
    join(&httpd, &a.url(), "w_wr=A");
    httpd.rewrite(|lines| lines.push("ProxyPass /more balancer://c/ bogus=1".to_owned()));
    httpd.graceful();
    assert!(httpd.error_log().contains("MGY0905"), "{}", httpd.error_log());
    assert_all(&answers(&httpd, "JSESSIONID=s.A", 8), "A");
    join(&httpd, &b.url(), "w_wr=B");
    httpd.rewrite(|lines| lines.retain(|line| !line.contains("bogus")));
    httpd.graceful();
    assert_all(&answers(&httpd, "JSESSIONID=s.B", 8), "B");
    assert_all(&answers(&httpd, "JSESSIONID=s.A", 8), "A");
    httpd.assert_no_crash();
}

#[test]
fn members_join_under_load_without_a_failed_request_and_a_killed_child_takes_none_along() {
    let peers = ["A", "B", "C"].map(Peer::named);
    let httpd = server("kinds-load", Front::Margay, Mpm::Event, GROWING).start();
    join(&httpd, &peers[0].url(), "w_wr=A");
    let load = Load::start(4, httpd.address(), |client| expect_ok(client.get("/x")).map(|_| ()));
    for (peer, route) in peers[1..].iter().zip(["B", "C"]) {
        load.wait_for_more(50);
        join(&httpd, &peer.url(), &format!("w_wr={route}"));
        load.wait_for_more(50);
        httpd.graceful();
    }
    wait_until("requests for all", PATIENCE, || peers.iter().all(|peer| peer.requests() > 10));
    let outcome = load.stop();
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);

    let killed = httpd.children();
    killed.iter().for_each(|child| process::signal(*child, Signal::SIGKILL));
    wait_until("new children", PATIENCE, || {
        let now = httpd.children();
        !now.is_empty() && now.iter().all(|child| !killed.contains(child))
    });
    assert_all(&answers(&httpd, "JSESSIONID=s.C", 8), "C");
    assert_all(&answers(&httpd, "JSESSIONID=s.B", 8), "B");
    wait_until_idle(&httpd);
}
