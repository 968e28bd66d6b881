// SPDX-License-Identifier: Apache-2.0
//! One exchange over AJP.

use std::time::Duration;

use super::attempt::{Answered, Attempt, Buffers, Failure, Stage, first_bytes};
use super::exchange::{Exchange, Level, ResponseLine};
use super::head;
use super::relay::Relay;
use super::request_body::{BodyFailure, RequestBody};
use super::response::{Sections, give_head, keep_for_own_page};
use crate::backend::buffer::Received;
use crate::backend::{BackendError, Connection, Lease, Receiver, SendTime};
use crate::config::plan::Flush;
use crate::wire::ajp::{self, Decoded, Decoder, Message, ResponseHead};

/// Carries the request to the member and the answer to the client.
pub(super) fn run<E: Exchange>(
    attempt: &Attempt<'_>,
    exchange: &mut E,
    body: &mut RequestBody,
    buffers: Buffers<'_>,
    connected: impl FnOnce(),
) -> Result<Answered, Failure> {
    let Buffers { packet, text, receiver } = buffers;
    packet.clear();
    head::write(exchange, attempt.member, attempt.uri, attempt.session_route, packet)
        .map_err(Failure::Encode)?;
    let mut lease = attempt.pool.acquire().map_err(Failure::at(Stage::NotSent))?;
    connect(attempt, &mut lease, receiver).map_err(Failure::at(Stage::NotSent))?;
    connected();
    let talk = Talk {
        name: &attempt.member.name,
        packet_size: attempt.member.packet_size,
        receive_size: attempt.member.packet_size,
        careful: attempt.careful,
        flush: attempt.member.flush,
        keeps: true,
        taker: attempt.sections,
    };
    talk.carry(exchange, body, (packet, text), receiver, lease)
}

/// A connection; with `ping`, one that answered.
fn connect(
    attempt: &Attempt<'_>,
    lease: &mut Lease<'_>,
    receiver: &mut Receiver,
) -> Result<(), BackendError> {
    attempt.connect(lease)?;
    let Some(limit) = attempt.member.ping else { return Ok(()) };
    let is_kept = lease.connection().is_some_and(|connection| connection.is_reused());
    match ping(lease, (limit, attempt.timeout), receiver) {
        // A kept connection may have died without a word; a new one tells whether the member has.
        Err(_) if is_kept => {
            lease.discard();
            lease.dial(attempt.member, attempt.timeout, attempt.source)?;
            ping(lease, (limit, attempt.timeout), receiver)
        }
        result => result,
    }
}

/// Asks whether the member is there; it may take the first of the limits for the answer. The second is in force afterwards.
pub(super) fn ping(
    lease: &mut Lease<'_>,
    limits: (Duration, Duration),
    receiver: &mut Receiver,
) -> Result<(), BackendError> {
    ping_on(lease.connection().ok_or(BackendError::Closed)?, limits, receiver)
}

/// As [`ping`].
pub(super) fn ping_on(
    connection: &mut Connection,
    (limit, afterwards): (Duration, Duration),
    receiver: &mut Receiver,
) -> Result<(), BackendError> {
    let because = |error: BackendError| BackendError::Ping { cause: error.to_string() };
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
    connection.limit(afterwards).map_err(BackendError::of_io)
}

/// Who takes the head of an answer: the rules of a dialect for what the client gets of it.
pub(super) trait TakeHead {
    /// Hands the head to the exchange, or what the server's own page keeps of it.
    ///
    /// # Errors
    /// The answer counts as a failure, and nothing of it may be passed on.
    fn take_head<E: Exchange>(
        &self,
        exchange: &mut E,
        head: &ResponseHead<'_>,
        text: &mut Vec<u8>,
    ) -> Result<Taken, Failure>;
}

/// What became of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Given,
    /// It goes out at once.
    GivenAndFlushed,
    /// The server makes a page of its own in place of the answer.
    Replaced,
}

impl TakeHead for Sections<'_> {
    fn take_head<E: Exchange>(
        &self,
        exchange: &mut E,
        head: &ResponseHead<'_>,
        text: &mut Vec<u8>,
    ) -> Result<Taken, Failure> {
        let line = line_of(head);
        if self.overrides(head.status) {
            keep_for_own_page(exchange, line, head.headers());
            return Ok(Taken::Replaced);
        }
        give_head(exchange, line, head.headers(), *self, text);
        Ok(Taken::Given)
    }
}

/// Status and framing of an answer.
pub(super) fn line_of<'h>(head: &ResponseHead<'h>) -> ResponseLine<'h> {
    ResponseLine { status: head.status, reason: head.reason, content_length: head.content_length }
}

