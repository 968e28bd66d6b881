// SPDX-License-Identifier: Apache-2.0
//! A connection to a member through httpd's own TLS, as a transport.

use std::any::Any;
use std::ffi::{CString, c_char, c_int};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::time::Duration;

use super::ffi;
use crate::backend::{NotSecure, Transport};

/// Owns httpd's side of the connection and its socket.
#[derive(Debug)]
pub(super) struct Outgoing {
    raw: NonNull<ffi::margay_outgoing>,
    name: Vec<u8>,
}

// SAFETY: everything behind the pointer lies in a pool that has no parent and an allocator of its own, and refers to
// nothing of a thread: httpd's filters work in whichever thread calls them. It is not `Sync`, so that is one at a time.
unsafe impl Send for Outgoing {}

/// Makes the handshake over a connected socket.
///
/// # Errors
/// Why there is no TLS; the socket is closed.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn open(
    r: *mut ffi::request_rec,
    socket: OwnedFd,
    name: &[u8],
    limit: Duration,
) -> Result<Box<dyn Transport>, NotSecure> {
    // SAFETY: the caller vouches for `r`, whose configuration lives as long as it does.
    let made = unsafe { Outgoing::open((*r).server, (*r).per_dir_config, socket, name, limit) };
    made.map(|outgoing| -> Box<dyn Transport> { Box::new(outgoing) })
}
/// Puts a kept connection under the settings of a request; false if they do not allow it.
///
/// # Safety
/// As [`open`].
pub(super) unsafe fn bind(r: *mut ffi::request_rec, transport: &dyn Transport) -> bool {
    let transport: &dyn Any = transport;
    let Some(outgoing) = transport.downcast_ref::<Outgoing>() else { return false };
    // SAFETY: the caller vouches for `r`. The settings stay bound until the connection rests or is closed, and both
    // happen while the request is handled.
    unsafe { ffi::margay_outgoing_bind(outgoing.raw.as_ptr(), r) != 0 }
}

fn microseconds(limit: Duration) -> i64 {
    // Zero would mean "do not wait".
    i64::try_from(limit.as_micros()).unwrap_or(i64::MAX).max(1)
}

fn failure(result: c_int) -> io::Error {
    match u32::try_from(result) {
        Ok(ffi::MARGAY_OUTGOING_SLOW) => io::ErrorKind::TimedOut.into(),
        Ok(ffi::MARGAY_OUTGOING_END) => io::ErrorKind::BrokenPipe.into(),
        _ => io::ErrorKind::ConnectionReset.into(),
    }
}

impl Outgoing {
    /// Makes the handshake over a connected socket by these settings.
    ///
    /// # Errors
    /// Why there is no TLS; the socket is closed.
    ///
    /// # Safety
    /// The server lives, and the settings do as long as the connection is used.
    pub unsafe fn open(
        server: *mut ffi::server_rec,
        settings: *mut ffi::ap_conf_vector_t,
        socket: OwnedFd,
        name: &[u8],
        limit: Duration,
    ) -> Result<Outgoing, NotSecure> {
        let text = CString::new(name).map_err(|_| NotSecure::Refused)?;
        let (fd, limit) = (socket.into_raw_fd(), microseconds(limit));
        let mut raw = ptr::null_mut();
        // SAFETY: the caller vouches for server and settings; the shim copies the name and takes the descriptor over.
        let result =
            unsafe { ffi::margay_outgoing_open(server, settings, fd, text.as_ptr(), limit, &raw mut raw) };
        match (u32::try_from(result).unwrap_or(ffi::MARGAY_OUTGOING_FAILED), NonNull::new(raw)) {
            (ffi::MARGAY_OUTGOING_READY, Some(raw)) => Ok(Outgoing { raw, name: name.to_vec() }),
            (ffi::MARGAY_OUTGOING_NO_TLS, _) => Err(NotSecure::Missing),
            (ffi::MARGAY_OUTGOING_OFF, _) => Err(NotSecure::Off),
            (ffi::MARGAY_OUTGOING_REFUSED, _) => Err(NotSecure::Refused),
            (ffi::MARGAY_OUTGOING_SLOW, _) => Err(NotSecure::Slow),
            _ => Err(NotSecure::Failed),
        }
    }

    fn receive(&self, into: &mut [u8], wait: bool) -> io::Result<Option<usize>> {
        let mut got = 0;
        let start: *mut c_char = into.as_mut_ptr().cast();
        // SAFETY: there is room for `into.len()` bytes; the connection is this thread's.
        let result = unsafe {
            ffi::margay_outgoing_recv(self.raw.as_ptr(), start, into.len(), c_int::from(wait), &raw mut got)
        };
        match u32::try_from(result) {
            Ok(ffi::MARGAY_OUTGOING_READY) => Ok(Some(got)),
            Ok(ffi::MARGAY_OUTGOING_END) => Ok(Some(0)),
            Ok(ffi::MARGAY_OUTGOING_NOTHING) => Ok(None),
            _ => Err(failure(result)),
        }
    }
}

impl Transport for Outgoing {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn send(&self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        // SAFETY: `IoSlice` has the layout of `iovec`, and the shim lets go of the bytes before it returns.
        let result =
            unsafe { ffi::margay_outgoing_send(self.raw.as_ptr(), pieces.as_ptr().cast(), pieces.len()) };
        if result == ffi::MARGAY_OUTGOING_READY as c_int { Ok(()) } else { Err(failure(result)) }
    }

    fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        self.receive(into, true)?.ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    fn recv_now(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        self.receive(into, false)
    }

    fn limit(&self, timeout: Duration) {
        // SAFETY: the connection is this thread's.
        unsafe { ffi::margay_outgoing_limit(self.raw.as_ptr(), microseconds(timeout)) }
    }

    fn rest(&self) {
        // SAFETY: as above; the configuration it is bound to now is the server's and lives as long as the process.
        unsafe { ffi::margay_outgoing_rest(self.raw.as_ptr()) }
    }
}

impl AsFd for Outgoing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open until the pool is destroyed, which `drop` does.
        unsafe { BorrowedFd::borrow_raw(ffi::margay_outgoing_fd(self.raw.as_ptr())) }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // SAFETY: nobody uses the connection any more; its pool is destroyed once, here.
        unsafe { ffi::margay_outgoing_close(self.raw.as_ptr()) }
    }
}
