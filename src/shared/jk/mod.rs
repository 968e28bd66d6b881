// SPDX-License-Identifier: Apache-2.0
//! What all processes know of the members and balancers of mod_jk's lines, beside what every member has.
//!
//! Busy counts are those of [`Lane`](super::Lane) and [`MemberSlot`](super::MemberSlot). Settings that the status worker
//! can change are here with the value in force; when the configuration is read again, a value that the file says as
//! before stays as it is, one that is written differently follows the file.

mod balancer;
mod member;
mod state;

pub use balancer::{JkBalancerNumber, JkBalancerSlot};
pub use member::{JkCounter, JkMemberNumber, JkMemberSlot, JkMemberText};
pub use state::JkState;
