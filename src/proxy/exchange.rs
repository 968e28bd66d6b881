// SPDX-License-Identifier: Apache-2.0
//! What forwarding needs from the web server: the request as data, the body piece by piece, the response as calls.
//!
//! The adapter implements it over httpd's request; tests implement it over memory.

use std::ffi::CStr;
use std::fmt;
use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::backend::{NotSecure, Transport};
use crate::config::plan::{BalancerId, MemberId};
use crate::wire::ajp::BodyLength;

/// How many pieces of body or response go into one system call.
pub const MAX_PIECES: usize = 32;

/// The request as the web server knows it. Text is bytes as they came, without a final zero.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a [u8],
    pub protocol: &'a [u8],
    /// Without `?`; `Some(b"")` for a bare `?`.
    pub query: Option<&'a [u8]>,
    pub remote_addr: &'a [u8],
    /// Only if the server looked it up.
    pub remote_host: Option<&'a [u8]>,
    pub remote_port: u16,
    pub local_addr: &'a [u8],
    /// Name under which the client asked, as far as the server lets it choose.
    pub server_name: &'a [u8],
    /// The server's own name (`ServerName`).
    pub own_name: &'a [u8],
    /// Port that belongs to `own_name`, as `UseCanonicalName` and `UseCanonicalPhysicalPort` have it.
    pub own_port: u16,
    pub server_port: u16,
    pub is_tls: bool,
    pub user: Option<&'a [u8]>,
    pub auth_type: Option<&'a [u8]>,
    pub body: BodyLength,
    /// The request is one the server makes for a part of another.
    pub is_subrequest: bool,
    /// The client speaks HTTP/1.1 on a connection of its own, so that the connection may become a tunnel.
    pub can_upgrade: bool,
    /// The client's connection has carried no request before this one.
    pub is_first: bool,
}

/// What other modules and log formats look for in the notes of a request (`%{proxy_timedout}n`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// `proxy_timedout`: a member was silent for too long.
    TimedOut,
    /// `proxy-error-override`: the server's own page takes the place of the member's answer.
    Replaced,
}

/// What the server knows of the client's TLS connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tls<'a> {
    /// PEM text of the client's certificate.
    pub certificate: Option<&'a [u8]>,
    pub cipher: Option<&'a [u8]>,
    /// In hexadecimal.
    pub session: Option<&'a [u8]>,
    /// Bits.
    pub key_size: Option<u16>,
    pub protocol: Option<&'a [u8]>,
}

/// The member that was chosen, for environment variables and logs.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    pub balancer: BalancerId,
    pub member: MemberId,
    /// Name under which the session was found, as configured (`BALANCER_SESSION_STICKY`).
    pub session_name: Option<&'a str>,
    /// Route in the session (`BALANCER_SESSION_ROUTE`).
    pub session_route: Option<&'a [u8]>,
    /// `BALANCER_ROUTE_CHANGED`.
    pub route_changed: bool,
}

/// The status line and framing of the response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseLine<'a> {
    pub status: u16,
    /// `None`: the standard phrase.
    pub reason: Option<&'a [u8]>,
    /// The one valid Content-Length the member gave.
    pub content_length: Option<u64>,
}

/// What to do after passing data on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// More will come; the server sends when it sees fit.
    Buffer,
    /// Send now.
    Flush,
    /// This was all.
    End,
}

/// The client took no more data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientGone;

/// The client's body could not be read; the status says how to answer (400, 408, 413…), or that it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyError(pub i32);

/// What one read of the request body brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyRead {
    pub bytes: usize,
    /// The body is complete.
    pub end: bool,
}

/// What one look at the client's side of a tunnel brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelRead {
    Data(usize),
    /// Nothing for now.
    Nothing,
    /// The client will send no more.
    End,
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

/// One request under way in the web server.
pub trait Exchange {
    fn request(&self) -> Request<'_>;

