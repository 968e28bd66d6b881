// SPDX-License-Identifier: Apache-2.0
//! The body of an answer, whatever ends it.

use super::chunked::Chunked;
use super::error::DecodeError;
use super::head::Framing;

/// What one look at the buffer found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'b> {
    /// Empty if there was none.
    pub data: &'b [u8],
    /// Bytes of the buffer that are done with.
    pub used: usize,
    /// The body is complete.
    pub end: bool,
    /// What of the trailers was among the used bytes, with line breaks.
    pub trailers: &'b [u8],
}

/// Reads one body.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// This many bytes are still to come; 0 for an answer without body.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

impl Body {
    /// The body behind a head.
    pub fn of(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Looks for data at the start of `buf`. To be called again behind `used` until it finds neither data nor the end.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn next<'b>(&mut self, buf: &'b [u8]) -> Result<Step<'b>, DecodeError> {
        match self {
            Self::Chunked(chunked) => chunked.next(buf),
            Self::UntilClose => Ok(Step { data: buf, used: buf.len(), end: false, trailers: &[] }),
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
                *left -= length as u64;
                Ok(Step { data: &buf[..length], used: length, end: *left == 0, trailers: &[] })
            }
        }
    }

    /// How much of the body is still to come behind `buf`, as far as that can be said. With chunks it is a guess that
    /// costs nothing; [`Body::next`] decides.
    pub fn missing(&self, buf: &[u8]) -> Option<u64> {
        match self {
            Self::Length(left) => Some(left.saturating_sub(buf.len() as u64)),
            Self::Chunked(_) => buf.ends_with(b"0\r\n\r\n").then_some(0),
            Self::UntilClose => None,
        }
    }

    /// Does the end of the connection complete the body?
    pub fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_behind_the_announced_ones_is_taken() {
        let mut body = Body::of(Framing::Length(5));
        assert_eq!(body.next(b"hel"), Ok(Step { data: b"hel", used: 3, end: false, trailers: &[] }));
        assert_eq!(body.next(b"lo!"), Ok(Step { data: b"lo", used: 2, end: true, trailers: &[] }));
        assert_eq!(Body::Length(0).next(b"x"), Ok(Step { data: b"", used: 0, end: true, trailers: &[] }));
    }

    #[test]
    fn what_is_missing_is_known_without_reading() {
        assert_eq!([1, 2, 3].map(|length| Body::Length(length).missing(b"ab")), [Some(0), Some(0), Some(1)]);
        let chunks = Body::of(Framing::Chunked);
        assert_eq!(chunks.missing(b"1\r\na\r\n0\r\n\r\n"), Some(0));
        assert_eq!(chunks.missing(b"1\r\na\r\n"), None);
        assert_eq!(Body::UntilClose.missing(b"all"), None);
    }

    #[test]
    fn without_a_length_all_is_body() {
        let mut body = Body::of(Framing::UntilClose);
        assert_eq!(body.next(b"hello"), Ok(Step { data: b"hello", used: 5, end: false, trailers: &[] }));
        assert!(body.ends_with_connection());
    }
}
