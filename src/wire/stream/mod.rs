// SPDX-License-Identifier: Apache-2.0
//! Java's object serialization, read and written without a single class: values are taken out of one stream and put into
//! another as they are.
//!
//! What the classes are is never asked. Two things need more than the grammar: classes whose `writeObject` leaves out the
//! fields they declare, which [`Verdicts`] finds by trying, and values whose writing failed in the middle, which are left out.

mod code;
mod emit;
mod error;
mod field;
mod parse;
mod read;
mod value;
mod write;

pub use code::flag;
pub use error::{StreamError, Why};
pub use read::{Contents, Field, Object, Part, Stream, Verdicts};
pub use value::{Value, decode_utf8, encode_utf8};
pub use write::{Descriptor, Writer};
