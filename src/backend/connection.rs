// SPDX-License-Identifier: Apache-2.0
//! One connection to a member: blocking sends and receives with a limit, and proof that it is quiet while idle.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::transport::{NotSecure, Transport, Wrap};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrStorage, sockopt};
use nix::sys::time::{TimeSpec, TimeVal};
use nix::time::{ClockId, clock_gettime};

/// Below this age an idle connection is taken as it is; above, one look at the socket tells whether the member closed it.
const FRESH: Duration = Duration::from_secs(1);

/// How a connection is opened.
#[derive(Debug, Clone, Copy)]
pub struct DialOptions {
    /// Limit for the connect.
    pub connect_timeout: Duration,
    /// Limit for each send and receive afterwards.
    pub timeout: Duration,
    /// TCP keep-alive (`keepalive=On`).
    pub tcp_keepalive: bool,
    /// `SO_RCVBUF`; 0 = the system's.
    pub receive_buffer: usize,
    /// Local address (`ProxySourceAddress`).
    pub source: Option<IpAddr>,
}

/// An open connection to a member.
#[derive(Debug)]
pub struct Connection {
    line: Line,
    timeout: Duration,
    last_used: Instant,
    /// When a CPing was answered while idle, or as `last_used`.
    last_checked: Instant,
    /// False until the connection has gone back to its pool once.
    reused: bool,
    /// Another proxy at the other end, through which the member is asked, and who asked it: see [`Connection::way`].
    way: Option<Box<[u8]>>,
    source_port: Option<u16>,
    /// Room for the arrival time that the kernel adds to received data.
    ancillary: Vec<u8>,
}

/// How bytes go out.
#[derive(Debug)]
enum Line {
    /// As they are.
    Plain(OwnedFd),
    Wrapped(Box<dyn Transport>),
}

/// So much goes into a wrapped connection at once where nobody may wait: a socket that can be written has room for it.
const SMALL: usize = 4096;

/// A wall clock that moved by more than this against the steady one was set.
const CLOCKS_APART: Duration = Duration::from_millis(1);

/// When a request was sent, on the clock the kernel stamps arrivals with.
#[derive(Debug, Clone, Copy)]
pub struct SendTime {
    wall: TimeSpec,
    /// Wall clock minus monotonic clock, to notice a clock that was set while the request was under way.
    offset: Duration,
}

