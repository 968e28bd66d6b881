// SPDX-License-Identifier: Apache-2.0
//! What can be wrong with a request to be sent and with an answer received, in an administrator's words.

use std::fmt;

/// Why a request cannot be put into AJP. Nothing of it has been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodeError {
    /// The head of the request is larger than one packet.
    TooLarge {
        /// The packet size in force, in bytes with the four of the packet header.
        packet_size: usize,
        /// The part that did not fit any more.
        part: &'static str,
    },
    /// One value is longer than the 65534 bytes an AJP string can have.
    TooLong { part: &'static str, length: usize },
    /// A header name is empty, or as long as the 256 lengths that mean a coded name.
    HeaderName { length: usize },
    /// The method is not a token of HTTP.
    Method,
    /// The path holds a control character or a blank.
    UriCharacter { at: usize, found: u8 },
    /// The path does not start with `/` and is not the `*` of OPTIONS.
    UriStart,
    /// A part was given twice, before the body length, or after one that comes later in the packet. A fault of the caller, not of the request.
    Order { part: &'static str },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLarge { packet_size, part } => write!(
                f,
                "the head of the request does not fit into one AJP packet of {packet_size} bytes: no room for the {part}; \
                 a larger iobuffersize here needs the same packetSize in Tomcat's AJP connector"
            ),
            Self::TooLong { part, length } => {
                write!(f, "the {part} has {length} bytes; AJP allows 65534")
            }
            Self::HeaderName { length: 0 } => f.write_str("a request header has an empty name"),
            Self::HeaderName { length } => {
                write!(f, "a request header name of {length} bytes cannot be sent over AJP")
            }
            Self::Method => {
                f.write_str("the request method is not a word of letters, digits and the marks HTTP allows")
            }
            Self::UriCharacter { at, found } => write!(
                f,
                "byte {at} of the path for the member is 0x{found:02x}; control characters and blanks are not forwarded"
            ),
            Self::UriStart => f.write_str(
                "the path for the member does not start with '/' ('*' is allowed for OPTIONS only)",
            ),
            Self::Order { part } => {
                write!(f, "the {part} was given out of order while the AJP request was put together")
            }
        }
    }
}

impl std::error::Error for EncodeError {}

/// Why an answer is not AJP, or not an answer to this request. The connection must be closed.
///
/// Offsets (`at`) count from the first byte of the packet, so that they can be found in a dump of the traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// A packet does not start with `AB`.
    NotAjp { at: usize, found: u8 },
    /// A packet without a message in it.
    EmptyPacket,
    /// The announced payload is larger than the packet size allows.
    PacketTooLarge { payload: usize, limit: usize },
    /// The message type is none of those a container sends.
    UnknownType { found: u8 },
    /// A known message at a moment when it may not come.
    OutOfPlace { message: &'static str, moment: &'static str },
    /// The packet ends in the middle of a field.
    Truncated { at: usize, field: &'static str, need: usize, left: usize },
    /// A string (or chunk) is not followed by its zero byte.
    Unterminated { at: usize, field: &'static str, found: u8 },
    /// A string that must be there is the null string.
    Null { at: usize, field: &'static str },
    /// The status is not a final one.
    Status { found: u16 },
    /// A coded header name outside the table.
    HeaderCode { at: usize, found: u16 },
    /// More headers are announced than the packet has room for.
    HeaderCount { announced: usize, left: usize },
    /// A header without a name.
    EmptyName { at: usize },
    /// A byte that would change the meaning of the response for the client.
    Character { at: usize, field: &'static str, found: u8 },
    /// The announced length of the data does not fit the packet.
    ChunkLength { announced: usize, room: usize },
    /// Bytes after the end of a message.
    TrailingBytes { at: usize, message: &'static str, extra: usize },
    /// Something was read after the response had ended.
    AfterEnd,
    /// The answer to a CPing is not a CPong.
    NotCPong { at: usize, found: u8 },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotAjp { at, found } => write!(
                f,
                "byte {at} of the answer is 0x{found:02x}, but AJP packets start with 0x41 0x42; \
                 is this the port of an AJP connector?"
            ),
            Self::EmptyPacket => f.write_str("the member sent a packet without a message"),
            Self::PacketTooLarge { payload, limit } => write!(
                f,
                "the member announced a packet with {payload} bytes, allowed are {limit}; packetSize of Tomcat's AJP \
                 connector and iobuffersize here must be the same"
            ),
            Self::UnknownType { found } => {
                write!(f, "the member sent a message of type {found}; allowed are 3, 4, 5 and 6")
            }
            Self::OutOfPlace { message, moment } => write!(f, "the member sent {message} {moment}"),
            Self::Truncated { at, field, need, left } => write!(
                f,
                "the packet ends inside the {field}: at byte {at} it needs {need} bytes, {left} are left"
            ),
            Self::Unterminated { at, field, found } => {
                write!(
                    f,
                    "the {field} must be followed by a zero byte, but byte {at} of the packet is 0x{found:02x}"
                )
            }
            Self::Null { at, field } => write!(f, "the {field} at byte {at} of the packet is null"),
            Self::Status { found } => write!(f, "the member sent status {found}; allowed are 200 to 999"),
            Self::HeaderCode { at, found } => write!(
                f,
                "the header name at byte {at} of the packet has code 0x{found:04x}; allowed are 0xa001 to 0xa00b"
            ),
            Self::HeaderCount { announced, left } => write!(
                f,
                "the member announced {announced} headers, but {left} bytes are left and each takes at least 5"
            ),
            Self::EmptyName { at } => write!(f, "the header name at byte {at} of the packet is empty"),
            Self::Character { at, field, found } => {
                write!(f, "byte {at} of the packet is 0x{found:02x}, which is not allowed in a {field}")
            }
            Self::ChunkLength { announced, room } => write!(
                f,
                "the member announced {announced} bytes of data in a packet with room for {room} and one zero byte"
            ),
            Self::TrailingBytes { at, message, extra } => {
                write!(f, "{message} ends at byte {at} of its packet, but {extra} more bytes follow")
            }
            Self::AfterEnd => {
                f.write_str("the response had already ended when more was read from the connection")
            }
            Self::NotCPong { at, found } => {
                write!(f, "the answer to a CPing is not a CPong: its byte {at} is 0x{found:02x}")
            }
        }
    }
}

impl std::error::Error for DecodeError {}
