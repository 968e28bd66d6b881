// SPDX-License-Identifier: Apache-2.0
//! Real HTTP requests through httpd produce, byte for byte, the AJP messages that were recorded from mod_proxy_ajp.

#[path = "support/ajp_request.rs"]
mod ajp_request;
mod support;

use std::collections::HashMap;
use std::time::Duration;

use ajp_request::Attribute;
use serde::Deserialize;
use support::ajp_peer::{After, Conn, Peer};
use support::ajp_text::{self, Head};
use support::client::Client;
use support::httpd::{Httpd, free_port};
use support::tls::Certificates;
use support::vector;

/// One line of the index of captures.
#[derive(Deserialize)]
struct Case {
    n: u32,
    name: String,
    http: String,
    client_port: u16,
    server_port: u16,
    #[serde(default)]
    file: Option<String>,
    client_status: String,
    #[serde(default)]
    packets: Vec<usize>,
    /// Version of TLS.
    #[serde(default)]
    tls: Option<String>,
    /// Did the client show a certificate?
    #[serde(default)]
    client_cert: bool,
}

/// The recorded cases, with or without TLS.
fn cases(tls: bool) -> Vec<Case> {
    let index = vector("mod_proxy_ajp/index.json").expect("the index of captures");
    let cases: Vec<Case> = serde_json::from_slice(&index).expect("a list of cases");
    cases.into_iter().filter(|case| case.tls.is_some() == tls).collect()
}

/// Does what the recorder did: asks for the whole body, answers `ok`, and ends the connection after `last` requests.
fn record(conn: &mut Conn, head: &Head, last: bool) -> std::io::Result<After> {
    let size = if head.uri.starts_with("/big") { 65530 } else { 8186 };
    conn.read_body(head, size)?;
    let mut bytes = ajp_text::headers_packet(200, &[("Content-Type", "text/plain"), ("Content-Length", "2")]);
    bytes.extend_from_slice(&ajp_text::chunk_packet(b"ok"));
    bytes.extend_from_slice(&ajp_text::end_packet(!last));
    conn.send(&bytes)?;
    Ok(if last { After::Close } else { After::Keep })
}

/// httpd configured as for the captures, and the port that stands for each recorded one.
struct Site {
    httpd: Httpd,
    peer: Peer,
    ports: HashMap<u16, u16>,
}

fn start() -> Site {
    let peer = Peer::start(|conn, head| record(conn, head, !head.uri.ends_with("/first")));
    let builder = Httpd::builder("golden");
    let ports = HashMap::from([(18081, builder.port()), (18083, free_port()), (18087, free_port())]);
    let url = peer.url();
    let passwords = support::source_dir().join("tests/vectors/ajp/htpasswd");
    let httpd = builder
        .module("setenvif")
        .module("auth_basic")
        .module("authn_core")
        .module("authn_file")
        .module("authz_user")
        .line("ServerName www.example.test\nAllowEncodedSlashes NoDecode\nUseCanonicalName Off\nKeepAlive On")
        .line("LimitRequestFieldSize 65536\nLimitRequestFields 500\nLimitRequestLine 65536")
        .line(format!("Listen 127.0.0.1:{}\nListen 127.0.0.1:{}", ports[&18083], ports[&18087]))
        .line("SetEnvIf Request_URI ^/rec/env AJP_APP_MODE=production")
        .line(format!("ProxyPass /rec {url}/rec"))
        .line(format!("ProxyPass /sec {url}/sec secret=s3cr3t-Vector"))
        .line(format!("ProxyPass /cp {url}/cp ping=2"))
        .line(format!("ProxyPass /big {url}/big iobuffersize=65536"))
        .line("ProxyPass /lb balancer://lb/lb stickysession=JSESSIONID|jsessionid scolonpathdelim=On")
        .line(format!("<Proxy balancer://lb>\n  BalancerMember {url} route=node1\n</Proxy>"))
        .line("<Location /rec/auth>\n  AuthType Basic\n  AuthName vec")
        .line(format!("  AuthUserFile {}\n  Require valid-user\n</Location>", passwords.display()))
        .line(format!("<VirtualHost 127.0.0.1:{}>\n  AllowEncodedSlashes Off", ports[&18083]))
        .line(format!("  ServerName www.example.test\n  ProxyPass /rec {url}/rec\n</VirtualHost>"))
        .line(format!("<VirtualHost 127.0.0.1:{}>\n  AllowEncodedSlashes NoDecode", ports[&18087]))
        .line(format!("  ServerName www.example.test\n  ProxyPass /rec {url}/rec nocanon\n</VirtualHost>"))
        .start();
    Site { httpd, peer, ports }
}

