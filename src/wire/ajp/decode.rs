// SPDX-License-Identifier: Apache-2.0
//! Reading the answer of a container, packet by packet.

use super::code::{self, message};
use super::error::DecodeError;
use super::frame::{self, CPONG, Frame, Reader};
use crate::wire::token;

/// The fewest bytes a header takes: a coded name and an empty value.
const SMALLEST_HEADER: usize = 5;

const HEADERS: &str = "Send Headers";
const CHUNK: &str = "Send Body Chunk";
const END: &str = "End Response";
const GET_BODY: &str = "Get Body Chunk";

/// What the container says. Data is borrowed from the buffer.
#[derive(Clone, Debug)]
pub enum Message<'b> {
    /// Status and headers; comes exactly once.
    Headers(ResponseHead<'b>),
    /// Bytes of the body, never empty.
    Chunk(&'b [u8]),
    /// Everything received so far is to reach the client now. May come before the headers, and then means nothing.
    Flush,
    /// The container wants at most this many bytes of request body. It must be answered each time, with an empty packet
    /// when nothing is left; it may ask again after that. An empty packet sooner than that would cut the body short,
    /// even as the answer to a wish for 0 bytes.
    GetBody(u16),
    /// The response is complete. The connection may carry another request only if `reuse` is true.
    End { reuse: bool },
}

/// What [`Decoder::next`] found.
#[derive(Clone, Debug)]
pub enum Decoded<'b> {
    /// The buffer must hold `need` bytes in all before the next call can find more.
    Incomplete { need: usize },
    /// A message; `used` bytes of the buffer are done with.
    Message { message: Message<'b>, used: usize },
}

/// The head of a response, checked as a whole.
#[derive(Clone, Debug)]
pub struct ResponseHead<'b> {
    /// 200 to 999.
    pub status: u16,
    /// Without CR, LF and NUL. Tomcat sends the digits of the status. `None`: the standard phrase is meant.
    pub reason: Option<&'b [u8]>,
    /// The Content-Length, if it was given once and is a number.
    pub content_length: Option<u64>,
    headers: Headers<'b>,
}

impl<'b> ResponseHead<'b> {
    /// The headers in the order of the container, repeated ones apart.
    pub fn headers(&self) -> Headers<'b> {
        self.headers.clone()
    }
}

/// Names and values of a response. Names are tokens, values have no CR, LF or NUL.
#[derive(Clone, Debug)]
pub struct Headers<'b> {
    reader: Reader<'b>,
    left: u16,
}

impl<'b> Iterator for Headers<'b> {
    type Item = (&'b [u8], &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        read_header(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// Where in a response we are.
#[derive(Clone, Copy, Debug)]
enum State {
    BeforeHeaders,
    Body,
    Ended,
    Broken(DecodeError),
}

/// Reads one response. It keeps no bytes: the caller keeps the buffer and drops what has been used.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The largest payload accepted.
    limit: usize,
    state: State,
}

impl Decoder {
    /// For the response to one request. `packet_size` is that of both sides, in bytes with the packet header.
    pub fn new(packet_size: usize) -> Self {
        Self { limit: frame::max_payload(packet_size), state: State::BeforeHeaders }
    }

