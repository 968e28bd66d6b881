// SPDX-License-Identifier: Apache-2.0
//! `margay agent`: one more member of Tomcat's own cluster, which keeps every session and knows who lives.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod control;
pub mod health;
mod notify;
pub mod replica;
pub mod settings;
pub mod start;
pub mod vault;

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
