// SPDX-License-Identifier: Apache-2.0
//! The recorded requests of mod_jk, byte for byte: what the web server knows goes in, what the container reads comes out.

use std::collections::VecDeque;
use std::io::Read;
use std::time::Duration;

use margay::config::Plan;
use margay::config::jk::plan::{Activation, RuleExtensions};
use margay::config::plan::MemberId;
use margay::proxy::Outcome;
use margay::proxy::jk::JkVariables;
use margay::wire::ajp::BodyLength;
use serde_json::Value;

use crate::ajp_peer::Peer;
use crate::ajp_request::{self, Attribute, Request, payloads};
use crate::exchange::{BodyEnd, Ends, FakeExchange, TlsText};
use crate::stage::{Ask, Stage, jk};

fn read(file: &str) -> Vec<u8> {
    let path = crate::source_dir().join("tests/vectors/ajp").join(file);
    let raw = std::fs::read(path).expect(file);
    if !file.ends_with(".gz") {
        return raw;
    }
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&raw[..]).read_to_end(&mut bytes).expect(file);
    bytes
}

fn text(request: &Request, name: &str) -> Option<Vec<u8>> {
    request.attributes.iter().find_map(|attribute| match attribute {
        Attribute::Text(known, value) if *known == name => Some(value.clone()),
        _ => None,
    })
}

/// The named attributes: those of the front, and those of `JkEnvVar`.
fn pairs(request: &Request) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pair = |attribute: &Attribute| match attribute {
        Attribute::Pair(name, value) => Some((name.clone(), value.clone())),
        _ => None,
    };
    request.attributes.iter().filter_map(pair).collect()
}

fn header<'r>(request: &'r Request, name: &str) -> Option<&'r [u8]> {
    let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|header| &header.value[..])
}

/// The client's body: all data of the capture. `None`: the length was not announced.
fn length(request: &Request, is_ignored: bool) -> BodyLength {
    match header(request, "content-length") {
        _ if is_ignored => BodyLength::Known(1),
        // mod_jk adds this to requests without a body.
        Some(b"0") => BodyLength::None,
        Some(length) => BodyLength::Known(std::str::from_utf8(length).unwrap().parse().unwrap()),
        None => BodyLength::Chunked,
    }
}

/// The web server's side of a captured request.
fn client(request: &Request, body: Vec<u8>, is_ignored: bool) -> FakeExchange {
    let mut exchange = FakeExchange::new(std::str::from_utf8(&request.method).unwrap());
    exchange.headers = request
        .headers
        .iter()
        .filter(|header| !(header.is_coded && header.name == b"content-length" && header.value == b"0"))
        .map(|header| (header.name.clone(), header.value.clone()))
        .collect();
    exchange.length = length(request, is_ignored);
    exchange.coming = VecDeque::from([body]);
    exchange.end = BodyEnd::Apart;
    exchange.protocol.clone_from(&request.protocol);
    exchange.query = text(request, "query_string");
    exchange.user = text(request, "remote_user");
    let mut named = pairs(request);
    let mut take = |name: &str| {
        let at = named.iter().position(|(known, _)| known == name.as_bytes())?;
        Some(named.remove(at).1)
    };
    let protocol = take("AJP_SSL_PROTOCOL");
    take("JK_LB_ACTIVATION").expect("in each request");
    exchange.ends = Ends {
        remote_addr: request.remote_addr.clone(),
        remote_host: request.remote_host.clone(),
        remote_port: take("AJP_REMOTE_PORT").unwrap(),
        local_addr: take("AJP_LOCAL_ADDR").unwrap(),
        server_name: request.server_name.clone(),
        server_port: request.server_port,
        auth_type: text(request, "auth_type"),
    };
    let key_size = request.attributes.iter().find_map(|attribute| match attribute {
        Attribute::KeySize(bits) => Some(*bits),
        _ => None,
    });
    exchange.tls = (request.is_ssl == 1).then(|| TlsText {
        certificate: text(request, "ssl_cert"),
        cipher: text(request, "ssl_cipher"),
        session: text(request, "ssl_session"),
        key_size,
        protocol,
    });
    exchange.attributes = named;
    exchange
}

/// A container that asks for what was recorded.
fn peer() -> Peer {
    Peer::start(|conn, head| {
        conn.read_body(head, if head.uri.starts_with("/big") { 65530 } else { 8186 })?;
        conn.answer(200, &[], &[b"ok"])
    })
}

fn replay(case: &Value) {
    let file = case["file"].as_str().unwrap();
    let capture = read(file);
    let packets = payloads(&capture);
    let is_head = |payload: &&[u8]| payload.first() == Some(&2) && payload.len() > 90;
    let heads: Vec<Request> = packets.iter().copied().filter(is_head).map(ajp_request::parse).collect();
    let body: Vec<u8> = packets
        .iter()
        .filter(|payload| !is_head(payload) && payload.len() > 2)
        .flat_map(|payload| payload[2..].iter().copied())
        .collect();
    let peer = peer();
    let uri = String::from_utf8(heads[0].uri.clone()).expect(file);
    let route = text(&heads[0], "jvm_route");
    let is_pinged = packets.contains(&&[0x0A][..]);
    let edit = |plan: &mut Plan| {
        if let Some(secret) = text(&heads[0], "secret") {
            plan.members[0].secret = String::from_utf8(secret).unwrap();
        }
        if let Some(route) = &route {
            plan.members[0].route = String::from_utf8(route.clone()).unwrap();
        }
        if uri.starts_with("/big") {
            jk(plan, 0).packet_size = 65536;
        }
        if is_pinged {
            jk(plan, 0).connect_ping = Some(Duration::from_secs(10));
            jk(plan, 0).prepost_ping = Some(Duration::from_secs(10));
        }
    };
    let stage = match route {
        Some(_) => Stage::balanced(&[&peer], edit),
        None => Stage::alone(&peer, edit),
    };
    for head in &heads {
        let activation = pairs(head).into_iter().find(|(name, _)| name == b"JK_LB_ACTIVATION").unwrap().1;
        let disabled = (activation == b"DIS").then_some((MemberId(0), Activation::Disabled));
        let is_ignored = case["n"] == 53;
        let ask = Ask {
            extensions: RuleExtensions { activation: disabled.into_iter().collect(), ..Default::default() },
            variables: JkVariables { ignore_content_length: is_ignored, ..Default::default() },
            ..Ask::default()
        };
        let mut exchange = client(head, body.clone(), is_ignored);
        let uri = std::str::from_utf8(&head.uri).expect(file);
        let outcome = stage.ask(uri, &ask, &mut exchange);
        assert_eq!(outcome, Outcome::Done, "{file}: {:?}", exchange.lines());
    }
    assert!(peer.record() == capture, "{file}:\n{:x?}\n{:x?}", peer.record(), capture);
}

#[test]
fn containers_read_what_mod_jk_sent_them() {
    let index: Vec<Value> = serde_json::from_slice(&read("mod_jk/index.json")).unwrap();
    let mut compared = 0;
    for case in index.iter().filter(|case| case["file"].is_string()) {
        replay(case);
        compared += 1;
    }
    assert_eq!(compared, 67);
}
