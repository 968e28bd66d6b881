// SPDX-License-Identifier: Apache-2.0
//! Reads the answer to an HTTP check: strict, bounded, and only as much as a check needs.

use std::time::Instant;

use super::super::connection::Connection;
use super::super::error::BackendError;

/// Status, headers and the beginning of the body.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct HttpAnswer {
    pub status: u16,
    /// Names as sent, values without white space around them.
    pub headers: Vec<(String, String)>,
    /// At most 1 MiB of it; empty unless the request was a GET.
    pub body: Vec<u8>,
}

/// All interim responses and the head of the final one.
const LONGEST_HEAD: usize = 64 << 10;
/// What is longer is not read to its end.
const LONGEST_BODY: usize = 1 << 20;
/// One receive.
const STEP: usize = 8 << 10;

const NO_STATUS: BackendError = BackendError::NotHttp("it does not begin with HTTP/1.x and a status");

/// How the end of a body is found.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Nothing,
    Length(u64),
    Chunks,
    UntilClose,
}

/// Takes what a connection brings until a point in time.
pub(super) struct Reader<'c> {
    connection: &'c mut Connection,
    deadline: Instant,
    /// Received and not yet used.
    buffer: Vec<u8>,
}

impl<'c> Reader<'c> {
    pub fn new(connection: &'c mut Connection, deadline: Instant) -> Reader<'c> {
        Reader { connection, deadline, buffer: Vec::new() }
    }

    /// From now on, another point in time ends the reading.
    pub fn limit(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    pub fn window(&self) -> &[u8] {
        &self.buffer
    }

    /// Receives more.
    ///
    /// # Errors
    /// The time is over, the connection has ended or is broken.
    pub fn more(&mut self) -> Result<(), BackendError> {
        if self.more_or_end()? { Ok(()) } else { Err(BackendError::Closed) }
    }

    /// As [`Reader::more`]; false at the end of the connection.
    fn more_or_end(&mut self) -> Result<bool, BackendError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // Zero would mean no limit; the kernel counts in whole microseconds.
        if left.as_micros() == 0 {
            return Err(BackendError::Timeout);
        }
        self.connection.limit(left).map_err(BackendError::of_io)?;
        let known = self.buffer.len();
        self.buffer.resize(known + STEP, 0);
        let received = self.connection.recv(&mut self.buffer[known..]);
        self.buffer.truncate(known + received.as_ref().copied().unwrap_or(0));
        received.map(|count| count > 0).map_err(BackendError::of_io)
    }

    /// The head of the final response; interim ones are skipped.
    ///
    /// # Errors
    /// As [`Reader::more`], or the bytes are no response.
    pub fn head(&mut self) -> Result<HttpAnswer, BackendError> {
        let mut room = LONGEST_HEAD;
        loop {
            let answer = self.one_head(&mut room)?;
            if !(100..200).contains(&answer.status) || answer.status == 101 {
                return Ok(answer);
            }
        }
    }

    fn one_head(&mut self, room: &mut usize) -> Result<HttpAnswer, BackendError> {
        self.expect_http()?;
        let line = self.line(room)?;
        let mut answer = HttpAnswer { status: status(&line)?, ..HttpAnswer::default() };
        loop {
            let line = self.line(room)?;
            if line.is_empty() {
                return Ok(answer);
            }
            answer.headers.push(header(&line)?);
        }
    }

    /// A line without its end.
    fn line(&mut self, room: &mut usize) -> Result<Vec<u8>, BackendError> {
        let mut searched = 0;
        let end = loop {
            match self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                Some(at) => break searched + at,
                None if self.buffer.len() > *room => {
                    return Err(BackendError::NotHttp("its head is too long"));
                }
                None => {
                    searched = self.buffer.len();
                    self.more()?;
                }
            }
        };
        *room = room.checked_sub(end + 1).ok_or(BackendError::NotHttp("its head is too long"))?;
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        match line.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            true => Err(BackendError::NotHttp("a control character stands in its head")),
            false => Ok(line),
        }
    }

    /// Says at once that something else than HTTP is spoken, without waiting for a line to end that never will: an AJP
    /// connector, for one.
    fn expect_http(&mut self) -> Result<(), BackendError> {
        const START: &[u8] = b"HTTP/1.";
        loop {
            if self.buffer.iter().zip(START).any(|(found, expected)| found != expected) {
                return Err(NO_STATUS);
            }
            if self.buffer.len() >= START.len() {
                return Ok(());
            }
            self.more()?;
        }
    }

    /// The body, as far as it is kept.
    ///
    /// # Errors
    /// As [`Reader::more`]; also a body that ends too early or whose end cannot be told.
    pub fn body(&mut self, answer: &mut HttpAnswer) -> Result<(), BackendError> {
        match framing(answer)? {
            Framing::Nothing => Ok(()),
            Framing::Length(length) => {
                let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(LONGEST_BODY);
                self.take(wanted, &mut answer.body)
            }
            Framing::UntilClose => {
                while self.buffer.len() < LONGEST_BODY && self.more_or_end()? {}
                self.buffer.truncate(LONGEST_BODY);
                answer.body = std::mem::take(&mut self.buffer);
                Ok(())
            }
            Framing::Chunks => self.chunks(&mut answer.body),
        }
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Result<(), BackendError> {
        while body.len() < LONGEST_BODY {
            let mut room = STEP;
            let line = self.line(&mut room)?;
            let size = chunk_size(&line)?;
            if size == 0 {
                return Ok(());
            }
            let wanted = usize::try_from(size).unwrap_or(usize::MAX).min(LONGEST_BODY - body.len());
            self.take(wanted, body)?;
            if body.len() < LONGEST_BODY && !self.line(&mut room)?.is_empty() {
                return Err(BackendError::NotHttp("a chunk of its body is longer than announced"));
            }
        }
        Ok(())
    }

    fn take(&mut self, wanted: usize, into: &mut Vec<u8>) -> Result<(), BackendError> {
        while self.buffer.len() < wanted {
            self.more()?;
        }
        into.extend(self.buffer.drain(..wanted));
        Ok(())
    }
}

