// SPDX-License-Identifier: Apache-2.0
//! Packets in a buffer: their headers, their limits, and reading one field after another inside a received payload.

use super::error::DecodeError;

/// The smallest packet size both sides agree on.
pub const MIN_PACKET_SIZE: usize = 8192;

/// The largest packet size: the whole packet with its four byte header.
pub const MAX_PACKET_SIZE: usize = 65536;

/// "Are you there?", sent while no request is under way. A living container answers with a CPong.
pub const CPING: [u8; 5] = [0x12, 0x34, 0x00, 0x01, 0x0A];

/// The answer to [`CPING`].
pub(super) const CPONG: [u8; 5] = [0x41, 0x42, 0x00, 0x01, super::code::message::CPONG];

/// "No more request body", in the form every container takes: a body packet with length 0.
pub const EMPTY_BODY_PACKET: [u8; 6] = [0x12, 0x34, 0x00, 0x02, 0x00, 0x00];

/// The same in mod_jk's form: a packet without a payload.
pub const EMPTY_PACKET: [u8; 4] = [0x12, 0x34, 0x00, 0x00];

/// Bytes of the packet header: two of magic, two of payload length.
pub(super) const PACKET_HEADER: usize = 4;

/// The magic of packets to the container.
pub(super) const REQUEST_MAGIC: [u8; 2] = [0x12, 0x34];

/// The magic of packets from the container.
const RESPONSE_MAGIC: [u8; 2] = *b"AB";

/// What stands before `len` bytes of request body. `len` is at most [`max_body`] of the packet size; with 0 the result
/// is [`EMPTY_BODY_PACKET`].
pub const fn body_packet_header(len: u16) -> [u8; 6] {
    debug_assert!(len <= u16::MAX - 2, "larger than any packet");
    let [payload_high, payload_low] = len.saturating_add(2).to_be_bytes();
    let [high, low] = len.to_be_bytes();
    [REQUEST_MAGIC[0], REQUEST_MAGIC[1], payload_high, payload_low, high, low]
}

/// The most request body bytes one packet can carry.
pub const fn max_body(packet_size: usize) -> usize {
    clamp(packet_size).saturating_sub(PACKET_HEADER + 2)
}

/// The largest payload a packet may announce.
pub const fn max_payload(packet_size: usize) -> usize {
    clamp(packet_size).saturating_sub(PACKET_HEADER)
}

/// The packet size in force: never more than the length field can express.
pub(super) const fn clamp(packet_size: usize) -> usize {
    if packet_size > MAX_PACKET_SIZE { MAX_PACKET_SIZE } else { packet_size }
}

/// The first packet of a buffer.
pub(super) enum Frame<'b> {
    /// The buffer must hold `need` bytes in all before it makes sense to look again.
    Incomplete { need: usize },
    /// A whole packet of `used` bytes.
    Whole { payload: &'b [u8], used: usize },
}

/// Finds the first packet from the container in `buf`. Magic and length are judged as soon as they are there, so that
/// nobody waits for bytes that will be refused.
pub(super) fn split(buf: &[u8], limit: usize) -> Result<Frame<'_>, DecodeError> {
    for (at, (found, expected)) in buf.iter().zip(RESPONSE_MAGIC).enumerate() {
        if *found != expected {
            return Err(DecodeError::NotAjp { at, found: *found });
        }
    }
    let &[_, _, high, low, ref rest @ ..] = buf else {
        return Ok(Frame::Incomplete { need: PACKET_HEADER + 1 });
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length == 0 {
        return Err(DecodeError::EmptyPacket);
    }
    if length > limit {
        return Err(DecodeError::PacketTooLarge { payload: length, limit });
    }
    let used = PACKET_HEADER + length;
    match rest.get(..length) {
        Some(payload) => Ok(Frame::Whole { payload, used }),
        None => Ok(Frame::Incomplete { need: used }),
    }
}

