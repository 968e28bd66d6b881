// SPDX-License-Identifier: Apache-2.0
//! The AJP room against recorded traffic: requests byte for byte, answers event by event.

use std::io::Read;
use std::path::PathBuf;

use margay::wire::ajp::{
    BodyLength, CPING, DecodeError, Decoded, Decoder, Dialect, EMPTY_BODY_PACKET, EncodeError,
    ForwardRequest, Message, RequestLine, body_packet_header, decode_cpong, max_body,
};
use serde_json::Value;

#[path = "support/ajp_request.rs"]
mod ajp_request;
use ajp_request::{Attribute, Header, Request, payloads};

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/ajp")
}

fn read(file: &str) -> Vec<u8> {
    let raw = std::fs::read(vectors().join(file)).expect(file);
    if !file.ends_with(".gz") {
        return raw;
    }
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&raw[..]).read_to_end(&mut bytes).expect(file);
    bytes
}

fn index(file: &str) -> Vec<Value> {
    serde_json::from_slice(&read(file)).expect(file)
}

// ---- Requests ----

/// Encodes what the independent reader saw, with the names of coded headers in another letter case.
fn encode(
    dialect: Dialect,
    packet_size: usize,
    request: &Request,
    buf: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let line = RequestLine {
        method: &request.method,
        protocol: &request.protocol,
        uri: &request.uri,
        remote_addr: &request.remote_addr,
        remote_host: request.remote_host.as_deref(),
        server_name: &request.server_name,
        server_port: request.server_port,
        is_ssl: request.is_ssl == 1,
    };
    let mut packet = ForwardRequest::begin_in(dialect, buf, packet_size, &line);
    packet.body(body_length(request));
    for header in client_headers(dialect, request) {
        if header.is_coded {
            packet.header(&header.name.to_ascii_uppercase(), &header.value);
        } else {
            packet.header(&header.name, &header.value);
        }
    }
    for attribute in &request.attributes {
        match attribute {
            Attribute::Text("secret", value) => packet.secret(value),
            Attribute::Text("remote_user", value) => packet.remote_user(value),
            Attribute::Text("auth_type", value) => packet.auth_type(value),
            Attribute::Text("query_string", value) => packet.query_string(value),
            Attribute::Text("jvm_route", value) => packet.jvm_route(value),
            Attribute::Text("ssl_cert", value) => packet.ssl_cert(value),
            Attribute::Text("ssl_cipher", value) => packet.ssl_cipher(value),
            Attribute::Text("ssl_session", value) => packet.ssl_session(value),
            Attribute::Text("stored_method", _) => &mut packet,
            Attribute::Text(other, _) => panic!("nobody sends {other}"),
            Attribute::KeySize(bits) => packet.ssl_key_size(*bits),
            Attribute::Pair(name, value) => packet.request_attribute(name, value),
        };
    }
    packet.finish()
}

/// mod_jk's own Content-Length is not the client's: the encoder has to add it by itself.
fn client_headers(dialect: Dialect, request: &Request) -> &[Header] {
    match request.headers.split_last() {
        Some((last, rest)) if dialect == Dialect::ModJk && last.name == b"content-length" => rest,
        _ => &request.headers,
    }
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a [u8]> {
    let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|header| &header.value[..])
}

fn body_length(request: &Request) -> BodyLength {
    match header(request, "content-length") {
        Some(length) => BodyLength::Known(std::str::from_utf8(length).unwrap().parse().unwrap()),
        None if header(request, "transfer-encoding").is_some() => BodyLength::Chunked,
        None => BodyLength::None,
    }
}

fn body_packet(data: &[u8], buf: &mut Vec<u8>) {
    buf.extend_from_slice(&body_packet_header(u16::try_from(data.len()).unwrap()));
    buf.extend_from_slice(data);
}

