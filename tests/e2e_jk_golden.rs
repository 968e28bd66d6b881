// SPDX-License-Identifier: Apache-2.0
//! Real HTTP requests through httpd produce, byte for byte, the AJP messages that were recorded from mod_jk.

#[path = "support/ajp_request.rs"]
mod ajp_request;
mod support;

use std::collections::HashMap;
use std::time::Duration;

use ajp_request::Attribute;
use serde::Deserialize;
use serde_json::Value;
use support::ajp_peer::{After, Conn, Peer};
use support::ajp_text::{self, Head};
use support::client::Client;
use support::httpd::{Builder, Httpd, free_port};
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
    /// Did the client show a certificate, or a chain of them (`"chain"`)?
    #[serde(default)]
    client_cert: Value,
}

/// The recorded cases, with or without TLS.
fn cases(tls: bool) -> Vec<Case> {
    let index = vector("mod_jk/index.json").expect("the index of captures");
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

/// The workers and rules of the recording.
fn recorded_lines(builder: Builder, peer: &Peer) -> Builder {
    let passwords = support::source_dir().join("tests/vectors/ajp/htpasswd");
    let properties = [
        "list=rec,recsecret,reclb,reccping,recbig".to_owned(),
        "t.type=ajp13\nt.host=127.0.0.1".to_owned(),
        format!("t.port={}", peer.port()),
        "rec.reference=worker.t\nrecsecret.reference=worker.t\nrecsecret.secret=s3cr3t-Vector".to_owned(),
        "reccping.reference=worker.t\nreccping.ping_mode=A".to_owned(),
        "recbig.reference=worker.t\nrecbig.max_packet_size=65536".to_owned(),
        "node1.reference=worker.t\nreclb.type=lb\nreclb.balance_workers=node1".to_owned(),
    ];
    let builder = properties
        .iter()
        .flat_map(|text| text.lines())
        .fold(builder, |builder, line| builder.line(format!("JkWorkerProperty worker.{line}")));
    ["setenvif", "env", "auth_basic", "authn_core", "authn_file", "authz_user"]
        .into_iter()
        .fold(builder, Builder::module)
        .line("ServerName www.example.test\nAllowEncodedSlashes NoDecode\nUseCanonicalName Off\nKeepAlive On")
        .line("LimitRequestFieldSize 65536\nLimitRequestFields 500\nLimitRequestLine 65536")
        .line("JkLogFile run/jk.log\nJkShmFile run/jk-shm\nJkEnvVar APP_MODE\nJkEnvVar APP_DEFAULT fallback")
        .line("JkMountCopy All\nJkMount /rec|/* rec\nJkMount /sec|/* recsecret\nJkMount /lb|/* reclb")
        .line("JkMount /lbdis|/* reclb;disabled=node1\nJkMount /cp|/* reccping\nJkMount /big|/* recbig")
        .line("SetEnvIf Request_URI ^/rec/env APP_MODE=production\nSetEnvIf Request_URI ^/rec/igncl JK_IGNORE_CL=1")
        // The recording has paths that mod_jk encoded twice.
        .line("SetEnvIf Request_URI . margay-jk-uri=1")
        .line("<Location /rec/ind>\nSetEnv JK_REMOTE_ADDR 203.0.113.9\nSetEnv JK_REMOTE_PORT 4711")
        .line("SetEnv JK_REMOTE_HOST client.example.test\nSetEnv JK_REMOTE_USER bob\nSetEnv JK_AUTH_TYPE Custom")
        .line("SetEnv JK_LOCAL_NAME public.example.test\nSetEnv JK_LOCAL_ADDR 192.0.2.1\nSetEnv JK_LOCAL_PORT 8443")
        .line("</Location>\n<Location /rec/auth>\nAuthType Basic\nAuthName vec")
        .line(format!("AuthUserFile {}\nRequire valid-user\n</Location>", passwords.display()))
}

/// httpd configured as for the captures, and the port that stands for each recorded one.
struct Site {
    httpd: Httpd,
    peer: Peer,
    ports: HashMap<u16, u16>,
}

fn start() -> Site {
    let peer = Peer::start(|conn, head| record(conn, head, !head.uri.ends_with("/first")));
    let builder = Httpd::builder("jk-golden");
    let mut ports = HashMap::from([(18080, builder.port())]);
    let mut builder = recorded_lines(builder, &peer);
    for (port, slashes, lines) in [
        (18082, "Off", ""),
        (18084, "NoDecode", "JkOptions +ForwardURICompat"),
        (18085, "NoDecode", "JkOptions +ForwardURICompatUnparsed"),
        (18086, "NoDecode", "JkOptions +ForwardURIEscaped"),
    ] {
        let own = free_port();
        ports.insert(port, own);
        builder = builder.line(format!(
            "Listen 127.0.0.1:{own}\n<VirtualHost 127.0.0.1:{own}>\nAllowEncodedSlashes {slashes}\n\
             ServerName www.example.test\n{lines}\n</VirtualHost>"
        ));
    }
    Site { httpd: builder.start(), peer, ports }
}

impl Site {
    /// Sends the recorded request and gives back what arrived at the container.
    fn play(&self, case: &Case) -> (Vec<u8>, u16) {
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
            let status = case.client_status.split(' ').nth(1).expect("a status");
            let status = if status == "100" { "200" } else { status };
            assert_eq!(response.status.to_string(), status, "{}", case.name);
        }
        (self.peer.record(), local)
    }
}

