// SPDX-License-Identifier: Apache-2.0
//! Chooses the member that gets a request.
//!
//! Knows: the compiled plan, counters and states of members. Does not know: sockets, httpd.
#![forbid(unsafe_code)]

mod bindings;
mod candidate;
mod choose;
pub mod health;
mod in_force;
pub mod jk;
mod method;
pub mod retry;
pub mod sticky;
pub mod transition;

pub use bindings::Bindings;
pub use candidate::Tried;
pub use choose::{Choice, Chooser, NoMember};
pub use in_force::{InForce, METHODS, StickyInForce, code_of_method};
pub use retry::{Attempts, Body, Phase, Repeat, Verdict};
pub use sticky::{RequestView, Session, Source};
pub use transition::Event;
