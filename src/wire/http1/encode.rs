// SPDX-License-Identifier: Apache-2.0
//! Writing the head of a request, and the frames of a body in chunks.

use super::error::EncodeError;
use crate::wire::token::is_token;
use crate::wire::uri;

/// Ends a body in chunks.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes one head at the end of a buffer, checking that nothing in it can be taken for more than one line.
///
/// The first thing that goes wrong is remembered and reported by [`finish`](Self::finish), which then takes back what
/// was written.
#[derive(Debug)]
pub struct RequestWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    error: Option<EncodeError>,
}

impl<'o> RequestWriter<'o> {
    /// Begins with the request line. `minor`: 0 or 1, of HTTP/1.x.
    pub fn begin(out: &'o mut Vec<u8>, method: &[u8], path: &[u8], query: Option<&[u8]>, minor: u8) -> Self {
        let start = out.len();
        out.extend_from_slice(method);
        out.push(b' ');
        let target = out.len();
        out.extend_from_slice(path);
        if let Some(query) = query {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        let bad = uri::forbidden_at(&out[target..]);
        out.extend_from_slice(if minor == 0 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" });
        let error = match bad {
            _ if !is_token(method) => Some(EncodeError::Method),
            Some(at) => Some(EncodeError::Target { at }),
            None if path.is_empty() => Some(EncodeError::Target { at: 0 }),
            None => None,
        };
        Self { out, start, error }
    }

    /// Adds a header whose value is these parts, one behind the other.
    pub fn header_of<'p>(&mut self, name: &[u8], parts: impl IntoIterator<Item = &'p [u8]>) {
        if !is_token(name) {
            self.error.get_or_insert(EncodeError::Name);
        }
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b": ");
        for part in parts {
            if part.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                self.error.get_or_insert(EncodeError::Value);
            }
            self.out.extend_from_slice(part);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Adds a header.
    pub fn header(&mut self, name: &[u8], value: &[u8]) {
        self.header_of(name, [value]);
    }

    /// Ends the head.
    ///
    /// # Errors
    /// The first thing that went wrong; the buffer is as before.
    pub fn finish(self) -> Result<(), EncodeError> {
        if let Some(error) = self.error {
            self.out.truncate(self.start);
            return Err(error);
        }
        self.out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// A number in decimal.
pub fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// The line in front of a chunk of this size.
pub fn chunk_header(mut size: usize, room: &mut [u8; 18]) -> &[u8] {
    let mut at = room.len() - 2;
    room[at..].copy_from_slice(b"\r\n");
    loop {
        at -= 1;
        room[at] = b"0123456789abcdef"[size % 16];
        size /= 16;
        if size == 0 {
            return &room[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_written_line_by_line() {
        let mut out = b"before ".to_vec();
        let mut head = RequestWriter::begin(&mut out, b"GET", b"/a", Some(b"b=c"), 1);
        head.header(b"Host", b"h");
        head.header_of(b"Via", [&b"1.1 a"[..], b", ", b"1.1 b"]);
        head.finish().unwrap();
        assert_eq!(out, b"before GET /a?b=c HTTP/1.1\r\nHost: h\r\nVia: 1.1 a, 1.1 b\r\n\r\n");
    }

    #[test]
    fn nothing_can_smuggle_a_second_line() {
        for (method, path, name, value, error) in [
            ("G ET", "/", "a", "b", EncodeError::Method),
            ("", "/", "a", "b", EncodeError::Method),
            ("GET", "/ HTTP/1.1", "a", "b", EncodeError::Target { at: 1 }),
            ("GET", "/\r\nx", "a", "b", EncodeError::Target { at: 1 }),
            ("GET", "", "a", "b", EncodeError::Target { at: 0 }),
            ("GET", "/", "a b", "c", EncodeError::Name),
            ("GET", "/", "a\r\nb", "c", EncodeError::Name),
            ("GET", "/", "", "c", EncodeError::Name),
            ("GET", "/", "a", "b\r\nc: d", EncodeError::Value),
            ("GET", "/", "a", "b\nc", EncodeError::Value),
            ("GET", "/", "a", "b\0", EncodeError::Value),
        ] {
            let mut out = b"x".to_vec();
            let mut head = RequestWriter::begin(&mut out, method.as_bytes(), path.as_bytes(), None, 1);
            head.header(name.as_bytes(), value.as_bytes());
            assert_eq!(
                (head.finish(), &out[..]),
                (Err(error), &b"x"[..]),
                "{method:?} {path:?} {name:?} {value:?}"
            );
        }
    }

    #[test]
    fn numbers_are_written_in_decimal_and_hexadecimal() {
        for number in [0, 9, 10, 65535, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
        for size in [0, 15, 16, 16384, usize::MAX] {
            assert_eq!(chunk_header(size, &mut [0; 18]), format!("{size:x}\r\n").as_bytes());
        }
    }
}
