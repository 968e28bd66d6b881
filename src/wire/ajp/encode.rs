// SPDX-License-Identifier: Apache-2.0
//! Writing a Forward Request.

use super::code::{self, Dialect, attribute};
use super::error::EncodeError;
use super::frame::{self, PACKET_HEADER, REQUEST_MAGIC};
use crate::wire::token;

/// The longest string that can be expressed: one more is the mark of the null string.
const LONGEST_STRING: usize = 65534;

/// The mark of the null string.
const NULL: [u8; 2] = [0xFF, 0xFF];

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
        if start == 0 {
            buf.reserve(frame::clamp(packet_size));
        }
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
        if let Some(error) = fault_of_line(self.dialect, line) {
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
        match line.remote_addr {
            // A variable that took the address away: mod_jk sends none.
            b"" if self.dialect == Dialect::ModJk => self.put(&NULL, "client address"),
            address => self.put_string(address, "client address"),
        }
        match line.remote_host {
            Some(host) => self.put_string(host, "client name"),
            None => self.put(&NULL, "client name"),
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
        let is_coding = code.is_none() && name.eq_ignore_ascii_case(b"Transfer-Encoding");
        if code == Some(code::CONTENT_LENGTH) || is_coding {
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

    /// An attribute by name, whose value is null.
    pub fn request_attribute_null(&mut self, name: &[u8]) -> &mut Self {
        if self.enter(Stage::RequestAttributes, "request attribute") {
            self.put(&[attribute::REQUEST_ATTRIBUTE], "request attribute");
            self.put_string(name, "request attribute");
            self.put(&NULL, "request attribute");
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
                if self.has_room(value.len() + 3, part) {
                    self.buf.extend_from_slice(&length.to_be_bytes());
                    self.buf.extend_from_slice(value);
                    self.buf.push(0);
                }
            }
            _ => self.fail(EncodeError::TooLong { part, length: value.len() }),
        }
    }

    fn put(&mut self, bytes: &[u8], part: &'static str) {
        if self.has_room(bytes.len(), part) {
            self.buf.extend_from_slice(bytes);
        }
    }

    /// May `n` more bytes be written? Not after a fault.
    fn has_room(&mut self, n: usize, part: &'static str) -> bool {
        if self.error.is_some() {
            return false;
        }
        let fits = n <= self.limit - self.buf.len();
        if !fits {
            let packet_size = self.limit - self.start;
            self.fail(EncodeError::TooLarge { packet_size, part });
        }
        fits
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

fn fault_of_line(dialect: Dialect, line: &RequestLine<'_>) -> Option<EncodeError> {
    if !token::is_token(line.method) {
        return Some(EncodeError::Method);
    }
    // With `ForwardURICompat` a path goes as it was decoded, and may have blanks.
    let is_forbidden = |byte: &u8| byte.is_ascii_control() || *byte == b' ' && dialect != Dialect::ModJk;
    if let Some(at) = line.uri.iter().position(is_forbidden) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: RequestLine<'_> = RequestLine {
        method: b"GET",
        protocol: b"HTTP/1.1",
        uri: b"/a",
        remote_addr: b"::1",
        remote_host: None,
        server_name: b"h",
        server_port: 80,
        is_ssl: false,
    };

    /// The bytes of [`LINE`] up to the number of headers, without the packet header.
    const HEAD: &[u8] =
        b"\x02\x02\x00\x08HTTP/1.1\x00\x00\x02/a\x00\x00\x03::1\x00\xff\xff\x00\x01h\x00\x00\x50\x00";

    fn packet(rest: &[u8]) -> Vec<u8> {
        let payload = [HEAD, rest].concat();
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&[0x12, 0x34], &length[..], &payload].concat()
    }

    fn encoded(
        line: &RequestLine<'_>,
        fill: impl FnOnce(&mut ForwardRequest<'_>),
    ) -> Result<Vec<u8>, EncodeError> {
        let mut buf = b"before".to_vec();
        let mut request = ForwardRequest::begin(&mut buf, 8192, line);
        request.body(BodyLength::None);
        fill(&mut request);
        let result = request.finish();
        let written = buf.split_off(6);
        assert_eq!(buf, b"before");
        assert!(result.is_ok() || written.is_empty(), "an error leaves nothing behind");
        result.map(|()| written)
    }

    fn error(fill: impl FnOnce(&mut ForwardRequest<'_>)) -> EncodeError {
        encoded(&LINE, fill).unwrap_err()
    }

    #[test]
    fn the_body_length_replaces_the_headers_of_the_client_in_their_place() {
        let encoded = |length| {
            encoded(&LINE, |request| {
                request.body(length).header(b"A", b"1").header(b"content-length", b"9");
                request
                    .header(b"transfer-encoding", b"gzip")
                    .header(b"Content-Length", b"8")
                    .header(b"B", b"2");
            })
            .unwrap()
        };
        let (first, last) = (b"\x00\x01A\x00\x00\x011\x00", b"\x00\x01B\x00\x00\x012\x00\xff");
        let all = |count: u8, middle: &[u8]| packet(&[&[0, count], &first[..], middle, last].concat());
        assert_eq!(encoded(BodyLength::None), all(2, b""));
        assert_eq!(encoded(BodyLength::Known(0)), all(3, b"\xa0\x08\x00\x010\x00"));
        let chunked = b"\x00\x11Transfer-Encoding\x00\x00\x07chunked\x00";
        assert_eq!(encoded(BodyLength::Chunked), all(3, chunked));
    }

    #[test]
    fn a_body_length_without_a_place_comes_last() {
        let known = encoded(&LINE, |request| {
            request.body(BodyLength::Known(u64::MAX)).header(b"Host", b"h").secret(b"s");
        });
        let rest =
            b"\x00\x02\xa0\x0b\x00\x01h\x00\xa0\x08\x00\x1418446744073709551615\x00\x0c\x00\x01s\x00\xff";
        assert_eq!(known, Ok(packet(rest)));
        let bare = encoded(&LINE, |request| {
            request.body(BodyLength::Known(10));
        });
        assert_eq!(bare, Ok(packet(b"\x00\x01\xa0\x08\x00\x0210\x00\xff")));
    }

    #[test]
    fn a_method_without_a_code_stands_before_the_request_attributes() {
        let line = RequestLine { method: b"FOO", ..LINE };
        let mut expected = packet(
            b"\x00\x00\x05\x00\x00\x00\x0b\x01\x00\x0d\x00\x03FOO\x00\x0a\x00\x01n\x00\x00\x01v\x00\xff",
        );
        expected[5] = 255;
        let found = encoded(&line, |request| {
            request.query_string(b"").ssl_key_size(256).request_attribute(b"n", b"v");
        });
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn a_request_that_does_not_fit_leaves_nothing_behind() {
        let fits = 8192 - 4 - HEAD.len() - 2 - 5 - 1;
        let fill = |length: usize| encoded(&LINE, |request| _ = request.header(b"Host", &vec![b'x'; length]));
        assert_eq!(fill(fits).map(|packet| packet.len()), Ok(8192));
        assert_eq!(fill(fits + 1), Err(EncodeError::TooLarge { packet_size: 8192, part: "end mark" }));
        assert_eq!(fill(65535), Err(EncodeError::TooLong { part: "header value", length: 65535 }));
    }

    #[test]
    fn an_abandoned_request_leaves_nothing_behind() {
        let mut buf = b"before".to_vec();
        ForwardRequest::begin(&mut buf, 8192, &LINE).body(BodyLength::None).header(b"A", b"1");
        assert_eq!(buf, b"before");
    }

    #[test]
    fn paths_that_could_be_misread_are_refused() {
        let refused = |uri| encoded(&RequestLine { uri, ..LINE }, |_| ()).unwrap_err();
        assert_eq!(refused(b"/a b"), EncodeError::UriCharacter { at: 2, found: b' ' });
        assert_eq!(refused(b"/\r"), EncodeError::UriCharacter { at: 1, found: b'\r' });
        for uri in [&b""[..], b"a", b"http://h/a", b"*"] {
            assert_eq!(refused(uri), EncodeError::UriStart);
        }
        let star = RequestLine { uri: b"*", method: b"OPTIONS", ..LINE };
        assert!(encoded(&star, |_| ()).is_ok());
    }

    #[test]
    fn methods_must_be_tokens() {
        for method in [&b""[..], b"G T", b"GET\n", "GÉT".as_bytes()] {
            let line = RequestLine { method, ..LINE };
            assert_eq!(encoded(&line, |_| ()), Err(EncodeError::Method));
        }
    }

    #[test]
    fn header_names_that_look_like_codes_are_refused() {
        assert_eq!(error(|request| _ = request.header(b"", b"v")), EncodeError::HeaderName { length: 0 });
        for length in [0xA000, 0xA0FF] {
            let name = vec![b'x'; length];
            assert_eq!(error(|request| _ = request.header(&name, b"")), EncodeError::HeaderName { length });
        }
    }

    #[test]
    fn parts_out_of_order_are_reported() {
        let order = |part| EncodeError::Order { part };
        assert_eq!(error(|request| _ = request.query_string(b"q").secret(b"s")), order("secret"));
        assert_eq!(error(|request| _ = request.secret(b"s").secret(b"s")), order("secret"));
        assert_eq!(error(|request| _ = request.secret(b"s").header(b"A", b"1")), order("header"));
        assert_eq!(
            error(|request| _ = request.header(b"A", b"1").body(BodyLength::None)),
            order("body length")
        );
        let mut buf = Vec::new();
        assert_eq!(ForwardRequest::begin(&mut buf, 8192, &LINE).finish(), Err(order("body length")));
    }

    #[test]
    fn the_first_fault_is_the_one_reported() {
        let fault =
            error(|request| _ = request.header(b"", b"v").header(b"A", &[0; 9000]).secret(b"s").secret(b"s"));
        assert_eq!(fault, EncodeError::HeaderName { length: 0 });
    }

    #[test]
    fn packets_are_written_one_after_another_into_the_same_memory() {
        let mut buf = Vec::with_capacity(2 * 8192);
        let memory = buf.as_ptr();
        for count in 1..=3 {
            let mut request = ForwardRequest::begin(&mut buf, 8192, &LINE);
            request.body(BodyLength::None);
            assert_eq!(request.finish(), Ok(()));
            assert_eq!(buf, packet(b"\x00\x00\xff").repeat(count));
        }
        assert_eq!(buf.as_ptr(), memory);
    }

    proptest! {
        #[test]
        fn every_length_is_written_in_decimal(length: u64) {
            let (digits, first) = decimal(length);
            prop_assert_eq!(std::str::from_utf8(&digits[first..]).unwrap(), length.to_string());
        }

        #[test]
        fn strings_are_counted_ended_and_kept(value in proptest::collection::vec(any::<u8>(), 0..300)) {
            let found = encoded(&LINE, |request| _ = request.header(b"A", &value)).unwrap();
            let length = u16::try_from(value.len()).unwrap().to_be_bytes();
            prop_assert_eq!(found, packet(&[b"\x00\x01\x00\x01A\x00", &length[..], &value, b"\x00\xff"].concat()));
        }
    }
}
