// SPDX-License-Identifier: Apache-2.0
//! What is wrong with an HTTP message.

use std::fmt;

/// Why the bytes of a member are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The first line is no status line of HTTP/1.0 or HTTP/1.1.
    StatusLine,
    /// A line is longer than `responsefieldsize` allows.
    LineTooLong { limit: usize },
    /// The head is longer than the receive buffer.
    HeadTooLong { limit: usize },
    /// A line of the head has no colon.
    NoColon,
    /// A header has a name that is no token.
    Name { byte: u8 },
    /// A header has a control character in its value.
    Value { byte: u8 },
    /// Content-Length is no number, or there are two that differ.
    Length,
    /// `chunked` stands twice in Transfer-Encoding.
    Coding,
    /// A chunk does not begin with its size, or the size is too large.
    ChunkSize,
    /// A chunk, or the list of trailers, does not end as it must.
    ChunkEnd,
    /// Chunk extensions or trailers are longer than anybody needs.
    ChunkLimit { limit: usize },
    /// More interim answers than allowed came in a row.
    TooManyInterim { limit: u32 },
    /// 101 came without having been asked for, or for another protocol.
    UnwantedSwitch,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StatusLine => {
                f.write_str("the answer does not begin with HTTP/1.0 or HTTP/1.1 and a status")
            }
            Self::LineTooLong { limit } => {
                write!(f, "a line of the head is longer than {limit} bytes (responsefieldsize=)")
            }
            Self::HeadTooLong { limit } => write!(f, "the head is longer than {limit} bytes"),
            Self::NoColon => f.write_str("a line of the head has no colon (ProxyBadHeader)"),
            Self::Name { byte } => {
                write!(f, "a header name has the byte 0x{byte:02x}, which no name may have")
            }
            Self::Value { byte } => write!(f, "a header value has the control character 0x{byte:02x}"),
            Self::Length => f.write_str("Content-Length is no number, or given twice with different numbers"),
            Self::Coding => f.write_str("Transfer-Encoding names chunked twice"),
            Self::ChunkSize => f.write_str("a chunk does not begin with its size in hexadecimal"),
            Self::ChunkEnd => f.write_str("a chunk or the trailers do not end with CR LF in their place"),
            Self::ChunkLimit { limit } => {
                write!(f, "chunk extensions or trailers are longer than {limit} bytes")
            }
            Self::TooManyInterim { limit } => write!(f, "more than {limit} interim answers came in a row"),
            Self::UnwantedSwitch => f.write_str("it switched to a protocol that was not asked for (101)"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Why a request cannot be written as HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// The method is no token.
    Method,
    /// The path or query has a blank or control character.
    Target { at: usize },
    /// A header has a name that is no token.
    Name,
    /// A header has a line break or zero byte in its value.
    Value,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("the method is no token"),
            Self::Target { at } => {
                write!(f, "byte {at} of the path or query is a control character or a blank (AH10415)")
            }
            Self::Name => f.write_str("a header name is no token"),
            Self::Value => f.write_str("a header value has a line break or a zero byte"),
        }
    }
}

impl std::error::Error for EncodeError {}