impl Site {
    /// The case whose capture says what is expected. Stock refuses a decoded `%` where encoded slashes are kept; ours is
    /// forwarded as `%25`, which is what the client meant, and what stock does elsewhere.
    fn recorded<'c>(&self, case: &'c Case, cases: &'c [Case]) -> &'c Case {
        match case.name == "get-path-percent-nodecode" && self.httpd.front().is_margay() {
            true => cases.iter().find(|other| other.name == "get-path-percent").expect("the same request"),
            false => case,
        }
    }

    /// Sends the recorded request and gives back what arrived at the node.
    fn play(&self, case: &Case, recorded: &Case) -> (Vec<u8>, u16) {
        self.peer.close_connections();
        self.peer.forget();
        let port = self.ports[&case.server_port];
        let mut client = Client::new(([127, 0, 0, 1], port).into()).limit(Duration::from_secs(20));
        client.send_raw(&vector(&case.http).expect("the request")).expect("sent");
        let local = client.local_port().expect("connected");
        if let Some(body) = vector(&case.http.replace(".http", ".body")) {
            client.read_continue().expect("the invitation to send the body");
            client.send_raw(&body).expect("sent");
        }
        let method = if case.name == "head" { "HEAD" } else { "GET" };
        let answers = if case.name.starts_with("keepalive") { 2 } else { 1 };
        for _ in 0..answers {
            let response = client.read_response(method).expect("a response");
            let status = recorded.client_status.split(' ').nth(1).expect("a status");
            let status = if status == "100" { "200" } else { status };
            assert_eq!(response.status.to_string(), status, "{}", case.name);
        }
        (self.peer.record(), local)
    }

    /// The recorded bytes with the ports of this run in place of those of the recording.
    fn expected(&self, case: &Case, recorded: &Case, local: u16) -> Vec<u8> {
        let Some(file) = &recorded.file else { return Vec::new() };
        let bytes = vector(file).expect("the capture");
        let patched =
            packets(&bytes).into_iter().map(|packet| self.patch(packet.to_vec(), case, recorded, local));
        patched.collect::<Vec<_>>().concat()
    }

    fn patch(&self, mut packet: Vec<u8>, case: &Case, recorded: &Case, local: u16) -> Vec<u8> {
        let Some(head) = ajp_text::parse_head(&packet) else { return packet };
        if head.server_port == recorded.server_port {
            let port = self.ports[&case.server_port].to_be_bytes();
            packet[head.server_port_at..][..2].copy_from_slice(&port);
        }
        let name = b"AJP_REMOTE_PORT\0\0\x05";
        if let Some(at) = packet.windows(name.len()).position(|window| window == name) {
            let digits = local.to_string();
            assert_eq!(digits.len(), 5, "ports of clients have five digits here");
            assert_eq!(&packet[at + name.len()..][..5], recorded.client_port.to_string().as_bytes());
            packet[at + name.len()..][..5].copy_from_slice(digits.as_bytes());
        }
        packet
    }
}

/// The packets of a recording.
fn packets(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while bytes.len() >= 4 {
        let length = 4 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        let (packet, rest) = bytes.split_at(length.min(bytes.len()));
        found.push(packet);
        bytes = rest;
    }
    found
}

/// The head, the body put together, and how it ended: how a streamed body is cut into packets depends on timing.
fn without_cuts(bytes: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let packets = packets(bytes);
    let (head, body) = packets.split_first().map_or((&[][..], &[][..]), |(head, body)| (*head, body));
    let (end, data) = body.split_last().map_or((&[][..], &[][..]), |(end, data)| (*end, data));
    let data = data.iter().flat_map(|packet| packet.get(6..).unwrap_or_default());
    (head.to_vec(), data.copied().collect(), end.to_vec())
}

