// SPDX-License-Identifier: Apache-2.0
//! Reads one HTTP response as the bytes come and checks status, length and every byte of the body.

/// The states of a response being read.
enum State {
    StatusLine,
    Header { length: Option<usize>, is_chunked: bool },
    Sized,
    ChunkSize,
    ChunkData(usize),
    ChunkEnd,
    Trailer,
    Complete,
}

/// One response in the making.
pub struct Reply {
    state: State,
    /// The part of a line that has come so far.
    line: Vec<u8>,
    /// Body bytes seen.
    at: usize,
    expected: &'static [u8],
}

impl Reply {
    /// A response that must be a 200 with exactly this body.
    pub fn new(expected: &'static [u8]) -> Reply {
        Reply { state: State::StatusLine, line: Vec::with_capacity(256), at: 0, expected }
    }

    /// Makes ready for the next response on the same connection.
    pub fn reset(&mut self) {
        self.state = State::StatusLine;
        self.at = 0;
    }

    /// Takes what the socket gave. True when the response is complete, an error when it is not the expected one.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<bool, String> {
        while !bytes.is_empty() {
            match self.state {
                State::Complete => return Err("bytes after the end of the response".to_owned()),
                State::Sized => self.data(&mut bytes, self.expected.len() - self.at)?,
                State::ChunkData(left) => self.data(&mut bytes, left)?,
                _ => self.next_line(&mut bytes)?,
            }
        }
        Ok(matches!(self.state, State::Complete))
    }

    fn data(&mut self, bytes: &mut &[u8], left: usize) -> Result<(), String> {
        let taken = left.min(bytes.len());
        if self.expected.get(self.at..self.at + taken) != Some(&bytes[..taken]) {
            return Err(format!("wrong body, after {} right bytes at most {taken} more", self.at));
        }
        self.at += taken;
        *bytes = &bytes[taken..];
        self.state = match self.state {
            State::ChunkData(_) if taken == left => State::ChunkEnd,
            State::ChunkData(_) => State::ChunkData(left - taken),
            _ if taken == left => State::Complete,
            _ => State::Sized,
        };
        Ok(())
    }

    fn next_line(&mut self, bytes: &mut &[u8]) -> Result<(), String> {
        let Some(end) = bytes.iter().position(|&b| b == b'\n') else {
            self.line.extend_from_slice(bytes);
            *bytes = &[];
            return Ok(());
        };
        self.line.extend_from_slice(&bytes[..end]);
        *bytes = &bytes[end + 1..];
        let line = std::mem::take(&mut self.line);
        let result = self.line(String::from_utf8_lossy(&line).trim_end());
        self.line = line;
        self.line.clear();
        result
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        self.state = match self.state {
            State::StatusLine if line.starts_with("HTTP/1.1 200") => {
                State::Header { length: None, is_chunked: false }
            }
            State::StatusLine => return Err(format!("status line \"{line}\"")),
            State::Header { length, is_chunked } if line.is_empty() => self.body_state(length, is_chunked)?,
            State::Header { length, is_chunked } => header(line, length, is_chunked)?,
            State::ChunkSize => match chunk_size(line)? {
                0 if self.at < self.expected.len() => {
                    return Err(format!("body ends after {} bytes", self.at));
                }
                0 => State::Trailer,
                size => State::ChunkData(size),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailer if line.is_empty() => State::Complete,
            _ => return Err(format!("unexpected line \"{line}\"")),
        };
        Ok(())
    }

    fn body_state(&self, length: Option<usize>, is_chunked: bool) -> Result<State, String> {
        match length {
            _ if is_chunked => Ok(State::ChunkSize),
            Some(n) if n == self.expected.len() => Ok(State::Sized),
            Some(n) => Err(format!("Content-Length {n} instead of {}", self.expected.len())),
            None => Err("neither Content-Length nor chunked".to_owned()),
        }
    }
}

fn header(line: &str, length: Option<usize>, is_chunked: bool) -> Result<State, String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("header line \"{line}\""))?;
    if name.eq_ignore_ascii_case("content-length") {
        let n = value.trim().parse().map_err(|_| format!("header line \"{line}\""))?;
        return Ok(State::Header { length: Some(n), is_chunked });
    }
    let is_chunked =
        is_chunked || name.eq_ignore_ascii_case("transfer-encoding") && value.trim() == "chunked";
    Ok(State::Header { length, is_chunked })
}

fn chunk_size(line: &str) -> Result<usize, String> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    usize::from_str_radix(digits, 16).map_err(|_| format!("chunk size \"{line}\""))
}
