// SPDX-License-Identifier: Apache-2.0
//! Fuzzing the HTTP room: answers with changed bytes, read in pieces of every size, and requests read back.
//!
//! `MARGAY_FUZZ_CASES` sets the number of cases, `MARGAY_FUZZ_SEED` the seed of the first one; a failure prints the seed
//! of its case, so that `MARGAY_FUZZ_SEED=<seed> MARGAY_FUZZ_CASES=1` repeats it.

use margay::base::rng::Rng;
use margay::wire::http1::{
    BadHeader, Body, Chunked, DecodeError, Framing, Limits, RequestWriter, ResponseHead, Step, chunk_header,
    read_head,
};

#[path = "support/mutation.rs"]
#[allow(dead_code)]
mod mutation;
use mutation::{byte, index, pick, run};

const ANSWERS: [&str; 12] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
    "HTTP/1.0 404 Not Found\r\nServer: S\r\n\r\nnothing here",
    "\r\nHTTP/1.1 204 No Content\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x01\x02",
    "HTTP/1.1 304\nETag: \"x\"\n\n",
    "HTTP/1.1 200 OK\r\nX-Long: a\r\n b\r\n\tc\r\nContent-Length: 2, 2\r\n\r\nab",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\nConnection: X-A\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: http://h/x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.1 999 \r\nContent-Length: 18446744073709551615\r\n\r\n",
];

const WORDS: [&str; 16] = [
    "\r\n",
    "\n",
    "\r",
    ":",
    " ",
    "\t",
    "\0",
    "chunked",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "0\r\n\r\n",
    "ffffffffffffffff",
    ",",
    ";",
    "HTTP/1.1 200 OK\r\n",
    "\r\n\r\n",
];

fn changed(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = pick(rng, &ANSWERS).as_bytes().to_vec();
    for _ in 0..rng.below(5) {
        let at = index(rng, bytes.len());
        match rng.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << rng.below(8),
            1 if !bytes.is_empty() => bytes[at] = byte(rng),
            2 => bytes.truncate(at),
            3 if !bytes.is_empty() => _ = bytes.remove(at),
            4 => {
                let word = pick(rng, &WORDS).as_bytes();
                bytes.splice(at..at, word.iter().copied());
            }
            _ => {
                let other = pick(rng, &ANSWERS).as_bytes();
                let from = index(rng, other.len());
                bytes.splice(at..at, other[from..].iter().copied());
            }
        }
    }
    bytes
}

/// What came of a head.
type Reading = Result<Option<ResponseHead>, DecodeError>;

fn read_in_steps(bytes: &[u8], step: usize, limits: &Limits) -> Reading {
    let mut end = 0;
    loop {
        end = (end + step).min(bytes.len());
        match read_head(&bytes[..end], limits) {
            Ok(None) if end < bytes.len() => {}
            other => return other,
        }
    }
}

#[test]
fn heads_are_read_the_same_however_they_arrive_and_keep_what_they_promise() {
    run(60_000, |rng| {
        let bytes = changed(rng);
        let bad_header = *pick(rng, &[BadHeader::IsError, BadHeader::Ignore, BadHeader::StartBody]);
        let limits = Limits { field: 20 + index(rng, 200), head: 40 + index(rng, 400), bad_header };
        let whole = read_head(&bytes, &limits);
        let stepped = read_in_steps(&bytes, 1 + index(rng, 7), &limits);
        if whole.is_ok() && bytes.len() < limits.head {
            assert_eq!(whole, stepped, "{}", bytes.escape_ascii());
        }
        if whole.is_err() {
            assert!(!matches!(stepped, Ok(Some(_))), "{}", bytes.escape_ascii());
        }
        if let Ok(Some(head)) = whole {
            check(&head, &bytes);
        }
    });
}

fn check(head: &ResponseHead, bytes: &[u8]) {
    assert!((100..=999).contains(&head.status) && head.minor <= 1);
    assert!(head.used <= bytes.len());
    assert!(
        head.reason(bytes)
            .is_none_or(|reason| !reason.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'))
    );
    for (name, value) in head.fields(bytes) {
        assert!(!name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b':'));
        let mut one_line = Vec::new();
        margay::wire::http1::unfold(value, &mut one_line);
        assert!(
            !one_line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'),
            "{}",
            value.escape_ascii()
        );
    }
    if let Some(length) = head.content_length {
        assert_eq!(head.framing, Framing::Length(length));
    }
}

