// SPDX-License-Identifier: Apache-2.0
//! A client and its web server in memory: what forwarding asks of them and does to them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::fmt;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use margay::backend::{NotSecure, Transport};
use margay::proxy::Exchange;
use margay::proxy::exchange::{
    BodyError, BodyRead, Chosen, ClientGone, Level, Note, Push, Request, ResponseLine, Tls, TunnelRead,
};
use margay::proxy::jk::{JkExchange, JkTried};
use margay::wire::ajp::BodyLength;

/// What happened to the response, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Line {
        status: u16,
        length: Option<u64>,
    },
    Header(String, String),
    Write {
        pieces: Vec<Vec<u8>>,
        push: Push,
    },
    Cut,
    Forget,
    /// An interim answer: what stands before belongs to it.
    Interim,
    ErrorHeader(String, String),
    /// The response became a tunnel.
    Tunnel,
}

/// The variables a choice sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Env {
    pub member: u32,
    pub session: Option<(String, String)>,
    pub route_changed: bool,
}

/// How the client's body ends once all pieces were delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// The last piece says that it is the last.
    WithLastPiece,
    /// A read of its own brings the end.
    Apart,
    /// The client fails; the request is to be answered like this.
    Fails(i32),
}

/// Who talks to whom.
#[derive(Debug, Clone)]
pub struct Ends {
    pub remote_addr: Vec<u8>,
    pub remote_host: Option<Vec<u8>>,
    pub remote_port: Vec<u8>,
    pub local_addr: Vec<u8>,
    pub server_name: Vec<u8>,
    pub server_port: u16,
    pub auth_type: Option<Vec<u8>>,
}

impl Default for Ends {
    fn default() -> Ends {
        Ends {
            remote_addr: b"192.0.2.7".to_vec(),
            remote_host: None,
            remote_port: b"40000".to_vec(),
            local_addr: b"192.0.2.1".to_vec(),
            server_name: b"www.example.test".to_vec(),
            server_port: 80,
            auth_type: None,
        }
    }
}

/// See [`Tls`].
#[derive(Debug, Clone, Default)]
pub struct TlsText {
    pub certificate: Option<Vec<u8>>,
    pub cipher: Option<Vec<u8>>,
    pub session: Option<Vec<u8>>,
    pub key_size: Option<u16>,
    pub protocol: Option<Vec<u8>>,
}

/// Does the web server still take data? Called before each write with the number of writes so far.
pub type OnWrite = Box<dyn FnMut(usize, Push) -> Result<(), ClientGone> + Send>;

