// SPDX-License-Identifier: Apache-2.0
//! A reader of Forward Requests that shares nothing with the encoder it checks. It panics on anything malformed.

/// Methods by code, from 1 on.
#[rustfmt::skip]
pub const METHODS: [&str; 27] = [
    "OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "PROPFIND", "PROPPATCH", "MKCOL", "COPY",
    "MOVE", "LOCK", "UNLOCK", "ACL", "REPORT", "VERSION-CONTROL", "CHECKIN", "CHECKOUT", "UNCHECKOUT",
    "SEARCH", "MKWORKSPACE", "UPDATE", "LABEL", "MERGE", "BASELINE-CONTROL", "MKACTIVITY",
];

/// Coded header names, from A001 on.
#[rustfmt::skip]
pub const HEADERS: [&str; 14] = [
    "accept", "accept-charset", "accept-encoding", "accept-language", "authorization", "connection",
    "content-type", "content-length", "cookie", "cookie2", "host", "pragma", "referer", "user-agent",
];

/// Names of the attributes, from 01 on.
#[rustfmt::skip]
pub const ATTRIBUTES: [&str; 13] = [
    "context", "servlet_path", "remote_user", "auth_type", "query_string", "jvm_route", "ssl_cert",
    "ssl_cipher", "ssl_session", "req_attribute", "ssl_key_size", "secret", "stored_method",
];

#[derive(Debug, PartialEq)]
pub struct Header {
    /// Lower case if it was coded.
    pub name: Vec<u8>,
    pub is_coded: bool,
    pub value: Vec<u8>,
}

#[derive(Debug, PartialEq)]
pub enum Attribute {
    Text(&'static str, Vec<u8>),
    Pair(Vec<u8>, Vec<u8>),
    KeySize(u16),
}

#[derive(Debug, PartialEq)]
pub struct Request {
    pub method_code: u8,
    pub method: Vec<u8>,
    pub protocol: Vec<u8>,
    pub uri: Vec<u8>,
    pub remote_addr: Vec<u8>,
    pub remote_host: Option<Vec<u8>>,
    pub server_name: Vec<u8>,
    pub server_port: u16,
    pub is_ssl: u8,
    pub headers: Vec<Header>,
    pub attributes: Vec<Attribute>,
}

/// Cuts what a front end sent into packets; each result is a payload.
pub fn payloads(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut payloads = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(bytes[..2], [0x12, 0x34], "magic");
        let length = usize::from(bytes[2]) << 8 | usize::from(bytes[3]);
        payloads.push(&bytes[4..4 + length]);
        bytes = &bytes[4 + length..];
    }
    payloads
}

/// Reads the payload of a Forward Request.
pub fn parse(payload: &[u8]) -> Request {
    let mut cursor = Cursor(payload);
    assert_eq!(cursor.byte(), 2, "message type");
    let method_code = cursor.byte();
    let mut request = Request {
        method_code,
        method: Vec::new(),
        protocol: cursor.text(),
        uri: cursor.text(),
        remote_addr: cursor.text(),
        remote_host: cursor.string(),
        server_name: cursor.text(),
        server_port: cursor.integer(),
        is_ssl: cursor.byte(),
        headers: Vec::new(),
        attributes: Vec::new(),
    };
    for _ in 0..cursor.integer() {
        request.headers.push(cursor.header());
    }
    while let Some(attribute) = cursor.attribute() {
        request.attributes.push(attribute);
    }
    assert!(cursor.0.is_empty(), "bytes after the end mark");
    request.method = match method_code {
        255 => stored_method(&request.attributes),
        code => METHODS[usize::from(code) - 1].into(),
    };
    request
}

fn stored_method(attributes: &[Attribute]) -> Vec<u8> {
    let mut names = attributes.iter().filter_map(|attribute| match attribute {
        Attribute::Text("stored_method", name) => Some(name.clone()),
        _ => None,
    });
    let name = names.next().expect("a stored method has a name");
    assert_eq!(names.next(), None, "one stored method");
    name
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn byte(&mut self) -> u8 {
        let byte = self.0[0];
        self.0 = &self.0[1..];
        byte
    }

    fn integer(&mut self) -> u16 {
        u16::from(self.byte()) << 8 | u16::from(self.byte())
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        let length = self.integer();
        (length != 0xFFFF).then(|| self.bytes(length))
    }

    fn text(&mut self) -> Vec<u8> {
        self.string().expect("not null")
    }

    fn bytes(&mut self, length: u16) -> Vec<u8> {
        let (text, rest) = self.0.split_at(usize::from(length));
        assert_eq!(rest[0], 0, "zero byte after a string");
        self.0 = &rest[1..];
        text.to_vec()
    }

    fn header(&mut self) -> Header {
        let first = self.integer();
        let is_coded = first >> 8 == 0xA0;
        let name = if is_coded { HEADERS[usize::from(first & 0xFF) - 1].into() } else { self.bytes(first) };
        Header { name, is_coded, value: self.text() }
    }

    fn attribute(&mut self) -> Option<Attribute> {
        match self.byte() {
            0xFF => None,
            0x0A => Some(Attribute::Pair(self.text(), self.text())),
            0x0B => Some(Attribute::KeySize(self.integer())),
            code => Some(Attribute::Text(ATTRIBUTES[usize::from(code) - 1], self.text())),
        }
    }
}
