// SPDX-License-Identifier: Apache-2.0
//! The adapter: the only room that sees httpd.
//!
//! `entry` is what httpd calls. `pass` collects a configuration while it is read, `lifecycle` puts it into force,
//! `translate` and `matched` find the rule for a request, `outside` takes over what others marked, `handler` has it
//! forwarded, `request` is the request as the core sees it, `outgoing` is TLS to members, `checks` has members checked.
//! `dialect` says which lines are ours at all. `manager` shows and changes the state of balancers, `keep` keeps it over a stop.

mod checks;
mod dialect;
mod entry;
mod ffi;
mod forward;
mod guard;
mod guards;
mod handler;
mod jk;
mod keep;
mod lifecycle;
mod log;
mod manager;
mod matched;
mod outgoing;
mod outside;
mod pass;
mod pattern;
mod pool;
mod request;
mod runtime;
mod translate;
mod tree;
