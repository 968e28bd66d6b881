// SPDX-License-Identifier: Apache-2.0
//! The request body on its way to the member: one packet at a time, the current one kept so that it can be sent again.

use std::io::IoSlice;

use super::exchange::{BodyError, BodyRead, Exchange, MAX_PIECES};
use crate::backend::{BackendError, Connection};
use crate::wire::ajp::{BodyLength, Dialect, EMPTY_BODY_PACKET, EMPTY_PACKET, body_packet_header};

/// Where the body stands.
#[derive(Debug)]
pub struct RequestBody {
    /// Bytes still to be read from the client; `None` if unknown.
    pub(super) unread: Option<u64>,
    /// The client announced a body.
    pub(super) has_any: bool,
    /// What ends a body in chunks went out on this connection, or is not needed.
    pub(super) is_closed: bool,
    /// A line end follows the body, or the head without one (`proxy-sendextracrlf`).
    pub(super) extra_line: bool,
    /// The client's body has ended.
    pub(super) ended: bool,
    /// Bytes the exchange keeps: the current packet, and what was read beyond it.
    pub(super) kept: usize,
    /// Bytes of these that went out on the current connection.
    pub(super) handed_over: usize,
    /// The current packet is the first one: nothing that was sent is lost.
    pub(super) whole: bool,
    /// Bytes sent to members, over all tries; with mod_jk's lines, those of packets around them too.
    pub sent: u64,
    dialect: Dialect,
}

/// Why the next packet did not go out.
#[derive(Debug)]
pub enum BodyFailure {
    /// The client failed to deliver.
    Client(BodyError),
    Backend(BackendError),
}

impl RequestBody {
    pub fn new(length: BodyLength) -> Self {
        Self::new_in(Dialect::ModProxy, length)
    }

    /// mod_jk fills the packets of a body of unknown length, too, and ends it with a packet that is quite empty.
    pub fn new_in(dialect: Dialect, length: BodyLength) -> Self {
        let (unread, ended) = match length {
            BodyLength::None => (None, false),
            BodyLength::Known(n) => (Some(n), n == 0),
            BodyLength::Chunked => (None, false),
        };
        let has_any = length != BodyLength::None;
        Self {
            unread,
            has_any,
            is_closed: false,
            extra_line: false,
            ended,
            kept: 0,
            handed_over: 0,
            whole: true,
            sent: 0,
            dialect,
        }
    }

    /// Can everything that was sent be sent again, with nothing left to come?
    pub fn can_repeat(&self) -> bool {
        self.whole
    }

    /// Begins anew on another connection.
    pub fn begin_try(&mut self) {
        self.handed_over = 0;
        self.is_closed = false;
    }

    /// Does a packet go out with the head, without being asked for? AJP wants exactly this with a Content-Length above 0.
    fn goes_with_head(&self) -> bool {
        self.unread.is_some() && self.kept > 0
    }

    /// Reads the first packet of a body of known length, as full as it gets.
    ///
    /// # Errors
    /// The client did not deliver.
    pub fn read_first<E: Exchange>(&mut self, exchange: &mut E, limit: usize) -> Result<(), BodyError> {
        let Some(unread) = self.unread.filter(|_| self.whole) else { return Ok(()) };
        let want = usize::try_from(unread).unwrap_or(usize::MAX).saturating_add(self.kept).min(limit);
        while self.kept < want {
            self.read(exchange, want - self.kept)?;
        }
        Ok(())
    }

    pub(super) fn read<E: Exchange>(&mut self, exchange: &mut E, want: usize) -> Result<(), BodyError> {
        let got = exchange.body_read(want)?;
        self.take(got)
    }

    /// As [`RequestBody::read`], without waiting; false if there is nothing for now.
    pub(super) fn read_now<E: Exchange>(&mut self, exchange: &mut E, want: usize) -> Result<bool, BodyError> {
        match exchange.body_read_now(want)? {
            Some(got) => self.take(got).map(|()| true),
            None => Ok(false),
        }
    }

