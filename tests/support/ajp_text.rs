// SPDX-License-Identifier: Apache-2.0
//! The tests' own reading and writing of AJP messages, independent of the module's codec.

use std::io::{self, Read};

/// The names of coded request headers, from code 0xA001 on.
const HEADER_NAMES: [&str; 14] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "connection",
    "content-type",
    "content-length",
    "cookie",
    "cookie2",
    "host",
    "pragma",
    "referer",
    "user-agent",
];

/// Reads a packet from a front end, its four byte head included.
pub fn read_packet(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet)?;
    if packet[..2] != [0x12, 0x34] {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("magic {packet:02x?}")));
    }
    let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    packet.resize(4 + length, 0);
    from.read_exact(&mut packet[4..])?;
    Ok(packet)
}

/// A Forward Request as the container sees it.
#[derive(Debug, Clone, Default)]
pub struct Head {
    pub method: u8,
    pub protocol: String,
    pub uri: String,
    pub remote_addr: String,
    /// Empty also where there is none.
    pub remote_host: String,
    pub server_name: String,
    pub server_port: u16,
    /// Where the port stands in the packet.
    pub server_port_at: usize,
    pub headers: Vec<(String, String)>,
    /// Attributes with one string, by code; named ones under their name.
    pub attributes: Vec<(String, String)>,
}

impl Head {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The length the front announced.
    pub fn content_length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    pub fn is_post(&self) -> bool {
        self.method == 4
    }

    /// Does the front have a body of a length it does not tell?
    pub fn is_streamed(&self) -> bool {
        self.header("transfer-encoding").is_some() || (self.is_post() && self.content_length().is_none())
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn byte(&mut self) -> Option<u8> {
        let value = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(value)
    }

    fn int(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.int()?;
        if length == 0xFFFF {
            return Some(String::new());
        }
        let end = self.at + usize::from(length);
        let text = String::from_utf8_lossy(self.bytes.get(self.at..end)?).into_owned();
        self.at = end;
        (self.byte()? == 0).then_some(text)
    }

    fn header_name(&mut self) -> Option<String> {
        if *self.bytes.get(self.at)? != 0xA0 {
            return self.text();
        }
        let code = usize::from(self.int()? & 0xFF);
        HEADER_NAMES.get(code.checked_sub(1)?).map(|name| name.to_string())
    }
}

/// Reads a Forward Request packet; `None` for anything else or anything broken.
pub fn parse_head(packet: &[u8]) -> Option<Head> {
    let mut cursor = Cursor { bytes: packet, at: 4 };
    if cursor.byte()? != 2 {
        return None;
    }
    let mut head =
        Head { method: cursor.byte()?, protocol: cursor.text()?, uri: cursor.text()?, ..Head::default() };
    head.remote_addr = cursor.text()?;
    head.remote_host = cursor.text()?;
    head.server_name = cursor.text()?;
    head.server_port_at = cursor.at;
    head.server_port = cursor.int()?;
    let _is_ssl = cursor.byte()?;
    for _ in 0..cursor.int()? {
        let name = cursor.header_name()?;
        head.headers.push((name, cursor.text()?));
    }
    loop {
        match cursor.byte()? {
            0xFF => return (cursor.at == packet.len()).then_some(head),
            0x0A => head.attributes.push((cursor.text()?, cursor.text()?)),
            0x0B => head.attributes.push(("11".to_string(), cursor.int()?.to_string())),
            code => head.attributes.push((code.to_string(), cursor.text()?)),
        }
    }
}

fn text(into: &mut Vec<u8>, value: &str) {
    into.extend_from_slice(&(value.len() as u16).to_be_bytes());
    into.extend_from_slice(value.as_bytes());
    into.push(0);
}

fn packet(magic: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let mut packet = magic.to_vec();
    packet.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// The question whether the other end is alive.
pub const CPING: [u8; 5] = [0x12, 0x34, 0, 1, 10];
/// Its answer.
pub const CPONG: [u8; 5] = [b'A', b'B', 0, 1, 9];

/// A plain GET, as a front end sends it.
pub fn get_request(uri: &str) -> Vec<u8> {
    let mut payload = vec![2, 2];
    for value in ["HTTP/1.1", uri, "127.0.0.1"] {
        text(&mut payload, value);
    }
    payload.extend_from_slice(&[0xFF, 0xFF]);
    text(&mut payload, "localhost");
    payload.extend_from_slice(&[0, 80, 0, 0, 1, 0xA0, 0x0B]);
    text(&mut payload, "localhost");
    payload.push(0xFF);
    packet([0x12, 0x34], &payload)
}

/// SEND_HEADERS.
pub fn headers_packet(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    head_packet(status, "OK", headers)
}

/// SEND_HEADERS with that reason phrase.
pub fn head_packet(status: u16, reason: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut payload = vec![4];
    payload.extend_from_slice(&status.to_be_bytes());
    text(&mut payload, reason);
    payload.extend_from_slice(&(headers.len() as u16).to_be_bytes());
    for (name, value) in headers {
        text(&mut payload, name);
        text(&mut payload, value);
    }
    packet(*b"AB", &payload)
}

/// SEND_BODY_CHUNK; an empty one asks for a flush.
pub fn chunk_packet(data: &[u8]) -> Vec<u8> {
    let mut payload = vec![3];
    payload.extend_from_slice(&(data.len() as u16).to_be_bytes());
    payload.extend_from_slice(data);
    payload.push(0);
    packet(*b"AB", &payload)
}

/// END_RESPONSE.
pub fn end_packet(reuse: bool) -> Vec<u8> {
    packet(*b"AB", &[5, u8::from(reuse)])
}

/// GET_BODY_CHUNK.
pub fn ask_packet(length: u16) -> Vec<u8> {
    packet(*b"AB", &[6, (length >> 8) as u8, length as u8])
}
