// SPDX-License-Identifier: Apache-2.0
//! Why bytes of a cluster peer cannot be used.

use std::fmt;

use crate::wire::stream::StreamError;

/// What is wrong with a beacon, frame or message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterError {
    /// Less than its own lengths say.
    Truncated(&'static str),
    /// A mark that must stand there does not.
    Mark(&'static str),
    /// A length that cannot be.
    Length { what: &'static str, length: i64 },
    /// A frame larger than the limit.
    TooLarge { length: u64, limit: usize },
    /// The Java stream in it.
    Stream(StreamError),
    /// The payload is an object of another class.
    Class(String),
    /// An event number nobody knows.
    Event(i32),
    /// The message could not be decrypted: another key, algorithm, or form.
    Decrypt,
    /// The message is too old, or was there before.
    Replayed,
    /// Not compressed as it says.
    Compression(String),
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(what) => write!(f, "{what} is shorter than it says"),
            Self::Mark(what) => write!(f, "{what} does not stand where it must"),
            Self::Length { what, length } => write!(f, "{what} cannot be {length} bytes long"),
            Self::TooLarge { length, limit } => {
                write!(f, "a frame of {length} bytes is larger than the limit of {limit}")
            }
            Self::Stream(error) => error.fmt(f),
            Self::Class(name) => write!(f, "an object of class {name} is no message of a cluster"),
            Self::Event(number) => write!(f, "there is no session event {number}"),
            Self::Decrypt => write!(
                f,
                "the message cannot be decrypted: its sender has another key or algorithm, or sends without encryption"
            ),
            Self::Replayed => write!(
                f,
                "the encrypted message is too old or was there before; the clocks may differ by ten seconds at most"
            ),
            Self::Compression(why) => write!(f, "the message cannot be uncompressed: {why}"),
        }
    }
}

impl std::error::Error for ClusterError {}

impl From<StreamError> for ClusterError {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}
