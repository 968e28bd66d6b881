// SPDX-License-Identifier: Apache-2.0
//! The adapter: the only room that sees httpd.
//!
//! `entry` is what httpd calls. `pass` collects a configuration while it is read, `lifecycle` puts it into force,
//! `translate` and `matched` find the rule for a request, `outside` takes over what others marked, `handler` has it
//! forwarded, `request` is the request as the core sees it, `outgoing` is TLS to members, `checks` has members checked (`checked_tls` inside TLS, `gate` between their
//! threads and httpd), `heartbeats`
//! gathers what they say of themselves.
//! `dialect` says which lines are ours at all. `manager` shows and changes the state of balancers, `keep` keeps it over a stop.

mod checked_tls;
mod checks;
mod companion;
mod dialect;
mod entry;
mod ffi;
mod forward;
mod gate;
mod guard;
mod guards;
mod handler;
mod handover;
mod heartbeats;
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
