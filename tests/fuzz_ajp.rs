// SPDX-License-Identifier: Apache-2.0
//! Fuzzing the AJP room by mutation of recorded traffic.
//!
//! `MARGAY_FUZZ_CASES` sets the number of cases, `MARGAY_FUZZ_SEED` the seed of the first one; a failure prints the seed
//! of its case, so that `MARGAY_FUZZ_SEED=<seed> MARGAY_FUZZ_CASES=1` repeats it.

use std::hash::{DefaultHasher, Hash, Hasher};

use margay::base::rng::Rng;
use margay::wire::ajp::{
    BodyLength, DecodeError, Decoded, Decoder, Dialect, EncodeError, ForwardRequest, Message, RequestLine,
};

#[path = "support/ajp_request.rs"]
mod ajp_request;
#[path = "support/mutation.rs"]
mod mutation;
use ajp_request::{Attribute, Header};
use mutation::{byte, corpus, index, mutated_answer, pick, run};

// ---- Answers ----

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
        let bytes = mutated_answer(rng, &corpus);
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
