// SPDX-License-Identifier: Apache-2.0
//! Writing a Forward Request.

use super::code::{self, Dialect, attribute};
use super::error::EncodeError;
use super::frame::{self, PACKET_HEADER, REQUEST_MAGIC};
use crate::wire::uri;

/// The longest string that can be expressed: one more is the mark of the null string.
const LONGEST_STRING: usize = 65534;

/// The fixed fields of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// The method as the client sent it.
    pub method: &'a [u8],
    /// `HTTP/1.1`, `HTTP/1.0`.
    pub protocol: &'a [u8],
    /// The encoded path without the query string, or `*` with OPTIONS.
    pub uri: &'a [u8],
    /// The address of the client as text.
    pub remote_addr: &'a [u8],
    /// The name of the client, if it was looked up.
    pub remote_host: Option<&'a [u8]>,
    /// The name the client asked for.
    pub server_name: &'a [u8],
    /// The port the client asked for (mod_jk) or came in on (mod_proxy_ajp).
    pub server_port: u16,
    /// The client speaks TLS.
    pub is_ssl: bool,
}

/// How the request body will be sent. It decides over Content-Length and Transfer-Encoding; those of the client do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyLength {
    /// Neither header is sent. The container asks if it wants a body.
    None,
    /// Content-Length with this number. Above 0 the first body packet follows the head without being asked for.
    Known(u64),
    /// `Transfer-Encoding: chunked`. Body packets are sent when asked for; an empty one ends the body.
    Chunked,
}

/// Writes one Forward Request at the end of a buffer.
///
/// The parts are given in the order of the packet: [`body`](Self::body), [`header`](Self::header)s, then the attributes
/// in the order of the methods below. The first thing that goes wrong is remembered and reported by
/// [`finish`](Self::finish); unless that returns `Ok`, the buffer is as it was before.
#[derive(Debug)]
pub struct ForwardRequest<'a> {
    buf: &'a mut Vec<u8>,
    /// Length of `buf` when the packet began.
    start: usize,
    /// Length `buf` may not exceed.
    limit: usize,
    dialect: Dialect,
    /// The method, if it has no code and is still to be written as an attribute.
    stored_method: Option<&'a [u8]>,
    body: Option<BodyLength>,
    is_body_header_written: bool,
    /// Where the number of headers stands in `buf`.
    header_count_at: usize,
    header_count: u16,
    stage: Stage,
    error: Option<EncodeError>,
    is_complete: bool,
}

/// The order of the packet. An attribute may not follow one of a later stage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    Headers,
    Secret,
    RemoteUser,
    AuthType,
    QueryString,
    JvmRoute,
    SslCert,
    SslCipher,
    SslSession,
    SslKeySize,
    RequestAttributes,
}

impl<'a> ForwardRequest<'a> {
    /// Starts a request as mod_proxy_ajp sends it. `packet_size` counts the whole packet, its header included;
    /// [`MAX_PACKET_SIZE`](super::MAX_PACKET_SIZE) is the most.
    pub fn begin(buf: &'a mut Vec<u8>, packet_size: usize, line: &RequestLine<'a>) -> Self {
        Self::begin_in(Dialect::ModProxy, buf, packet_size, line)
    }

    /// Starts a request with the codes of `dialect`.
    pub fn begin_in(
        dialect: Dialect,
        buf: &'a mut Vec<u8>,
        packet_size: usize,
        line: &RequestLine<'a>,
    ) -> Self {
        let start = buf.len();
        let mut request = Self {
            buf,
            start,
            limit: start.saturating_add(frame::clamp(packet_size)),
            dialect,
            stored_method: None,
            body: None,
            is_body_header_written: false,
            header_count_at: start,
            header_count: 0,
            stage: Stage::Headers,
            error: None,
            is_complete: false,
        };
        request.line(line);
        request
    }