/// One exchange on a connection that is there.
pub(super) struct Talk<'t, T> {
    /// Of the member, for the log.
    pub name: &'t str,
    pub packet_size: usize,
    /// The same for what is received.
    pub receive_size: usize,
    /// The connection was seen to be quiet before the request.
    pub careful: bool,
    pub flush: Flush,
    /// The connection goes back to its pool if it may carry another request.
    pub keeps: bool,
    pub taker: T,
}

impl<T: TakeHead> Talk<'_, T> {
    /// Sends the request in the first of the `texts` and reads the answer to its end; the second is room for headers.
    pub fn carry<E: Exchange>(
        &self,
        exchange: &mut E,
        body: &mut RequestBody,
        (packet, text): (&[u8], &mut Vec<u8>),
        receiver: &mut Receiver,
        mut lease: Lease<'_>,
    ) -> Result<Answered, Failure> {
        let closed = Failure::at(Stage::NotSent);
        let connection = lease.connection().ok_or(BackendError::Closed).map_err(closed)?;
        receiver.clear();
        body.begin_try();
        let asked = SendTime::now();
        let reused = connection.is_reused();
        let mut sent = 0;
        let limit = ajp::max_body(self.packet_size);
        if let Err(error) = body.send_head(exchange, connection, packet, limit, &mut sent) {
            return Err(Failure::Backend { error, stage: Attempt::unsent(sent, packet.len(), reused) });
        }
        first_bytes(connection, receiver, asked, reused)?;
        self.receive(exchange, body, text, receiver, lease, reused && !self.careful)
    }

    /// Reads the answer to its end: everything that one receive brought is taken before the next. `unsure`: nobody looked
    /// whether the connection was quiet before the request was sent.
    fn receive<E: Exchange>(
        &self,
        exchange: &mut E,
        body: &mut RequestBody,
        text: &mut Vec<u8>,
        receiver: &mut Receiver,
        mut lease: Lease<'_>,
        unsure: bool,
    ) -> Result<Answered, Failure> {
        // What is no good answer may have been sent before the question.
        let doubted = |stage| if unsure && stage == Stage::Sent { Stage::Stale } else { stage };
        let mut decoder = Decoder::new(self.receive_size);
        let mut relay = Relay::new(exchange.request().method == b"HEAD");
        loop {
            let mut used = 0;
            let mut pieces = relay.begin_pass();
            let mut flush = false;
            let mut wanted = None;
            let mut ended = None;
            let window = receiver.window();
            while ended.is_none() && wanted.is_none() {
                let next = decoder.next(&window[used..]).map_err(|error| Failure::Backend {
                    error: error.into(),
                    stage: doubted(relay.stage()),
                })?;
                let Decoded::Message { message, used: taken } = next else { break };
                used += taken;
                match message {
                    Message::Headers(head) => {
                        match self.taker.take_head(exchange, &head, text)? {
                            Taken::Given => {}
                            Taken::GivenAndFlushed => flush = true,
                            Taken::Replaced => relay.replace(),
                        }
                        relay.head(head.status, head.content_length);
                    }
                    Message::Chunk(data) => relay.take(data, &mut pieces, exchange)?,
                    Message::Flush => flush |= relay.has_head(),
                    Message::GetBody(limit) => wanted = Some(limit),
                    Message::End { reuse } => ended = Some(reuse),
                }
            }
            if let Some(reuse) = ended {
                let leftover = window.len() - used;
                if leftover > 0 && doubted(relay.stage()) == Stage::Stale {
                    // Two answers came in one piece, and the first may be the one that nobody asked for.
                    return Err(Failure::Backend { error: BackendError::Stray, stage: Stage::Stale });
                }
                if leftover > 0 {
                    let member = self.name;
                    exchange.log(
                        Level::Warning,
                        "MGY3107",
                        format_args!("{member} sent {leftover} bytes after the end of its response; the connection is closed"),
                    );
                }
                if reuse && self.keeps && leftover == 0 && relay.is_exact() {
                    lease.finish();
                } else {
                    drop(lease);
                }
                return relay.finish(pieces, exchange, self.name);
            }
            // A packet that is still incomplete says that more is on its way, so nothing is pushed for it.
            let flush = flush || self.flush == Flush::On && !pieces.is_empty();
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
            if let Flush::Auto(wait) = self.flush
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
        let largest = ajp::max_body(self.packet_size);
        let limit = if asked_for == 0 { largest } else { largest.min(usize::from(asked_for)) };
        body.send_next(exchange, connection, limit).map_err(|failure| match failure {
            BodyFailure::Client(error) => Failure::Client { error, stage },
            BodyFailure::Backend(error) => Failure::Backend { error, stage },
        })
    }
}
