// SPDX-License-Identifier: Apache-2.0
//! Bytes to messages and back. No sockets, no clock, no httpd.
#![forbid(unsafe_code)]

pub mod ajp;
pub mod as_sent;
#[cfg(feature = "agent")]
pub mod cluster;
pub mod cookie;
pub mod heartbeat;
pub mod http1;
#[cfg(feature = "agent")]
pub mod stream;
pub mod token;
pub mod uri;
