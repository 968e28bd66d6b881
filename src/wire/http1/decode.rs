// SPDX-License-Identifier: Apache-2.0
//! Reading the head of an answer: checked as a whole, then read again without a copy.

use super::error::DecodeError;
use super::head::{BadHeader, Framing, Limits, tokens};
use crate::wire::token::is_token_byte;

/// A head, as places in the buffer it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 999.
    pub status: u16,
    /// 0 or 1: the member speaks HTTP/1.0 or HTTP/1.1.
    pub minor: u8,
    /// How the body ends, if the status and the request let it have one.
    pub framing: Framing,
    /// The one valid Content-Length, if no coding made it void.
    pub content_length: Option<u64>,
    /// The connection ends with this answer.
    pub close: bool,
    /// `Connection` names headers of its own.
    pub names_headers: bool,
    /// Bytes of the whole head.
    pub used: usize,
    /// Bytes of the status line without its end.
    pub line: usize,
    reason: (usize, usize),
    fields: (usize, usize),
    bad_header: BadHeader,
}

impl ResponseHead {
    /// The reason phrase, if there is one without control characters but tabs.
    pub fn reason<'b>(&self, buf: &'b [u8]) -> Option<&'b [u8]> {
        let reason = &buf[self.reason.0..self.reason.1];
        let is_clean =
            !reason.is_empty() && !reason.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
        is_clean.then_some(reason)
    }

    /// Does the status line end with the status?
    pub fn has_no_reason(&self) -> bool {
        self.reason.0 == self.reason.1
    }

    /// The headers in order; `buf` is the one the head was read from. A value that goes on over several lines still
    /// has its line breaks (see [`unfold`](super::unfold)).
    pub fn fields<'b>(&self, buf: &'b [u8]) -> Fields<'b> {
        Fields { rest: &buf[self.fields.0..self.fields.1], bad_header: self.bad_header }
    }
}

/// Names and values of a checked head.
#[derive(Debug, Clone)]
pub struct Fields<'b> {
    rest: &'b [u8],
    bad_header: BadHeader,
}

impl<'b> Iterator for Fields<'b> {
    type Item = (&'b [u8], &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let (line, after) = match field_line(self.rest) {
                Some((end, after)) => (&self.rest[..end], &self.rest[after..]),
                None => (self.rest, &self.rest[self.rest.len()..]),
            };
            self.rest = after;
            match split(line) {
                Some(field) => return Some(field),
                None if self.bad_header == BadHeader::Ignore => {}
                None => return None,
            }
        }
    }
}

/// Looks for a head at the start of `buf`. `None`: more bytes are needed.
///
/// # Errors
/// What is wrong with the bytes.
pub fn read_head(buf: &[u8], limits: &Limits) -> Result<Option<ResponseHead>, DecodeError> {
    let found = find(buf, limits)?;
    if found.is_none() && buf.len() >= limits.head {
        return Err(DecodeError::HeadTooLong { limit: limits.head });
    }
    Ok(found)
}

fn find(buf: &[u8], limits: &Limits) -> Result<Option<ResponseHead>, DecodeError> {
    // Some servers end the answer before with a line break too many.
    let skipped = match buf {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        [b'\r'] => return Ok(None),
        _ => 0,
    };
    let Some((end, after)) = line(&buf[skipped..]) else {
        check_start(&buf[skipped..])?;
        return unended(buf.len() - skipped, limits);
    };
    within(end, limits)?;
    let end_of_line = end;
    let (status, minor, reason_at) = status_line(&buf[skipped..skipped + end])?;
    let mut facts = Facts::default();
    let start = skipped + after;
    let mut at = start;
    let (fields_end, used) = loop {
        let rest = &buf[at..];
        match rest {
            [b'\r', b'\n', ..] => break (at, at + 2),
            [b'\n', ..] => break (at, at + 1),
            _ => {}
        }
        let Some((end, after)) = field_line(rest) else {
            return unended(rest.len(), limits);
        };
        within(end, limits)?;
        match split(&rest[..end]) {
            Some((name, value)) => facts.add(name, value)?,
            None if limits.bad_header == BadHeader::Ignore => {}
            None if limits.bad_header == BadHeader::StartBody => break (at, at),
            None => return Err(DecodeError::NoColon),
        }
        at += after;
    };
    let (framing, content_length) = facts.framing(status)?;
    Ok(Some(ResponseHead {
        status,
        minor,
        framing,
        content_length,
        close: facts.close || minor == 0 || facts.coded && facts.length.is_some(),
        names_headers: facts.names_headers,
        used,
        line: end_of_line,
        reason: (skipped + reason_at, skipped + end),
        fields: (start, fields_end),
        bad_header: limits.bad_header,
    }))
}

