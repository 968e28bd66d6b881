// SPDX-License-Identifier: Apache-2.0
//! What stands between a connection and its socket when bytes do not go out as they are: TLS, made by somebody else.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The way of bytes to a member and back. It owns the socket; one thread at a time uses it.
pub trait Transport: AsFd + Any + Send + fmt::Debug {
    /// The name that the member was asked for and proved to have.
    fn name(&self) -> &[u8];

    /// Sends all pieces.
    ///
    /// # Errors
    /// `TimedOut` when the member took nothing for longer than the limit. What went out before is unknown.
    fn send(&self, pieces: &[IoSlice<'_>]) -> io::Result<()>;

    /// Receives what is there, at least one byte; 0 at the end of the stream.
    ///
    /// # Errors
    /// `TimedOut` when nothing came for longer than the limit; an end that is not a proper one.
    fn recv(&self, into: &mut [u8]) -> io::Result<usize>;

    /// Receives what is there without waiting; `None` if there is nothing.
    ///
    /// # Errors
    /// As [`Transport::recv`].
    fn recv_now(&self, into: &mut [u8]) -> io::Result<Option<usize>>;

    /// Sets the limit for each wait.
    fn limit(&self, timeout: Duration);

    /// The request is over: nothing of it may be referred to while the connection is idle.
    fn rest(&self);
}

/// Makes a transport of a connected socket. The socket is gone if that fails.
pub type Wrap<'w> = &'w dyn Fn(OwnedFd) -> Result<Box<dyn Transport>, NotSecure>;

/// Why there is no TLS to a member.
#[derive(Debug)]
pub enum NotSecure {
    /// No module offers it.
    Missing,
    /// It is not switched on.
    Off,
    /// The handshake failed: no TLS there, or a certificate that is not accepted on one side.
    Refused,
    /// The handshake took longer than the limit.
    Slow,
    /// The server could not make the connection.
    Failed,
}

impl fmt::Display for NotSecure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no TLS to members, because mod_ssl is not loaded (Debian: a2enmod ssl)",
            Self::Off => {
                "no TLS to members here: write SSLProxyEngine On into the virtual host or the <Proxy> section"
            }
            Self::Refused => {
                "the TLS handshake failed: the member speaks no TLS, or one side does not accept the other's certificate \
                 (LogLevel ssl:info says why; SSLProxyCACertificateFile, SSLProxyMachineCertificateFile, SSLProxyVerify)"
            }
            Self::Slow => "the TLS handshake took longer than timeout= allows",
            Self::Failed => "the server could not make a connection for TLS",
        })
    }
}
