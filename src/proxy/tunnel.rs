// SPDX-License-Identifier: Apache-2.0
//! After 101: bytes both ways until both sides have ended, or nothing moves for too long.

use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use super::exchange::{ClientGone, Exchange, TunnelRead};
use crate::backend::buffer::Received;
use crate::backend::{Connection, Receiver};

/// Bytes taken from the client at once.
const ROOM: usize = 16384;

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides had said all.
    Both,
    /// Nothing moved for as long as allowed.
    Idle,
    /// One side broke off.
    Broken,
}

/// What went through a tunnel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    pub end: End,
    pub to_member: u64,
    pub to_client: u64,
}

/// Carries bytes until the end. The client's side writes at once; the member's never blocks, so that a member that is
/// writing itself cannot hold both up.
pub(super) fn run<E: Exchange>(
    exchange: &mut E,
    connection: &Connection,
    receiver: &mut Receiver,
    idle: Duration,
    half_close: bool,
) -> Passed {
    let mut tunnel = Tunnel {
        exchange,
        connection,
        receiver,
        buffer: vec![0; ROOM],
        pending: 0..0,
        client_may_have_data: true,
        member_may_have_data: connection.transport().is_some(),
        client_sends: true,
        member_sends: true,
        half_close,
        to_member: 0,
        to_client: 0,
    };
    let end = tunnel.run(idle).unwrap_or(End::Broken);
    Passed { end, to_member: tunnel.to_member, to_client: tunnel.to_client }
}

struct Tunnel<'t, E> {
    exchange: &'t mut E,
    connection: &'t Connection,
    receiver: &'t mut Receiver,
    buffer: Vec<u8>,
    /// What of `buffer` the member has not taken yet.
    pending: std::ops::Range<usize>,
    /// The server's filters may hold data that the socket does not show, so they are asked until they have none.
    client_may_have_data: bool,
    /// The same of a member behind TLS.
    member_may_have_data: bool,
    client_sends: bool,
    member_sends: bool,
    /// One side may end while the other goes on (not with `proxy-nohalfclose`).
    half_close: bool,
    to_member: u64,
    to_client: u64,
}

/// One side broke off.
struct Broken;

impl From<ClientGone> for Broken {
    fn from(_: ClientGone) -> Self {
        Self
    }
}

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl<E: Exchange> Tunnel<'_, E> {
    fn run(&mut self, idle: Duration) -> Result<End, Broken> {
        self.give_to_client()?;
        while self.goes_on() {
            if self.client_sends && self.client_may_have_data && self.pending.is_empty() {
                self.take_from_client()?;
            }
            self.give_to_member()?;
            if !self.goes_on() {
                break;
            }
            // With data in hand nobody is waited for, but the other direction gets its turn.
            let at_once = self.member_sends && self.member_may_have_data
                || self.client_sends && self.client_may_have_data && self.pending.is_empty();
            let limit = if at_once { Duration::ZERO } else { idle };
            match self.wait(limit)? {
                true => {}
                false if at_once => {}
                false => return Ok(End::Idle),
            }
        }
        Ok(End::Both)
    }

    fn goes_on(&self) -> bool {
        let sends = match self.half_close {
            true => self.client_sends || self.member_sends,
            false => self.client_sends && self.member_sends,
        };
        sends || !self.pending.is_empty()
    }

    fn take_from_client(&mut self) -> Result<(), Broken> {
        match self.exchange.tunnel_read(&mut self.buffer)? {
            TunnelRead::Data(n) => self.pending = 0..n,
            TunnelRead::Nothing => self.client_may_have_data = false,
            TunnelRead::End => {
                self.client_sends = false;
                self.connection.end_sending();
            }
        }
        Ok(())
    }

    fn give_to_member(&mut self) -> Result<(), Broken> {
        while !self.pending.is_empty() {
            match self.connection.send_now(&self.buffer[self.pending.clone()])? {
                Some(n) => {
                    self.pending.start += n;
                    self.to_member += n as u64;
                }
                None => break,
            }
        }
        Ok(())
    }

    fn give_to_client(&mut self) -> Result<(), Broken> {
        let window = self.receiver.window();
        if !window.is_empty() {
            self.exchange.tunnel_write(window)?;
            self.to_client += window.len() as u64;
        }
        self.receiver.clear();
        Ok(())
    }

    /// Waits for either side, and takes what the member has; false if nothing happened in time.
    fn wait(&mut self, limit: Duration) -> Result<bool, Broken> {
        let mut member_wants = PollFlags::empty();
        member_wants.set(PollFlags::POLLIN, self.member_sends);
        member_wants.set(PollFlags::POLLOUT, !self.pending.is_empty());
        let listens = self.client_sends && !self.client_may_have_data && self.pending.is_empty();
        let (client, member) = {
            let client = self.exchange.tunnel_fd().ok_or(Broken)?;
            // A socket nothing is wanted of still reports its end, so it is left out.
            let mut fds =
                [PollFd::new(self.connection.as_fd(), member_wants), PollFd::new(client, PollFlags::POLLIN)];
            let (first, last) = (usize::from(member_wants.is_empty()), if listens { 2 } else { 1 });
            if first >= last {
                return Ok(true);
            }
            match poll(&mut fds[first..last], PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)) {
                Ok(0) if !self.member_may_have_data => return Ok(false),
                Ok(0) => return self.take_from_member().map(|()| true),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return Err(Broken),
            }
            let happened = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
            (last == 2 && happened(&fds[1]), first == 0 && happened(&fds[0]))
        };
        self.client_may_have_data |= client;
        if member || self.member_may_have_data {
            self.take_from_member()?;
        }
        Ok(true)
    }

    fn take_from_member(&mut self) -> Result<(), Broken> {
        if !self.member_sends {
            return Ok(());
        }
        let received = self.receiver.fill_now(self.connection)?;
        self.member_may_have_data = received == Some(Received::Data) && self.connection.transport().is_some();
        match received {
            Some(Received::Data) => self.give_to_client()?,
            Some(_) => {
                self.member_sends = false;
                self.exchange.tunnel_end();
            }
            None => {}
        }
        Ok(())
    }
}