fn within(length: usize, limits: &Limits) -> Result<(), DecodeError> {
    if length > limits.field { Err(DecodeError::LineTooLong { limit: limits.field }) } else { Ok(()) }
}

/// A line whose end has not come, or is not sure yet; its last two bytes may be its line break.
fn unended(length: usize, limits: &Limits) -> Result<Option<ResponseHead>, DecodeError> {
    within(length.saturating_sub(2), limits).map(|()| None)
}

/// Where the first line ends without its line break, and where the next begins.
fn line(buf: &[u8]) -> Option<(usize, usize)> {
    let feed = buf.iter().position(|byte| *byte == b'\n')?;
    let end = if feed > 0 && buf[feed - 1] == b'\r' { feed - 1 } else { feed };
    Some((end, feed + 1))
}

/// The same for a header, whose value may go on in lines that begin with a blank. Whether it does is seen only when the
/// byte behind the line break is there.
fn field_line(buf: &[u8]) -> Option<(usize, usize)> {
    let (mut end, mut after) = line(buf)?;
    while let b' ' | b'\t' = buf.get(after)? {
        let (further, next) = line(&buf[after..])?;
        end = after + further;
        after += next;
    }
    Some((end, after))
}

/// A first line that is not whole yet may still become one of HTTP/1.x, or the member speaks something else.
fn check_start(start: &[u8]) -> Result<(), DecodeError> {
    let known = b"HTTP/1.";
    let length = start.len().min(known.len());
    if start[..length] == known[..length] { Ok(()) } else { Err(DecodeError::StatusLine) }
}

/// Status, minor version, and where the reason begins.
fn status_line(line: &[u8]) -> Result<(u16, u8, usize), DecodeError> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', a, b, c, rest @ ..] = line else {
        return Err(DecodeError::StatusLine);
    };
    if ![minor, a, b, c].iter().all(|byte| byte.is_ascii_digit()) || *a == b'0' {
        return Err(DecodeError::StatusLine);
    }
    if !matches!(rest.first(), None | Some(b' ')) {
        return Err(DecodeError::StatusLine);
    }
    let digit = |byte: &u8| u16::from(byte - b'0');
    let status = digit(a) * 100 + digit(b) * 10 + digit(c);
    let reason_at = line.len() - rest.len() + usize::from(!rest.is_empty());
    Ok((status, (minor - b'0').min(1), reason_at))
}

/// Name and value of a line; `None` without a colon.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// What the headers say about the message as a whole.
#[derive(Debug, Default)]
struct Facts {
    length: Option<u64>,
    /// There is a Transfer-Encoding…
    coded: bool,
    /// …and `chunked` is its last word.
    chunked: bool,
    close: bool,
    names_headers: bool,
}

