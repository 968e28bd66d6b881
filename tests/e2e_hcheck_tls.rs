// SPDX-License-Identifier: Apache-2.0
//! Health checks inside TLS: by the SSLProxy directives of the server and the section, without a request.

mod support;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use support::client::Client;
use support::httpd::{Builder, Front, Httpd, Mpm};
use support::tls::Certificates;
use support::{PATIENCE, wait_until};

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(Certificates::for_members);

/// What mod_ssl says at the start of any server.
const INIT: &[&str] = &["AH01882", "AH01873"];

/// A member with TLS that serves a file, and notes what it is asked.
struct Behind(Httpd);

impl Behind {
    fn start(name: &str, lines: &[&str]) -> Behind {
        let file = |name: &str| CERTIFICATES.file(name).display().to_string();
        let mut builder = Httpd::builder(name)
            .front(Front::Margay)
            .module("ssl")
            .line("SSLEngine On")
            .line(format!("SSLCertificateFile {}", file("member.pem")))
            .line(format!("SSLCertificateKeyFile {}", file("member.key")))
            .line(format!("SSLCACertificateFile {}", file("ca.pem")))
            .line(r#"CustomLog tls.log "sni=%{SSL_TLS_SNI}x client=%{SSL_CLIENT_S_DN_CN}x host=%{Host}i %r %s""#);
        for line in lines {
            builder = builder.line(*line);
        }
        let httpd = builder.start();
        fs::write(httpd.prefix().join("htdocs/file.txt"), "up").expect("a file to serve");
        Behind(httpd)
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.0.address().port())
    }

    fn notes(&self) -> String {
        fs::read_to_string(self.0.prefix().join("tls.log")).unwrap_or_default()
    }
}

fn front(name: &str) -> Builder {
    Httpd::builder(name).front(Front::Margay).module("ssl")
}

/// The section of a balancer with one member.
fn cluster(member: &str, words: &str, ca: &str) -> String {
    format!(
        "<Proxy balancer://c>\nBalancerMember {member} hcinterval=100ms {words}\nSSLProxyEngine On\nSSLProxyVerify require\n\
         SSLProxyCACertificateFile {}\n</Proxy>\nProxyPass / balancer://c/",
        CERTIFICATES.file(ca).display()
    )
}

fn status(httpd: &Httpd) -> u16 {
    Client::new(httpd.address()).get("/file.txt").expect("a response").status
}

#[test]
fn a_member_is_asked_inside_tls_as_its_section_says() {
    for mpm in Mpm::ALL {
        let behind = Behind::start("hctls-member", &["SSLVerifyClient require"]);
        let url = behind.url("localhost");
        let machine = CERTIFICATES.file("machine.pem");
        let lines = cluster(&url, "hcmethod=GET hcuri=/file.txt hcexpr=up", "ca.pem").replace(
            "SSLProxyVerify require",
            &format!("SSLProxyVerify require\nSSLProxyMachineCertificateFile {}", machine.display()),
        );
        let httpd =
            front("hctls-good").mpm(mpm).line("ProxyHCExpr up {hc('body') =~ /^up/}").line(lines).start();
        assert!(httpd.check().ok && !httpd.check().text.contains("MGY03"), "{}", httpd.check().text);
        let asked = format!(
            "sni=localhost client=client.example.test host=localhost:{} GET /file.txt HTTP/1.0 200",
            behind.0.address().port()
        );
        wait_until("checks arrive", PATIENCE, || behind.notes().matches(&asked).count() >= 3);
        assert_eq!(status(&httpd), 200, "{mpm:?}");
        fs::write(behind.0.prefix().join("htdocs/file.txt"), "down").expect("a file");
        wait_until("the member is out", PATIENCE, || status(&httpd) == 503);
        assert!(httpd.error_log().contains("hcexpr=up does not hold"), "{}", httpd.error_log());
        fs::write(behind.0.prefix().join("htdocs/file.txt"), "up again").expect("a file");
        wait_until("the member is back", PATIENCE, || status(&httpd) == 200);
        httpd.graceful();
        let before = behind.notes().matches(&asked).count();
        wait_until("the next generation checks", PATIENCE, || {
            behind.notes().matches(&asked).count() > before
        });
        assert!(httpd.stop(), "{mpm:?}");
        httpd.assert_no_crash();
        let expected = ["MGY3301", "MGY3302", "AH01170", "MGY2002"];
        httpd.assert_no_unexpected(&[INIT, &expected].concat());
    }
}

#[test]
fn a_wrong_name_or_an_unknown_authority_takes_the_member_out() {
    let behind = Behind::start("hctls-strict-member", &[]);
    for (what, url, ca) in
        [("name", behind.url("127.0.0.1"), "ca.pem"), ("authority", behind.url("localhost"), "server.pem")]
    {
        let httpd = front("hctls-refused").line(cluster(&url, "hcmethod=OPTIONS", ca)).start();
        wait_until("the member is out", PATIENCE, || httpd.error_log().contains("MGY3301"));
        let log = httpd.error_log();
        let line = log.lines().find(|line| line.contains("MGY3301")).expect("the line");
        assert!(line.contains(&url) && line.contains("TLS handshake failed"), "{what}: {line}");
        assert_eq!(status(&httpd), 503, "{what}");
        httpd.assert_no_crash();
    }
    assert!(!behind.notes().contains("OPTIONS"), "nothing was asked: {}", behind.notes());
}

#[test]
fn without_its_engine_tls_is_not_tried() {
    let behind = Behind::start("hctls-off-member", &[]);
    let url = behind.url("localhost");
    let section = |words: &str| {
        format!("<Proxy balancer://c>\nBalancerMember {url} hcinterval=100ms {words}\n</Proxy>")
    };
    let httpd = front("hctls-off").line(section("hcmethod=HEAD")).start();
    wait_until("the member is out", PATIENCE, || httpd.error_log().contains("MGY3301"));
    assert!(httpd.error_log().contains("write SSLProxyEngine On"), "{}", httpd.error_log());
}

#[test]
fn tcp_only_connects() {
    let plain = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://localhost:{}", plain.local_addr().expect("its number").port());
    let httpd = front("hctls-tcp").line(cluster(&url, "hcmethod=TCP", "ca.pem")).start();
    for _ in 0..3 {
        let (mut check, _) = plain.accept().expect("a check");
        let mut said = Vec::new();
        check.read_to_end(&mut said).expect("the end of the connection");
        assert_eq!(said, b"", "a check by TCP says nothing");
    }
    assert!(!httpd.error_log().contains("MGY3301"), "{}", httpd.error_log());
}

#[test]
fn a_stop_does_not_wait_for_a_silent_member() {
    for mpm in Mpm::ALL {
        // Connections are taken by the system, and nobody ever answers.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("https://localhost:{}", silent.local_addr().expect("its number").port());
        let lines = cluster(&url, "hcmethod=GET timeout=600", "ca.pem");
        let httpd = front("hctls-silent").mpm(mpm).line(lines).start();
        silent.accept().expect("a check");
        let start = Instant::now();
        assert!(httpd.stop(), "{mpm:?}: httpd had to be killed");
        assert!(start.elapsed() < Duration::from_secs(20), "{mpm:?}: {:?}", start.elapsed());
        httpd.assert_no_crash();
    }
}
