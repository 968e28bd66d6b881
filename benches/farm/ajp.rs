// SPDX-License-Identifier: Apache-2.0
//! The AJP13 back end: packets of 8192 bytes, cut the way Tomcat cuts them.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;

use crate::body;
use crate::responder::{Protocol, Request, broken};

const PACKET: usize = 8192;
/// Data bytes in a full Send Body Chunk: 4 bytes of packet header, type, length and the final zero go off.
const CHUNK: usize = PACKET - 8;
/// What Tomcat asks for in a Get Body Chunk.
const WANTED: u16 = (PACKET - 6) as u16;

const FORWARD_REQUEST: u8 = 0x02;
const SEND_BODY_CHUNK: u8 = 0x03;
const SEND_HEADERS: u8 = 0x04;
const END_RESPONSE: u8 = 0x05;
const GET_BODY_CHUNK: u8 = 0x06;
const CPONG: u8 = 0x09;
const CPING: u8 = 0x0a;

const REQUEST_CONTENT_LENGTH: u8 = 0x08;
const RESPONSE_CONTENT_TYPE: u16 = 0xa001;
const RESPONSE_CONTENT_LENGTH: u16 = 0xa003;

/// The protocol as Tomcat's connector speaks it.
pub struct Ajp;

impl Protocol for Ajp {
    fn response(&self, status: u16, body: &[u8]) -> Vec<u8> {
        let mut out = packet(&headers(status, body.len()));
        for chunk in body.chunks(CHUNK) {
            let mut payload = vec![SEND_BODY_CHUNK];
            payload.extend((chunk.len() as u16).to_be_bytes());
            payload.extend(chunk);
            payload.push(0);
            out.extend(packet(&payload));
        }
        out.extend(packet(&[END_RESPONSE, 1]));
        out
    }

    fn read_request(&self, stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
        loop {
            let Some(payload) = read_packet(stream)? else { return Ok(None) };
            match payload.split_first() {
                Some((&CPING, [])) => stream.get_mut().write_all(&packet(&[CPONG]))?,
                Some((&FORWARD_REQUEST, fields)) => {
                    let head = Fields(fields).head()?;
                    let body_is_right = read_body(stream, head.body)?;
                    return Ok(Some(Request { path: head.path, body_is_right }));
                }
                _ => return Err(broken("expected a Forward Request or a CPing")),
            }
        }
    }
}

fn packet(payload: &[u8]) -> Vec<u8> {
    let mut out = b"AB".to_vec();
    out.extend((payload.len() as u16).to_be_bytes());
    out.extend(payload);
    out
}

fn headers(status: u16, length: usize) -> Vec<u8> {
    let mut out = vec![SEND_HEADERS];
    out.extend(status.to_be_bytes());
    put_string(&mut out, &status.to_string());
    out.extend(2u16.to_be_bytes());
    out.extend(RESPONSE_CONTENT_TYPE.to_be_bytes());
    put_string(&mut out, "text/plain;charset=UTF-8");
    out.extend(RESPONSE_CONTENT_LENGTH.to_be_bytes());
    put_string(&mut out, &length.to_string());
    out
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
    out.push(0);
}

/// The next payload, or `None` if the peer closed before its first byte.
fn read_packet(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; 4];
    if stream.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut head[1..])?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if head[..2] != [0x12, 0x34] || length > PACKET - 4 {
        return Err(broken("packet with a wrong magic number or too long"));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok(Some(payload))
}

/// Reads the body packets: the first one comes unasked if the length is known, every other one is asked for.
fn read_body(stream: &mut BufReader<TcpStream>, length: BodyLength) -> io::Result<bool> {
    let (expected, mut is_asked) = match length {
        BodyLength::Known(0) => return Ok(true),
        BodyLength::Known(n) => (Some(n), true),
        BodyLength::Chunked => (None, false),
    };
    let (mut at, mut is_right) = (0, true);
    while expected != Some(at) {
        if !is_asked {
            let [high, low] = WANTED.to_be_bytes();
            stream.get_mut().write_all(&packet(&[GET_BODY_CHUNK, high, low]))?;
        }
        is_asked = false;
        let payload = read_packet(stream)?.ok_or_else(|| broken("closed in the middle of a body"))?;
        let data = Fields(&payload).body_data()?;
        if data.is_empty() {
            return Ok(is_right && expected.is_none());
        }
        is_right &= body::piece(at, data.len()) == Some(data);
        at += data.len();
        if expected.is_some_and(|n| at > n) {
            return Err(broken("more body than Content-Length says"));
        }
    }
    Ok(is_right)
}

struct Head {
    path: String,
    body: BodyLength,
}

enum BodyLength {
    Known(usize),
    Chunked,
}

/// The unread rest of a payload.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields after the type byte of a Forward Request, as far as a back end needs them.
    fn head(mut self) -> io::Result<Head> {
        self.take(1)?; // method
        self.string()?; // protocol
        let path = self.string()?.ok_or_else(|| broken("null path"))?.to_vec();
        let path = String::from_utf8(path).map_err(|_| broken("path is not UTF-8"))?;
        for _address_host_server in 0..3 {
            self.string()?;
        }
        self.take(3)?; // port, TLS
        let mut body = BodyLength::Known(0);
        for _ in 0..self.integer()? {
            let is_length = self.header_is_content_length(&mut body)?;
            let value = self.string()?.ok_or_else(|| broken("null header value"))?;
            if is_length {
                let text = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                body = BodyLength::Known(text.ok_or_else(|| broken("Content-Length is not a number"))?);
            }
        }
        if self.0.last() != Some(&0xff) {
            return Err(broken("Forward Request without terminator"));
        }
        Ok(Head { path, body })
    }

    fn header_is_content_length(&mut self, body: &mut BodyLength) -> io::Result<bool> {
        if self.0.first() == Some(&0xa0) {
            return Ok(self.take(2)?[1] == REQUEST_CONTENT_LENGTH);
        }
        let name = self.string()?.unwrap_or_default();
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            *body = BodyLength::Chunked;
        }
        Ok(name.eq_ignore_ascii_case(b"content-length"))
    }

    /// The data of a body packet; the empty packet may lack its length.
    fn body_data(mut self) -> io::Result<&'a [u8]> {
        if self.0.is_empty() {
            return Ok(&[]);
        }
        let length = usize::from(self.integer()?);
        if length != self.0.len() {
            return Err(broken("body packet with a wrong length"));
        }
        self.take(length)
    }

    fn take(&mut self, n: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or_else(|| broken("packet ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn integer(&mut self) -> io::Result<u16> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn string(&mut self) -> io::Result<Option<&'a [u8]>> {
        let length = self.integer()?;
        if length == 0xffff {
            return Ok(None);
        }
        let text = self.take(usize::from(length))?;
        if self.take(1)? != [0] {
            return Err(broken("string without its final zero"));
        }
        Ok(Some(text))
    }
}