impl Facts {
    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        if let Some(byte) = name.iter().find(|byte| !is_token_byte(**byte)) {
            return Err(DecodeError::Name { byte: *byte });
        }
        if name.is_empty() {
            return Err(DecodeError::NoColon);
        }
        check_value(value)?;
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"Connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case(b"Content-Length") => self.content_length(value)?,
            17 if name.eq_ignore_ascii_case(b"Transfer-Encoding") => self.coding(value)?,
            _ => {}
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if !token.eq_ignore_ascii_case(b"keep-alive") && !token.eq_ignore_ascii_case(b"upgrade") {
                self.names_headers = true;
            }
        }
    }

    /// A number that is given more than once must be the same each time (RFC 9110, 8.6).
    fn content_length(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        for word in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let number = decimal(word).ok_or(DecodeError::Length)?;
            if self.length.is_some_and(|known| known != number) {
                return Err(DecodeError::Length);
            }
            self.length = Some(number);
        }
        Ok(())
    }

    fn coding(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        self.coded = true;
        for word in tokens(value) {
            let is_chunked = word.eq_ignore_ascii_case(b"chunked");
            if self.chunked && is_chunked {
                return Err(DecodeError::Coding);
            }
            self.chunked = is_chunked;
        }
        Ok(())
    }

    fn framing(&self, status: u16) -> Result<(Framing, Option<u64>), DecodeError> {
        if self.coded {
            let framing = if self.chunked { Framing::Chunked } else { Framing::UntilClose };
            return Ok((framing, None));
        }
        let length = self.length.filter(|_| status >= 200 && status != 204);
        Ok((self.length.map_or(Framing::UntilClose, Framing::Length), length))
    }
}

fn check_value(value: &[u8]) -> Result<(), DecodeError> {
    let mut bytes = value.iter().enumerate();
    let bad = bytes.find(|(at, byte)| match **byte {
        b'\t' => false,
        // The line breaks of a value that goes on; a lone CR is none.
        b'\n' => false,
        b'\r' => value.get(at + 1) != Some(&b'\n'),
        byte => byte.is_ascii_control(),
    });
    bad.map_or(Ok(()), |(_, byte)| Err(DecodeError::Value { byte: *byte }))
}

