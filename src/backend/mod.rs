// SPDX-License-Identifier: Apache-2.0
//! Connections to members: names to addresses, opening, keeping, sending, receiving.
//!
//! Knows: sockets and the settings of members. Does not know: httpd, who is chosen and why.
#![forbid(unsafe_code)]

pub mod address;
pub mod buffer;
pub mod connection;
pub mod datagram;
pub mod error;
pub mod pool;
pub mod probe;
pub mod transport;

pub use buffer::Receiver;
pub use connection::{Connection, SendTime};
pub use error::BackendError;
pub use pool::{DialTarget, Lease, Pool};
pub use transport::{NotSecure, Transport};