    /// Looks for a message at the start of `buf`. To be called again with what is left after `used` bytes, until the
    /// end of the response.
    ///
    /// # Errors
    /// What is wrong with the bytes; the same error for every further call. After [`Message::End`]:
    /// [`DecodeError::AfterEnd`].
    pub fn next<'b>(&mut self, buf: &'b [u8]) -> Result<Decoded<'b>, DecodeError> {
        let found = match self.state {
            State::Broken(error) => Err(error),
            State::Ended => Err(DecodeError::AfterEnd),
            State::BeforeHeaders | State::Body => self.first_message(buf),
        };
        if let Err(error) = found {
            self.state = State::Broken(error);
        }
        found
    }

    fn first_message<'b>(&mut self, buf: &'b [u8]) -> Result<Decoded<'b>, DecodeError> {
        match frame::split(buf, self.limit)? {
            Frame::Incomplete { need } => Ok(Decoded::Incomplete { need }),
            Frame::Whole { payload, used } => {
                let message = self.message(payload)?;
                Ok(Decoded::Message { message, used })
            }
        }
    }

    fn message<'b>(&mut self, payload: &'b [u8]) -> Result<Message<'b>, DecodeError> {
        let mut reader = Reader::new(payload);
        match reader.byte("message type")? {
            message::SEND_HEADERS => self.headers(reader),
            message::SEND_BODY_CHUNK => self.chunk(reader),
            message::GET_BODY_CHUNK => get_body(reader),
            message::END_RESPONSE => self.end(reader),
            message::CPONG => {
                Err(DecodeError::OutOfPlace { message: "CPong", moment: "while a request is under way" })
            }
            found => Err(DecodeError::UnknownType { found }),
        }
    }

    fn headers<'b>(&mut self, mut reader: Reader<'b>) -> Result<Message<'b>, DecodeError> {
        if !matches!(self.state, State::BeforeHeaders) {
            return Err(DecodeError::OutOfPlace { message: HEADERS, moment: "a second time" });
        }
        let status = reader.integer("status")?;
        if !(200..=999).contains(&status) {
            return Err(DecodeError::Status { found: status });
        }
        let reason = reader.string("reason phrase")?;
        if let Some(text) = reason {
            check_text(text, "reason phrase", &reader)?;
        }
        let (headers, content_length) = check_headers(&mut reader)?;
        reader.end(HEADERS)?;
        self.state = State::Body;
        Ok(Message::Headers(ResponseHead { status, reason, content_length, headers }))
    }

    fn chunk<'b>(&mut self, mut reader: Reader<'b>) -> Result<Message<'b>, DecodeError> {
        let length = usize::from(reader.integer("chunk length")?);
        let data = match reader.left().checked_sub(length) {
            // Old containers leave the zero byte out.
            Some(0) => reader.take(length, "chunk")?,
            Some(1) => reader.terminated(length, "chunk")?,
            _ => {
                let room = reader.left().saturating_sub(1);
                return Err(DecodeError::ChunkLength { announced: length, room });
            }
        };
        match self.state {
            _ if data.is_empty() => Ok(Message::Flush),
            State::Body => Ok(Message::Chunk(data)),
            _ => Err(DecodeError::OutOfPlace { message: CHUNK, moment: "before Send Headers" }),
        }
    }

    fn end<'b>(&mut self, mut reader: Reader<'b>) -> Result<Message<'b>, DecodeError> {
        if !matches!(self.state, State::Body) {
            return Err(DecodeError::OutOfPlace { message: END, moment: "before Send Headers" });
        }
        // Only a plain 1 is a promise; a missing or odd flag ends the response and the connection.
        let reuse = reader.left() > 0 && reader.byte("reuse flag")? == 1;
        reader.end(END)?;
        self.state = State::Ended;
        Ok(Message::End { reuse })
    }
}

fn get_body(mut reader: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    let wanted = reader.integer("wanted length")?;
    reader.end(GET_BODY)?;
    Ok(Message::GetBody(wanted))
}

/// Reads all headers once, so that reading them again cannot fail, and the one that frames the body.
fn check_headers<'b>(reader: &mut Reader<'b>) -> Result<(Headers<'b>, Option<u64>), DecodeError> {
    let count = reader.integer("number of headers")?;
    let announced = usize::from(count);
    if announced * SMALLEST_HEADER > reader.left() {
        return Err(DecodeError::HeaderCount { announced, left: reader.left() });
    }
    let headers = Headers { reader: *reader, left: count };
    let mut lengths = 0;
    let mut content_length = None;
    for _ in 0..count {
        let (name, value) = read_header(reader)?;
        check_text(value, "header value", reader)?;
        if name.eq_ignore_ascii_case(b"Content-Length") {
            lengths += 1;
            content_length = decimal(value);
        }
    }
    Ok((headers, content_length.filter(|_| lengths == 1)))
}

/// A number of nothing but digits.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn read_header<'b>(reader: &mut Reader<'b>) -> Result<(&'b [u8], &'b [u8]), DecodeError> {
    let name = read_name(reader)?;
    let at = reader.at();
    let value = reader.string("header value")?.ok_or(DecodeError::Null { at, field: "header value" })?;
    Ok((name, value))
}

fn read_name<'b>(reader: &mut Reader<'b>) -> Result<&'b [u8], DecodeError> {
    let at = reader.at();
    let first = reader.integer("header name")?;
    if first >> 8 == u16::from(code::CODED_NAME) {
        return code::response_header_name(first).ok_or(DecodeError::HeaderCode { at, found: first });
    }
    match first {
        u16::MAX => Err(DecodeError::Null { at, field: "header name" }),
        0 => Err(DecodeError::EmptyName { at }),
        length => {
            let name = reader.terminated(usize::from(length), "header name")?;
            match name.iter().position(|byte| !token::is_token_byte(*byte)) {
                None => Ok(name),
                Some(bad) => Err(DecodeError::Character {
                    at: reader.at() - 1 - name.len() + bad,
                    field: "header name",
                    found: name[bad],
                }),
            }
        }
    }
}

/// Refuses bytes that would end a line of the response head. `reader` stands just behind the text and its zero byte.
fn check_text(text: &[u8], field: &'static str, reader: &Reader<'_>) -> Result<(), DecodeError> {
    match text.iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        None => Ok(()),
        Some(bad) => {
            let at = reader.at() - 1 - text.len() + bad;
            Err(DecodeError::Character { at, field, found: text[bad] })
        }
    }
}