/// A number of digits only.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| {
        digit.is_ascii_digit().then_some(())?;
        sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { field: 8192, head: 65536, bad_header: BadHeader::IsError };

    fn read(text: &str) -> Result<Option<ResponseHead>, DecodeError> {
        read_head(text.as_bytes(), &LIMITS)
    }

    fn whole(text: &str) -> ResponseHead {
        read(text).unwrap().unwrap()
    }

    fn fields(text: &str, limits: &Limits) -> Vec<(String, String)> {
        let head = read_head(text.as_bytes(), limits).unwrap().unwrap();
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        head.fields(text.as_bytes()).map(|(name, value)| (text_of(name), text_of(value))).collect()
    }

    #[test]
    fn a_head_is_found_when_its_last_byte_is_there() {
        let text = "HTTP/1.1 200 Fine\r\nA: b\r\nContent-Length: 5\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(read(&text[..end]), Ok(None), "{end}");
        }
        let head = whole(&format!("{text}body!"));
        assert_eq!((head.status, head.minor, head.used), (200, 1, text.len()));
        assert_eq!(head.reason(text.as_bytes()), Some(&b"Fine"[..]));
        assert_eq!(head.framing, Framing::Length(5));
        assert_eq!(fields(text, &LIMITS)[0], ("A".into(), "b".into()));
    }

    #[test]
    fn a_phrase_may_be_missing_and_a_line_break_come_first() {
        assert_eq!(read("\r"), Ok(None));
        for start in ["", "\r\n", "\n"] {
            for line in ["HTTP/1.1 204", "HTTP/1.1 204 "] {
                let text = format!("{start}{line}\r\n\r\n");
                assert_eq!((whole(&text).status, whole(&text).reason(text.as_bytes())), (204, None));
            }
        }
        assert_eq!(read("\r\n\r\nHTTP/1.1 200\r\n\r\n"), Err(DecodeError::StatusLine));
    }

    #[test]
    fn other_first_lines_are_refused() {
        for line in [
            "HTTP/2.0 200 OK",
            "HTTP/1 200 OK",
            "HTTP/0.9 200",
            "http/1.1 200 OK",
            "HTTP/1.1  200 OK",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 099 OK",
            "HTTP/1.1 200OK",
            "HTTP/1.1\t200 OK",
            " HTTP/1.1 200 OK",
            "<html>",
        ] {
            assert_eq!(read(&format!("{line}\r\n\r\n")), Err(DecodeError::StatusLine), "{line}");
        }
        assert_eq!(read("SSH-2.0-"), Err(DecodeError::StatusLine));
    }

    #[test]
    fn names_are_tokens_and_values_have_no_control_characters() {
        for (line, error) in [
            ("Content-Length : 5", DecodeError::Name { byte: b' ' }),
            ("A b: c", DecodeError::Name { byte: b' ' }),
            ("A\u{1}: c", DecodeError::Name { byte: 1 }),
            (": c", DecodeError::NoColon),
            ("no colon", DecodeError::NoColon),
            ("A: b\u{0}c", DecodeError::Value { byte: 0 }),
            ("A: b\rc", DecodeError::Value { byte: b'\r' }),
            ("A: b\u{7f}", DecodeError::Value { byte: 0x7f }),
        ] {
            assert_eq!(read(&format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n")), Err(error), "{line:?}");
        }
    }

    #[test]
    fn a_line_without_a_colon_is_left_out_or_begins_the_body() {
        let text = "HTTP/1.1 200 OK\r\nA: b\r\nno colon\r\nC: d\r\n\r\n";
        let ignoring = Limits { bad_header: BadHeader::Ignore, ..LIMITS };
        assert_eq!(fields(text, &ignoring), [("A".into(), "b".into()), ("C".into(), "d".into())]);
        let starting = Limits { bad_header: BadHeader::StartBody, ..LIMITS };
        let head = read_head(text.as_bytes(), &starting).unwrap().unwrap();
        assert_eq!(&text[head.used..], "no colon\r\nC: d\r\n\r\n");
        assert_eq!(fields(text, &starting), [("A".into(), "b".into())]);
    }

    #[test]
    fn lengths_must_agree_and_a_coding_makes_them_void() {
        let framing =
            |lines: &str| read(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n")).map(|h| h.unwrap().framing);
        assert_eq!(framing("Content-Length: 5\r\nContent-Length: 5"), Ok(Framing::Length(5)));
        assert_eq!(framing("Content-Length: 5, 5"), Ok(Framing::Length(5)));
        for bad in
            ["5\r\nContent-Length: 6", "5, 6", "+5", "-5", "5 5", "0x5", "", "99999999999999999999", "5,"]
        {
            assert_eq!(framing(&format!("Content-Length: {bad}")), Err(DecodeError::Length), "{bad}");
        }
        let both = whole("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: Chunked\r\n\r\n");
        assert_eq!((both.framing, both.content_length, both.close), (Framing::Chunked, None, true));
        assert_eq!(framing("Transfer-Encoding: gzip, chunked"), Ok(Framing::Chunked));
        assert_eq!(framing("Transfer-Encoding: gzip"), Ok(Framing::UntilClose));
        assert_eq!(framing("Transfer-Encoding: chunked, gzip"), Ok(Framing::UntilClose));
        assert_eq!(
            framing("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            Err(DecodeError::Coding)
        );
        assert_eq!(framing("A: b"), Ok(Framing::UntilClose));
    }

    #[test]
    fn connections_close_when_told_or_old() {
        let close = |text: &str| whole(text).close;
        assert!(!close("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(close("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n"));
        assert!(close("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"));
        assert!(whole("HTTP/1.1 200 OK\r\nConnection: X-A\r\n\r\n").names_headers);
        assert!(!whole("HTTP/1.1 200 OK\r\nConnection: keep-alive, upgrade\r\n\r\n").names_headers);
    }

    #[test]
    fn continued_lines_belong_to_their_header() {
        let text = "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nD: e\r\n\r\n";
        assert_eq!(fields(text, &LIMITS)[0], ("A".into(), "b\r\n c".into()));
        assert_eq!(fields(text, &LIMITS)[1], ("D".into(), "e".into()));
        assert_eq!(
            read("HTTP/1.1 200 OK\r\n Content-Length: 3\r\n\r\n"),
            Err(DecodeError::Name { byte: b' ' }),
            "nothing to continue"
        );
    }

    #[test]
    fn lines_and_heads_have_limits() {
        let limits = Limits { field: 20, head: 64, ..LIMITS };
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(22));
        assert_eq!(read_head(long.as_bytes(), &limits), Err(DecodeError::LineTooLong { limit: 20 }));
        let many = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(20));
        assert_eq!(read_head(many.as_bytes(), &limits), Err(DecodeError::HeadTooLong { limit: 64 }));
    }
}
