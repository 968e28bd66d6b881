// SPDX-License-Identifier: Apache-2.0
//! One try on one member: a connection, the request, the answer.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::exchange::{BodyError, ClientGone, Exchange};
use super::forward::HttpRules;
use super::request_body::RequestBody;
use super::response::Sections;
use super::{ajp, http};
use crate::backend::buffer::Received;
use crate::backend::{BackendError, Connection, Lease, Pool, Receiver, SendTime};
use crate::config::forward::Remote;
use crate::config::jk::plan::StatusVerdict;
use crate::config::plan::{Member, Scheme};
use crate::shared::JkState;
use crate::wire::ajp::EncodeError;
use crate::wire::http1;

/// The buffers of a thread, kept between requests so that a warm request allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) packet: Vec<u8>,
    pub(super) uri: Vec<u8>,
    pub(super) text: Vec<u8>,
    pub(super) receiver: Receiver,
    pub(super) route: Vec<u8>,
    pub(super) states: Vec<JkState>,
}

/// The buffers of one try.
pub struct Buffers<'s> {
    pub packet: &'s mut Vec<u8>,
    pub text: &'s mut Vec<u8>,
    pub receiver: &'s mut Receiver,
}

/// What a try needs to know; the same for all tries of a request but for the member.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    pub member: &'a Member,
    pub pool: &'a Pool,
    pub sections: Sections<'a>,
    /// Path part for the member, encoded.
    pub uri: &'a [u8],
    pub session_route: Option<&'a [u8]>,
    /// Limit for each send and receive.
    pub timeout: Duration,
    pub source: Option<IpAddr>,
    /// The request may not be sent twice, so a kept connection is looked at before it is used.
    pub careful: bool,
    /// Kept connections are not to be used.
    pub fresh: bool,
    pub http: HttpRules<'a>,
    /// Another proxy that the member is asked through.
    pub remote: Option<&'a Remote>,
}

/// How far a try came before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The member cannot have begun: no connection, no CPong, or not all of the request's head was sent.
    NotSent,
    /// The same, on a kept connection.
    StaleNotSent,
    /// The request went out on a kept connection that ended before a byte came back.
    Stale,
    /// The request went out; no byte of the response went to the client.
    Sent,
    /// A part of the response went to the client.
    Passed,
}

/// A complete response, as far as the member is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    pub status: u16,
    /// Bytes of body received.
    pub received: u64,
    /// The server answers with a page of its own (`ProxyErrorOverride`).
    pub replaced: bool,
}

/// Why a try did not end in a response.
#[derive(Debug)]
pub enum Failure {
    Backend {
        error: BackendError,
        stage: Stage,
    },
    /// The client failed; the member did nothing wrong.
    Client {
        error: BodyError,
        stage: Stage,
    },
    /// The client went away while the response was sent.
    Gone,
    /// The member announced a body and ended its response without a byte of it: a fault of the application.
    NoBody,
    /// The answer has a status that the administrator counts as a failure; nothing of it was passed on.
    Status {
        status: u16,
        verdict: StatusVerdict,
    },
    /// The request does not fit into the protocol.
    Encode(EncodeError),
    /// The same for HTTP.
    EncodeHttp(http1::EncodeError),
}

impl From<ClientGone> for Failure {
    fn from(_: ClientGone) -> Self {
        Self::Gone
    }
}

impl Failure {
    /// May a part of the response have gone to the client?
    pub fn is_after_passing(&self) -> bool {
        match self {
            Self::Backend { stage, .. } | Self::Client { stage, .. } => *stage == Stage::Passed,
            Self::Gone => true,
            Self::NoBody | Self::Status { .. } | Self::Encode(_) | Self::EncodeHttp(_) => false,
        }
    }

    pub(super) fn at(stage: Stage) -> impl Fn(BackendError) -> Failure {
        move |error| Failure::Backend { error, stage }
    }
}

impl Attempt<'_> {
    /// Carries the request to the member and the answer to the client.
    ///
    /// # Errors
    /// [`Failure`]; nothing went to the client unless it says [`Stage::Passed`] or [`Failure::Gone`].
    pub fn run<E: Exchange>(
        &self,
        exchange: &mut E,
        body: &mut RequestBody,
        buffers: Buffers<'_>,
        connected: impl FnOnce(),
    ) -> Result<Answered, Failure> {
        match self.member.scheme {
            Scheme::Ajp => ajp::run(self, exchange, body, buffers, connected),
            Scheme::Http | Scheme::Ws | Scheme::Https | Scheme::Wss => {
                http::run(self, exchange, body, buffers, connected)
            }
        }
    }

    /// The connection for this try: the warmest kept one that is still quiet, else a new one.
    pub(super) fn connect<'l>(&self, lease: &'l mut Lease<'_>) -> Result<&'l mut Connection, BackendError> {
        let now = Instant::now();
        if self.fresh {
            // One kept connection has ended, and the others are as old.
            lease.discard();
            self.pool.clear();
        }
        // Nobody says when bytes arrived at a UNIX socket, so only a look tells what was there before.
        let way = self.remote.map(|remote| remote.name.as_bytes());
        let always = self.careful || self.member.socket.is_some();
        while lease.connection().is_some_and(|kept| kept.way() != way || !kept.is_quiet(now, always)) {
            lease.take_other();
        }
        if let Some(kept) = lease.connection() {
            kept.limit(self.timeout).map_err(BackendError::of_io)?;
        } else {
            self.dial(lease, way)?;
        }
        lease.connection().ok_or(BackendError::Closed)
    }

    /// Opens a connection in the place of the lease; `way` as [`Connection::way`] has it.
    pub(super) fn dial<'l>(
        &self,
        lease: &'l mut Lease<'_>,
        way: Option<&[u8]>,
    ) -> Result<&'l mut Connection, BackendError> {
        match (self.remote, way) {
            (Some(remote), Some(way)) => {
                lease.dial_remote(remote, way, self.member, self.timeout, self.source)
            }
            _ => lease.dial(self.member, self.timeout, self.source),
        }
    }

    /// How far a request came whose head is `length` bytes long and of which `sent` bytes went out.
    pub(super) fn unsent(sent: usize, length: usize, reused: bool) -> Stage {
        match (sent < length, reused) {
            (true, true) => Stage::StaleNotSent,
            (true, false) => Stage::NotSent,
            (false, true) => Stage::Stale,
            (false, false) => Stage::Sent,
        }
    }
}

/// Receives the first bytes of the answer.
pub(super) fn first_bytes(
    connection: &mut Connection,
    receiver: &mut Receiver,
    asked: SendTime,
    reused: bool,
) -> Result<(), Failure> {
    let dead = if reused { Stage::Stale } else { Stage::Sent };
    match receiver.fill_answer(connection, asked) {
        Ok(Received::Data) => Ok(()),
        Ok(Received::End) => Err(Failure::Backend { error: BackendError::Closed, stage: dead }),
        Ok(Received::Stray) => Err(Failure::Backend { error: BackendError::Stray, stage: dead }),
        Err(error) => {
            let error = BackendError::of_io(error);
            let stage = if matches!(error, BackendError::Timeout) { Stage::Sent } else { dead };
            Err(Failure::Backend { error, stage })
        }
    }
}
