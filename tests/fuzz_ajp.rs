// SPDX-License-Identifier: Apache-2.0
//! Fuzzing the AJP room by mutation of recorded traffic.
//!
//! `MARGAY_FUZZ_CASES` sets the number of cases, `MARGAY_FUZZ_SEED` the seed of the first one; a failure prints the seed
//! of its case, so that `MARGAY_FUZZ_SEED=<seed> MARGAY_FUZZ_CASES=1` repeats it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use margay::base::rng::Rng;
use margay::wire::ajp::{
    BodyLength, DecodeError, Decoded, Decoder, Dialect, EncodeError, ForwardRequest, Message, RequestLine,
};

#[path = "support/ajp_request.rs"]
mod ajp_request;
use ajp_request::{Attribute, Header};

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}

/// Runs `case` with one seed after another.
fn run(default_cases: u64, case: impl Fn(&mut Rng)) {
    let first = number("MARGAY_FUZZ_SEED", 1);
    for seed in first..first + number("MARGAY_FUZZ_CASES", default_cases) {
        let result = catch_unwind(AssertUnwindSafe(|| case(&mut Rng::seeded(seed))));
        if let Err(panic) = result {
            eprintln!("repeat with MARGAY_FUZZ_SEED={seed} MARGAY_FUZZ_CASES=1");
            resume_unwind(panic);
        }
    }
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[index(rng, from.len())]
}

fn index(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).unwrap()
}

fn byte(rng: &mut Rng) -> u8 {
    rng.next_u64().to_le_bytes()[0]
}

// ---- Answers ----

/// A conversation as a list of payloads.
type Script = Vec<Vec<u8>>;

/// The recorded answers, with long data cut short so that mutations meet the structure.
fn corpus() -> Vec<Script> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/ajp/tomcat");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "bin"));
    files.sort();
    let scripts: Vec<Script> = files.iter().map(|file| script(&std::fs::read(file).unwrap())).collect();
    assert!(scripts.len() > 60, "the captures are there");
    scripts
}

fn script(mut bytes: &[u8]) -> Script {
    let mut payloads = Vec::new();
    while let [b'A', b'B', high, low, rest @ ..] = bytes {
        let (payload, after) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        payloads.push(shortened(payload));
        bytes = after;
    }
    payloads
}

fn shortened(payload: &[u8]) -> Vec<u8> {
    match payload {
        [3, _, _, data @ ..] if data.len() > 9 => [&[3, 0, 8], &data[..8], &[0]].concat(),
        _ => payload[..payload.len().min(300)].to_vec(),
    }
}

/// Values that sit at the edges of lengths, codes and statuses.
const EDGES: [u16; 16] =
    [0, 1, 2, 99, 100, 199, 200, 999, 1000, 0x1ffc, 0x1ffd, 0xA000, 0xA001, 0xA00B, 0xA00C, 0xFFFF];

fn mutate(rng: &mut Rng, payload: &mut Vec<u8>) {
    let at = index(rng, payload.len());
    match rng.below(7) {
        0 if !payload.is_empty() => payload[at] ^= 1 << rng.below(8),
        1 if !payload.is_empty() => payload[at] = byte(rng),
        2 => payload.truncate(at),
        3 => payload.insert(at, byte(rng)),
        4 if !payload.is_empty() => _ = payload.remove(at),
        5 if at + 2 <= payload.len() => {
            payload[at..at + 2].copy_from_slice(&pick(rng, &EDGES).to_be_bytes());
        }
        _ if at + 2 <= payload.len() => {
            let old = u16::from_be_bytes([payload[at], payload[at + 1]]);
            let new = if rng.below(2) == 0 { old.wrapping_add(1) } else { old.wrapping_sub(1) };
            payload[at..at + 2].copy_from_slice(&new.to_be_bytes());
        }
        _ => {}
    }
}

