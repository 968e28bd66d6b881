// SPDX-License-Identifier: Apache-2.0
//! The body of an answer on its way from the member to the client.

use super::Talk;
use crate::backend::buffer::Received;
use crate::backend::{BackendError, Connection, Lease};
use crate::config::plan::Flush;
use crate::proxy::attempt::{Answered, Failure, Stage};
use crate::proxy::exchange::{Exchange, Level, ResponseLine};
use crate::proxy::relay::Relay;
use crate::proxy::response::keep_for_own_page;
use crate::proxy::trailers::Trailers;
use crate::wire::http1::{Body, ResponseHead};

/// A look at a connection that brought no data.
pub(super) enum Found {
    /// The member pauses.
    Nothing,
    /// What the next receive is to say: the connection has ended.
    End(std::io::Result<Received>),
}

impl Talk<'_> {
    /// Reads the answer to its end: everything that one receive brought is passed on before the next.
    pub(super) fn receive<E: Exchange>(
        mut self,
        exchange: &mut E,
        mut lease: Lease<'_>,
        head: &ResponseHead,
    ) -> Result<Answered, Failure> {
        let is_head = exchange.request().method == b"HEAD";
        let mut relay = Relay::new(is_head);
        let replaced = self.attempt.sections.overrides(head.status);
        if replaced {
            relay.replace();
            let window = self.receiver.window();
            let line =
                ResponseLine { status: head.status, reason: head.reason(window), content_length: None };
            keep_for_own_page(exchange, line, head.fields(window));
        } else {
            self.give_head(exchange, head);
        }
        relay.head(head.status, head.content_length);
        self.receiver.consume(head.used);
        let bodiless = is_head || matches!(head.status, 204 | 304);
        let mut frames = if bodiless { Body::Length(0) } else { Body::of(head.framing) };
        let mut trailers = Trailers::new(exchange.request().protocol);
        let reusable =
            self.manner.keep && !head.close && self.body.is_sent() && !frames.ends_with_connection();
        loop {
            self.gather(&mut lease, &frames);
            let mut pieces = relay.begin_pass();
            let mut used = 0;
            let window = self.receiver.window();
            let ended = loop {
                let step = frames.next(&window[used..]).map_err(|error| Failure::Backend {
                    error: error.into(),
                    stage: self.doubted(relay.stage()),
                })?;
                used += step.used;
                trailers.take(step.trailers);
                relay.take(step.data, &mut pieces, exchange)?;
                if step.end || step.data.is_empty() {
                    break step.end;
                }
            };
            if ended {
                let leftover = window.len() - used;
                if leftover > 0 && self.doubted(relay.stage()) == Stage::Stale {
                    // Two answers came in one piece, and the first may be the one that nobody asked for.
                    return Err(Failure::Backend { error: BackendError::Stray, stage: Stage::Stale });
                }
                if leftover > 0 {
                    self.note_leftover(exchange, leftover);
                }
                let is_over = matches!(self.found, Some(Found::End(_)));
                if reusable && leftover == 0 && !is_over {
                    lease.finish();
                } else {
                    drop(lease);
                }
                if !replaced && trailers.give(exchange) {
                    // mod_http2 would end the stream with the last data if all came at once.
                    relay.pass(&pieces, true, exchange)?;
                    pieces = relay.begin_pass();
                }
                return relay.finish(pieces, exchange, &self.attempt.member.name);
            }
            let pauses = matches!(self.found, Some(Found::Nothing));
            let flush = (pauses || self.attempt.member.flush == Flush::On) && !pieces.is_empty();
            relay.pass(&pieces, flush, exchange)?;
            self.receiver.consume(used);
            let Some(connection) = lease.connection() else {
                return Err(Failure::Backend { error: BackendError::Closed, stage: relay.stage() });
            };
            match self.more(exchange, connection, &mut relay)? {
                Received::End if frames.ends_with_connection() => {
                    drop(lease);
                    let pieces = relay.begin_pass();
                    return relay.finish(pieces, exchange, &self.attempt.member.name);
                }
                Received::Data => {}
                _ => return Err(Failure::Backend { error: BackendError::Closed, stage: relay.stage() }),
            }
        }
    }

    /// Takes in what more of the body has come already, so that all of it goes out in one pass: all there is while the
    /// buffer has much room, and the end of the body if it fits.
    fn gather(&mut self, lease: &mut Lease<'_>, frames: &Body) {
        let Some(connection) = lease.connection() else { return };
        while self.found.is_none() {
            let room = self.receiver.room_behind() as u64;
            match frames.missing(self.receiver.window()) {
                Some(0) => return,
                Some(missing) if missing <= room => {}
                _ if self.receiver.is_roomy() => {}
                _ => return,
            }
            self.found = match self.receiver.fill_now(connection) {
                Ok(Some(Received::Data)) => None,
                Ok(None) => Some(Found::Nothing),
                Ok(Some(end)) => Some(Found::End(Ok(end))),
                Err(error) => Some(Found::End(Err(error))),
            };
        }
    }

    /// Receives more of the body. When the member pauses, the client gets all there is.
    fn more<E: Exchange>(
        &mut self,
        exchange: &mut E,
        connection: &Connection,
        relay: &mut Relay,
    ) -> Result<Received, Failure> {
        let stage = relay.stage();
        let failed = |error| Failure::Backend { error: BackendError::of_io(error), stage };
        match self.found.take() {
            Some(Found::End(end)) => return end.map_err(failed),
            Some(Found::Nothing) => {}
            None => {
                if let Some(received) = self.receiver.fill_now(connection).map_err(failed)? {
                    return Ok(received);
                }
            }
        }
        if relay.is_waiting() {
            relay.pass(&relay.begin_pass(), true, exchange)?;
        }
        let stage = relay.stage();
        let failed = |error| Failure::Backend { error: BackendError::of_io(error), stage };
        self.receiver.fill(connection).map_err(failed)
    }

    fn note_leftover<E: Exchange>(&self, exchange: &E, leftover: usize) {
        let member = &self.attempt.member.name;
        exchange.log(
            Level::Warning,
            "MGY3107",
            format_args!(
                "{member} sent {leftover} bytes after the end of its response; the connection is closed"
            ),
        );
    }
}