    /// The client's headers in order.
    fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])>;

    /// Asked only if the connection is TLS.
    fn tls(&self) -> Tls<'_>;

    /// Request attributes from the environment: variables `AJP_x`, given as `x`.
    fn attributes(&self) -> impl Iterator<Item = (&[u8], &[u8])>;

    /// A variable of the request's environment.
    fn variable(&self, name: &CStr) -> Option<&[u8]>;

    /// Makes a TLS connection of a socket to a member, by the server's settings for this request. `name` is asked for and
    /// checked; `limit` is that of each wait.
    ///
    /// # Errors
    /// Why there is none; the socket is closed.
    fn secure(&self, socket: OwnedFd, name: &[u8], limit: Duration) -> Result<Box<dyn Transport>, NotSecure>;

    /// Puts what [`Exchange::secure`] made for another request under the settings for this one; false if it may not be
    /// used for it.
    fn secure_again(&self, transport: &dyn Transport) -> bool;

    /// Reads once from the client, at most `want` bytes, behind what is kept already. Blocks until there is some.
    ///
    /// # Errors
    /// How the request is to be answered.
    fn body_read(&mut self, want: usize) -> Result<BodyRead, BodyError>;

    /// As [`Exchange::body_read`], without waiting; `None` if there is nothing for now.
    ///
    /// # Errors
    /// As [`Exchange::body_read`].
    fn body_read_now(&mut self, want: usize) -> Result<Option<BodyRead>, BodyError>;

    /// Moves what is kept out of memory, into a file that only this request knows. Nothing may have been consumed yet.
    ///
    /// # Errors
    /// The file could not be made or written.
    fn body_spool(&mut self) -> Result<(), BodyError>;

    /// The first `limit` bytes of what is kept, in as many pieces as `into` has room for; returns how many.
    fn body_pieces<'a>(&'a self, limit: usize, into: &mut [IoSlice<'a>]) -> usize;

    /// Lets go of the first `n` bytes of what is kept.
    fn body_consume(&mut self, n: usize);

    /// The URL, in pieces, that the request goes to: what the server calls it from now on. The query string is appended
    /// if it is asked for and there is one.
    fn target(&mut self, url: &[&[u8]], with_query: bool);

    /// A member of a balancer was chosen: sets the `BALANCER_*` variables.
    fn chosen(&mut self, chosen: Chosen<'_>);

    /// Takes status and framing of the response; what an earlier try left is forgotten. Nothing goes out yet.
    fn response_line(&mut self, line: ResponseLine<'_>);

    /// Takes one header of the response.
    fn response_header(&mut self, name: &[u8], value: &[u8]);

    /// Takes one header that is to follow the body.
    fn response_trailer(&mut self, name: &[u8], value: &[u8]);

    /// An HTTP member answered with this status on a connection from this port: for logs.
    fn answered(&mut self, status: u16, source_port: Option<u16>);

    /// The error page is to name this cause ("Proxy Error").
    fn explain(&mut self, status: u16, cause: &str);

    /// Takes the reason phrase for the error page that the server makes in place of the response.
    fn error_reason(&mut self, status: u16, reason: &[u8]);

    /// Takes one header for the error page that the server makes in place of the response.
    fn error_header(&mut self, name: &[u8], value: &[u8]);

    /// Sends the response line and headers taken so far as an interim answer (1xx), and forgets them.
    fn send_interim(&mut self);

    /// Sends the response line and headers taken so far (101); from now on the client's connection is a tunnel.
    ///
    /// # Errors
    /// The client is gone.
    fn open_tunnel(&mut self) -> Result<(), ClientGone>;

    /// The client's socket, to wait for data; `None` if it has none.
    fn tunnel_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Reads from the tunnel without waiting.
    ///
    /// # Errors
    /// The client is gone.
    fn tunnel_read(&mut self, into: &mut [u8]) -> Result<TunnelRead, ClientGone>;

    /// Sends data through the tunnel at once.
    ///
    /// # Errors
    /// The client is gone, or took nothing for too long.
    fn tunnel_write(&mut self, data: &[u8]) -> Result<(), ClientGone>;

    /// Tells the client that nothing more will come.
    fn tunnel_end(&mut self);

    /// How long the server waits for its clients (`Timeout`).
    fn client_timeout(&self) -> Duration;

    /// Passes data on. The first call also sends the head.
    ///
    /// # Errors
    /// The client is gone.
    fn write(&mut self, pieces: &[&[u8]], push: Push) -> Result<(), ClientGone>;

    /// Ends a response that has begun so that the client can tell it is not whole.
    fn cut(&mut self);

    /// Forgets a response of which nothing went out.
    fn forget_response(&mut self);

    /// Scheme, name and port of this server in front of `path` (`http://www.example.com/path`), added to `out`.
    fn own_url(&self, path: &[u8], out: &mut Vec<u8>);

    /// Leaves a note for others.
    fn note(&self, note: Note);

    /// Writes a line to the error log. `id` is stable.
    fn log(&self, level: Level, id: &'static str, text: fmt::Arguments<'_>);
}