/// Changes whole packets: leave out, repeat, take from another conversation.
fn splice(rng: &mut Rng, script: &mut Script, corpus: &[Script]) {
    if script.is_empty() {
        return;
    }
    let at = index(rng, script.len());
    match rng.below(3) {
        0 => _ = script.remove(at),
        1 => script.insert(at, script[at].clone()),
        _ => {
            let other = pick(rng, corpus);
            script.insert(at, pick(rng, other).clone());
        }
    }
}

fn framed(rng: &mut Rng, script: &Script) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in script {
        let length = u16::try_from(payload.len()).unwrap();
        let length = if rng.below(40) == 0 { *pick(rng, &EDGES) } else { length };
        bytes.extend_from_slice(b"AB");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(payload);
    }
    if rng.below(8) == 0 {
        mutate(rng, &mut bytes);
    }
    bytes
}

/// What came of some bytes; messages by their hash.
#[derive(Debug, PartialEq)]
struct Reading {
    messages: Vec<u64>,
    used: usize,
    end: Result<bool, DecodeError>,
}

fn read(bytes: &[u8], packet_size: usize, step: usize) -> Reading {
    let mut decoder = Decoder::new(packet_size);
    let (mut start, mut end) = (0, step.min(bytes.len()));
    let mut reading = Reading { messages: Vec::new(), used: 0, end: Ok(false) };
    loop {
        match decoder.next(&bytes[start..end]) {
            Ok(Decoded::Incomplete { need }) => {
                assert!(need > end - start, "asks for what is there");
                assert!(need <= packet_size, "asks for more than a packet");
                if end == bytes.len() {
                    return reading;
                }
                end = bytes.len().min(end + step);
            }
            Ok(Decoded::Message { message, used }) => {
                assert!(0 < used && used <= end - start);
                start += used;
                reading.messages.push(checked(&message));
                reading.used = start;
                if matches!(message, Message::End { .. }) {
                    assert_eq!(decoder.next(&bytes[start..end]).unwrap_err(), DecodeError::AfterEnd);
                    reading.end = Ok(true);
                    return reading;
                }
            }
            Err(error) => {
                assert_eq!(decoder.next(&bytes[start..end]).unwrap_err(), error, "an error stays");
                assert!(!error.to_string().is_empty());
                reading.end = Err(error);
                return reading;
            }
        }
    }
}

/// Looks at everything in a message that was promised.
fn checked(message: &Message<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match message {
        Message::Headers(head) => {
            assert!((200..=999).contains(&head.status));
            assert!(is_text(head.reason.unwrap_or_default()));
            assert_eq!(head.headers().len(), head.headers().count());
            for (name, value) in head.headers() {
                assert!(!name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b':'));
                assert!(is_text(value));
                (name, value).hash(&mut hasher);
            }
            (1, head.status, head.reason).hash(&mut hasher);
        }
        Message::Chunk(data) => {
            assert!(!data.is_empty());
            (2, data).hash(&mut hasher);
        }
        Message::Flush => 3.hash(&mut hasher),
        Message::GetBody(wanted) => (4, wanted).hash(&mut hasher),
        Message::End { reuse } => (5, reuse).hash(&mut hasher),
    }
    hasher.finish()
}

fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

#[test]
fn the_decoder_survives_mutated_answers() {
    let corpus = corpus();
    run(200_000, |rng| {
        let mut script = pick(rng, &corpus).clone();
        for _ in 0..rng.below(3) {
            splice(rng, &mut script, &corpus);
        }
        for _ in 0..rng.below(4) {
            let count = script.len();
            if let Some(payload) = script.get_mut(index(rng, count)) {
                mutate(rng, payload);
            }
        }
        let bytes = framed(rng, &script);
        let packet_size = *pick(rng, &[8192, 65536, 128]);
        let whole = read(&bytes, packet_size, usize::MAX);
        assert_eq!(whole, read(&bytes, packet_size, 1), "byte by byte");
    });
}

#[test]
fn the_decoder_survives_noise() {
    run(20_000, |rng| {
        let mut bytes = b"AB\x00".to_vec();
        bytes.extend((0..rng.below(60)).map(|_| if rng.below(2) == 0 { byte(rng) } else { byte(rng) % 8 }));
        assert_eq!(read(&bytes, 8192, usize::MAX), read(&bytes, 8192, 1), "byte by byte");
    });
}