/// Reads fields of a received payload; every read is checked against the end of the payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'b> {
    rest: &'b [u8],
    /// Offset of `rest` from the start of the packet.
    at: usize,
}

impl<'b> Reader<'b> {
    pub fn new(payload: &'b [u8]) -> Self {
        Self { rest: payload, at: PACKET_HEADER }
    }

    /// Offset of the next byte from the start of the packet.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Bytes not yet read.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    pub fn take(&mut self, need: usize, field: &'static str) -> Result<&'b [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(need) else {
            return Err(DecodeError::Truncated { at: self.at, field, need, left: self.rest.len() });
        };
        self.rest = rest;
        self.at += need;
        Ok(taken)
    }

    pub fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.take(1, field).map(|bytes| bytes[0])
    }

    pub fn integer(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.take(2, field).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A string whose length has been read already, and its zero byte.
    pub fn terminated(&mut self, length: usize, field: &'static str) -> Result<&'b [u8], DecodeError> {
        let text = self.take(length, field)?;
        match self.byte(field)? {
            0 => Ok(text),
            found => Err(DecodeError::Unterminated { at: self.at - 1, field, found }),
        }
    }

    /// A string; `None` is the null string.
    pub fn string(&mut self, field: &'static str) -> Result<Option<&'b [u8]>, DecodeError> {
        match self.integer(field)? {
            u16::MAX => Ok(None),
            length => self.terminated(usize::from(length), field).map(Some),
        }
    }

    /// Refuses bytes that no field accounts for.
    pub fn end(&self, message: &'static str) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(DecodeError::TrailingBytes { at: self.at, message, extra }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_body_packet_is_exactly_the_packet_size() {
        assert_eq!(max_body(8192), 8186);
        assert_eq!(max_body(65536), 65530);
        assert_eq!(body_packet_header(8186), [0x12, 0x34, 0x1f, 0xfc, 0x1f, 0xfa]);
        assert_eq!(body_packet_header(0), EMPTY_BODY_PACKET);
    }

    #[test]
    fn a_packet_size_beyond_the_length_field_is_cut() {
        assert_eq!(max_payload(100_000), 65532);
        assert_eq!(max_payload(3), 0);
    }

    #[test]
    fn wrong_magic_is_refused_at_its_first_byte() {
        assert!(matches!(split(b"H", 8188), Err(DecodeError::NotAjp { at: 0, found: b'H' })));
        assert!(matches!(split(b"AJ", 8188), Err(DecodeError::NotAjp { at: 1, found: b'J' })));
        assert!(matches!(split(b"\x12\x34\x00\x01\x09", 8188), Err(DecodeError::NotAjp { at: 0, .. })));
    }

    #[test]
    fn a_payload_over_the_limit_is_refused_before_it_arrives() {
        assert!(matches!(split(b"AB\x1f\xfc", 8188), Ok(Frame::Incomplete { need: 8192 })));
        assert!(matches!(
            split(b"AB\x1f\xfd", 8188),
            Err(DecodeError::PacketTooLarge { payload: 8189, limit: 8188 })
        ));
    }

    #[test]
    fn strings_are_checked_against_the_payload_and_their_zero_byte() {
        let read = |payload| Reader::new(payload).string("reason");
        assert_eq!(read(b"\xff\xff"), Ok(None));
        assert_eq!(read(b"\x00\x00\x00"), Ok(Some(&b""[..])));
        assert_eq!(read(b"\x00\x02OK\x00"), Ok(Some(&b"OK"[..])));
        assert!(matches!(read(b"\x00\x02OK"), Err(DecodeError::Truncated { at: 8, left: 0, .. })));
        assert!(matches!(read(b"\x00\x02OKx"), Err(DecodeError::Unterminated { at: 8, found: b'x', .. })));
        assert!(matches!(read(b"\x00"), Err(DecodeError::Truncated { at: 4, need: 2, left: 1, .. })));
    }
}
