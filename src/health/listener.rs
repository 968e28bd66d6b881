// SPDX-License-Identifier: Apache-2.0
//! Heartbeats by UDP: one process of the newest configuration listens and notes what it hears for all.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::checker::{spawn, without_signals};
use super::report::Report;
use crate::backend::datagram;
use crate::base::clock::{Clock, SystemClock};
use crate::config::heartbeat::Heartbeat;
use crate::shared::{Beat, HEARTBEATS, Owner, Region, key_of_host};
use crate::wire::heartbeat::Fields;

/// mod_heartmonitor's, where `HeartbeatMaxServers` says nothing.
const SERVERS: usize = 10;
/// The others look this often whether they are needed, and the one that listens whether it still is.
const PAUSE: Duration = Duration::from_secs(1);
/// A line about messages that cannot be used is written this often at most.
const QUIET: Duration = Duration::from_secs(60);
/// Longer messages are cut; none is that long.
const LONGEST: usize = 1024;

/// Listens for this process, if it is its turn.
#[derive(Debug)]
pub struct Listener {
    stopped: Arc<AtomicBool>,
    thread: Thread,
    region: &'static Region,
    me: Owner,
}

struct Ear<F> {
    region: &'static Region,
    me: Owner,
    address: SocketAddr,
    servers: usize,
    report: F,
    stopped: Arc<AtomicBool>,
    /// When a message was last complained about.
    complained: Option<Instant>,
    /// The system's refusal was told.
    is_deaf: bool,
}

impl Listener {
    /// Starts the thread; `None` if there is nothing to listen to.
    ///
    /// # Errors
    /// The system's refusal of the thread.
    pub fn start(
        from: &Heartbeat,
        region: &'static Region,
        me: Owner,
        report: impl Fn(&Report) + Send + 'static,
    ) -> io::Result<Option<Listener>> {
        let Some(address) = from.listen else { return Ok(None) };
        let stopped = Arc::new(AtomicBool::new(false));
        let servers = match from.servers {
            None => SERVERS,
            Some(0) => HEARTBEATS,
            Some(count) => usize::try_from(count).unwrap_or(HEARTBEATS).min(HEARTBEATS),
        };
        let theirs = Arc::clone(&stopped);
        let ear =
            Ear { region, me, address, servers, report, stopped: theirs, complained: None, is_deaf: false };
        let thread = without_signals(|| spawn("margay-beats", move || ear.live()))?;
        Ok(Some(Listener { stopped, thread, region, me }))
    }

    /// Leaves the listening to other processes, without waiting for the thread.
    pub fn stop(&self) {
        self.stopped.store(true, Release);
        self.region.heartbeats().listener().release(self.me);
        self.thread.unpark();
    }
}

impl<F: Fn(&Report)> Ear<F> {
    fn live(mut self) {
        let turn = self.region.heartbeats().listener();
        let mut socket = None;
        // A newer configuration has processes of its own.
        while !self.stopped.load(Acquire) && self.region.generation() <= self.me.generation {
            if !turn.claim(self.me, SystemClock.now()) {
                socket = None;
                thread::park_timeout(PAUSE);
                continue;
            }
            if socket.is_none() {
                socket = self.open();
            }
            match &socket {
                Some(socket) => self.hear(socket),
                None => thread::park_timeout(PAUSE),
            }
        }
        turn.release(self.me);
    }

    fn open(&mut self) -> Option<UdpSocket> {
        let opened = datagram::listen(self.address)
            .and_then(|socket| socket.set_read_timeout(Some(PAUSE)).map(|()| socket));
        match opened {
            Ok(socket) => {
                self.is_deaf = false;
                (self.report)(&Report::Listening { address: self.address });
                Some(socket)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_deaf, true) {
                    (self.report)(&Report::Deaf { address: self.address, error });
                }
                None
            }
        }
    }

    /// Waits for one message, not for long.
    fn hear(&mut self, socket: &UdpSocket) {
        let mut message = [0; LONGEST];
        let Ok((length, from)) = socket.recv_from(&mut message) else { return };
        let fields = Fields::parse(&message[..length]);
        let (Some(ready), Some(busy), true) = (fields.ready, fields.busy, fields.is_message()) else {
            return self.complain(&Report::Malformed { from });
        };
        let now = SystemClock.now();
        let key = key_of_host(&from.ip().to_canonical().to_string());
        if !self.region.heartbeats().note(key, Beat { ready, busy, seen: now }, self.servers, now) {
            self.complain(&Report::Crowded { from, limit: self.servers });
        }
    }

    fn complain(&mut self, report: &Report) {
        if self.complained.is_none_or(|at| at.elapsed() > QUIET) {
            self.complained = Some(Instant::now());
            (self.report)(report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::key_of_host;
    use std::sync::mpsc;

    /// A listener at a free port of loopback, and what it says.
    fn listener(region: &'static Region, pid: u32, port: u16) -> (Listener, mpsc::Receiver<String>) {
        let (say, said) = mpsc::channel();
        let from = Heartbeat { listen: Some(([127, 0, 0, 1], port).into()), ..Heartbeat::default() };
        let me = Owner { pid, generation: 0 };
        let report = move |report: &Report| drop(say.send(report.to_string()));
        (Listener::start(&from, region, me, report).unwrap().unwrap(), said)
    }

    fn free_port() -> u16 {
        UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    fn region() -> &'static Region {
        Box::leak(Box::new(Region::private().unwrap()))
    }

    fn wait_until(what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn what_is_heard_is_noted_under_the_address_it_came_from() {
        let (region, port) = (region(), free_port());
        let (listener, said) = listener(region, 10, port);
        assert!(said.recv().unwrap().contains("MGY3307"));
        let sender = UdpSocket::bind("127.0.0.2:0").unwrap();
        sender.send_to(b"nonsense", ("127.0.0.1", port)).unwrap();
        assert!(said.recv().unwrap().contains("MGY3309"));
        sender.send_to(b"v=1&ready=7&busy=2", ("127.0.0.1", port)).unwrap();
        let key = key_of_host("127.0.0.2");
        wait_until("the message is noted", || region.heartbeats().of(key).is_some());
        let beat = region.heartbeats().of(key).unwrap();
        assert_eq!((beat.ready, beat.busy), (7, 2));
        listener.stop();
    }

    #[test]
    fn another_process_listens_when_the_first_has_ended() {
        let (region, port) = (region(), free_port());
        let (first, said) = listener(region, 10, port);
        assert!(said.recv().unwrap().contains("MGY3307"));
        let (second, said) = listener(region, 11, port);
        assert!(said.recv_timeout(Duration::from_millis(50)).is_err());
        first.stop();
        assert!(said.recv_timeout(Duration::from_secs(20)).unwrap().contains("MGY3307"));
        second.stop();
    }
}