/// One capture, written anew packet by packet.
fn rebuild(dialect: Dialect, capture: &[u8], client_body: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    let mut packets = payloads(capture).into_iter();
    while let Some(payload) = packets.next() {
        if payload == [0x0A] {
            out.extend_from_slice(&CPING);
            continue;
        }
        let request = ajp_request::parse(payload);
        let packet_size = if request.uri.starts_with(b"/big") { 65536 } else { 8192 };
        encode(dialect, packet_size, &request, &mut out)?;
        let is_asked_for = request.method == b"POST" && header(&request, "content-length").is_none();
        if is_asked_for {
            asked_for_body(dialect, packets.by_ref(), client_body, &mut out);
        } else if body_length(&request) != BodyLength::None {
            for data in client_body.chunks(max_body(packet_size)) {
                packets.next();
                body_packet(data, &mut out);
            }
        }
    }
    Ok(out)
}

/// A body of unknown length: the cuts are those of the capture, the bytes those of the client, and an empty packet ends it.
fn asked_for_body<'a>(
    dialect: Dialect,
    packets: impl Iterator<Item = &'a [u8]>,
    mut client_body: &[u8],
    out: &mut Vec<u8>,
) {
    for payload in packets {
        let size = payload.len().saturating_sub(2);
        let (data, rest) = client_body.split_at(size);
        client_body = rest;
        match dialect {
            Dialect::ModJk if data.is_empty() => out.extend_from_slice(&[0x12, 0x34, 0, 0]),
            _ if data.is_empty() => out.extend_from_slice(&EMPTY_BODY_PACKET),
            _ => body_packet(data, out),
        }
    }
    assert!(client_body.is_empty(), "the capture has the whole body");
}

fn client_body(case: &Value) -> Vec<u8> {
    let file = case["http"].as_str().unwrap();
    let http = read(file);
    let end = http.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = http.split_at(end);
    if case["n"] == 42 {
        return read("http/42-post-expect-continue.body");
    }
    if body.starts_with(b"GET ") {
        return Vec::new();
    }
    let is_chunked = head.windows(17).any(|bytes| bytes == b"Transfer-Encoding");
    if is_chunked { without_chunks(body) } else { body.to_vec() }
}

fn without_chunks(mut body: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let end = body.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return data;
        }
        data.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 2 + size + 2..];
    }
}

#[test]
fn requests_equal_those_of_mod_proxy_ajp() {
    let mut compared = 0;
    for case in index("mod_proxy_ajp/index.json") {
        let Some(file) = case["file"].as_str() else { continue };
        let capture = read(file);
        assert_eq!(
            rebuild(Dialect::ModProxy, &capture, &client_body(&case)).as_deref(),
            Ok(&capture[..]),
            "{file}"
        );
        compared += 1;
    }
    assert_eq!(compared, 61);
}

#[test]
fn requests_equal_those_of_mod_jk() {
    let mut compared = 0;
    for case in index("mod_jk/index.json") {
        let Some(file) = case["file"].as_str() else { continue };
        let capture = read(file);
        let rebuilt = rebuild(Dialect::ModJk, &capture, &client_body(&case));
        assert_eq!(rebuilt.as_deref(), Ok(&capture[..]), "{file}");
        compared += 1;
    }
    assert_eq!(compared, 67);
}

/// Does the index show this value, perhaps cut?
fn shows(shown: &Value, value: &[u8]) -> bool {
    let text: String = value.iter().map(|byte| char::from(*byte)).collect();
    let shown = shown.as_str().unwrap();
    match shown.split_once("...(") {
        Some((start, count)) => {
            text.starts_with(start) && count == format!("{} characters)", text.chars().count())
        }
        None => shown == text,
    }
}

#[test]
fn the_independent_reader_agrees_with_the_indexes() {
    for case in index("mod_proxy_ajp/index.json").into_iter().chain(index("mod_jk/index.json")) {
        let Some(file) = case["file"].as_str() else { continue };
        let capture = read(file);
        let mut heads =
            payloads(&capture).into_iter().filter(|payload| payload.starts_with(&[2]) && payload.len() > 90);
        let request = ajp_request::parse(heads.next_back().unwrap());
        let expected = &case["forward_request"];
        assert_eq!(expected["method_code"], request.method_code, "{file}");
        assert_eq!(expected["server_port"], request.server_port, "{file}");
        assert_eq!(expected["is_ssl"], request.is_ssl, "{file}");
        for (field, value) in [
            ("protocol", &request.protocol),
            ("uri", &request.uri),
            ("remote_addr", &request.remote_addr),
            ("server_name", &request.server_name),
        ] {
            assert!(shows(&expected[field], value), "{file}: {field}");
        }
        assert_eq!(expected["remote_host"].is_null(), request.remote_host.is_none(), "{file}");
        compare_headers(file, expected["headers"].as_array().unwrap(), &request.headers);
        compare_attributes(file, expected["attrs"].as_array().unwrap(), &request.attributes);
    }
}

