// SPDX-License-Identifier: Apache-2.0
//! The receive buffer of a thread: one large read, many packets taken from it in place.

use std::io;

use super::connection::{Connection, SendTime};

/// Holds a page of 64 KiB with its head or its packets, so that it comes and goes in one piece, and the largest packet of
/// AJP and the longest head of HTTP. More would save calls, and lose as much where the processor's cache is small.
const RECEIVE_BUFFER: usize = 80 << 10;

/// With less room than this behind the window, the window is moved to the front if it is small.
const LEAST_ROOM: usize = 16 << 10;

/// A buffer with a window of bytes that were received and not yet used.
#[derive(Debug)]
pub struct Receiver {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    total: u64,
}

/// What a receive brought.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Received {
    Data,
    /// The member closed the connection.
    End,
    /// Bytes that had arrived before the request was sent.
    Stray,
}

impl Default for Receiver {
    fn default() -> Self {
        Self { buffer: vec![0; RECEIVE_BUFFER].into_boxed_slice(), start: 0, end: 0, total: 0 }
    }
}

impl Receiver {
    /// Forgets everything, for a new exchange.
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// The bytes received and not yet used.
    pub fn window(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// How many bytes were received since it was made.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Takes `n` bytes off the front of the window.
    pub fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// So many bytes can be received without moving the window.
    pub fn room_behind(&self) -> usize {
        self.buffer.len() - self.end
    }

    /// Is most of the buffer free behind the window?
    pub fn is_roomy(&self) -> bool {
        self.room_behind() >= self.buffer.len() / 2
    }

    /// Receives more behind the window. The window may be moved to the front of the buffer first, so slices of it must not
    /// be in use (the borrow checker sees to that).
    ///
    /// # Errors
    /// As [`Connection::recv`].
    pub fn fill(&mut self, connection: &Connection) -> io::Result<Received> {
        let room = self.room();
        let n = connection.recv(room)?;
        Ok(self.took(n))
    }

    /// Receives what is there without waiting; `None` if there is nothing.
    ///
    /// # Errors
    /// As [`Connection::recv`].
    pub fn fill_now(&mut self, connection: &Connection) -> io::Result<Option<Received>> {
        let room = self.room();
        Ok(connection.recv_now(room)?.map(|n| self.took(n)))
    }

    /// Receives the first bytes of the answer to the request sent at `asked`.
    ///
    /// # Errors
    /// As [`Connection::recv`].
    pub fn fill_answer(&mut self, connection: &mut Connection, asked: SendTime) -> io::Result<Received> {
        let room = self.room();
        match connection.recv_answer(room, asked)? {
            Some(n) => Ok(self.took(n)),
            None => Ok(Received::Stray),
        }
    }

    fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.room_behind() == 0
            || self.room_behind() < LEAST_ROOM && self.end - self.start <= self.start
        {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.buffer[self.end..]
    }

    fn took(&mut self, n: usize) -> Received {
        self.end += n;
        self.total += n as u64;
        if n == 0 { Received::End } else { Received::Data }
    }
}