    fn line(&mut self, line: &RequestLine<'a>) {
        if let Some(error) = fault_of_line(line) {
            self.fail(error);
        }
        let method = code::method_code(self.dialect, line.method);
        if method == code::STORED_METHOD {
            self.stored_method = Some(line.method);
        }
        self.put(&REQUEST_MAGIC, "packet header");
        self.put(&[0, 0, code::message::FORWARD_REQUEST, method], "method");
        self.put_string(line.protocol, "protocol");
        self.put_string(line.uri, "path");
        self.put_string(line.remote_addr, "client address");
        match line.remote_host {
            Some(host) => self.put_string(host, "client name"),
            None => self.put(&[0xFF, 0xFF], "client name"),
        }
        self.put_string(line.server_name, "server name");
        self.put(&line.server_port.to_be_bytes(), "server port");
        self.put(&[u8::from(line.is_ssl)], "TLS mark");
        self.header_count_at = self.buf.len();
        self.put(&[0, 0], "number of headers");
    }

    /// Says how the body will be sent. Comes before the headers.
    pub fn body(&mut self, length: BodyLength) -> &mut Self {
        if self.header_count > 0 || self.stage > Stage::Headers {
            self.fail(EncodeError::Order { part: "body length" });
        }
        self.body = Some(length);
        self
    }

    /// A header of the client. The first Content-Length or Transfer-Encoding marks the place where the header that
    /// belongs to the body length is written; their values are not looked at, and further ones are left out.
    pub fn header(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        if self.stage > Stage::Headers || self.body.is_none() {
            self.fail(EncodeError::Order { part: "header" });
            return self;
        }
        let code = code::request_header_code(self.dialect, name);
        if code == Some(code::CONTENT_LENGTH) || name.eq_ignore_ascii_case(b"Transfer-Encoding") {
            self.body_header();
        } else {
            self.put_header(code, name, value);
        }
        self
    }

    fn body_header(&mut self) {
        if std::mem::replace(&mut self.is_body_header_written, true) {
            return;
        }
        match self.body {
            None | Some(BodyLength::None) => {}
            Some(BodyLength::Known(length)) => {
                let (digits, first) = decimal(length);
                self.put_header(Some(code::CONTENT_LENGTH), b"", &digits[first..]);
            }
            Some(BodyLength::Chunked) => self.put_header(None, b"Transfer-Encoding", b"chunked"),
        }
    }

    fn put_header(&mut self, code: Option<u16>, name: &[u8], value: &[u8]) {
        match code {
            Some(code) => self.put(&code.to_be_bytes(), "header name"),
            None if name.is_empty() || name.len() >> 8 == usize::from(code::CODED_NAME) => {
                self.fail(EncodeError::HeaderName { length: name.len() });
            }
            None => self.put_string(name, "header name"),
        }
        self.put_string(value, "header value");
        self.header_count = self.header_count.saturating_add(1);
    }

    /// The secret of the AJP connector.
    pub fn secret(&mut self, value: &[u8]) -> &mut Self {
        self.attribute(Stage::Secret, attribute::SECRET, "secret", value)
    }

    /// The user httpd authenticated.
    pub fn remote_user(&mut self, value: &[u8]) -> &mut Self {
        self.attribute(Stage::RemoteUser, attribute::REMOTE_USER, "user name", value)
    }

    /// How httpd authenticated the user.
    pub fn auth_type(&mut self, value: &[u8]) -> &mut Self {
        self.attribute(Stage::AuthType, attribute::AUTH_TYPE, "authentication type", value)
    }

    /// The query string as received, without `?`; empty for a bare `?`.
    pub fn query_string(&mut self, value: &[u8]) -> &mut Self {
        self.attribute(Stage::QueryString, attribute::QUERY_STRING, "query string", value)
    }

    /// The route of the session.
    pub fn jvm_route(&mut self, value: &[u8]) -> &mut Self {
        self.attribute(Stage::JvmRoute, attribute::JVM_ROUTE, "route", value)
    }

    /// The client's certificate, PEM text.
    pub fn ssl_cert(&mut self, value: &[u8]) -> &mut Self {
        self.attribute(Stage::SslCert, attribute::SSL_CERT, "client certificate", value)
    }

    /// The name of the cipher.
    pub fn ssl_cipher(&mut self, value: &[u8]) -> &mut Self {
        self.attribute(Stage::SslCipher, attribute::SSL_CIPHER, "cipher name", value)
    }

    /// The TLS session id in hexadecimal.
    pub fn ssl_session(&mut self, value: &[u8]) -> &mut Self {
        self.attribute(Stage::SslSession, attribute::SSL_SESSION, "TLS session id", value)
    }

