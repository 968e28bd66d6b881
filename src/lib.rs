// SPDX-License-Identifier: Apache-2.0
//! Margay: one httpd module that balances Tomcat clusters.
//!
//! The map of the house, from the ground up; each floor may use only the floors below it:
//!
//! 0. [`base`]: words everybody uses
//! 1. [`wire`]: bytes to messages and back; no sockets, no clock
//! 2. [`config`]: text to [`config::Plan`]; [`shared`]: memory seen by all processes
//! 3. [`balance`]: who gets the request
//! 4. [`backend`]: connections to members
//! 5. [`proxy`]: the life of one forwarded request; [`health`]: members checked without one; [`status`]: showing and
//!    changing state
//! 6. `httpd`: the adapter, the only room that sees httpd; `agent`: the member of Tomcat's own cluster
//! 7. `cli`: arguments of the program, calls to the agent, printing
//!
//! A request enters at `httpd::entry`, finds its target in [`config`]'s plan, is carried by [`proxy`], which asks
//! [`balance`] for a member and [`backend`] for a connection, and speaks [`wire::ajp`] on it.

pub mod base;
pub mod wire;

pub mod config;
pub mod shared;

pub mod balance;

pub mod backend;

pub mod health;
pub mod proxy;
pub mod status;

#[cfg(feature = "agent")]
pub mod agent;
#[cfg(feature = "agent")]
pub mod cli;
#[cfg(feature = "httpd")]
mod httpd;
