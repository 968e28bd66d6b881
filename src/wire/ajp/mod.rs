// SPDX-License-Identifier: Apache-2.0
//! AJP13: what goes to Tomcat and what comes back.
//!
//! Bytes in memory only: this room knows no sockets, no clock, and no request of the web server. [`ForwardRequest`]
//! writes the head of a request into a buffer of the caller, [`Decoder`] reads the answer out of one. Neither allocates
//! once the caller's buffer has grown to its working size.
#![forbid(unsafe_code)]

mod code;
mod decode;
mod encode;
mod error;
mod frame;

pub use code::Dialect;
pub use decode::{Decoded, Decoder, Headers, Message, ResponseHead, decode_cpong};
pub use encode::{BodyLength, ForwardRequest, RequestLine};
pub use error::{DecodeError, EncodeError};
pub use frame::{
    CPING, EMPTY_BODY_PACKET, EMPTY_PACKET, MAX_PACKET_SIZE, MIN_PACKET_SIZE, body_packet_header, max_body,
    max_payload,
};
