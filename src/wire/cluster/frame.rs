// SPDX-License-Identifier: Apache-2.0
//! Frames of the TCP channel, and what is in them (`ChannelData`, `XByteBuffer`).

use super::error::ClusterError;
use super::member::{Member, Reader, length_of, write_counted};

const BEGIN: [u8; 7] = *b"FLT2002";
const END: [u8; 7] = *b"TLF2003";
/// Begin mark and length.
const HEAD: usize = 11;

/// The acknowledgement of a frame.
pub const ACK: [u8; 21] = *b"FLT2002\x00\x00\x00\x03\x06\x02\x03TLF2003";
/// The refusal of a frame: its sender sends it once more.
pub const FAIL_ACK: [u8; 21] = *b"FLT2002\x00\x00\x00\x03\x0b\x00\x05TLF2003";

/// What `TcpFailureDetector` sends to see whether somebody is there.
pub const PROBE: [u8; 64] = *b"\x4f\xa7\x73\x48\x79\x82\x43\xc9\x9f\x6f\x89\x80\xa1\x5b\x07\x14\x7d\xd9\x52\x5b\xeb\xf1\x43\x9a\xb7\x7e\xbe\x8f\x81\x67\x1e\xb6\x37\x15\xbe\x87\x45\x7e\x4c\xa8\xbf\x0a\x4d\x13\x53\x38\x15\x32\x55\xf6\x94\xb7\x3a\xfa\x40\x78\x91\x04\x7d\xd7\x72\x84\xc0\xd5";
/// What `TcpPingInterceptor` sends.
pub const PING: [u8; 64] = *b"\x4f\xa7\x73\x48\x79\xdf\x43\xc9\x9f\x6f\x89\x80\xa1\x5b\x07\x14\x7d\xd9\x52\x5b\xeb\xdf\x43\x9a\xb7\x7e\xbe\x8f\x81\x67\x1e\xb6\x37\x15\xbe\x87\x45\x21\x4c\xa8\xbf\x0a\x4d\x13\x53\x38\x15\x32\x55\xf6\x94\xb7\x3a\xdf\x21\x78\x91\x04\x7d\xd7\x72\x84\xc0\xd5";
/// `StaticMembershipInterceptor`: a static member has started.
pub const STATIC_START: &[u8] = b"Local StaticMember Notification Data";
/// `StaticMembershipInterceptor`: a static member stops.
pub const STATIC_STOP: &[u8] = b"Local StaticMember Shutdown Data";

/// Bits of the options of a message (`Channel.SEND_OPTIONS_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Options(pub u32);

impl Options {
    /// The payload is bytes, no Java stream.
    pub const BYTES: Options = Options(0x0001);
    /// The receiver acknowledges.
    pub const USE_ACK: Options = Options(0x0002);
    /// With [`Options::USE_ACK`]: after the message was processed.
    pub const SYNCHRONIZED: Options = Options(0x0004);
    /// Sent by a thread of its own; means nothing to the receiver.
    pub const ASYNCHRONOUS: Options = Options(0x0008);
    /// `GzipInterceptor`: the payload is compressed.
    pub const GZIP: Options = Options(0x0100);
    /// What state transfers are sent with.
    pub const SYNCHRONOUS_ACK: Options = Options(0x0006);

    pub fn has(self, bits: Options) -> bool {
        self.0 & bits.0 == bits.0
    }

    #[must_use]
    pub fn with(self, bits: Options) -> Options {
        Options(self.0 | bits.0)
    }

    #[must_use]
    pub fn without(self, bits: Options) -> Options {
        Options(self.0 & !bits.0)
    }
}

/// A message on its way (`ChannelData`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelData {
    pub options: Options,
    /// When it was sent, in milliseconds since 1970.
    pub timestamp: i64,
    /// The same for all receivers, and when it is sent once more.
    pub unique_id: [u8; 16],
    pub sender: Member,
    pub payload: Vec<u8>,
}

