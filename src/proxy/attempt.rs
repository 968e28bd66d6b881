// SPDX-License-Identifier: Apache-2.0
//! One try on one member: a connection, the request, the answer.

use std::net::IpAddr;
use std::time::Duration;

use super::exchange::{BodyError, ClientGone, Exchange, Level};
use super::head;
use super::relay::Relay;
use super::request_body::{BodyFailure, RequestBody};
use super::response::{Sections, give_head};
use crate::backend::buffer::Received;
use crate::backend::{BackendError, Connection, Lease, Pool, Receiver, SendTime};
use crate::config::plan::{Flush, Member};
use crate::wire::ajp::{self, Decoded, Decoder, EncodeError, Message};

/// The buffers of a thread, kept between requests so that a warm request allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) packet: Vec<u8>,
    pub(super) uri: Vec<u8>,
    pub(super) text: Vec<u8>,
    pub(super) receiver: Receiver,
    pub(super) route: Vec<u8>,
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
    /// Kept connections are not to be used.
    pub fresh: bool,
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
    /// The request does not fit into the protocol.
    Encode(EncodeError),
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
            Self::NoBody | Self::Encode(_) => false,
        }
    }

    fn at(stage: Stage) -> impl Fn(BackendError) -> Failure {
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
        packet: &mut Vec<u8>,
        text: &mut Vec<u8>,
        receiver: &mut Receiver,
        connected: impl FnOnce(),
    ) -> Result<Answered, Failure> {
        packet.clear();
        head::write(exchange, self.member, self.uri, self.session_route, packet).map_err(Failure::Encode)?;
        let mut lease = self.pool.acquire().map_err(Failure::at(Stage::NotSent))?;
        let connection = self.connect(&mut lease, receiver).map_err(Failure::at(Stage::NotSent))?;
        connected();

        receiver.clear();
        body.begin_try();
        let asked = SendTime::now();
        let reused = connection.is_reused();
        let mut sent = 0;
        let limit = ajp::max_body(self.member.packet_size);
        if let Err(error) = body.send_head(exchange, connection, packet, limit, &mut sent) {
            let stage = match (sent < packet.len(), reused) {
                (true, true) => Stage::StaleNotSent,
                (true, false) => Stage::NotSent,
                (false, true) => Stage::Stale,
                (false, false) => Stage::Sent,
            };
            return Err(Failure::Backend { error, stage });
        }
        self.first_bytes(connection, receiver, asked, reused)?;
        self.receive(exchange, body, text, receiver, lease)
    }

    /// The connection for this try: the warmest kept one that is still quiet, else a new one; with `ping`, one that
    /// answered.
    fn connect<'l>(
        &self,
        lease: &'l mut Lease<'_>,
        receiver: &mut Receiver,
    ) -> Result<&'l mut Connection, BackendError> {
        if self.fresh {
            // One kept connection has ended, and the others are as old.
            lease.discard();
            self.pool.clear();
        }
        while lease.connection().is_some_and(|kept| !kept.is_quiet()) {
            lease.take_other();
        }
        if let Some(kept) = lease.connection() {
            kept.limit(self.timeout).map_err(BackendError::of_io)?;
        } else {
            lease.dial(self.member, self.timeout, self.source)?;
        }
        if let Some(limit) = self.member.ping {
            let is_kept = lease.connection().is_some_and(|connection| connection.is_reused());
            match self.ping(lease, limit, receiver) {
                // A kept connection may have died without a word; a new one tells whether the member has.
                Err(_) if is_kept => {
                    lease.discard();
                    lease.dial(self.member, self.timeout, self.source)?;
                    self.ping(lease, limit, receiver)?;
                }
                result => result?,
            }
        }
        lease.connection().ok_or(BackendError::Closed)
    }

    fn ping(
        &self,
        lease: &mut Lease<'_>,
        limit: Duration,
        receiver: &mut Receiver,
    ) -> Result<(), BackendError> {
        let because = |error: BackendError| BackendError::Ping { cause: error.to_string() };
        let connection = lease.connection().ok_or(BackendError::Closed)?;
        connection.limit(limit).map_err(BackendError::of_io)?;
        receiver.clear();
        let mut cping = [std::io::IoSlice::new(&ajp::CPING)];
        connection.send(&mut cping, &mut 0).map_err(|error| because(BackendError::of_io(error)))?;
        while !ajp::decode_cpong(receiver.window()).map_err(|error| because(error.into()))? {
            match receiver.fill(connection) {
                Ok(Received::Data) => {}
                Ok(_) => return Err(because(BackendError::Closed)),
                Err(error) => return Err(because(BackendError::of_io(error))),
            }
        }
        connection.limit(self.timeout).map_err(BackendError::of_io)
    }

    fn first_bytes(
        &self,
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

    /// Reads the answer to its end: everything that one receive brought is taken before the next.
    fn receive<E: Exchange>(
        &self,
        exchange: &mut E,
        body: &mut RequestBody,
        text: &mut Vec<u8>,
        receiver: &mut Receiver,
        mut lease: Lease<'_>,
    ) -> Result<Answered, Failure> {
        let mut decoder = Decoder::new(self.member.packet_size);
        let mut relay = Relay::new(exchange.request().method == b"HEAD");
        loop {
            let mut used = 0;
            let mut pieces = relay.begin_pass();
            let mut flush = false;
            let mut wanted = None;
            let mut ended = None;
            let window = receiver.window();
            while ended.is_none() && wanted.is_none() {
                let next = decoder
                    .next(&window[used..])
                    .map_err(|error| Failure::Backend { error: error.into(), stage: relay.stage() })?;
                let Decoded::Message { message, used: taken } = next else { break };
                used += taken;
                match message {
                    Message::Headers(head) => {
                        let length = give_head(exchange, &head, self.sections, text);
                        relay.head(head.status, length);
                    }
                    Message::Chunk(data) => relay.take(data, &mut pieces, exchange)?,
                    Message::Flush => flush |= relay.has_head(),
                    Message::GetBody(limit) => wanted = Some(limit),
                    Message::End { reuse } => ended = Some(reuse),
                }
            }
            if let Some(reuse) = ended {
                let leftover = window.len() - used;
                if leftover > 0 {
                    let member = &self.member.name;
                    exchange.log(
                        Level::Warning,
                        "MGY3107",
                        format_args!("{member} sent {leftover} bytes after the end of its response; the connection is closed"),
                    );
                }
                if reuse && leftover == 0 && relay.is_exact() {
                    lease.finish();
                } else {
                    drop(lease);
                }
                return relay.finish(pieces, exchange, &self.member.name);
            }
            // A packet that is still incomplete says that more is on its way, so nothing is pushed for it.
            let flush = flush || self.member.flush == Flush::On && !pieces.is_empty();
            relay.pass(&pieces, flush, exchange)?;
            receiver.consume(used);
            let Some(connection) = lease.connection() else {
                return Err(Failure::Backend { error: BackendError::Closed, stage: relay.stage() });
            };
            if let Some(limit) = wanted {
                self.send_body(exchange, body, connection, limit, relay.stage())?;
                if !receiver.window().is_empty() {
                    continue;
                }
            }
            if let Flush::Auto(wait) = self.member.flush
                && relay.holds_back()
                && !connection.wait_readable(wait)
            {
                relay.pass(&relay.begin_pass(), true, exchange)?;
            }
            match receiver.fill(connection) {
                Ok(Received::Data) => {}
                Ok(_) => return Err(Failure::Backend { error: BackendError::Closed, stage: relay.stage() }),
                Err(error) => {
                    return Err(Failure::Backend { error: BackendError::of_io(error), stage: relay.stage() });
                }
            }
        }
    }

    fn send_body<E: Exchange>(
        &self,
        exchange: &mut E,
        body: &mut RequestBody,
        connection: &Connection,
        asked_for: u16,
        stage: Stage,
    ) -> Result<(), Failure> {
        let largest = ajp::max_body(self.member.packet_size);
        let limit = if asked_for == 0 { largest } else { largest.min(usize::from(asked_for)) };
        body.send_next(exchange, connection, limit).map_err(|failure| match failure {
            BodyFailure::Client(error) => Failure::Client { error, stage },
            BodyFailure::Backend(error) => Failure::Backend { error, stage },
        })
    }
}