/// A long list is cut in the middle: `["...", "86 more"]`.
fn compare_headers(file: &str, expected: &[Value], found: &[Header]) {
    let mut rest = found;
    for expected in expected {
        if expected[0] == "..." {
            let skipped = expected[1].as_str().unwrap().trim_end_matches(" more");
            rest = &rest[skipped.parse().unwrap()..];
            continue;
        }
        let (header, after) = rest.split_first().expect(file);
        let mark = if header.is_coded { "#" } else { "" };
        let name = format!("{mark}{}", String::from_utf8_lossy(&header.name));
        assert_eq!(expected[0], name, "{file}");
        assert!(shows(&expected[1], &header.value), "{file}: {name}");
        rest = after;
    }
    assert_eq!(rest, [], "{file}");
}

fn compare_attributes(file: &str, expected: &[Value], found: &[Attribute]) {
    assert_eq!(expected.len(), found.len(), "{file}");
    for (expected, found) in expected.iter().zip(found) {
        let is_same = match found {
            Attribute::Text(name, value) => expected[0] == *name && shows(&expected[1], value),
            Attribute::KeySize(bits) => expected[0] == "ssl_key_size" && expected[1] == *bits,
            Attribute::Pair(name, value) => {
                expected[0] == "req_attribute" && shows(&expected[1], name) && shows(&expected[2], value)
            }
        };
        assert!(is_same, "{file}: {expected} is {found:?}");
    }
}

// ---- Answers ----

/// How reading some bytes ended.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    /// All bytes are used, and the last response is complete.
    Complete {
        reuse: bool,
    },
    /// More bytes are needed.
    Unfinished,
    Broken(DecodeError),
}

