// SPDX-License-Identifier: Apache-2.0
//! Members checked without a request: who checks, when, and what is said about it.
//!
//! One process of the newest generation runs the checks. Each process that could has one thread, which sleeps; that of the
//! process at work starts a short-lived thread for each check. None of them is waited for when the process ends.
//!
//! Heartbeats of members (`lbmethod=heartbeat`) are heard in the same way: by one process, for all.
//!
//! Knows: the plan, states of members, connections. Does not know: httpd; it meets the server as [`Host`].
#![forbid(unsafe_code)]

mod checker;
mod listener;
mod report;
mod schedule;

pub use checker::{Checker, Checks, Host};
pub use listener::Listener;
pub use report::{Report, Weight};
