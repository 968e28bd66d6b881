// SPDX-License-Identifier: Apache-2.0
//! The request body on its way to an HTTP member: read ahead while it is small, then piece by piece.

use std::io::IoSlice;

use super::exchange::{BodyError, Exchange, MAX_PIECES};
use super::request_body::{BodyFailure, RequestBody};
use crate::backend::{BackendError, Connection};
use crate::wire::http1::{LAST_CHUNK, chunk_header};

/// So much is read before a connection is taken, in bytes: a small slow upload holds none.
const AHEAD: usize = 16384;

/// What is kept beyond this is kept in a file.
const IN_MEMORY: usize = 64 << 10;

/// So much of it goes out at once.
const STEP: usize = 64 << 10;

/// How the member learns where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFraming {
    /// There is no body, and no header says so.
    None,
    /// By Content-Length.
    Length(u64),
    Chunked,
}

impl RequestBody {
    /// Reads until the body ends or is no small one; with `proxy-prefetch-nonblocking` only what has come already.
    ///
    /// # Errors
    /// The client did not deliver.
    pub(super) fn read_ahead<E: Exchange>(&mut self, exchange: &mut E) -> Result<(), BodyError> {
        let waits = exchange.variable(c"proxy-prefetch-nonblocking").is_none();
        while self.has_any && !self.ended && self.whole && self.kept < AHEAD {
            let want = AHEAD - self.kept;
            if waits {
                self.read(exchange, want)?;
            } else if !self.read_now(exchange, want)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads all of it, so that its length is known. Memory holds only a part.
    ///
    /// # Errors
    /// The client did not deliver, or there is no room for it.
    pub(super) fn read_all<E: Exchange>(&mut self, exchange: &mut E) -> Result<(), BodyError> {
        let mut in_memory = self.kept;
        while self.has_any && !self.ended && self.whole {
            let before = self.kept;
            self.read(exchange, AHEAD)?;
            in_memory += self.kept - before;
            if in_memory > IN_MEMORY {
                exchange.body_spool()?;
                in_memory = 0;
            }
        }
        Ok(())
    }

    /// What goes out with the length of the body.
    pub(super) fn framing(&self) -> BodyFraming {
        match self.unread {
            _ if !self.has_any => BodyFraming::None,
            Some(unread) => BodyFraming::Length(unread + self.kept as u64),
            None if self.ended => BodyFraming::Length(self.kept as u64),
            None => BodyFraming::Chunked,
        }
    }

    /// Has all of it gone out on this connection?
    pub(super) fn is_sent(&self) -> bool {
        !self.has_any || self.ended && self.handed_over == self.kept && self.is_closed
    }

    /// Sends the head and what is kept of the body, or its beginning, in one call.
    ///
    /// # Errors
    /// The socket's; `sent` counts what went out.
    pub(super) fn send_start<E: Exchange>(
        &mut self,
        exchange: &E,
        connection: &Connection,
        head: &[u8],
        framing: BodyFraming,
        sent: &mut usize,
    ) -> Result<(), BackendError> {
        self.is_closed = framing != BodyFraming::Chunked;
        self.send_kept(exchange, connection, head, framing, sent)
    }

    /// Reads the next piece from the client and sends it.
    ///
    /// # Errors
    /// Either side.
    pub(super) fn send_more<E: Exchange>(
        &mut self,
        exchange: &mut E,
        connection: &Connection,
        framing: BodyFraming,
    ) -> Result<(), BodyFailure> {
        exchange.body_consume(self.handed_over);
        self.whole &= self.handed_over == 0;
        self.kept -= self.handed_over;
        self.handed_over = 0;
        if !self.ended && self.kept == 0 {
            self.read(exchange, AHEAD).map_err(BodyFailure::Client)?;
        }
        self.send_kept(exchange, connection, &[], framing, &mut 0).map_err(BodyFailure::Backend)
    }

    fn send_kept<E: Exchange>(
        &mut self,
        exchange: &E,
        connection: &Connection,
        head: &[u8],
        framing: BodyFraming,
        sent: &mut usize,
    ) -> Result<(), BackendError> {
        let size = self.kept.min(STEP);
        self.handed_over = size;
        let is_end = self.ended && size == self.kept;
        let extra = self.extra_line && (is_end || !self.has_any);
        let (chunked, last) = (framing == BodyFraming::Chunked, is_end && !self.is_closed);
        let mut room = [0; 18];
        let before = if chunked && size > 0 { chunk_header(size, &mut room) } else { &[] };
        let after: &[u8] = match (chunked && size > 0, last) {
            (true, true) => b"\r\n0\r\n\r\n",
            (true, false) => b"\r\n",
            (false, true) => LAST_CHUNK,
            (false, false) => b"",
        };
        self.is_closed |= last;
        // Stock counts all that goes to an HTTP member, not only bodies as with AJP; bytraffic goes by it.
        self.sent += (head.len() + before.len() + size + after.len() + 2 * usize::from(extra)) as u64;
        let mut body = [IoSlice::new(&[]); MAX_PIECES];
        let count = exchange.body_pieces(size, &mut body);
        let mut many = Vec::new();
        if body[..count].iter().map(|piece| piece.len()).sum::<usize>() < size {
            // More pieces than one call takes: a client that sends a few bytes at a time.
            let mut all = vec![IoSlice::new(&[]); size];
            let count = exchange.body_pieces(size, &mut all);
            many.extend(all[..count].iter().flat_map(|piece| piece.iter().copied()));
        }
        let mut pieces = [IoSlice::new(&[]); MAX_PIECES + 4];
        let mut filled = 0;
        for piece in [IoSlice::new(head), IoSlice::new(before)] {
            if !piece.is_empty() {
                pieces[filled] = piece;
                filled += 1;
            }
        }
        if many.is_empty() {
            pieces[filled..filled + count].copy_from_slice(&body[..count]);
            filled += count;
        } else {
            pieces[filled] = IoSlice::new(&many);
            filled += 1;
        }
        for piece in [after, if extra { b"\r\n" } else { b"" }] {
            if !piece.is_empty() {
                pieces[filled] = IoSlice::new(piece);
                filled += 1;
            }
        }
        connection.send(&mut pieces[..filled], sent).map_err(BackendError::of_io)
    }
}
