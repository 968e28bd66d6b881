// SPDX-License-Identifier: Apache-2.0
//! The gate between threads of ours and httpd, whose pools go away when a child ends.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32};
use std::time::Duration;

/// Sockets that calls may wait for at a time; more are let in, but are not woken.
const SOCKETS: usize = 256;
/// No descriptor.
const NONE: i32 = -1;

/// Lets threads call httpd until it is closed.
#[derive(Debug)]
pub(super) struct Gate {
    closed: AtomicBool,
    inside: AtomicU32,
    /// What calls under way wait for.
    sockets: [AtomicI32; SOCKETS],
}

impl Default for Gate {
    fn default() -> Self {
        let sockets = [const { AtomicI32::new(NONE) }; SOCKETS];
        Gate { closed: AtomicBool::new(false), inside: AtomicU32::new(0), sockets }
    }
}

impl Gate {
    /// `None` once the gate is closed.
    pub fn pass<T>(&self, call: impl FnOnce() -> T) -> Option<T> {
        self.inside.fetch_add(1, SeqCst);
        let result = (!self.closed.load(SeqCst)).then(call);
        self.inside.fetch_sub(1, SeqCst);
        result
    }

    /// As [`Gate::pass`] for a call that may wait for this socket, which must stay open meanwhile: closing the gate ends
    /// the wait.
    pub fn pass_with<T>(&self, socket: BorrowedFd<'_>, call: impl FnOnce() -> T) -> Option<T> {
        let fd = socket.as_raw_fd();
        let place =
            self.sockets.iter().find(|place| place.compare_exchange(NONE, fd, SeqCst, SeqCst).is_ok());
        let result = self.pass(call);
        if let Some(place) = place {
            place.store(NONE, SeqCst);
        }
        result
    }

    #[cfg(test)]
    fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Waits for calls under way, but not for long: this may run in a signal handler of prefork, whose thread may hold
    /// what a call waits for. No lock is taken for the same reason.
    pub fn close(&self) {
        const STEP: Duration = Duration::from_millis(1);
        self.closed.store(true, SeqCst);
        for _ in 0..200 {
            if self.inside.load(SeqCst) == 0 {
                return;
            }
            for place in &self.sockets {
                let fd = place.load(SeqCst);
                if fd != NONE {
                    // SAFETY: a plain call; whoever waits for the socket keeps it open until its place is free again.
                    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
                }
            }
            std::thread::sleep(STEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    #[test]
    fn a_closed_gate_lets_nobody_pass() {
        let gate = Gate::default();
        assert_eq!(gate.pass(|| 1), Some(1));
        gate.close();
        assert_eq!(gate.pass(|| 1), None);
    }

    #[test]
    fn closing_waits_for_a_call_under_way() {
        let gate = Arc::new(Gate::default());
        let (inside, entered) = std::sync::mpsc::channel();
        let theirs = Arc::clone(&gate);
        let caller = std::thread::spawn(move || {
            theirs.pass(|| {
                inside.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(30));
                assert!(theirs.is_closed(), "closing has begun");
            })
        });
        entered.recv().unwrap();
        gate.close();
        assert_eq!(gate.inside.load(SeqCst), 0);
        assert!(caller.join().unwrap().is_some());
    }

    #[test]
    fn closing_ends_the_wait_for_a_socket() {
        let gate = Arc::new(Gate::default());
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        let (inside, entered) = std::sync::mpsc::channel();
        let waiting = Arc::clone(&gate);
        let caller = std::thread::spawn(move || {
            let watched = ours.try_clone().unwrap();
            waiting.pass_with(watched.as_fd(), || {
                inside.send(()).unwrap();
                ours.read(&mut [0]).unwrap()
            })
        });
        entered.recv().unwrap();
        gate.close();
        assert_eq!(caller.join().unwrap(), Some(0), "the end of the stream");
    }
}
