// SPDX-License-Identifier: Apache-2.0
//! Memory seen by all processes. One of the two rooms with unsafe code.
//!
//! Knows: keys and slots. Does not know: names, plans, httpd.

mod administered;
mod agent;
mod balancer;
mod checks;
mod directory;
mod handover;
mod health;
pub mod heap;
mod heartbeat;
mod jk;
mod lane;
mod layout;
mod member;
mod naming;
mod place;
mod region;
mod text;

pub use administered::{Administrator, BalancerChanges, BalancerValue, MemberChanges, MemberValue};
pub use agent::{AgentSeen, AgentSlot, LAPSE};
pub use balancer::BalancerSlot;
pub use checks::{CheckChanges, CheckValue};
pub use directory::{Bound, Full, Place};
pub use handover::{HandedOver, Link, redirect_standard_error};
pub use health::{CheckerSlot, HealthSlot};
pub use heartbeat::{Beat, HEARTBEATS, Heartbeats, key_of_host};
pub use jk::{
    JkBalancerNumber, JkBalancerSlot, JkCounter, JkMemberNumber, JkMemberSlot, JkMemberText, JkState,
};
pub use lane::{Busy, Lane, Owner, Repaired};
pub use layout::{BALANCERS, BalancerSlotId, LANES, MEMBERS, MemberSlotId};
pub use member::{Change, MemberSlot, Reason, State};
pub use naming::{Naming, Protocol};
pub use place::{LONGEST_URL, MemberPlace};
pub use region::{Region, RegionError};
pub use text::{LONGEST, SharedText, ShortText};