// ---- Requests ----

/// A request as the caller describes it, owned.
#[derive(Debug)]
struct Wish {
    dialect: Dialect,
    method: Vec<u8>,
    uri: Vec<u8>,
    remote_host: Option<Vec<u8>>,
    server_port: u16,
    is_ssl: bool,
    body: BodyLength,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    secret: Option<Vec<u8>>,
    query_string: Option<Vec<u8>>,
    ssl_key_size: Option<u16>,
    request_attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

fn noise(rng: &mut Rng, longest: u64) -> Vec<u8> {
    (0..rng.below(longest + 1)).map(|_| byte(rng)).collect()
}

/// At least one byte out of `alphabet`.
fn word(rng: &mut Rng, alphabet: &[u8], longest: u64) -> Vec<u8> {
    (0..=rng.below(longest)).map(|_| *pick(rng, alphabet)).collect()
}

fn header_name(rng: &mut Rng) -> Vec<u8> {
    let mut name = match rng.below(3) {
        0 => pick(rng, &ajp_request::HEADERS).as_bytes().to_vec(),
        1 => pick(rng, &["Transfer-Encoding", "Content-Length", "Content-Lengt", "Accept-"])
            .as_bytes()
            .to_vec(),
        _ => word(rng, b"XYZ-abc0_", 12),
    };
    for letter in &mut name {
        if rng.below(2) == 0 {
            letter.make_ascii_uppercase();
        }
    }
    name
}

fn wish(rng: &mut Rng) -> Wish {
    let methods = &ajp_request::METHODS;
    Wish {
        dialect: *pick(rng, &[Dialect::ModProxy, Dialect::ModJk]),
        method: if rng.below(3) == 0 {
            word(rng, b"GETA-", 6)
        } else {
            pick(rng, methods).as_bytes().to_vec()
        },
        uri: [b"/", &word(rng, b"abc/;=%20~\xc3", 30)[..]].concat(),
        remote_host: (rng.below(2) == 0).then(|| noise(rng, 20)),
        server_port: u16::from_be_bytes([byte(rng), byte(rng)]),
        is_ssl: rng.below(2) == 0,
        body: match rng.below(3) {
            0 => BodyLength::None,
            1 => BodyLength::Known(rng.next_u64() >> rng.below(64)),
            _ => BodyLength::Chunked,
        },
        headers: (0..rng.below(12)).map(|_| (header_name(rng), noise(rng, 40))).collect(),
        secret: (rng.below(2) == 0).then(|| noise(rng, 20)),
        query_string: (rng.below(2) == 0).then(|| noise(rng, 40)),
        ssl_key_size: (rng.below(2) == 0).then(|| u16::from(byte(rng)) * 3),
        request_attributes: (0..rng.below(4)).map(|_| (noise(rng, 9), noise(rng, 9))).collect(),
    }
}

fn encode(wish: &Wish, packet_size: usize, buf: &mut Vec<u8>) -> Result<(), EncodeError> {
    let line = RequestLine {
        method: &wish.method,
        protocol: b"HTTP/1.1",
        uri: &wish.uri,
        remote_addr: b"192.0.2.1",
        remote_host: wish.remote_host.as_deref(),
        server_name: b"www.example.test",
        server_port: wish.server_port,
        is_ssl: wish.is_ssl,
    };
    let mut request = ForwardRequest::begin_in(wish.dialect, buf, packet_size, &line);
    request.body(wish.body);
    for (name, value) in &wish.headers {
        request.header(name, value);
    }
    if let Some(secret) = &wish.secret {
        request.secret(secret);
    }
    if let Some(query) = &wish.query_string {
        request.query_string(query);
    }
    if let Some(bits) = wish.ssl_key_size {
        request.ssl_key_size(bits);
    }
    for (name, value) in &wish.request_attributes {
        request.request_attribute(name, value);
    }
    request.finish()
}

fn is_body_header(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
}

/// The headers a container must see: those of the client, with the one of the body in its place.
fn expected_headers(wish: &Wish) -> Vec<Header> {
    let body = match wish.body {
        BodyLength::None => None,
        BodyLength::Known(length) => Some((b"content-length".to_vec(), length.to_string().into_bytes())),
        BodyLength::Chunked => Some((b"Transfer-Encoding".to_vec(), b"chunked".to_vec())),
    };
    let place = wish.headers.iter().position(|(name, _)| is_body_header(name)).unwrap_or(wish.headers.len());
    let mut headers = wish.headers.clone();
    headers.splice(place..place, body);
    let own = place..place + usize::from(wish.body != BodyLength::None);
    let kept =
        headers.into_iter().enumerate().filter(|(at, (name, _))| own.contains(at) || !is_body_header(name));
    kept.map(|(_, (name, value))| expected_header(wish.dialect, name, value)).collect()
}

fn expected_header(dialect: Dialect, name: Vec<u8>, value: Vec<u8>) -> Header {
    let lower = name.to_ascii_lowercase();
    let place = ajp_request::HEADERS.iter().position(|known| known.as_bytes() == lower);
    let is_coded = match dialect {
        Dialect::ModProxy => place.is_some(),
        Dialect::ModJk => place.is_some_and(|place| !(1..=3).contains(&place)),
    };
    Header { name: if is_coded { lower } else { name }, is_coded, value }
}

fn expected_attributes(wish: &Wish) -> Vec<Attribute> {
    let is_known = ajp_request::METHODS.iter().any(|known| known.as_bytes() == wish.method);
    let is_stored =
        !is_known || wish.dialect == Dialect::ModProxy && matches!(&wish.method[..], b"ACL" | b"SEARCH");
    let mut attributes = Vec::new();
    attributes.extend(wish.secret.iter().map(|value| Attribute::Text("secret", value.clone())));
    attributes.extend(wish.query_string.iter().map(|value| Attribute::Text("query_string", value.clone())));
    attributes.extend(wish.ssl_key_size.map(Attribute::KeySize));
    attributes.extend(is_stored.then(|| Attribute::Text("stored_method", wish.method.clone())));
    let pairs = wish.request_attributes.iter();
    attributes.extend(pairs.map(|(name, value)| Attribute::Pair(name.clone(), value.clone())));
    attributes
}

#[test]
fn what_the_encoder_writes_is_what_was_wished() {
    run(20_000, |rng| {
        let wish = wish(rng);
        let mut buf = b"before".to_vec();
        assert_eq!(encode(&wish, 65536, &mut buf), Ok(()));
        let (before, packet) = buf.split_at(6);
        assert_eq!(before, b"before");
        let payloads = ajp_request::payloads(packet);
        assert_eq!(payloads.len(), 1);
        let request = ajp_request::parse(payloads[0]);
        assert_eq!(request.method, wish.method);
        assert_eq!((&request.protocol[..], &request.uri), (&b"HTTP/1.1"[..], &wish.uri));
        assert_eq!((&request.remote_addr[..], &request.remote_host), (&b"192.0.2.1"[..], &wish.remote_host));
        assert_eq!(
            (&request.server_name[..], request.server_port),
            (&b"www.example.test"[..], wish.server_port)
        );
        assert_eq!(request.is_ssl, u8::from(wish.is_ssl));
        assert_eq!(request.headers, expected_headers(&wish));
        assert_eq!(request.attributes, expected_attributes(&wish));
        check_packet_size(rng, &wish, packet);
    });
}

/// A packet size of exactly its length is enough; every smaller one leaves the buffer alone.
fn check_packet_size(rng: &mut Rng, wish: &Wish, packet: &[u8]) {
    let mut buf = Vec::new();
    assert_eq!(encode(wish, packet.len(), &mut buf), Ok(()));
    assert_eq!(buf, packet);
    buf.truncate(3);
    let smaller = index(rng, packet.len());
    assert!(
        matches!(encode(wish, smaller, &mut buf), Err(EncodeError::TooLarge { packet_size, .. }) if packet_size == smaller)
    );
    assert_eq!(buf, packet[..3]);
}
