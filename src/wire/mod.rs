// SPDX-License-Identifier: Apache-2.0
//! Bytes to messages and back. No sockets, no clock, no httpd.
#![forbid(unsafe_code)]

pub mod ajp;
pub mod cookie;
pub mod heartbeat;
pub mod http1;
pub mod token;
pub mod uri;
