// SPDX-License-Identifier: Apache-2.0
//! The load: a fixed number of kept connections, each with one request in flight, counted exactly.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::body;
use crate::case::Case;
use crate::reply::Reply;

/// Longest silence of a front end before the run counts as failed.
const PATIENCE_MS: u16 = 10_000;

/// Clients of one front end.
pub struct Load {
    connections: Vec<Connection>,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

/// When a run ends.
#[derive(Clone, Copy)]
pub enum Until {
    /// No request starts later than this; those in flight are finished.
    Elapsed(Duration),
    /// Exactly this many requests.
    Requests(u64),
}

/// What a run did.
pub struct Count {
    pub requests: u64,
    pub elapsed: Duration,
}

struct Connection {
    stream: TcpStream,
    is_busy: bool,
    /// Bytes of the current request already sent.
    sent: usize,
    reply: Reply,
}

impl Load {
    /// Connects `connections` clients that will repeat the request of `case`.
    pub fn connect(port: u16, case: &Case, connections: usize) -> Result<Load, String> {
        let connect = |_| Connection::open(port, body::of_len(case.reply_len));
        Ok(Load {
            connections: (0..connections).map(connect).collect::<Result<_, _>>()?,
            request: request_bytes(case),
            buffer: vec![0; 256 * 1024],
        })
    }

    /// Repeats the request on every connection. Any answer that is not the expected one is an error.
    pub fn run(&mut self, until: Until) -> Result<Count, String> {
        let begin = Instant::now();
        let (mut started, mut requests) = (0, 0);
        let may_start = |started: u64| match until {
            Until::Elapsed(limit) => begin.elapsed() < limit,
            Until::Requests(limit) => started < limit,
        };
        for connection in &mut self.connections {
            if may_start(started) {
                connection.start(&self.request)?;
                started += 1;
            }
        }
        while started > requests {
            for i in wait(&self.connections, self.request.len())? {
                let connection = &mut self.connections[i];
                if !connection.advance(&self.request, &mut self.buffer)? {
                    continue;
                }
                requests += 1;
                if may_start(started) {
                    connection.start(&self.request)?;
                    started += 1;
                }
            }
        }
        Ok(Count { requests, elapsed: begin.elapsed() })
    }
}

fn request_bytes(case: &Case) -> Vec<u8> {
    let (method, path) = (case.method, case.path);
    let mut out =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: farm\r\nAccept: */*\r\n");
    if case.body_len > 0 {
        out += &format!("Content-Type: application/octet-stream\r\nContent-Length: {}\r\n", case.body_len);
    }
    out += "\r\n";
    let mut out = out.into_bytes();
    out.extend(body::of_len(case.body_len));
    out
}

/// The connections that can go on.
fn wait(connections: &[Connection], request_len: usize) -> Result<Vec<usize>, String> {
    let busy: Vec<usize> = (0..connections.len()).filter(|&i| connections[i].is_busy).collect();
    let mut fds: Vec<PollFd> = busy.iter().map(|&i| connections[i].poll_fd(request_len)).collect();
    let ready = poll(&mut fds, PollTimeout::from(PATIENCE_MS)).map_err(|e| format!("poll: {e}"))?;
    if ready == 0 {
        return Err(format!("no byte within {} s", PATIENCE_MS / 1000));
    }
    Ok(busy.into_iter().zip(&fds).filter(|(_, fd)| fd.any() == Some(true)).map(|(i, _)| i).collect())
}

impl Connection {
    fn open(port: u16, expected: &'static [u8]) -> Result<Connection, String> {
        let failed = |e| format!("cannot connect to port {port}: {e}");
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_nonblocking(true).map_err(failed)?;
        Ok(Connection { stream, is_busy: false, sent: 0, reply: Reply::new(expected) })
    }

    fn poll_fd(&self, request_len: usize) -> PollFd<'_> {
        let events =
            if self.sent < request_len { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
        PollFd::new(self.stream.as_fd(), events)
    }

    fn start(&mut self, request: &[u8]) -> Result<(), String> {
        self.is_busy = true;
        self.sent = 0;
        self.reply.reset();
        self.send(request)
    }

    fn send(&mut self, request: &[u8]) -> Result<(), String> {
        if self.sent == request.len() {
            return Ok(());
        }
        match self.stream.write(&request[self.sent..]) {
            Ok(n) => self.sent += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(format!("cannot send: {e}")),
        }
        Ok(())
    }

    /// Sends what is left and reads what is there. True when the answer is complete.
    fn advance(&mut self, request: &[u8], buffer: &mut [u8]) -> Result<bool, String> {
        self.send(request)?;
        let is_complete = match self.stream.read(buffer) {
            Ok(0) => return Err("connection closed before the end of the answer".to_owned()),
            Ok(n) => self.reply.feed(&buffer[..n])?,
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Err(e) => return Err(format!("cannot read: {e}")),
        };
        self.is_busy = !is_complete;
        Ok(is_complete)
    }
}
