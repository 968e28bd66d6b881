// SPDX-License-Identifier: Apache-2.0
//! Members behind TLS: a second httpd with mod_ssl, and the SSLProxy directives in front of it.

mod support;

use std::fs;
use std::sync::LazyLock;

use support::client::{Client, Response};
use support::httpd::{Builder, Httpd};
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

/// What mod_ssl and we say of a handshake that is meant to fail.
const REFUSED: &[&str] = &["MGY3010", "ssl:", "MGY2005", "proxy:"];

#[test]
fn a_member_behind_tls_answers_over_one_kept_connection() {
    let behind = Behind::start("tls-kept-member", &[]);
    let httpd = front("tls-kept")
        .line("SSLProxyEngine On")
        .line("SSLProxyVerify require")
        .line(ca())
        .line(format!("ProxyPass / {}/", behind.url()))
        .start();
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
    httpd.assert_no_unexpected(&[]);
}