/// The data of a body, how many bytes it took, and how it ended.
fn read_body(mut body: Body, bytes: &[u8], step: usize) -> (Vec<u8>, usize, Result<bool, DecodeError>) {
    let (mut data, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        match body.next(&bytes[start..end]) {
            Ok(Step { data: more, used, end: over, .. }) => {
                assert!(used <= end - start && more.len() <= used);
                data.extend_from_slice(more);
                start += used;
                if over {
                    return (data, start, Ok(true));
                }
                if more.is_empty() {
                    if end == bytes.len() {
                        return (data, start, Ok(false));
                    }
                    end = (end + step).min(bytes.len());
                }
            }
            Err(error) => return (data, start, Err(error)),
        }
    }
}

#[test]
fn bodies_are_read_the_same_however_they_arrive() {
    run(60_000, |rng| {
        let bytes = changed(rng);
        let start = index(rng, bytes.len());
        let framing =
            *pick(rng, &[Framing::Chunked, Framing::Chunked, Framing::Length(7), Framing::UntilClose]);
        let whole = read_body(Body::of(framing), &bytes[start..], bytes.len().max(1));
        let step = 1 + index(rng, 5);
        let stepped = read_body(Body::of(framing), &bytes[start..], step);
        assert_eq!((&whole.0, &whole.2), (&stepped.0, &stepped.2), "{}", bytes[start..].escape_ascii());
        if whole.2 == Ok(true) {
            assert_eq!(whole.1, stepped.1, "bytes behind the end belong to nobody");
        }
    });
}

#[test]
fn chunks_of_ours_are_read_back() {
    run(5_000, |rng| {
        let (mut bytes, mut sent) = (Vec::new(), Vec::new());
        for _ in 0..rng.below(6) {
            let data: Vec<u8> = (0..1 + index(rng, 300)).map(|_| byte(rng)).collect();
            bytes.extend_from_slice(chunk_header(data.len(), &mut [0; 18]));
            bytes.extend_from_slice(&data);
            bytes.extend_from_slice(b"\r\n");
            sent.extend(data);
        }
        bytes.extend_from_slice(margay::wire::http1::LAST_CHUNK);
        let length = bytes.len();
        bytes.extend_from_slice(b"HTTP/1.1 200");
        let step = 1 + index(rng, 50);
        let (data, used, end) = read_body(Body::Chunked(Chunked::default()), &bytes, step);
        assert!(data == sent && used == length && end == Ok(true));
    });
}

#[test]
fn what_a_request_says_stays_in_its_lines() {
    run(30_000, |rng| {
        let text = |rng: &mut Rng| -> Vec<u8> {
            let length = index(rng, 6);
            (0..length)
                .map(|_| if rng.below(6) == 0 { byte(rng) } else { *pick(rng, b"aZ09-/ \r\n:\t\0") })
                .collect()
        };
        let (method, path, query) = (text(rng), text(rng), text(rng));
        let headers: Vec<_> = (0..rng.below(3)).map(|_| (text(rng), text(rng))).collect();
        let mut out = b"kept".to_vec();
        let query = (rng.below(2) == 0).then_some(&query[..]);
        let mut head = RequestWriter::begin(&mut out, &method, &path, query, 1);
        for (name, value) in &headers {
            head.header(name, value);
        }
        if head.finish().is_err() {
            assert_eq!(out, b"kept");
            return;
        }
        let written = &out[4..];
        let lines: Vec<&[u8]> = written.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), headers.len() + 3, "{}", written.escape_ascii());
        assert_eq!(lines[0].iter().filter(|byte| **byte == b' ').count(), 2);
        for (line, (name, value)) in lines[1..].iter().zip(&headers) {
            assert_eq!(*line, [&name[..], b": ", value, b"\r"].concat());
        }
    });
}
