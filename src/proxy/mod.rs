// SPDX-License-Identifier: Apache-2.0
//! The life of one forwarded request.
//!
//! Knows: the plan, who is chosen, connections, AJP. Does not know: httpd; it meets the server as [`Exchange`].
#![forbid(unsafe_code)]

mod attempt;
pub mod exchange;
mod forward;
mod head;
mod judge;
mod relay;
mod request_body;
mod response;
mod rewrite;
mod session;

pub use attempt::Scratch;
pub use exchange::Exchange;
pub use forward::{Job, Outcome, World, forward};
pub use response::Sections;
