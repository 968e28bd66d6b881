// SPDX-License-Identifier: Apache-2.0
//! Chooses the member that gets a request.
//!
//! Knows: the compiled plan, counters and states of members. Does not know: sockets, httpd.
#![forbid(unsafe_code)]

mod bindings;
mod candidate;
mod checks;
mod choose;
pub mod health;
mod in_force;
pub mod jk;
mod method;
mod naming;
mod places;
pub mod retry;
mod roster;
pub mod sticky;
pub mod transition;

pub use bindings::Bindings;
pub use candidate::Tried;
pub use checks::{ChecksInForce, checks_in_force, code_of_check};
pub use choose::{Choice, Chooser, NoMember};
pub use in_force::{InForce, METHODS, StickyInForce, code_of_method};
pub use retry::{Attempts, Body, Phase, Repeat, Verdict};
pub use roster::members;
pub use sticky::{RequestView, Session, Source};
pub use transition::Event;
