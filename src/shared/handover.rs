// SPDX-License-Identifier: Apache-2.0
//! Handing descriptors to the agent over a Unix socket: the shared memory, and the log to write to.
//!
//! The socket is one that the agent inherits when httpd starts it, or one that it connects to. A message is one byte, which
//! says what the descriptor with it is.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, getsockopt, recvmsg, sendmsg, sockopt::PeerCredentials,
};

use super::region::{Region, RegionError};

const REGION: u8 = b'R';
const LOG: u8 = b'L';

/// One end of the socket.
#[derive(Debug)]
pub struct Link(UnixStream);

/// What came.
#[derive(Debug)]
pub enum HandedOver {
    Region(Region),
    /// Where lines of the log go from now on.
    Log(OwnedFd),
}

impl Link {
    /// Both ends of a new socket; both close on exec.
    ///
    /// # Errors
    /// The system's.
    pub fn pair() -> io::Result<(Link, Link)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Link(ours), Link(theirs)))
    }

    /// A connection that was made or taken.
    pub fn of(stream: UnixStream) -> Link {
        Link(stream)
    }

    /// The end that this process was started with. From now on it closes on exec.
    ///
    /// # Errors
    /// There is no socket of that number.
    pub fn inherited(number: RawFd) -> io::Result<Link> {
        // SAFETY: plain call; a number that is no descriptor is refused.
        let done = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        if number <= 2 || done < 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: the descriptor is open (asked above), and was handed to this process for this call alone.
        let stream = unsafe { UnixStream::from_raw_fd(number) };
        stream.local_addr()?;
        Ok(Link(stream))
    }

    /// User id of the process at the other end.
    ///
    /// # Errors
    /// The system's.
    pub fn peer_user(&self) -> io::Result<u32> {
        Ok(getsockopt(&self.0, PeerCredentials)?.uid())
    }

    /// Hands the memory over. Never waits.
    ///
    /// # Errors
    /// The other end is gone or does not read; or the region has no descriptor.
    pub fn send_region(&self, region: &Region) -> io::Result<()> {
        let fd = region.fd().ok_or(io::ErrorKind::Unsupported)?;
        self.send(REGION, fd)
    }

    /// Names the log to write to. Never waits.
    ///
    /// # Errors
    /// As [`Link::send_region`].
    pub fn send_log(&self, log: BorrowedFd<'_>) -> io::Result<()> {
        self.send(LOG, log)
    }

    fn send(&self, kind: u8, fd: BorrowedFd<'_>) -> io::Result<()> {
        let (text, fds) = ([kind], [fd.as_raw_fd()]);
        let parts = [IoSlice::new(&text)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendmsg::<()>(self.0.as_raw_fd(), &parts, &[ControlMessage::ScmRights(&fds)], flags, None)?;
        Ok(())
    }

    /// Waits for something; `None` at the end of the connection. A message that nobody knows is passed over.
    ///
    /// # Errors
    /// The system's; inside, why the memory cannot be used.
    pub fn receive(&self) -> io::Result<Option<Result<HandedOver, RegionError>>> {
        loop {
            let mut kind = [0];
            let mut space = nix::cmsg_space!([RawFd; 4]);
            let mut parts = [IoSliceMut::new(&mut kind)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let message = match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut space), flags) {
                Err(nix::Error::EINTR) => continue,
                result => result?,
            };
            let mut fds = Vec::new();
            for part in message.cmsgs()? {
                if let ControlMessageOwned::ScmRights(numbers) = part {
                    // SAFETY: the kernel has just made these descriptors for us; nobody else knows them.
                    fds.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
                }
            }
            if message.bytes == 0 {
                return Ok(None);
            }
            match (kind[0], fds.pop()) {
                (REGION, Some(fd)) => return Ok(Some(Region::attach(fd).map(HandedOver::Region))),
                (LOG, Some(fd)) => return Ok(Some(Ok(HandedOver::Log(fd)))),
                _ => {}
            }
        }
    }

    /// Waits until the other end closes. What it says is not listened to.
    pub fn wait_for_end(&self) {
        while let Ok(Some(_)) = self.receive() {}
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// From now on what this process writes to its standard error goes there.
///
/// # Errors
/// The system's.
pub fn redirect_standard_error(to: OwnedFd) -> io::Result<()> {
    // SAFETY: both are descriptors; the old one is replaced in one step.
    let done = unsafe { libc::dup2(to.as_raw_fd(), libc::STDERR_FILENO) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Region {
    /// Is it the same memory, mapped twice?
    pub fn is_same(&self, other: &Region) -> bool {
        use std::os::unix::fs::MetadataExt;
        let id = |region: &Region| {
            let file = File::from(region.fd()?.try_clone_to_owned().ok()?);
            file.metadata().ok().map(|data| (data.dev(), data.ino()))
        };
        id(self).is_some_and(|own| id(other) == Some(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Moment;
    use std::io::{Read, Write};

    #[test]
    fn memory_and_log_are_handed_over() {
        let (ours, theirs) = Link::pair().unwrap();
        let region = Region::create().unwrap();
        let (mut log, written) = io::pipe().unwrap();
        ours.send_region(&region).unwrap();
        ours.send_log(written.as_fd()).unwrap();
        drop((ours, written));

        let Some(Ok(HandedOver::Region(other))) = theirs.receive().unwrap() else { panic!("no memory") };
        assert!(other.is_same(&region) && !other.is_same(&Region::create().unwrap()));
        assert!(other.agent().claim(1, 2, Moment(3)));
        assert_eq!(region.agent().seen().unwrap().pid, 2);

        let Some(Ok(HandedOver::Log(fd))) = theirs.receive().unwrap() else { panic!("no log") };
        File::from(fd).write_all(b"line").unwrap();
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        assert_eq!(text, "line");
        assert!(theirs.receive().unwrap().is_none());
    }

    #[test]
    fn what_is_not_our_memory_is_refused_and_the_connection_goes_on() {
        let (ours, theirs) = Link::pair().unwrap();
        let (_, pipe) = io::pipe().unwrap();
        ours.send(REGION, pipe.as_fd()).unwrap();
        ours.send(b'?', pipe.as_fd()).unwrap();
        ours.send_log(pipe.as_fd()).unwrap();
        assert!(matches!(theirs.receive().unwrap(), Some(Err(_))));
        assert!(matches!(theirs.receive().unwrap(), Some(Ok(HandedOver::Log(_)))));
    }

    #[test]
    fn the_user_at_the_other_end_is_known() {
        let (ours, _theirs) = Link::pair().unwrap();
        // SAFETY: a plain question.
        assert_eq!(ours.peer_user().unwrap(), unsafe { libc::geteuid() });
    }

    #[test]
    fn a_number_that_is_no_socket_is_refused() {
        assert!(Link::inherited(2).is_err());
        assert!(Link::inherited(9999).is_err());
    }
}
