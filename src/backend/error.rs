// SPDX-License-Identifier: Apache-2.0
//! Why talking to a member failed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::transport::NotSecure;
use crate::wire::ajp::DecodeError;
use crate::wire::http1;

/// What went wrong between us and a member.
#[derive(Debug)]
pub enum BackendError {
    /// All connections that `max` allows were in use for as long as `acquire` allows.
    Busy { max: u32, waited: Duration },
    /// The name has no address.
    Resolve { host: String, cause: io::Error },
    /// No connection in time.
    Connect { address: SocketAddr, cause: io::Error },
    /// No connection to a UNIX socket.
    ConnectSocket { path: String, cause: io::Error },
    /// No TLS to the member.
    Secure(NotSecure),
    /// `ProxyBlock` names the host, by this word.
    Blocked { host: String, word: String },
    /// Another proxy gave no way to the member.
    NoWay { remote: String, answer: String },
    /// A CPing was not answered by a CPong.
    Ping { cause: String },
    /// The connection ended before or within the answer.
    Closed,
    /// The connection ended behind the first line of an HTTP answer, before its headers did.
    HeadCut,
    /// Nothing came, or nothing was taken, for longer than the limit.
    Timeout,
    /// Any other failure of the socket.
    Io(io::Error),
    /// Bytes lay in the connection before the request was sent.
    Stray,
    /// The answer to a health check is no HTTP response.
    NotHttp(&'static str),
    /// The member's bytes are not what the protocol allows.
    Malformed(DecodeError),
    /// The same for HTTP.
    MalformedHttp(http1::DecodeError),
    /// The member did not say within `ping` that it wants the request's body.
    NoContinue,
}

impl BackendError {
    pub(crate) fn of_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl From<DecodeError> for BackendError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl From<http1::DecodeError> for BackendError {
    fn from(error: http1::DecodeError) -> Self {
        Self::MalformedHttp(error)
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { max, waited } => {
                write!(f, "all {max} connections (max=) were in use for {} ms (acquire=)", waited.as_millis())
            }
            Self::Resolve { host, cause } => write!(f, "the name {host} cannot be resolved: {cause}"),
            Self::Connect { address, cause } if cause.kind() == io::ErrorKind::TimedOut => {
                write!(f, "no connection to {address} in time")
            }
            Self::Connect { address, cause } => write!(f, "no connection to {address}: {cause}"),
            Self::ConnectSocket { path, cause } => write!(f, "no connection to {path}: {cause}"),
            Self::Secure(why) => write!(f, "{why}"),
            Self::Blocked { host, word } => write!(f, "ProxyBlock {word} covers {host}"),
            Self::NoWay { remote, answer } => write!(f, "the proxy {remote} gives no way to it: {answer}"),
            Self::Ping { cause } => write!(f, "CPing was not answered by CPong: {cause}"),
            Self::Closed => f.write_str("the member closed the connection"),
            Self::HeadCut => f.write_str("the member closed the connection within the head of its answer"),
            Self::Timeout => f.write_str("the member was silent for longer than timeout= allows"),
            Self::Io(cause) => write!(f, "{cause}"),
            Self::Stray => f.write_str("the member had sent bytes before it was asked"),
            Self::NotHttp(what) => write!(f, "the answer is not HTTP: {what}"),
            Self::Malformed(cause) => write!(f, "the member broke the protocol: {cause}"),
            Self::MalformedHttp(cause) => write!(f, "the member broke the protocol: {cause}"),
            Self::NoContinue => f.write_str("the member did not answer Expect: 100-continue within ping= or timeout="),
        }
    }
}

impl std::error::Error for BackendError {}
