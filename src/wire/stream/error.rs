// SPDX-License-Identifier: Apache-2.0
//! Why a stream cannot be read.

use std::fmt;

/// Where and why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamError {
    /// Offset in bytes from the beginning of the stream.
    pub at: usize,
    pub why: Why,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The stream ends in the middle of something.
    Truncated,
    /// It does not begin with `ac ed 00 05`.
    NoStream,
    /// No tag that may stand here.
    Tag(u8),
    /// A reference to a handle that was not given out, or to something that may not stand here.
    Reference(u32),
    /// A field or array of a type that does not exist.
    Type(u8),
    /// External data without block data: nobody but the class knows where it ends.
    External,
    /// More superclasses than any class has.
    Chain,
    /// The content is not what belongs here.
    Unexpected(&'static str),
    /// Larger than the limit.
    TooLarge,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Why::Truncated => {
                write!(f, "the Java stream ends at byte {} in the middle of an object", self.at)
            }
            Why::NoStream => write!(f, "not a Java stream: it does not begin with ac ed 00 05"),
            Why::Tag(tag) => write!(f, "tag {tag:#04x} may not stand at byte {} of the Java stream", self.at),
            Why::Reference(handle) => {
                write!(f, "the reference at byte {} of the Java stream leads nowhere ({handle:#x})", self.at)
            }
            Why::Type(code) => {
                write!(
                    f,
                    "no field has the type {:?} (byte {} of the Java stream)",
                    char::from(code),
                    self.at
                )
            }
            Why::External => {
                write!(
                    f,
                    "the object at byte {} of the Java stream has data only its class can read",
                    self.at
                )
            }
            Why::Chain => write!(f, "too many superclasses at byte {} of the Java stream", self.at),
            Why::Unexpected(what) => write!(f, "{what} is missing at byte {} of the Java stream", self.at),
            Why::TooLarge => write!(f, "the Java stream is larger than the limit (byte {})", self.at),
        }
    }
}

impl std::error::Error for StreamError {}
