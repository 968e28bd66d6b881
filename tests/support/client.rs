// SPDX-License-Identifier: Apache-2.0
//! A small blocking HTTP/1.1 client that tells a complete response from one that was cut.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One final response; interim responses are counted and dropped.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// False when the connection ended before the length or the last chunk said so.
    pub complete: bool,
    /// How many 1xx responses came first.
    pub interim: usize,
    /// Their heads, as text.
    pub interim_heads: Vec<String>,
    /// The lines after the last chunk.
    pub trailers: Vec<String>,
    /// True if the server announced or did the end of the connection.
    pub closed: bool,
}

impl Response {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a line `name=value` in the body.
    pub fn line(&self, name: &str) -> Option<String> {
        let text = self.text();
        let mut lines = text.lines().filter_map(|line| line.trim().split_once('='));
        lines.find(|(n, _)| *n == name).map(|(_, value)| value.to_string())
    }
}

/// Status, reason and headers.
type Head = (u16, String, Vec<(String, String)>);

/// Keeps the connection open between requests, and cookies if told to.
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    pending: Vec<u8>,
    cookies: Option<Vec<(String, String)>>,
    limit: Duration,
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        let limit = Duration::from_secs(60);
        Client { address, stream: None, pending: Vec::new(), cookies: None, limit }
    }

    /// A client that sends back the cookies it gets.
    pub fn with_cookies(address: SocketAddr) -> Client {
        Client { cookies: Some(Vec::new()), ..Client::new(address) }
    }

    pub fn limit(mut self, limit: Duration) -> Client {
        self.limit = limit;
        self
    }

    /// The value of a kept cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().flatten().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The port at this end, after the first byte was sent.
    pub fn local_port(&self) -> Option<u16> {
        Some(self.stream.as_ref()?.local_addr().ok()?.port())
    }

    pub fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    pub fn close(&mut self) {
        self.stream = None;
        self.pending.clear();
    }

    pub fn get(&mut self, target: &str) -> io::Result<Response> {
        self.request("GET", target, &[], b"")
    }

    pub fn get_with_cookie(&mut self, target: &str, cookie: &str) -> io::Result<Response> {
        self.request("GET", target, &[("Cookie", cookie)], b"")
    }

    pub fn post(&mut self, target: &str, body: &[u8]) -> io::Result<Response> {
        self.request("POST", target, &[("Content-Type", "text/plain")], body)
    }

    /// One request and its response. A kept connection that the server closed in the meantime is replaced once, as
    /// browsers do, when nothing of a response had come.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let head = self.head(method, target, headers, body.len());
        let kept = self.stream.is_some();
        match self.exchange(method, &head, body) {
            Err(error) if kept && error.kind() == io::ErrorKind::ConnectionReset => {
                self.exchange(method, &head, body)
            }
            other => other,
        }
    }

    fn head(&self, method: &str, target: &str, headers: &[(&str, &str)], length: usize) -> String {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(cookies) = self.cookies.as_ref().filter(|cookies| !cookies.is_empty()) {
            let pairs: Vec<String> = cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
            head.push_str(&format!("Cookie: {}\r\n", pairs.join("; ")));
        }
        if length > 0 || method == "POST" || method == "PUT" {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        head + "\r\n"
    }

    fn exchange(&mut self, method: &str, head: &str, body: &[u8]) -> io::Result<Response> {
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend_from_slice(body);
        let sent = self.send_raw(&bytes);
        match (sent, self.read_response(method)) {
            (_, Ok(response)) => Ok(response),
            (Err(error), _) | (Ok(()), Err(error)) => {
                self.close();
                Err(error)
            }
        }
    }

    /// Sends bytes as they are, over the kept connection or a new one.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, self.limit)?;
            stream.set_read_timeout(Some(self.limit))?;
            stream.set_write_timeout(Some(self.limit))?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().expect("connected above");
        stream.write_all(bytes).map_err(as_reset)
    }

    /// Tells the server that nothing more will be sent, keeping the other direction.
    pub fn finish_sending(&mut self) {
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
    }

    /// Waits for a whole head that is not taken off: its status.
    ///
    /// # Errors
    /// As [`Client::read_response`].
    pub fn peek_status(&mut self) -> io::Result<u16> {
        let (status, first) = loop {
            if let Some(at) = self.pending.windows(4).position(|w| w == b"\r\n\r\n") {
                let first = String::from_utf8_lossy(&self.pending[..at]).into_owned();
                break (first.get(9..12).and_then(|digits| digits.parse().ok()), first);
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        };
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, first))
    }

    /// All that comes until the server ends the connection.
    ///
    /// # Errors
    /// The connection's, a limit that passed among them.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        self.stream = None;
        Ok(std::mem::take(&mut self.pending))
    }

    /// Waits for the interim response that invites the client to send its body.
    ///
    /// # Errors
    /// The connection's; `InvalidData` for any other response.
    pub fn read_continue(&mut self) -> io::Result<()> {
        match self.read_head()?.0 {
            100 => Ok(()),
            other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{other} in place of 100"))),
        }
    }

    /// Reads the response to a request of that method.
    ///
    /// # Errors
    /// `ConnectionReset` when the connection ended before any byte of a response; `InvalidData` for what is no HTTP.
    pub fn read_response(&mut self, method: &str) -> io::Result<Response> {
        let mut interim_heads = Vec::new();
        loop {
            let (status, reason, headers) = self.read_head()?;
            // What follows 101 is no answer but another protocol.
            if (100..200).contains(&status) && status != 101 {
                interim_heads.push(format!("{status} {reason} {headers:?}"));
                continue;
            }
            let mut response = Response {
                status,
                reason,
                headers,
                body: Vec::new(),
                complete: true,
                interim: interim_heads.len(),
                interim_heads,
                trailers: Vec::new(),
                closed: false,
            };
            self.read_body(method, &mut response)?;
            self.keep_cookies(&response);
            let says_close = response.header("Connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
            response.closed |= says_close || !response.complete;
            if response.closed {
                self.close();
            }
            return Ok(response);
        }
    }

    fn keep_cookies(&mut self, response: &Response) {
        let Some(kept) = &mut self.cookies else { return };
        for (_, value) in response.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case("Set-Cookie")) {
            let Some((name, value)) = value.split(';').next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            kept.retain(|(n, _)| n != name.trim());
            kept.push((name.trim().to_string(), value.trim().to_string()));
        }
    }

    /// More bytes from the server; 0 at its end.
    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16384];
        let Some(stream) = &mut self.stream else { return Ok(0) };
        match stream.read(&mut buffer) {
            Ok(count) => {
                self.pending.extend_from_slice(&buffer[..count]);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn read_head(&mut self) -> io::Result<Head> {
        let end = loop {
            if let Some(at) = self.pending.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if self.fill()? == 0 {
                let kind = match self.pending.is_empty() {
                    true => io::ErrorKind::ConnectionReset,
                    false => io::ErrorKind::InvalidData,
                };
                return Err(io::Error::new(kind, "the connection ended before a response head"));
            }
        };
        let head: Vec<u8> = self.pending.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, first.to_string()))?;
        let reason = first.get(13..).unwrap_or_default().to_string();
        let headers = lines.filter_map(|line| line.split_once(':'));
        Ok((status, reason, headers.map(|(n, v)| (n.to_string(), v.trim().to_string())).collect()))
    }

    fn read_body(&mut self, method: &str, response: &mut Response) -> io::Result<()> {
        if method == "HEAD" || matches!(response.status, 101 | 204 | 304) {
            return Ok(());
        }
        if response.header("Transfer-Encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks(response);
        }
        let length = response.header("Content-Length").and_then(|value| value.parse::<usize>().ok());
        match length {
            Some(length) => {
                response.complete = self.take(length, &mut response.body)?;
                Ok(())
            }
            None => {
                while self.fill()? > 0 {}
                response.body.append(&mut self.pending);
                response.closed = true;
                Ok(())
            }
        }
    }

    fn read_chunks(&mut self, response: &mut Response) -> io::Result<()> {
        loop {
            let Some(line) = self.take_line()? else {
                response.complete = false;
                return Ok(());
            };
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
            let Ok(size) = size else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("chunk size {line:?}")));
            };
            if size == 0 {
                response.complete = self.read_trailers(&mut response.trailers)?;
                return Ok(());
            }
            let mut end = Vec::new();
            if !self.take(size, &mut response.body)? || !self.take(2, &mut end)? {
                response.complete = false;
                return Ok(());
            }
        }
    }

    fn read_trailers(&mut self, into: &mut Vec<String>) -> io::Result<bool> {
        loop {
            match self.take_line()? {
                None => return Ok(false),
                Some(line) if line.is_empty() => return Ok(true),
                Some(line) => into.push(line),
            }
        }
    }

    fn take_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = self.pending.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.pending.drain(..at + 2).collect();
                return Ok(Some(String::from_utf8_lossy(&line[..at]).into_owned()));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Moves `count` bytes to `into`, or what there is and false.
    fn take(&mut self, count: usize, into: &mut Vec<u8>) -> io::Result<bool> {
        while self.pending.len() < count {
            if self.fill()? == 0 {
                into.append(&mut self.pending);
                return Ok(false);
            }
        }
        into.extend(self.pending.drain(..count));
        Ok(true)
    }
}

fn as_reset(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::ErrorKind::ConnectionReset.into(),
        _ => error,
    }
}
