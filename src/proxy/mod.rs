// SPDX-License-Identifier: Apache-2.0
//! The life of one forwarded request.
//!
//! Knows: the plan, who is chosen, connections, AJP and HTTP. Does not know: httpd; it meets the server as [`Exchange`].
#![forbid(unsafe_code)]

mod ajp;
mod attempt;
pub mod exchange;
mod forward;
mod head;
mod http;
mod http_body;
mod http_head;
pub mod jk;
mod judge;
mod outward;
mod relay;
mod request_body;
mod response;
mod reverse_variables;
mod rewrite;
mod secure;
mod session;
mod target;
mod trailers;
mod tunnel;

pub use attempt::Scratch;
pub use exchange::Exchange;
pub use forward::{HttpRules, Job, Outcome, World, forward};
pub use outward::Outward;
pub use response::Sections;