/// The recorded bytes with the client's port of this run in place of that of the recording.
fn expected(case: &Case, local: u16) -> Vec<u8> {
    let Some(file) = &case.file else { return Vec::new() };
    let mut bytes = vector(file).expect("the capture");
    let name = b"AJP_REMOTE_PORT\0\0\x05";
    let recorded = case.client_port.to_string();
    let places: Vec<usize> =
        (0..bytes.len().saturating_sub(name.len())).filter(|at| bytes[*at..].starts_with(name)).collect();
    for at in places {
        let digits = local.to_string();
        assert_eq!(digits.len(), 5, "ports of clients have five digits here");
        if bytes[at + name.len()..][..5] == *recorded.as_bytes() {
            bytes[at + name.len()..][..5].copy_from_slice(digits.as_bytes());
        }
    }
    bytes
}

#[test]
fn recorded_requests_produce_the_recorded_bytes() {
    let site = start();
    let mut differing = Vec::new();
    let cases = cases(false);
    for case in &cases {
        let (received, local) = site.play(case);
        let expected = expected(case, local);
        if received != expected {
            differing.push(format!(
                "{:02} {}: {} bytes in place of {:?}{}",
                case.n,
                case.name,
                received.len(),
                case.packets,
                first_difference(&received, &expected)
            ));
        }
    }
    assert!(cases.len() > 60, "only {} cases", cases.len());
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

/// What must be the same in both: all but ports, session ids and the text of certificates, for which their number is kept.
fn comparable(packet: &[u8]) -> ajp_request::Request {
    let mut request = ajp_request::parse(ajp_request::payloads(packet)[0]);
    for attribute in &mut request.attributes {
        match attribute {
            Attribute::Text("ssl_session", id) => {
                assert!(!id.is_empty() && id.iter().all(u8::is_ascii_hexdigit), "{}", id.escape_ascii());
                id.clear();
            }
            Attribute::Text("ssl_cert", text) => {
                let ends = String::from_utf8_lossy(text).matches("-----END CERTIFICATE-----\n").count();
                *text = vec![b'c'; ends];
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
    let mut builder = recorded_lines(Httpd::builder("jk-golden-tls").module("ssl"), &peer);
    let mut ports = HashMap::new();
    for (port, lines) in [(18443, "JkMountCopy On"), (18445, "JkOptions +ForwardSSLCertChain")] {
        let own = free_port();
        ports.insert(port, own);
        builder = builder
            .line(format!("Listen 127.0.0.1:{own}\n<VirtualHost 127.0.0.1:{own}>"))
            .line("ServerName www.example.test\nSSLEngine on\nSSLVerifyClient optional\nUseCanonicalName Off")
            .line(format!("SSLCertificateFile {}", certificates.file("server.pem").display()))
            .line(format!("SSLCertificateKeyFile {}", certificates.file("server.key").display()))
            .line(format!("SSLCACertificateFile {}", certificates.file("ca.pem").display()))
            .line(format!("SSLOptions +StdEnvVars +ExportCertData\n{lines}\n</VirtualHost>"));
    }
    let httpd = builder.start();
    let cases = cases(true);
    assert_eq!(cases.len(), 5);
    for case in cases {
        peer.forget();
        let request = vector(&case.http).expect("the request");
        let version = case.tls.as_deref().expect("a case with TLS");
        let shows = match &case.client_cert {
            Value::Bool(shows) => *shows,
            _ => true,
        };
        let chain = (case.client_cert == "chain").then(|| certificates.file("ca.pem"));
        let port = ports[&case.server_port];
        certificates.ask_with_chain(port, version, shows, chain.as_deref(), &request, b"\r\nok");
        let recorded = vector(case.file.as_deref().expect("a capture")).expect("the capture");
        assert_eq!(comparable(&peer.record()), comparable(&recorded), "{}", case.name);
    }
    httpd.assert_no_crash();
}
