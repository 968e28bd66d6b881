// SPDX-License-Identifier: Apache-2.0
//! Reading a body in chunks (RFC 9112, 7.1). Extensions are read over.

use super::body::Step;
use super::error::DecodeError;

/// Longest line of a chunk's size with its extensions, and longest list of trailers, in bytes.
const LIMIT: usize = 8192;
/// Digits of the largest size taken.
const DIGITS: u8 = 15;

/// Where in the chunks the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Size {
        digits: u8,
    },
    /// Blanks behind the size, up to the extensions or the line break.
    AfterSize,
    Extension,
    /// The LF of the line with the size.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the empty line that ends all.
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
    End,
}

/// Takes chunks apart. It keeps no bytes.
#[derive(Debug, Clone, Copy)]
pub struct Chunked {
    place: Place,
    /// Bytes of the current chunk still to come.
    left: u64,
    /// Bytes of the current extensions or trailers so far.
    overhead: usize,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { place: Place::Size { digits: 0 }, left: 0, overhead: 0 }
    }
}

impl Chunked {
    /// Looks for data at the start of `buf`.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn next<'b>(&mut self, buf: &'b [u8]) -> Result<Step<'b>, DecodeError> {
        let (mut at, mut trailers_at) = (0, None);
        while self.place != Place::End {
            if self.place == Place::Data {
                let room = usize::try_from(self.left).unwrap_or(usize::MAX);
                let end = at + room.min(buf.len() - at);
                let data = &buf[at..end];
                if data.is_empty() {
                    break;
                }
                self.left -= data.len() as u64;
                if self.left == 0 {
                    self.place = Place::DataCr;
                }
                return Ok(Step { data, used: end, end: false, trailers: &[] });
            }
            let Some(&byte) = buf.get(at) else { break };
            if matches!(self.place, Place::TrailerStart | Place::Trailer | Place::TrailerLf) {
                trailers_at.get_or_insert(at);
            }
            self.place = self.follow(byte)?;
            at += 1;
        }
        let trailers = &buf[trailers_at.unwrap_or(at)..at];
        Ok(Step { data: &[], used: at, end: self.place == Place::End, trailers })
    }

    fn follow(&mut self, byte: u8) -> Result<Place, DecodeError> {
        match (self.place, byte) {
            (Place::Size { digits }, byte) if byte.is_ascii_hexdigit() => {
                if digits == DIGITS {
                    return Err(DecodeError::ChunkSize);
                }
                let value = char::from(byte).to_digit(16).unwrap_or(0);
                self.left = self.left * 16 + u64::from(value);
                Ok(Place::Size { digits: digits + 1 })
            }
            (Place::Size { digits: 0 }, _) => Err(DecodeError::ChunkSize),
            (Place::Size { .. } | Place::AfterSize, b' ' | b'\t') => self.count(Place::AfterSize),
            (Place::Size { .. } | Place::AfterSize, b';') => self.count(Place::Extension),
            (Place::Size { .. } | Place::AfterSize | Place::Extension, b'\r') => Ok(Place::SizeLf),
            (Place::Extension, byte) if byte == b'\t' || !byte.is_ascii_control() => {
                self.count(Place::Extension)
            }
            (Place::Size { .. } | Place::AfterSize | Place::Extension, _) => Err(DecodeError::ChunkSize),
            (Place::SizeLf, b'\n') => {
                self.overhead = 0;
                Ok(if self.left == 0 { Place::TrailerStart } else { Place::Data })
            }
            (Place::DataCr, b'\r') => Ok(Place::DataLf),
            (Place::DataLf, b'\n') => Ok(Place::Size { digits: 0 }),
            (Place::TrailerStart, b'\r') => Ok(Place::LastLf),
            (Place::TrailerStart | Place::Trailer, byte) if byte == b'\t' || !byte.is_ascii_control() => {
                self.count(Place::Trailer)
            }
            (Place::Trailer, b'\r') => Ok(Place::TrailerLf),
            (Place::TrailerLf, b'\n') => Ok(Place::TrailerStart),
            (Place::LastLf, b'\n') => Ok(Place::End),
            _ => Err(DecodeError::ChunkEnd),
        }
    }

    fn count(&mut self, next: Place) -> Result<Place, DecodeError> {
        self.overhead += 1;
        if self.overhead > LIMIT { Err(DecodeError::ChunkLimit { limit: LIMIT }) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data, and what is left behind the end.
    fn read(bytes: &[u8], step: usize) -> Result<(Vec<u8>, Option<usize>), DecodeError> {
        let (mut chunked, mut data) = (Chunked::default(), Vec::new());
        let (mut start, mut end) = (0, 0);
        loop {
            let found = chunked.next(&bytes[start..end])?;
            data.extend_from_slice(found.data);
            start += found.used;
            if found.end {
                return Ok((data, Some(bytes.len() - start)));
            }
            if found.data.is_empty() {
                if end == bytes.len() {
                    return Ok((data, None));
                }
                end = (end + step).min(bytes.len());
            }
        }
    }

    #[test]
    fn chunks_arrive_however_they_are_cut() {
        let bytes = b"5\r\nhello\r\nA ;x=\"y\"\r\n0123456789\r\n000\r\nT: v\r\n\r\nnext";
        for step in 1..=bytes.len() {
            let (data, left) = read(bytes, step).unwrap();
            assert_eq!(data, b"hello0123456789");
            assert!(left.is_some_and(|left| left <= 4));
        }
    }

    #[test]
    fn trailers_are_shown() {
        let bytes = b"1\r\nx\r\n0\r\nA: 1\r\nB: 2\r\n\r\n";
        for first in 0..bytes.len() {
            let (mut chunked, mut trailers, mut at) = (Chunked::default(), Vec::new(), 0);
            for end in [first, bytes.len()] {
                loop {
                    let step = chunked.next(&bytes[at..end]).unwrap();
                    at += step.used;
                    trailers.extend_from_slice(step.trailers);
                    if step.end || step.data.is_empty() {
                        break;
                    }
                }
            }
            assert!(trailers.starts_with(b"A: 1\r\nB: 2\r\n"), "{first}");
        }
    }

    #[test]
    fn an_end_that_has_not_come_is_waited_for() {
        for bytes in [&b"5\r\nhel"[..], b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n", b"0\r\n\r"] {
            assert_eq!(read(bytes, 3).unwrap().1, None);
        }
    }

    #[test]
    fn sizes_and_line_breaks_are_taken_strictly() {
        for (bytes, error) in [
            (&b"\r\n"[..], DecodeError::ChunkSize),
            (b"g\r\n", DecodeError::ChunkSize),
            (b"0x5\r\nhello\r\n", DecodeError::ChunkSize),
            (b"-5\r\nhello\r\n", DecodeError::ChunkSize),
            (b"5\nhello\r\n", DecodeError::ChunkSize),
            (b" 5\r\nhello\r\n", DecodeError::ChunkSize),
            (b"5 5\r\nhello\r\n", DecodeError::ChunkSize),
            (b"5;\x01\r\nhello\r\n", DecodeError::ChunkSize),
            (b"1000000000000000\r\n", DecodeError::ChunkSize),
            (b"5\r\rhello\r\n", DecodeError::ChunkEnd),
            (b"5\r\nhello0\r\n\r\n", DecodeError::ChunkEnd),
            (b"5\r\nhello\n0\r\n\r\n", DecodeError::ChunkEnd),
            (b"0\r\nT: v\n\r\n", DecodeError::ChunkEnd),
            (b"0\r\n\n", DecodeError::ChunkEnd),
        ] {
            assert_eq!(read(bytes, 100), Err(error), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn extensions_and_trailers_have_a_limit() {
        let extension = format!("5;{}", "x".repeat(LIMIT));
        let trailers = format!("0\r\n{}", "T: v\r\n".repeat(LIMIT));
        for text in [extension, trailers] {
            assert_eq!(read(text.as_bytes(), 4096), Err(DecodeError::ChunkLimit { limit: LIMIT }));
        }
    }
}
