// SPDX-License-Identifier: Apache-2.0
//! Headers behind a chunked body. Clients with HTTP/2 get them; HTTP/1.1 has no place for them that stock uses.

use super::exchange::Exchange;
use crate::wire::http1::is_hop_by_hop;
use crate::wire::token::is_token;

/// The trailers of one answer, as they came.
#[derive(Debug, Default)]
pub(super) struct Trailers {
    text: Vec<u8>,
    wanted: bool,
}

impl Trailers {
    /// For a client that speaks this protocol.
    pub fn new(protocol: &[u8]) -> Self {
        Self { text: Vec::new(), wanted: protocol.starts_with(b"HTTP/2") }
    }

    /// The next bytes; how many there may be is the decoder's business.
    pub fn take(&mut self, bytes: &[u8]) {
        if self.wanted {
            self.text.extend_from_slice(bytes);
        }
    }

    /// Hands them to the exchange, but for those that say how a message is to be read; false if there were none.
    pub fn give<E: Exchange>(&self, exchange: &mut E) -> bool {
        let mut any = false;
        for line in self.text.split(|byte| *byte == b'\n') {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let starts =
                |known: &[u8]| name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known));
            if is_token(name) && !is_hop_by_hop(name) && !starts(b"Content-") && !starts(b"Set-Cookie") {
                exchange.response_trailer(name, value);
                any = true;
            }
        }
        any
    }
}