    /// The key size of the cipher in bits.
    pub fn ssl_key_size(&mut self, bits: u16) -> &mut Self {
        if self.enter(Stage::SslKeySize, "key size") {
            let [high, low] = bits.to_be_bytes();
            self.put(&[attribute::SSL_KEY_SIZE, high, low], "key size");
        }
        self
    }

    /// An attribute by name. Tomcat answers 403 to names it neither knows nor is configured to allow.
    pub fn request_attribute(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        if self.enter(Stage::RequestAttributes, "request attribute") {
            self.put(&[attribute::REQUEST_ATTRIBUTE], "request attribute");
            self.put_string(name, "request attribute");
            self.put_string(value, "request attribute");
        }
        self
    }

    fn attribute(&mut self, stage: Stage, code: u8, part: &'static str, value: &[u8]) -> &mut Self {
        if self.enter(stage, part) {
            self.put(&[code], part);
            self.put_string(value, part);
        }
        self
    }

    /// Moves on to `stage` and writes what the encoder owes before it.
    fn enter(&mut self, stage: Stage, part: &'static str) -> bool {
        let is_repeated = stage == self.stage && stage != Stage::RequestAttributes;
        if stage < self.stage || is_repeated || self.body.is_none() {
            self.fail(EncodeError::Order { part });
            return false;
        }
        if self.stage == Stage::Headers {
            self.body_header();
        }
        self.stage = stage;
        if stage == Stage::RequestAttributes
            && let Some(method) = self.stored_method.take()
        {
            self.put(&[attribute::STORED_METHOD], "method");
            self.put_string(method, "method");
        }
        true
    }

    /// Ends the packet and fills in its lengths.
    ///
    /// # Errors
    /// The first fault of any part; the buffer is as it was before [`begin`](Self::begin).
    pub fn finish(mut self) -> Result<(), EncodeError> {
        self.enter(Stage::RequestAttributes, "body length");
        self.put(&[attribute::END], "end mark");
        if let Some(error) = self.error {
            return Err(error);
        }
        let count_at = self.header_count_at;
        self.buf[count_at..count_at + 2].copy_from_slice(&self.header_count.to_be_bytes());
        let payload = self.buf.len() - self.start - PACKET_HEADER;
        let length = u16::try_from(payload).unwrap_or(u16::MAX).to_be_bytes();
        self.buf[self.start + 2..self.start + PACKET_HEADER].copy_from_slice(&length);
        self.is_complete = true;
        Ok(())
    }

    fn put_string(&mut self, value: &[u8], part: &'static str) {
        match u16::try_from(value.len()) {
            Ok(length) if value.len() <= LONGEST_STRING => {
                self.put(&length.to_be_bytes(), part);
                self.put(value, part);
                self.put(&[0], part);
            }
            _ => self.fail(EncodeError::TooLong { part, length: value.len() }),
        }
    }

    fn put(&mut self, bytes: &[u8], part: &'static str) {
        if self.error.is_some() {
            return;
        }
        if bytes.len() > self.limit - self.buf.len() {
            let packet_size = self.limit - self.start;
            self.fail(EncodeError::TooLarge { packet_size, part });
        } else {
            self.buf.extend_from_slice(bytes);
        }
    }

    fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }
}

impl Drop for ForwardRequest<'_> {
    /// Half a packet must never be sent.
    fn drop(&mut self) {
        if !self.is_complete {
            self.buf.truncate(self.start);
        }
    }
}

fn fault_of_line(line: &RequestLine<'_>) -> Option<EncodeError> {
    if !code::is_token(line.method) {
        return Some(EncodeError::Method);
    }
    if let Some(at) = uri::forbidden_at(line.uri) {
        return Some(EncodeError::UriCharacter { at, found: line.uri[at] });
    }
    let is_star = line.uri == b"*" && line.method == b"OPTIONS";
    (!line.uri.starts_with(b"/") && !is_star).then_some(EncodeError::UriStart)
}

/// The decimal digits of `number`, right-aligned, and the index of the first one.
fn decimal(mut number: u64) -> ([u8; 20], usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len() - 1;
    loop {
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return (digits, first);
        }
        first -= 1;
    }
}
