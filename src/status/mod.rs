// SPDX-License-Identifier: Apache-2.0
//! Showing and changing the state of balancers: the pages of balancer-manager, and a section of mod_status.
//!
//! Knows: the plan, the values in force, states and counters. Does not know: httpd, sockets, requests.
#![forbid(unsafe_code)]

pub mod action;
mod change_checks;
pub mod escape;
mod form;
pub mod html;
pub mod jk;
mod join;
pub mod params;
pub mod section;
pub mod snapshot;
pub mod view;
pub mod xml;

pub use action::{Applied, Change, Outcome};
pub use change_checks::ChecksChange;
pub use html::{Form, Frame};
pub use join::NotJoined;
pub use params::Params;
pub use view::{BalancerView, MemberView};