    fn take(&mut self, got: BodyRead) -> Result<(), BodyError> {
        self.kept += got.bytes;
        if let Some(unread) = &mut self.unread {
            *unread = unread.saturating_sub(got.bytes as u64);
            if got.end && *unread > 0 {
                // A body that is shorter than announced must never look complete to the member.
                return Err(BodyError(400));
            }
            self.ended = *unread == 0;
        }
        self.ended |= got.end;
        Ok(())
    }

    /// Sends the packet the member asked for: at most `limit` bytes, an empty packet after the end, as often as asked.
    ///
    /// # Errors
    /// Either side.
    pub fn send_next<E: Exchange>(
        &mut self,
        exchange: &mut E,
        connection: &Connection,
        limit: usize,
    ) -> Result<(), BodyFailure> {
        if self.handed_over > 0 {
            exchange.body_consume(self.handed_over);
            self.kept -= self.handed_over;
            self.handed_over = 0;
            self.whole = false;
        }
        while self.kept < limit && !self.ended {
            // A body of unknown length may be a conversation: what is there goes out.
            if self.kept > 0 && self.unread.is_none() && self.dialect == Dialect::ModProxy {
                break;
            }
            self.read(exchange, limit - self.kept).map_err(BodyFailure::Client)?;
        }
        if self.kept == 0 {
            let packet: &[u8] = match self.dialect {
                Dialect::ModProxy => &EMPTY_BODY_PACKET,
                Dialect::ModJk => {
                    self.sent += EMPTY_PACKET.len() as u64;
                    &EMPTY_PACKET
                }
            };
            let mut empty = [IoSlice::new(packet)];
            return connection
                .send(&mut empty, &mut 0)
                .map_err(|e| BodyFailure::Backend(BackendError::of_io(e)));
        }
        self.send_packet(exchange, connection, &[], limit, &mut 0).map_err(BodyFailure::Backend)
    }

    /// Sends `head`, and the first packet with it where AJP wants that, in one call. `sent` counts what went out.
    ///
    /// # Errors
    /// The socket's.
    pub fn send_head<E: Exchange>(
        &mut self,
        exchange: &E,
        connection: &Connection,
        head: &[u8],
        limit: usize,
        sent: &mut usize,
    ) -> Result<(), BackendError> {
        if self.goes_with_head() {
            return self.send_packet(exchange, connection, head, limit, sent);
        }
        connection.send(&mut [IoSlice::new(head)], sent).map_err(BackendError::of_io)
    }

    fn send_packet<E: Exchange>(
        &mut self,
        exchange: &E,
        connection: &Connection,
        head: &[u8],
        limit: usize,
        sent: &mut usize,
    ) -> Result<(), BackendError> {
        let size = self.kept.min(limit);
        self.handed_over = size;
        let around = if self.dialect == Dialect::ModJk { body_packet_header(0).len() } else { 0 };
        self.sent += (size + around) as u64;
        let mut body = [IoSlice::new(&[]); MAX_PIECES];
        let count = exchange.body_pieces(size, &mut body);
        let header = body_packet_header(u16::try_from(size).unwrap_or(u16::MAX));
        if body[..count].iter().map(|piece| piece.len()).sum::<usize>() < size {
            // More pieces than one call takes: a client that sends a few bytes at a time.
            let mut all = vec![IoSlice::new(&[]); size];
            let count = exchange.body_pieces(size, &mut all);
            let packet: Vec<u8> = all[..count].iter().flat_map(|piece| piece.iter().copied()).collect();
            let mut pieces = [IoSlice::new(head), IoSlice::new(&header), IoSlice::new(&packet)];
            return connection.send(&mut pieces, sent).map_err(BackendError::of_io);
        }
        let mut pieces = [IoSlice::new(&[]); MAX_PIECES + 2];
        pieces[0] = IoSlice::new(head);
        pieces[1] = IoSlice::new(&header);
        pieces[2..2 + count].copy_from_slice(&body[..count]);
        let first = usize::from(head.is_empty());
        connection.send(&mut pieces[first..2 + count], sent).map_err(BackendError::of_io)
    }
}
