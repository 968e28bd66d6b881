// SPDX-License-Identifier: Apache-2.0
//! Body bytes on their way to the client: never more than announced, cut when there are fewer.

use super::attempt::{Answered, Failure, Stage};
use super::exchange::{Exchange, Level, MAX_PIECES, Push};

/// What was received in one go and goes out in one go.
#[derive(Debug)]
pub struct Pieces<'b> {
    list: [&'b [u8]; MAX_PIECES],
    count: usize,
}

/// The state of one response.
#[derive(Debug)]
pub struct Relay {
    status: Option<u16>,
    /// The response has no body whatever the member sends: HEAD, 204, 304.
    bodiless: bool,
    is_head_request: bool,
    /// Bytes still to come by the member's Content-Length.
    announced: Option<u64>,
    /// The member sent more than it announced.
    excess: bool,
    /// Nothing of the response is passed on; the server makes one of its own.
    replaced: bool,
    received: u64,
    /// Data or the head was passed to the server.
    passed: bool,
    /// Something was passed and not pushed since.
    held: bool,
}

impl<'b> Pieces<'b> {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn as_slice(&self) -> &[&'b [u8]] {
        &self.list[..self.count]
    }
}

impl Relay {
    pub fn new(is_head_request: bool) -> Self {
        Self {
            status: None,
            bodiless: is_head_request,
            is_head_request,
            announced: None,
            excess: false,
            replaced: false,
            received: 0,
            passed: false,
            held: false,
        }
    }

    /// An empty list for what the next receive brings.
    pub fn begin_pass<'b>(&self) -> Pieces<'b> {
        Pieces { list: [&[]; MAX_PIECES], count: 0 }
    }

    /// The head has come; nothing goes out for it alone.
    pub fn head(&mut self, status: u16, content_length: Option<u64>) {
        self.status = Some(status);
        self.bodiless = self.is_head_request || self.replaced || matches!(status, 204 | 304);
        self.announced = content_length.filter(|_| !self.bodiless);
    }

    /// The server's own page takes the place of this response: it is read to its end, so that the connection can be kept.
    pub fn replace(&mut self) {
        self.replaced = true;
    }

    /// Does the server hold back something that the client could have?
    pub fn is_waiting(&self) -> bool {
        !self.replaced && (self.held || !self.passed)
    }

    pub fn has_head(&self) -> bool {
        self.status.is_some()
    }

    /// How far a failure now finds the response.
    pub fn stage(&self) -> Stage {
        if self.passed { Stage::Passed } else { Stage::Sent }
    }

    /// Did the body have exactly the announced length, as far as one was announced?
    pub fn is_exact(&self) -> bool {
        !self.excess && self.announced.is_none_or(|left| left == 0)
    }

    /// Is there data that the server may still hold back?
    pub fn holds_back(&self) -> bool {
        self.held
    }

    /// Adds a chunk; passes the list on when it is full.
    ///
    /// # Errors
    /// The client is gone.
    pub fn take<'b, E: Exchange>(
        &mut self,
        data: &'b [u8],
        pieces: &mut Pieces<'b>,
        exchange: &mut E,
    ) -> Result<(), Failure> {
        if self.bodiless {
            return Ok(());
        }
        self.received += data.len() as u64;
        let mut data = data;
        if let Some(left) = &mut self.announced {
            let room = usize::try_from(*left).unwrap_or(usize::MAX);
            if data.len() > room {
                self.excess = true;
                data = &data[..room];
            }
            *left -= data.len() as u64;
        }
        if data.is_empty() {
            return Ok(());
        }
        if pieces.count == MAX_PIECES {
            self.pass(pieces, false, exchange)?;
            pieces.count = 0;
        }
        pieces.list[pieces.count] = data;
        pieces.count += 1;
        Ok(())
    }

    /// Passes on what was received; with `flush`, the head too if it is all there is.
    ///
    /// # Errors
    /// The client is gone.
    pub fn pass<E: Exchange>(
        &mut self,
        pieces: &Pieces<'_>,
        flush: bool,
        exchange: &mut E,
    ) -> Result<(), Failure> {
        if self.replaced || pieces.is_empty() && !flush {
            return Ok(());
        }
        self.passed = true;
        self.held = !flush;
        exchange.write(pieces.as_slice(), if flush { Push::Flush } else { Push::Buffer })?;
        Ok(())
    }

    /// The response has ended: the last data and the end go out, or the cut if the member's body was not what it announced.
    ///
    /// # Errors
    /// The client is gone, or the member sent nothing of the body it announced.
    pub fn finish<E: Exchange>(
        mut self,
        pieces: Pieces<'_>,
        exchange: &mut E,
        member: &str,
    ) -> Result<Answered, Failure> {
        let answered =
            Answered { status: self.status.unwrap_or(0), received: self.received, replaced: self.replaced };
        if self.replaced {
            return Ok(answered);
        }
        if self.is_exact() {
            exchange.write(pieces.as_slice(), Push::End)?;
            return Ok(answered);
        }
        let (what, id) = match self.announced {
            Some(left) if left > 0 => ("shorter", "MGY3105"),
            _ => ("longer", "MGY3106"),
        };
        let nothing_to_cut = !self.excess && !self.passed && pieces.is_empty();
        let consequence = if nothing_to_cut { "it is not used" } else { "the response is cut" };
        exchange.log(
            Level::Error,
            id,
            format_args!(
                "{member} sent a body {what} than its Content-Length; {consequence} and the connection is closed"
            ),
        );
        if nothing_to_cut {
            return Err(Failure::NoBody);
        }
        // A head that announced nothing is whole without data; it has to go out before the cut.
        self.pass(&pieces, pieces.is_empty(), exchange)?;
        exchange.cut();
        Ok(answered)
    }
}