impl ChannelData {
    /// The whole frame.
    pub fn to_frame(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160 + self.payload.len());
        out.extend_from_slice(&BEGIN);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.options.0.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        write_counted(&self.unique_id, &mut out);
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        self.sender.write(&mut out);
        let length = length_of(out.len() - length_at - 4);
        out[length_at..length_at + 4].copy_from_slice(&length);
        write_counted(&self.payload, &mut out);
        let length = length_of(out.len() - HEAD);
        out[BEGIN.len()..HEAD].copy_from_slice(&length);
        out.extend_from_slice(&END);
        out
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn read(body: &[u8]) -> Result<ChannelData, ClusterError> {
        let mut reader = Reader { rest: body, what: "the message" };
        let options = Options(u32::from_be_bytes(reader.array()?));
        let timestamp = i64::from_be_bytes(reader.array()?);
        let unique_id = reader.counted()?;
        let unique_id = unique_id.try_into().map_err(|_| ClusterError::Length {
            what: "the id of a message",
            length: i64::try_from(unique_id.len()).unwrap_or(i64::MAX),
        })?;
        let sender = Member::read(reader.counted()?)?;
        let payload = reader.counted()?.to_vec();
        Ok(ChannelData { options, timestamp, unique_id, sender, payload })
    }
}

/// The body of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    Ack,
    FailAck,
    /// For [`ChannelData::read`].
    Message(&'a [u8]),
}

/// Looks for one whole frame at the beginning of `bytes`: its body and its length. `Ok(None)`: more bytes are needed.
///
/// # Errors
/// The bytes are no frame, or it has more than `limit` bytes. The connection cannot be used any more.
pub fn next(bytes: &[u8], limit: usize) -> Result<Option<(Body<'_>, usize)>, ClusterError> {
    let mark = &bytes[..bytes.len().min(BEGIN.len())];
    if !BEGIN.starts_with(mark) {
        return Err(ClusterError::Mark("the begin of a frame"));
    }
    let Some(length) = bytes.get(BEGIN.len()..HEAD) else { return Ok(None) };
    let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
    let Ok(length) = usize::try_from(length) else {
        return Err(ClusterError::Length { what: "a frame", length: length.into() });
    };
    if length > limit {
        return Err(ClusterError::TooLarge { length: length as u64, limit });
    }
    let Some(end) = bytes.get(HEAD + length..HEAD + length + END.len()) else { return Ok(None) };
    if end != END {
        return Err(ClusterError::Mark("the end of a frame"));
    }
    let body = match &bytes[HEAD..HEAD + length] {
        [6, 2, 3] => Body::Ack,
        [11, 0, 5] => Body::FailAck,
        body => Body::Message(body),
    };
    Ok(Some((body, HEAD + length + END.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> ChannelData {
        ChannelData {
            options: Options::BYTES,
            timestamp: 1_795_333_433_891,
            unique_id: [7; 16],
            sender: Member::new("10.77.0.1:4000".parse().unwrap(), [1; 16]),
            payload: PROBE.to_vec(),
        }
    }

    #[test]
    fn a_probe_has_199_bytes_and_comes_back() {
        let frame = message().to_frame();
        assert_eq!(frame.len(), 199);
        let (body, used) = next(&frame, 1 << 20).unwrap().unwrap();
        assert_eq!(used, frame.len());
        let Body::Message(body) = body else { panic!("{body:?}") };
        assert_eq!(ChannelData::read(body), Ok(message()));
    }

    #[test]
    fn half_frames_wait_and_bytes_that_are_none_are_refused_at_once() {
        let frame = message().to_frame();
        for end in 0..frame.len() {
            assert_eq!(next(&frame[..end], 1 << 20), Ok(None), "{end}");
        }
        assert!(next(b"GET / HTTP/1.1", 1 << 20).is_err());
        assert!(next(b"F?", 1 << 20).is_err());
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_its_bytes_arrive() {
        let mut head = BEGIN.to_vec();
        head.extend_from_slice(&1_000_001_i32.to_be_bytes());
        assert_eq!(
            next(&head, 1_000_000),
            Err(ClusterError::TooLarge { length: 1_000_001, limit: 1_000_000 })
        );
    }

    #[test]
    fn acknowledgements_are_told_apart() {
        assert_eq!(next(&ACK, 100), Ok(Some((Body::Ack, 21))));
        assert_eq!(next(&FAIL_ACK, 100), Ok(Some((Body::FailAck, 21))));
    }
}