/// Reads what a container sent, in pieces of `step` bytes, one response after another.
fn decode(bytes: &[u8], packet_size: usize, step: usize, mut seen: impl FnMut(&Message<'_>)) -> Outcome {
    let mut decoder = Decoder::new(packet_size);
    let (mut start, mut end) = (0, 0);
    let mut needed = 0;
    let mut outcome = Outcome::Unfinished;
    loop {
        match decoder.next(&bytes[start..end]) {
            Err(error) => return Outcome::Broken(error),
            Ok(Decoded::Incomplete { need }) => {
                assert!(need > end - start, "asks for what is there already");
                needed = start + need;
                if end == bytes.len() {
                    return if start == end { outcome } else { Outcome::Unfinished };
                }
                end = bytes.len().min(end + step);
            }
            Ok(Decoded::Message { message, used }) => {
                assert!(used <= end - start && start + used >= needed, "came before it was promised");
                seen(&message);
                start += used;
                outcome = Outcome::Unfinished;
                if let Message::End { reuse } = message {
                    outcome = Outcome::Complete { reuse };
                    decoder = Decoder::new(packet_size);
                }
            }
        }
    }
}

/// In the notation of the index.
fn event(message: &Message<'_>) -> String {
    let short = |bytes: &[u8]| -> String { bytes.iter().take(60).map(|byte| char::from(*byte)).collect() };
    match message {
        Message::Headers(head) => {
            let reason = head.reason.map_or("None".into(), |reason| format!("b'{}'", short(reason)));
            let headers: Vec<String> = head
                .headers()
                .map(|(name, value)| format!("('{}', '{}')", short(name), short(value)))
                .collect();
            format!("SEND_HEADERS({},{reason},[{}])", head.status, headers.join(", "))
        }
        Message::Chunk(data) => format!("SEND_BODY_CHUNK({})", data.len()),
        Message::Flush => "SEND_BODY_CHUNK(0)".into(),
        Message::GetBody(wanted) => format!("GET_BODY_CHUNK({wanted})"),
        Message::End { reuse } => format!("END_RESPONSE(reuse={})", u8::from(*reuse)),
    }
}

struct Answer {
    file: String,
    events: Vec<String>,
    packet_size: usize,
    bytes: Vec<u8>,
}

/// The recorded answers of Tomcat, without the CPongs in front of them.
fn answers() -> Vec<Answer> {
    let mut answers = Vec::new();
    for case in index("tomcat/index.json") {
        let Some(file) = case["rsp"].as_str() else { continue };
        let mut bytes = read(file);
        let mut events: Vec<String> = case["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event.as_str().unwrap().replace("('#", "('"))
            .filter(|event| !event.ends_with("closed"))
            .collect();
        if events[0] == "CPONG" {
            assert_eq!(decode_cpong(&bytes[..5]), Ok(true), "{file}");
            bytes.drain(..5);
            events.remove(0);
        }
        let packet_size = if file.contains("bigpacket") { 65536 } else { 8192 };
        answers.push(Answer { file: file.to_owned(), events, packet_size, bytes });
    }
    assert_eq!(answers.len(), 72);
    answers
}

#[test]
fn answers_of_tomcat_are_read_whole_and_byte_by_byte() {
    for Answer { file, events, packet_size, bytes } in answers() {
        for step in [bytes.len().max(1), 1] {
            let mut seen = Vec::new();
            let outcome = decode(&bytes, packet_size, step, |message| seen.push(event(message)));
            assert_eq!(seen, events, "{file}");
            if let Some(end) = events.last() {
                assert_eq!(outcome, Outcome::Complete { reuse: end.contains("reuse=1") }, "{file}");
            }
        }
    }
}

#[test]
fn an_answer_cut_off_anywhere_is_unfinished() {
    for Answer { file, packet_size, bytes, .. } in answers() {
        let mut ends = vec![0];
        for cut in 0..bytes.len() {
            match decode(&bytes[..cut], packet_size, bytes.len(), |_| ()) {
                Outcome::Unfinished => {}
                Outcome::Complete { .. } => ends.push(cut),
                Outcome::Broken(error) => panic!("{file} cut at {cut}: {error}"),
            }
        }
        let responses = if file.contains("two-keepalive") { 2 } else { 1 };
        assert_eq!(ends.len(), responses, "{file} complete at {ends:?}");
    }
}

// ---- Faults ----

/// What the decoder alone makes of a script.
enum Verdict {
    /// A response to the end, to be reused or not.
    Complete(bool),
    /// The container stops in the middle.
    Unfinished,
    /// Refused, with this error.
    Broken(&'static str),
}

use Verdict::{Broken, Complete, Unfinished};

const VERDICTS: [(&str, Verdict); 73] = [
    ("close-on-accept", Unfinished),
    ("fin-before-headers", Unfinished),
    ("rst-before-headers", Unfinished),
    ("fin-after-headers", Unfinished),
    ("fin-mid-body", Unfinished),
    ("fin-mid-body-cl", Unfinished),
    ("short-body", Complete(true)),
    ("long-body", Complete(true)),
    ("hang", Unfinished),
    ("hang-after-headers", Unfinished),
    ("bad-magic", Broken("NotAjp")),
    ("http-answer", Broken("NotAjp")),
    ("unknown-type", Broken("UnknownType")),
    ("unknown-type-after-headers", Broken("UnknownType")),
    ("empty-packet", Broken("EmptyPacket")),
    ("cpong-stray", Broken("OutOfPlace")),
    ("body-before-headers", Broken("OutOfPlace")),
    ("flush-before-headers", Complete(true)),
    ("flush-3-byte", Complete(true)),
    ("headers-twice", Broken("OutOfPlace")),
    ("headers-after-body", Broken("OutOfPlace")),
    ("interim-100", Broken("Status")),
    ("interim-103", Broken("Status")),
    ("interim-only-100", Broken("Status")),
    ("chunk-too-long", Broken("ChunkLength")),
    ("chunk-no-nul", Complete(true)),
    ("chunk-extra", Broken("ChunkLength")),
    ("packet-8192-total", Complete(true)),
    ("payload-8192", Broken("PacketTooLarge")),
    ("payload-8193", Broken("PacketTooLarge")),
    ("end-only", Broken("OutOfPlace")),
    ("end-truncated", Complete(false)),
    ("end-reuse-0", Complete(false)),
    ("end-reuse-2", Complete(false)),
    ("end-reuse-255", Complete(false)),
    ("getbody-for-get", Complete(true)),
    ("getbody-3-past-end", Complete(true)),
    ("getbody-truncated", Broken("Truncated")),
    ("getbody-after-headers", Complete(true)),
    ("status-0", Broken("Status")),
    ("status-99", Broken("Status")),
    ("status-1000", Broken("Status")),
    ("status-299-noreason", Complete(true)),
    ("reason-null", Complete(true)),
    ("reason-tomcat", Complete(true)),
    ("reason-404-digits", Complete(true)),
    ("reason-crlf", Broken("Character")),
    ("header-crlf", Broken("Character")),
    ("header-name-bad", Broken("Character")),
    ("header-name-empty", Broken("EmptyName")),
    ("header-value-null", Broken("Null")),
    ("header-name-null", Broken("Null")),
    ("header-code-0", Broken("HeaderCode")),
    ("header-code-12", Broken("HeaderCode")),
    ("header-count-5", Broken("HeaderCount")),
    ("header-count-0", Broken("TrailingBytes")),
    ("te-chunked", Complete(true)),
    ("te-and-cl", Complete(true)),
    ("cl-twice", Complete(true)),
    ("cl-bad", Complete(true)),
    ("no-cl", Complete(true)),
    ("hop-headers", Complete(true)),
    ("dup-headers", Complete(true)),
    ("status-204-body", Complete(true)),
    ("status-204-cl-nobody", Complete(true)),
    ("status-304-cl", Complete(true)),
    ("status-500-nobody", Complete(true)),
    ("status-500-body", Complete(true)),
    ("status-503-body", Complete(true)),
    ("status-401", Complete(true)),
    ("status-403-secret", Complete(false)),
    ("no-headers-end-after-body", Broken("OutOfPlace")),
    // An ordinary response whose bytes are not in the script; byte-wise reading is tested with Tomcat's answers.
    ("split-tcp", Unfinished),
];

/// All bytes of a script. Long packets are given as their start, their size and what fills them.
fn script_bytes(script: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for step in script["backend"].as_array().unwrap() {
        let Some(hex) = step.as_str().unwrap().strip_prefix("send ") else { continue };
        let (hex, rest) = hex.split_once("...").unwrap_or((hex, ""));
        let start = bytes.len();
        bytes.extend((0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()));
        if let Some(size) = rest.split_whitespace().next() {
            bytes.resize(start + size.parse::<usize>().unwrap() - 1, b'x');
            bytes.push(0);
        }
    }
    bytes
}

#[test]
fn scripts_of_misbehaving_containers_are_judged() {
    let scripts = index("faults/faults.json");
    assert_eq!(scripts.len(), VERDICTS.len());
    for (script, (name, verdict)) in scripts.iter().zip(VERDICTS) {
        assert_eq!(script["name"], name);
        let bytes = script_bytes(script);
        for step in [bytes.len().max(1), 1] {
            let outcome = decode(&bytes, 8192, step, |_| ());
            match (&verdict, outcome) {
                (Complete(reuse), found) => assert_eq!(found, Outcome::Complete { reuse: *reuse }, "{name}"),
                (Unfinished, found) => assert_eq!(found, Outcome::Unfinished, "{name}"),
                (Broken(kind), Outcome::Broken(error)) => {
                    assert!(format!("{error:?}").starts_with(kind), "{name}: {error:?}");
                }
                (Broken(_), found) => panic!("{name}: {found:?}"),
            }
        }
    }
}