/// `HTTP/1.1 200 OK`
fn status(line: &[u8]) -> Result<u16, BackendError> {
    let code = match line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', code @ ..] => code,
        _ => return Err(NO_STATUS),
    };
    let (digits, rest) = match code {
        [a, b, c, rest @ ..] => ([*a, *b, *c], rest),
        _ => return Err(NO_STATUS),
    };
    if !digits.iter().all(u8::is_ascii_digit)
        || !matches!(rest.first(), None | Some(b' '))
        || digits[0] == b'0'
    {
        return Err(NO_STATUS);
    }
    Ok(digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
}

fn header(line: &[u8]) -> Result<(String, String), BackendError> {
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
    let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
    if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_graphic()) {
        return Err(BackendError::NotHttp("a line of its head is no header"));
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(name), text(value.trim_ascii())))
}

fn framing(answer: &HttpAnswer) -> Result<Framing, BackendError> {
    if matches!(answer.status, 101 | 204 | 304) {
        return Ok(Framing::Nothing);
    }
    let values = |name: &'static str| {
        let named = answer.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    };
    let mut lengths = values("Content-Length");
    let length = lengths.next();
    if let Some(coding) = values("Transfer-Encoding").next_back() {
        if length.is_some() {
            return Err(BackendError::NotHttp("it has both Content-Length and Transfer-Encoding"));
        }
        let is_chunked =
            coding.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"));
        return Ok(if is_chunked { Framing::Chunks } else { Framing::UntilClose });
    }
    let Some(length) = length else { return Ok(Framing::UntilClose) };
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    match length.parse() {
        Ok(count) if is_number && lengths.all(|other| other == length) => Ok(Framing::Length(count)),
        _ => Err(BackendError::NotHttp("its Content-Length cannot be understood")),
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, BackendError> {
    let refused = || BackendError::NotHttp("the size of a chunk cannot be understood");
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(refused());
    }
    let text = std::str::from_utf8(digits).map_err(|_| refused())?;
    u64::from_str_radix(text, 16).map_err(|_| refused())
}
