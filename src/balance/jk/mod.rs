// SPDX-License-Identifier: Apache-2.0
//! Choosing in mod_jk's way: states of members, values by which they are compared, sessions, maintenance.

mod cluster;
mod in_force;
mod maintain;

pub use cluster::{InForceText, JkCluster, activation_of, method_of, text_in_force};
pub(super) use in_force::attach;
pub use in_force::millis;
pub use maintain::{maintain, recover, reset_balancer};