#[test]
fn recorded_requests_produce_the_recorded_bytes() {
    let site = start();
    let mut differing = Vec::new();
    let cases = cases(false);
    for case in &cases {
        let recorded = site.recorded(case, &cases);
        let (received, local) = site.play(case, recorded);
        let expected = site.expected(case, recorded, local);
        let same = match case.name.contains("chunked") {
            true => without_cuts(&received) == without_cuts(&expected),
            false => received == expected,
        };
        if !same {
            let lengths = |bytes: &[u8]| packets(bytes).iter().map(|packet| packet.len()).collect::<Vec<_>>();
            differing.push(format!(
                "{:02} {}: packets {:?} in place of {:?}{}",
                case.n,
                case.name,
                lengths(&received),
                recorded.packets,
                first_difference(&received, &expected)
            ));
        }
    }
    assert!(cases.len() > 55, "only {} cases", cases.len());
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    site.httpd.assert_no_crash();
}

fn first_difference(received: &[u8], expected: &[u8]) -> String {
    let at = received.iter().zip(expected).position(|(left, right)| left != right);
    let at = at.unwrap_or(received.len().min(expected.len()));
    let around = |bytes: &[u8]| {
        let part = &bytes[at.saturating_sub(16).min(bytes.len())..(at + 24).min(bytes.len())];
        String::from_utf8_lossy(part).escape_debug().to_string()
    };
    format!("\n    at byte {at}: {}\n    recorded:     {}", around(received), around(expected))
}

/// What must be the same in both: all but ports, session ids and the text of the client's certificate, for which its
/// place is kept.
fn comparable(packet: &[u8], certificate: &str) -> ajp_request::Request {
    let mut request = ajp_request::parse(ajp_request::payloads(packet)[0]);
    request.server_port = 0;
    for attribute in &mut request.attributes {
        match attribute {
            Attribute::Text("ssl_session", id) => {
                assert!(!id.is_empty() && id.iter().all(u8::is_ascii_hexdigit), "{}", id.escape_ascii());
                id.clear();
            }
            Attribute::Text("ssl_cert", text) => {
                assert_eq!(String::from_utf8_lossy(text), certificate);
                text.clear();
            }
            Attribute::Pair(name, value) if name == b"AJP_REMOTE_PORT" => value.clear(),
            _ => {}
        }
    }
    request
}

#[test]
fn recorded_tls_requests_produce_the_recorded_attributes() {
    let peer = Peer::start(|conn, head| record(conn, head, false));
    let certificates = Certificates::make();
    let port = free_port();
    let httpd = Httpd::builder("golden-tls")
        .module("ssl")
        .line(format!(
            "Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\n  ServerName www.example.test"
        ))
        .line("  UseCanonicalName Off\n  SSLEngine on\n  SSLVerifyClient optional")
        .line(format!("  SSLCertificateFile {}", certificates.file("server.pem").display()))
        .line(format!("  SSLCertificateKeyFile {}", certificates.file("server.key").display()))
        .line(format!("  SSLCACertificateFile {}", certificates.file("ca.pem").display()))
        .line(format!("  ProxyPass /rec {}/rec\n</VirtualHost>", peer.url()))
        .start();
    let cases = cases(true);
    assert_eq!(cases.len(), 4);
    let recorded_certificate = vector("certs/client.pem").expect("the recorded client's certificate");
    let recorded_certificate = String::from_utf8(recorded_certificate).expect("text");
    for case in cases {
        peer.forget();
        let request = vector(&case.http).expect("the request");
        let version = case.tls.as_deref().expect("a case with TLS");
        certificates.ask(port, version, case.client_cert, &request, b"\r\nok");
        let recorded = vector(case.file.as_deref().expect("a capture")).expect("the capture");
        let received = comparable(&peer.record(), &certificates.client_pem());
        assert_eq!(received, comparable(&recorded, &recorded_certificate), "{}", case.name);
        assert_eq!(received.is_ssl, 1);
    }
    httpd.assert_no_crash();
}