impl Connection {
    /// Opens a connection.
    ///
    /// # Errors
    /// The system's; `TimedOut` when the connect took longer than allowed.
    pub fn dial(address: SocketAddr, options: &DialOptions) -> io::Result<Connection> {
        let remote = SockaddrStorage::from(address);
        let family =
            if address.is_ipv4() { socket::AddressFamily::Inet } else { socket::AddressFamily::Inet6 };
        let socket = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        if options.receive_buffer > 0 {
            socket::setsockopt(&socket, sockopt::RcvBuf, &options.receive_buffer)?;
        }
        if let Some(source) = options.source {
            socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(source, 0)))?;
        }
        // Linux limits a blocking connect by the send timeout and then reports EINPROGRESS.
        socket::setsockopt(&socket, sockopt::SendTimeout, &time_val(options.connect_timeout))?;
        match socket::connect(socket.as_raw_fd(), &remote) {
            Ok(()) => {}
            Err(Errno::EINPROGRESS | Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            // A signal (httpd's own, at a graceful restart) ends the call but not the connect.
            Err(Errno::EINTR) => finish_connect(&socket, options.connect_timeout)?,
            Err(error) => return Err(error.into()),
        }
        socket::setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
        if options.tcp_keepalive {
            socket::setsockopt(&socket, sockopt::KeepAlive, &true)?;
        }
        Self::opened(socket, options)
    }

    /// Opens a connection to a UNIX socket.
    ///
    /// # Errors
    /// As [`Connection::dial`].
    pub fn dial_socket(path: &str, options: &DialOptions) -> io::Result<Connection> {
        let address = socket::UnixAddr::new(path)?;
        let socket =
            socket::socket(socket::AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        if options.receive_buffer > 0 {
            socket::setsockopt(&socket, sockopt::RcvBuf, &options.receive_buffer)?;
        }
        socket::setsockopt(&socket, sockopt::SendTimeout, &time_val(options.connect_timeout))?;
        loop {
            match socket::connect(socket.as_raw_fd(), &address) {
                Ok(()) => return Self::opened(socket, options),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(timed(error)),
            }
        }
    }

    fn opened(socket: OwnedFd, options: &DialOptions) -> io::Result<Connection> {
        // Without arrival times the connection works all the same, so a refusal is no error.
        let _ = socket::setsockopt(&socket, sockopt::ReceiveTimestampns, &true);
        let source_port = socket::getsockname::<SockaddrStorage>(socket.as_raw_fd()).ok().and_then(|own| {
            own.as_sockaddr_in().map(|v4| v4.port()).or_else(|| own.as_sockaddr_in6().map(|v6| v6.port()))
        });
        let mut connection = Connection {
            line: Line::Plain(socket),
            timeout: Duration::ZERO,
            last_used: Instant::now(),
            last_checked: Instant::now(),
            reused: false,
            way: None,
            source_port,
            ancillary: cmsg_space!(TimeSpec),
        };
        connection.limit(options.timeout)?;
        Ok(connection)
    }

    /// Sets the limit for each send and receive; free when it is the one already set.
    ///
    /// # Errors
    /// The system's.
    pub fn limit(&mut self, timeout: Duration) -> io::Result<()> {
        if timeout != self.timeout {
            match &self.line {
                Line::Plain(socket) => {
                    let value = time_val(timeout);
                    socket::setsockopt(socket, sockopt::SendTimeout, &value)?;
                    socket::setsockopt(socket, sockopt::ReceiveTimeout, &value)?;
                }
                Line::Wrapped(transport) => transport.limit(timeout),
            }
            self.timeout = timeout;
        }
        Ok(())
    }

    /// Puts a transport between this connection and its socket.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn wrapped(self, wrap: Wrap<'_>) -> Result<Connection, NotSecure> {
        match self.line {
            Line::Plain(socket) => Ok(Connection { line: Line::Wrapped(wrap(socket)?), ..self }),
            Line::Wrapped(_) => Ok(self),
        }
    }

    /// What stands between this connection and its socket, if anything does.
    pub fn transport(&self) -> Option<&dyn Transport> {
        match &self.line {
            Line::Plain(_) => None,
            Line::Wrapped(transport) => Some(&**transport),
        }
    }

    fn raw_fd(&self) -> std::os::fd::RawFd {
        self.as_fd().as_raw_fd()
    }

    /// What tells the way through another proxy from other ways; `None` for a connection to the member itself.
    pub fn way(&self) -> Option<&[u8]> {
        self.way.as_deref()
    }

    pub(super) fn by_way(mut self, way: &[u8]) -> Connection {
        self.way = Some(way.into());
        self
    }

    /// Has this connection carried a request before?
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// The port at this end; `None` for a UNIX socket.
    pub fn source_port(&self) -> Option<u16> {
        self.source_port
    }

    pub fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_used)
    }

    /// How long since anybody heard of the member here.
    pub fn unchecked_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_checked)
    }

    /// Notes that the member was heard of while the connection was idle.
    pub(super) fn note_check(&mut self) {
        self.last_checked = Instant::now();
    }

    /// Is the connection open with nothing to read? An idle connection that is readable was closed by the member, or
    /// holds bytes that answer no request. `always` looks even at one that was in use a moment ago.
    pub fn is_quiet(&self, now: Instant, always: bool) -> bool {
        if !always && self.idle_for(now) < FRESH {
            return true;
        }
        let mut byte = [0u8];
        if let Line::Wrapped(transport) = &self.line {
            // What TLS has to say of its own (tickets, the end) is taken in by this; it is no reason to close.
            return matches!(transport.recv_now(&mut byte), Ok(None));
        }
        let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        matches!(socket::recv(self.raw_fd(), &mut byte, look), Err(Errno::EAGAIN))
    }

    /// Marks the end of an exchange, before the connection goes back to its pool.
    pub(super) fn rest(&mut self) {
        if let Line::Wrapped(transport) = &self.line {
            transport.rest();
        }
        self.last_used = Instant::now();
        self.last_checked = self.last_used;
        self.reused = true;
    }

    /// Sends all pieces, in one call if the system takes them at once. `sent` counts what went out, also on failure.
    ///
    /// # Errors
    /// The system's; `TimedOut` when the member took nothing for longer than the limit.
    pub fn send(&self, mut pieces: &mut [IoSlice<'_>], sent: &mut usize) -> io::Result<()> {
        if let Line::Wrapped(transport) = &self.line {
            // Of a failure nobody knows how far it came, so all may have arrived.
            *sent += pieces.iter().map(|piece| piece.len()).sum::<usize>();
            return transport.send(pieces);
        }
        let fd = self.raw_fd();
        while !pieces.is_empty() {
            let result = match &*pieces {
                [one] => socket::send(fd, one, MsgFlags::MSG_NOSIGNAL),
                many => socket::sendmsg::<()>(fd, many, &[], MsgFlags::MSG_NOSIGNAL, None),
            };
            match result {
                Ok(n) => {
                    *sent += n;
                    IoSlice::advance_slices(&mut pieces, n);
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(timed(error)),
            }
        }
        Ok(())
    }

    /// Receives what is there, at least one byte; 0 at the end of the stream.
    ///
    /// # Errors
    /// The system's; `TimedOut` when nothing came for longer than the limit.
    pub fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        if let Line::Wrapped(transport) = &self.line {
            return transport.recv(into);
        }
        loop {
            match socket::recv(self.raw_fd(), into, MsgFlags::empty()) {
                Ok(n) => return Ok(n),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(timed(error)),
            }
        }
    }

    /// Receives what is there without waiting; `None` if there is nothing.
    ///
    /// # Errors
    /// As [`Connection::recv`].
    pub fn recv_now(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        if let Line::Wrapped(transport) = &self.line {
            return transport.recv_now(into);
        }
        loop {
            match socket::recv(self.raw_fd(), into, MsgFlags::MSG_DONTWAIT) {
                Ok(n) => return Ok(Some(n)),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends as much as goes out without waiting; `None` if that is nothing.
    ///
    /// # Errors
    /// The system's.
    pub fn send_now(&self, data: &[u8]) -> io::Result<Option<usize>> {
        if let Line::Wrapped(transport) = &self.line {
            if !self.is_ready(PollFlags::POLLOUT, Duration::ZERO) {
                return Ok(None);
            }
            let part = &data[..data.len().min(SMALL)];
            return transport.send(&[IoSlice::new(part)]).map(|()| Some(part.len()));
        }
        loop {
            let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
            match socket::send(self.raw_fd(), data, flags) {
                Ok(n) => return Ok(Some(n)),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Tells the member that nothing more will be sent.
    pub fn end_sending(&self) {
        // A connection that has ended already needs no end.
        let _ = socket::shutdown(self.raw_fd(), socket::Shutdown::Write);
    }

    /// Receives the first bytes of an answer. `Ok(None)`: the bytes had arrived before the request was sent, so they
    /// answer something else.
    ///
    /// # Errors
    /// As [`Connection::recv`].
    pub fn recv_answer(&mut self, into: &mut [u8], asked: SendTime) -> io::Result<Option<usize>> {
        if let Line::Wrapped(transport) = &self.line {
            // Nobody says when the bytes arrived: the connection was looked at before the request was sent.
            return transport.recv(into).map(Some);
        }
        let fd = self.raw_fd();
        let (n, arrival) = loop {
            let mut buffers = [IoSliceMut::new(into)];
            let flags = MsgFlags::empty();
            match socket::recvmsg::<()>(fd, &mut buffers, Some(&mut self.ancillary), flags) {
                Ok(message) => break (message.bytes, arrival_of(&message)),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(timed(error)),
            }
        };
        match arrival {
            Some(arrival) if arrival < asked.wall && asked.clock_is_steady() => Ok(None),
            _ => Ok(Some(n)),
        }
    }

    /// Waits until data is there or `length` is over; true if there is some.
    pub fn wait_readable(&self, length: Duration) -> bool {
        self.is_ready(PollFlags::POLLIN, length)
    }

    fn is_ready(&self, what: PollFlags, length: Duration) -> bool {
        let limit = PollTimeout::try_from(length).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.as_fd(), what)];
        !matches!(poll(&mut fds, limit), Ok(0))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.line {
            Line::Plain(socket) => socket.as_fd(),
            Line::Wrapped(transport) => transport.as_fd(),
        }
    }
}

/// Waits for a connect that a signal interrupted.
fn finish_connect(socket: &OwnedFd, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match socket::getsockopt(socket, sockopt::SocketError)? {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn arrival_of(message: &socket::RecvMsg<'_, '_, ()>) -> Option<TimeSpec> {
    message.cmsgs().ok()?.find_map(|part| match part {
        ControlMessageOwned::ScmTimestampns(time) => Some(time),
        _ => None,
    })
}

impl SendTime {
    /// Now; to be taken before the request's first byte is sent.
    pub fn now() -> SendTime {
        let read = |clock| clock_gettime(clock).unwrap_or(TimeSpec::new(0, 0));
        let mut before = read(ClockId::CLOCK_MONOTONIC);
        // A thread that lost its processor between the two clocks would take that for a clock that was set.
        for _ in 0..8 {
            let wall = read(ClockId::CLOCK_REALTIME);
            let after = read(ClockId::CLOCK_MONOTONIC);
            if Duration::from(after).saturating_sub(before.into()) < CLOCKS_APART / 2 {
                return SendTime { wall, offset: Duration::from(wall).saturating_sub(after.into()) };
            }
            before = after;
        }
        let wall = read(ClockId::CLOCK_REALTIME);
        SendTime { wall, offset: Duration::from(wall).saturating_sub(before.into()) }
    }

    /// False if the wall clock was set since: then arrival times say nothing.
    fn clock_is_steady(self) -> bool {
        Self::now().offset.abs_diff(self.offset) < CLOCKS_APART
    }
}

fn time_val(length: Duration) -> TimeVal {
    // Zero would mean "no limit" to the system.
    let length = length.max(Duration::from_micros(1));
    TimeVal::new(
        i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        i64::from(length.subsec_micros()).max(i64::from(length.as_secs() == 0)),
    )
}

fn timed(error: Errno) -> io::Error {
    match error {
        Errno::EAGAIN => io::ErrorKind::TimedOut.into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    const OPTIONS: DialOptions = DialOptions {
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        tcp_keepalive: true,
        receive_buffer: 65536,
        source: None,
    };

    fn pair(options: &DialOptions) -> (Connection, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Connection::dial(listener.local_addr().unwrap(), options).unwrap();
        (connection, listener.accept().unwrap().0)
    }

    /// Waits until the bytes that the peer wrote lie in the connection's receive queue.
    fn until_readable(connection: &Connection) {
        assert!(connection.wait_readable(Duration::from_secs(10)));
    }

    #[test]
    fn pieces_arrive_in_order_and_are_counted() {
        let (connection, mut peer) = pair(&OPTIONS);
        let mut sent = 0;
        connection
            .send(&mut [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")], &mut sent)
            .unwrap();
        let mut got = [0; 7];
        peer.read_exact(&mut got).unwrap();
        assert_eq!((&got, sent), (b"one two", 7));
    }

    /// The kernel begins to stamp arrivals a moment after the first socket of the system wants it, and goes on while there is one.
    fn stamping() -> (Connection, std::net::TcpStream) {
        let (mut connection, mut peer) = pair(&OPTIONS);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(10) {
            peer.write_all(b"x").unwrap();
            until_readable(&connection);
            let asked = SendTime::now();
            if connection.recv_answer(&mut [0; 8], asked).unwrap().is_none() {
                return (connection, peer);
            }
        }
        panic!("the kernel does not stamp arrivals");
    }

    #[test]
    fn bytes_that_were_there_before_the_request_are_no_answer() {
        let _stamping = stamping();
        let (mut connection, mut peer) = pair(&OPTIONS);
        peer.write_all(b"stray").unwrap();
        until_readable(&connection);
        let asked = SendTime::now();
        assert_eq!(connection.recv_answer(&mut [0; 64], asked).unwrap(), None);
    }

    #[test]
    fn bytes_that_come_after_the_request_are_its_answer() {
        let (mut connection, mut peer) = pair(&OPTIONS);
        let asked = SendTime::now();
        peer.write_all(b"answer").unwrap();
        let mut buffer = [0; 64];
        assert_eq!(connection.recv_answer(&mut buffer, asked).unwrap(), Some(6));
        assert_eq!(&buffer[..6], b"answer");
    }

    #[test]
    fn a_connection_is_quiet_until_the_peer_writes_or_closes() {
        let (connection, mut peer) = pair(&OPTIONS);
        assert!(connection.is_quiet(Instant::now(), true));
        peer.write_all(b"x").unwrap();
        until_readable(&connection);
        assert!(!connection.is_quiet(Instant::now(), true));

        let (connection, peer) = pair(&OPTIONS);
        drop(peer);
        until_readable(&connection);
        assert!(!connection.is_quiet(Instant::now(), true));
    }

    #[test]
    fn a_silent_member_ends_in_a_timeout() {
        let options = DialOptions { timeout: Duration::from_millis(20), ..OPTIONS };
        let (mut connection, _peer) = pair(&options);
        let error = connection.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let error = connection.recv_answer(&mut [0; 8], SendTime::now()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_port_nobody_listens_on_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = Connection::dial(address, &OPTIONS).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