/// Looks for the answer to a CPing. True: `buf` is a CPong; false: so far it is the beginning of one.
///
/// # Errors
/// The bytes are something else, or something follows the CPong: the connection must be closed.
pub fn decode_cpong(buf: &[u8]) -> Result<bool, DecodeError> {
    for (at, (found, expected)) in buf.iter().zip(CPONG).enumerate() {
        if *found != expected {
            return Err(DecodeError::NotCPong { at, found: *found });
        }
    }
    match buf.len().checked_sub(CPONG.len()) {
        None => Ok(false),
        Some(0) => Ok(true),
        Some(extra) => Err(DecodeError::TrailingBytes { at: CPONG.len(), message: "CPong", extra }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [b"AB", &length[..], payload].concat()
    }

    /// A decoder that has read "200 OK" without headers.
    fn in_body() -> Decoder {
        let mut decoder = Decoder::new(8192);
        assert!(read(&mut decoder, b"\x04\x00\xc8\x00\x02OK\x00\x00\x00").is_ok());
        decoder
    }

    /// The message of one whole packet, in the notation of `Debug`.
    fn read(decoder: &mut Decoder, payload: &[u8]) -> Result<String, DecodeError> {
        let packet = packet(payload);
        match decoder.next(&packet)? {
            Decoded::Message { message, used } => {
                assert_eq!(used, packet.len());
                Ok(format!("{message:?}"))
            }
            Decoded::Incomplete { need } => panic!("a whole packet wants {need} bytes"),
        }
    }

    fn body_error(payload: &[u8]) -> DecodeError {
        read(&mut in_body(), payload).unwrap_err()
    }

    fn head_error(after_status: &[u8]) -> DecodeError {
        read(&mut Decoder::new(8192), &[b"\x04\x00\xc8", after_status].concat()).unwrap_err()
    }

    #[test]
    fn coded_and_textual_names_are_read_in_order() {
        let head = packet(b"\x04\x01\x94\xff\xff\x00\x02\xa0\x07\x00\x03a=b\x00\x00\x01X\x00\x00\x00\x00");
        let mut decoder = Decoder::new(8192);
        let Ok(Decoded::Message { message: Message::Headers(head), .. }) = decoder.next(&head) else {
            panic!("a head")
        };
        assert_eq!((head.status, head.reason, head.headers().len()), (404, None, 2));
        let headers: Vec<_> = head.headers().collect();
        assert_eq!(headers, [(&b"Set-Cookie"[..], &b"a=b"[..]), (b"X", b"")]);
    }

    #[test]
    fn errors_name_the_place_in_the_packet() {
        let field = "header value";
        let bad = b"\x00\x02OK\x00\x00\x01\x00\x01X\x00\x00\x03a\nb\x00";
        assert_eq!(head_error(bad), DecodeError::Character { at: 21, field, found: b'\n' });
        assert_eq!(packet(&[b"\x04\x00\xc8", &bad[..]].concat())[21], b'\n');
        let null = b"\xff\xff\x00\x01\x00\x01X\x00\xff\xff";
        assert_eq!(head_error(null), DecodeError::Null { at: 15, field });
        let name = b"\xff\xff\x00\x01\x00\x02X:\x00\x00\x00\x00";
        assert_eq!(head_error(name), DecodeError::Character { at: 14, field: "header name", found: b':' });
        assert!(head_error(name).to_string().starts_with("byte 14 of the packet is 0x3a"));
    }

    #[test]
    fn more_headers_than_the_packet_has_room_for_are_refused() {
        let count = |announced, left| DecodeError::HeaderCount { announced, left };
        assert_eq!(head_error(b"\xff\xff\xff\xff"), count(65535, 0));
        assert_eq!(head_error(b"\xff\xff\x00\x02\xa0\x01\x00\x00\x00"), count(2, 5));
    }

    #[test]
    fn bytes_no_field_accounts_for_are_refused() {
        for (payload, at) in [(&b"\x05\x01\x00"[..], 6), (b"\x06\x1f\xfa\x00", 7)] {
            assert!(
                matches!(body_error(payload), DecodeError::TrailingBytes { at: found, extra: 1, .. } if found == at)
            );
        }
        assert!(matches!(
            head_error(b"\xff\xff\x00\x00\x00"),
            DecodeError::TrailingBytes { at: 11, extra: 1, .. }
        ));
    }

    #[test]
    fn only_final_statuses_are_accepted() {
        let status = |status: u16| {
            let [high, low] = status.to_be_bytes();
            read(&mut Decoder::new(8192), &[4, high, low, 0xff, 0xff, 0, 0])
        };
        for accepted in [200, 599, 999] {
            assert!(status(accepted).is_ok());
        }
        for refused in [0, 1, 99, 100, 103, 199, 1000, 65535] {
            assert_eq!(status(refused), Err(DecodeError::Status { found: refused }));
        }
    }

    #[test]
    fn chunks_may_lack_their_zero_byte_but_not_lie_about_their_length() {
        for payload in [&b"\x03\x00\x02ok\x00"[..], b"\x03\x00\x02ok"] {
            assert_eq!(read(&mut in_body(), payload), Ok(format!("{:?}", Message::Chunk(b"ok"))));
        }
        let length = |announced, room| DecodeError::ChunkLength { announced, room };
        assert_eq!(body_error(b"\x03\x00\x02ok\x00\x00"), length(2, 3));
        assert_eq!(body_error(b"\x03\x00\x04ok\x00"), length(4, 2));
        assert_eq!(
            body_error(b"\x03\x00\x02okx"),
            DecodeError::Unterminated { at: 9, field: "chunk", found: b'x' }
        );
        assert!(matches!(body_error(b"\x03\x00"), DecodeError::Truncated { at: 5, need: 2, left: 1, .. }));
    }

    #[test]
    fn a_chunk_without_data_is_a_flush_at_any_time() {
        for mut decoder in [Decoder::new(8192), in_body()] {
            for payload in [&b"\x03\x00\x00\x00"[..], b"\x03\x00\x00"] {
                assert_eq!(read(&mut decoder, payload), Ok("Flush".into()));
            }
            assert_eq!(read(&mut decoder, b"\x06\x1f\xfa"), Ok("GetBody(8186)".into()));
        }
    }

    #[test]
    fn only_a_plain_one_lets_the_connection_live() {
        for (payload, reuse) in [
            (&b"\x05\x01"[..], true),
            (b"\x05\x00", false),
            (b"\x05\x02", false),
            (b"\x05\xff", false),
            (b"\x05", false),
        ] {
            assert_eq!(read(&mut in_body(), payload), Ok(format!("{:?}", Message::End { reuse })));
        }
    }

    #[test]
    fn after_an_error_or_the_end_nothing_is_read() {
        let mut decoder = in_body();
        let error = read(&mut decoder, b"\x07").unwrap_err();
        assert_eq!(error, DecodeError::UnknownType { found: 7 });
        assert_eq!(read(&mut decoder, b"\x03\x00\x01x\x00"), Err(error));
        let mut decoder = in_body();
        assert!(read(&mut decoder, b"\x05\x01").is_ok());
        assert_eq!(read(&mut decoder, b"\x03\x00\x01x\x00"), Err(DecodeError::AfterEnd));
        assert!(matches!(decoder.next(b""), Err(DecodeError::AfterEnd)));
    }

    #[test]
    fn a_cpong_has_nothing_before_and_nothing_behind_it() {
        for length in 0..5 {
            assert_eq!(decode_cpong(&CPONG[..length]), Ok(false));
        }
        assert_eq!(decode_cpong(&CPONG), Ok(true));
        assert!(matches!(
            decode_cpong(b"AB\x00\x01\x09A"),
            Err(DecodeError::TrailingBytes { at: 5, extra: 1, .. })
        ));
        assert_eq!(decode_cpong(b"AB\x00\x02\x05\x01"), Err(DecodeError::NotCPong { at: 3, found: 2 }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..12) {
            for payload in [bytes.clone(), [&[kind], &bytes[..]].concat(), [b"\x04\x00\xc8\xff\xff\x00\x03", &bytes[..]].concat()] {
                let packet = packet(&payload);
                for mut decoder in [Decoder::new(8192), in_body()] {
                    if let Ok(Decoded::Message { message: Message::Headers(head), .. }) = decoder.next(&packet) {
                        prop_assert_eq!(head.headers().len(), head.headers().count());
                    }
                }
            }
        }

        #[test]
        fn written_headers_are_read_back(
            status in 200u16..1000,
            headers in proptest::collection::vec(("[!#-'*+.0-9A-Z^-z|~-]{1,20}", "[^\r\n\0]{0,40}"), 0..20),
        ) {
            let mut payload = vec![4];
            payload.extend(status.to_be_bytes());
            payload.extend(b"\x00\x02OK\x00");
            payload.extend(u16::try_from(headers.len()).unwrap().to_be_bytes());
            for text in headers.iter().flat_map(|(name, value)| [name, value]) {
                payload.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
                payload.extend(text.bytes().chain([0]));
            }
            let packet = packet(&payload);
            let mut decoder = Decoder::new(8192);
            let Ok(Decoded::Message { message: Message::Headers(head), used }) = decoder.next(&packet) else {
                panic!("a head")
            };
            prop_assert_eq!((head.status, head.reason, used), (status, Some(&b"OK"[..]), packet.len()));
            let read: Vec<_> = head.headers().collect();
            let written: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            prop_assert_eq!(read, written);
        }
    }
}