/// The web server's side of one request.
pub struct FakeExchange {
    pub method: Vec<u8>,
    pub query: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub length: BodyLength,
    pub coming: VecDeque<Vec<u8>>,
    pub end: BodyEnd,
    pub protocol: Vec<u8>,
    pub user: Option<Vec<u8>>,
    pub variables: Vec<(&'static str, &'static str)>,
    /// The client's end of a tunnel.
    pub socket: Option<std::os::unix::net::UnixStream>,
    pub on_write: OnWrite,
    /// What is to follow the body.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    kept: VecDeque<Vec<u8>>,
    /// How often the client's body was read.
    pub reads: usize,
    /// What the request is called, without its query string.
    pub target: String,
    /// The first request on its connection.
    pub is_first: bool,
    /// The client's body comes only when it is waited for.
    pub holds_back: bool,
    pub notes: std::cell::RefCell<Vec<Note>>,
    /// How often what is kept was moved out of memory.
    pub spooled: usize,
    pub calls: Vec<Call>,
    pub env: Vec<Env>,
    log: RefCell<Vec<(Level, &'static str, String)>>,
    /// The members that were tried, by name, and their states afterwards.
    pub tried: Vec<(String, &'static str)>,
    /// The routes that were told, in order.
    pub routes: Vec<String>,
    /// What containers are told of the client's TLS connection.
    pub tls: Option<TlsText>,
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    pub ends: Ends,
}

impl FakeExchange {
    pub fn new(method: &str) -> FakeExchange {
        FakeExchange {
            method: method.into(),
            query: None,
            headers: vec![(b"Host".to_vec(), b"www.example.test".to_vec())],
            length: BodyLength::None,
            coming: VecDeque::new(),
            end: BodyEnd::WithLastPiece,
            protocol: b"HTTP/1.1".to_vec(),
            user: None,
            variables: Vec::new(),
            socket: None,
            on_write: Box::new(|_, _| Ok(())),
            trailers: Vec::new(),
            kept: VecDeque::new(),
            reads: 0,
            target: String::new(),
            is_first: false,
            holds_back: false,
            notes: Vec::new().into(),
            spooled: 0,
            calls: Vec::new(),
            env: Vec::new(),
            log: RefCell::default(),
            tried: Vec::new(),
            routes: Vec::new(),
            tls: None,
            attributes: Vec::new(),
            ends: Ends::default(),
        }
    }

    pub fn get() -> FakeExchange {
        FakeExchange::new("GET")
    }

    /// A request with a body of announced length, delivered as one piece.
    pub fn with_body(method: &str, body: &[u8]) -> FakeExchange {
        let mut exchange = FakeExchange::new(method);
        exchange.length = BodyLength::Known(body.len() as u64);
        exchange.coming.push_back(body.to_vec());
        exchange
    }

    /// A request with a body that comes in pieces, of a length nobody tells.
    pub fn chunked(method: &str, pieces: &[&[u8]]) -> FakeExchange {
        let mut exchange = FakeExchange::new(method);
        exchange.length = BodyLength::Chunked;
        exchange.coming = pieces.iter().map(|piece| piece.to_vec()).collect();
        exchange.end = BodyEnd::Apart;
        exchange
    }

    pub fn header(mut self, name: &str, value: &str) -> FakeExchange {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a variable of the request's environment.
    pub fn variable(mut self, name: &'static str, value: &'static str) -> FakeExchange {
        self.variables.push((name, value));
        self
    }

    /// With the session of that route.
    pub fn session(self, route: &str) -> FakeExchange {
        self.header("Cookie", &format!("JSESSIONID=s.{route}"))
    }

    pub fn query(mut self, query: &str) -> FakeExchange {
        self.query = Some(query.into());
        self
    }

    pub fn ending(mut self, end: BodyEnd) -> FakeExchange {
        self.end = end;
        self
    }

    pub fn on_write(
        mut self,
        act: impl FnMut(usize, Push) -> Result<(), ClientGone> + Send + 'static,
    ) -> FakeExchange {
        self.on_write = Box::new(act);
        self
    }

    /// The calls since the last forgotten response.
    fn last_response(&self) -> &[Call] {
        let start = self
            .calls
            .iter()
            .rposition(|call| matches!(call, Call::Forget | Call::Interim))
            .map_or(0, |at| at + 1);
        &self.calls[start..]
    }

    pub fn status(&self) -> Option<u16> {
        self.last_response().iter().find_map(|call| match call {
            Call::Line { status, .. } => Some(*status),
            _ => None,
        })
    }

    pub fn content_length(&self) -> Option<u64> {
        self.last_response().iter().find_map(|call| match call {
            Call::Line { length, .. } => *length,
            _ => None,
        })
    }

    pub fn response_header(&self, wanted: &str) -> Option<&str> {
        self.last_response().iter().find_map(|call| match call {
            Call::Header(name, value) if name.eq_ignore_ascii_case(wanted) => Some(value.as_str()),
            _ => None,
        })
    }

    /// Each write as its pieces and push.
    pub fn writes(&self) -> impl Iterator<Item = (&[Vec<u8>], Push)> {
        self.calls.iter().filter_map(|call| match call {
            Call::Write { pieces, push } => Some((&pieces[..], *push)),
            _ => None,
        })
    }

    /// What the client got of the body.
    pub fn body(&self) -> Vec<u8> {
        self.writes().flat_map(|(pieces, _)| pieces.concat()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }

    /// Can the client tell that it got all?
    pub fn is_complete(&self) -> bool {
        matches!(self.calls.last(), Some(Call::Write { push: Push::End, .. }))
    }

    pub fn is_cut(&self) -> bool {
        self.calls.last() == Some(&Call::Cut)
    }

    pub fn lines(&self) -> Vec<(Level, &'static str, String)> {
        self.log.borrow().clone()
    }

    /// How many lines with this id were logged.
    pub fn logged(&self, id: &str) -> usize {
        self.log.borrow().iter().filter(|line| line.1 == id).count()
    }

    /// The ids of all lines, in order.
    pub fn log_ids(&self) -> Vec<&'static str> {
        self.log.borrow().iter().map(|line| line.1).collect()
    }

    /// The server's rules for a response: the head once and first, nothing after its end or its cut, and nothing is
    /// forgotten that went out.
    ///
    /// # Panics
    /// With all calls, if one is out of order.
    pub fn assert_orderly(&self) {
        let (mut head, mut written, mut over) = (false, false, false);
        for call in &self.calls {
            assert!(!over, "something follows the end: {:?}", self.calls);
            match call {
                Call::Line { .. } => {
                    assert!(!head, "a second head: {:?}", self.calls);
                    head = true;
                }
                Call::Header(..) => assert!(head && !written, "a header out of place: {:?}", self.calls),
                Call::Write { push, .. } => {
                    assert!(head, "data without a head: {:?}", self.calls);
                    written = true;
                    over = *push == Push::End;
                }
                Call::Cut => {
                    assert!(written, "a response that has not begun is cut: {:?}", self.calls);
                    over = true;
                }
                Call::Interim => {
                    assert!(head && !written, "an interim answer out of place: {:?}", self.calls);
                    head = false;
                }
                Call::ErrorHeader(..) => assert!(!head && !written, "for no error page: {:?}", self.calls),
                Call::Tunnel => {
                    assert!(head && !written, "a tunnel without a head: {:?}", self.calls);
                    over = true;
                }
                Call::Forget => {
                    assert!(!written, "what went out cannot be forgotten: {:?}", self.calls);
                    head = false;
                }
            }
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Exchange for FakeExchange {
    fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            protocol: &self.protocol,
            query: self.query.as_deref(),
            remote_addr: &self.ends.remote_addr,
            remote_host: self.ends.remote_host.as_deref(),
            remote_port: 40000,
            local_addr: &self.ends.local_addr,
            server_name: &self.ends.server_name,
            own_name: b"www.example.test",
            own_port: 80,
            server_port: self.ends.server_port,
            is_tls: self.tls.is_some(),
            user: self.user.as_deref(),
            auth_type: self.ends.auth_type.as_deref(),
            body: self.length,
            is_subrequest: false,
            is_first: self.is_first,
            can_upgrade: self.socket.is_some(),
        }
    }

    fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers.iter().map(|(name, value)| (&name[..], &value[..]))
    }

    fn tls(&self) -> Tls<'_> {
        let tls = self.tls.as_ref().expect("asked for TLS on a plain connection");
        Tls {
            certificate: tls.certificate.as_deref(),
            cipher: tls.cipher.as_deref(),
            session: tls.session.as_deref(),
            key_size: tls.key_size,
            protocol: tls.protocol.as_deref(),
        }
    }

    fn attributes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.attributes.iter().map(|(name, value)| (&name[..], &value[..]))
    }

    fn variable(&self, name: &CStr) -> Option<&[u8]> {
        let found = self.variables.iter().find(|(known, _)| known.as_bytes() == name.to_bytes());
        found.map(|(_, value)| value.as_bytes())
    }

    fn secure(&self, _: OwnedFd, _: &[u8], _: Duration) -> Result<Box<dyn Transport>, NotSecure> {
        Err(NotSecure::Missing)
    }

    fn secure_again(&self, _: &dyn Transport) -> bool {
        false
    }

    fn body_read(&mut self, want: usize) -> Result<BodyRead, BodyError> {
        assert!(want > 0, "a read of nothing would block for ever");
        self.reads += 1;
        let Some(mut piece) = self.coming.pop_front() else {
            return match self.end {
                BodyEnd::Fails(status) => Err(BodyError(status)),
                _ => Ok(BodyRead { bytes: 0, end: true }),
            };
        };
        if piece.len() > want {
            self.coming.push_front(piece.split_off(want));
        }
        let bytes = piece.len();
        self.kept.push_back(piece);
        Ok(BodyRead { bytes, end: self.coming.is_empty() && self.end == BodyEnd::WithLastPiece })
    }

    fn body_read_now(&mut self, want: usize) -> Result<Option<BodyRead>, BodyError> {
        if self.holds_back {
            return Ok(None);
        }
        Ok(Some(self.body_read(want)?))
    }

    fn note(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }

    fn body_spool(&mut self) -> Result<(), BodyError> {
        self.spooled += 1;
        Ok(())
    }

    fn body_pieces<'a>(&'a self, limit: usize, into: &mut [IoSlice<'a>]) -> usize {
        let (mut left, mut count) = (limit, 0);
        let pieces = self.kept.iter().filter(|piece| !piece.is_empty());
        for (place, piece) in into.iter_mut().zip(pieces) {
            if left == 0 {
                break;
            }
            let part = &piece[..piece.len().min(left)];
            *place = IoSlice::new(part);
            left -= part.len();
            count += 1;
        }
        count
    }

    fn body_consume(&mut self, mut n: usize) {
        while n > 0 {
            let first = self.kept.front_mut().expect("only what is kept can be let go");
            if first.len() > n {
                first.drain(..n);
                return;
            }
            n -= first.len();
            self.kept.pop_front();
        }
    }

    fn target(&mut self, url: &[&[u8]], _: bool) {
        self.target = String::from_utf8_lossy(&url.concat()).into_owned();
    }

    fn chosen(&mut self, chosen: Chosen<'_>) {
        let session = chosen.session_name.zip(chosen.session_route);
        self.env.push(Env {
            member: chosen.member.0,
            session: session.map(|(name, route)| (name.to_owned(), lossy(route))),
            route_changed: chosen.route_changed,
        });
    }

    fn response_line(&mut self, line: ResponseLine<'_>) {
        self.calls.push(Call::Line { status: line.status, length: line.content_length });
    }

    fn response_header(&mut self, name: &[u8], value: &[u8]) {
        self.calls.push(Call::Header(lossy(name), lossy(value)));
    }

    fn response_trailer(&mut self, name: &[u8], value: &[u8]) {
        self.trailers.push((name.to_vec(), value.to_vec()));
    }

    fn answered(&mut self, _status: u16, _source_port: Option<u16>) {}

    fn explain(&mut self, _status: u16, _cause: &str) {}

    fn error_reason(&mut self, _: u16, _: &[u8]) {}

    fn error_header(&mut self, name: &[u8], value: &[u8]) {
        self.calls.push(Call::ErrorHeader(lossy(name), lossy(value)));
    }

    fn send_interim(&mut self) {
        self.calls.push(Call::Interim);
    }

    fn open_tunnel(&mut self) -> Result<(), ClientGone> {
        self.calls.push(Call::Tunnel);
        let socket = self.socket.as_ref().ok_or(ClientGone)?;
        socket.set_nonblocking(true).map_err(|_| ClientGone)
    }

    fn tunnel_fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    fn tunnel_read(&mut self, into: &mut [u8]) -> Result<TunnelRead, ClientGone> {
        match self.socket.as_ref().ok_or(ClientGone)?.read(into) {
            Ok(0) => Ok(TunnelRead::End),
            Ok(n) => Ok(TunnelRead::Data(n)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(TunnelRead::Nothing),
            Err(_) => Err(ClientGone),
        }
    }

    fn tunnel_write(&mut self, data: &[u8]) -> Result<(), ClientGone> {
        let mut socket = self.socket.as_ref().ok_or(ClientGone)?;
        socket.set_nonblocking(false).map_err(|_| ClientGone)?;
        socket.write_all(data).map_err(|_| ClientGone)?;
        socket.set_nonblocking(true).map_err(|_| ClientGone)
    }

    fn tunnel_end(&mut self) {
        if let Some(socket) = &self.socket {
            let _ = socket.shutdown(std::net::Shutdown::Write);
        }
    }

    fn client_timeout(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn write(&mut self, pieces: &[&[u8]], push: Push) -> Result<(), ClientGone> {
        let before = self.writes().count();
        (self.on_write)(before, push)?;
        let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
        self.calls.push(Call::Write { pieces, push });
        Ok(())
    }

    fn cut(&mut self) {
        self.calls.push(Call::Cut);
    }

    fn forget_response(&mut self) {
        self.calls.push(Call::Forget);
    }

    fn own_url(&self, path: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"http://www.example.test");
        out.extend_from_slice(path);
    }

    fn log(&self, level: Level, id: &'static str, text: fmt::Arguments<'_>) {
        self.log.borrow_mut().push((level, id, text.to_string()));
    }
}

impl JkExchange for FakeExchange {
    fn remote_port(&self) -> &[u8] {
        &self.ends.remote_port
    }

    fn tried(&mut self, tried: &JkTried<'_>) {
        self.tried.push((tried.name.to_owned(), tried.state.name()));
    }

    fn route(&mut self, route: &[u8]) {
        self.routes.push(lossy(route));
    }
}
