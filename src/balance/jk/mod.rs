// SPDX-License-Identifier: Apache-2.0
//! Choosing in mod_jk's way: states of members, values by which they are compared, sessions, maintenance.

mod choose;
mod cluster;
mod in_force;
mod maintain;
pub mod session;
pub mod transition;

pub use choose::{JkChoice, JkHow, JkWish};
pub use cluster::{InForceText, JkCluster, activation_of, method_of, text_in_force};
pub(super) use in_force::attach;
pub use in_force::millis;
pub use maintain::{force, maintain, recover, reset_balancer};
pub use session::JkSessionNames;
pub use transition::JkResult;
