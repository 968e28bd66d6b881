// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 towards a member: requests as bytes, answers from bytes. The caller keeps the buffers.
//!
//! Strict where leniency would let two readers of one message disagree about where it ends (RFC 9112, 11.2).
#![forbid(unsafe_code)]

mod body;
mod chunked;
mod decode;
mod encode;
mod error;
mod head;

pub use body::{Body, Step};
pub use chunked::Chunked;
pub use decode::{Fields, ResponseHead, read_head};
pub use encode::{LAST_CHUNK, RequestWriter, chunk_header, decimal};
pub use error::{DecodeError, EncodeError};
pub use head::{BadHeader, Framing, Limits, is_hop_by_hop, lists, tokens, unfold};
