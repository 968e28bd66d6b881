// SPDX-License-Identifier: Apache-2.0
//! What lies where in the region. Sizes are asserted: a process of another build must not read it differently.
//!
//! Everything is an atomic, and all zeros is a valid empty region. There are no pointers inside.

use std::sync::atomic::{AtomicU32, AtomicU64};

use super::administered::{BalancerChanges, MemberChanges};
use super::agent::AgentSlot;
use super::balancer::BalancerSlot;
use super::checks::CheckChanges;
use super::directory::Entry;
use super::health::{CheckerSlot, HealthSlot};
use super::heartbeat::{HEARTBEATS, Heartbeats};
use super::jk::{JkBalancerSlot, JkMemberSlot};
use super::lane::LaneSlot;
use super::member::MemberSlot;
use super::naming::NamingSlot;
use super::place::MemberPlace;

/// How many members (and plain workers) the region has room for.
pub const MEMBERS: usize = 8192;
/// How many balancers the region has room for.
pub const BALANCERS: usize = 256;
/// How many child processes can have their busy counts repaired.
pub const LANES: usize = 1024;

/// Place of a member in the region. Only the directory makes one, so it is always in range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct MemberSlotId(pub(super) u16);

/// Place of a balancer in the region. Only the directory makes one, so it is always in range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct BalancerSlotId(pub(super) u16);

impl MemberSlotId {
    /// The place as a number from 0 to [`MEMBERS`] - 1.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl BalancerSlotId {
    /// The place as a number from 0 to [`BALANCERS`] - 1.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// `MARGAY` and two zero bytes, read as a little-endian number.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"MARGAY\0\0");

/// Changes with every change of the structs of this room.
pub(super) const VERSION: u32 = 7;

/// Bytes of the mapping. Untouched pages cost nothing.
pub(super) const SIZE: usize = 64 << 20;

/// First line of the region.
#[repr(C, align(64))]
pub(super) struct Header {
    pub magic: AtomicU64,
    pub version: AtomicU32,
    /// Generation of the newest configuration that was bound.
    pub generation: AtomicU32,
    pub size: AtomicU64,
    /// The process that changes values now; 0 = none.
    pub administrator: AtomicU32,
}

/// The whole region.
#[repr(C, align(64))]
pub(super) struct Layout {
    pub header: Header,
    pub member_entries: [Entry; MEMBERS],
    pub balancer_entries: [Entry; BALANCERS],
    pub members: [MemberSlot; MEMBERS],
    pub balancers: [BalancerSlot; BALANCERS],
    pub lanes: [LaneSlot; LANES],
    pub member_changes: [MemberChanges; MEMBERS],
    pub balancer_changes: [BalancerChanges; BALANCERS],
    pub checker: CheckerSlot,
    pub health: [HealthSlot; MEMBERS],
    pub heartbeats: Heartbeats,
    pub check_changes: [CheckChanges; MEMBERS],
    pub places: [MemberPlace; MEMBERS],
    pub jk_members: [JkMemberSlot; MEMBERS],
    pub jk_balancers: [JkBalancerSlot; BALANCERS],
    pub agent: AgentSlot,
    pub namings: [NamingSlot; MEMBERS],
}

const _: () = {
    assert!(size_of::<Header>() == 64);
    assert!(size_of::<Entry>() == 32);
    assert!(size_of::<MemberSlot>() == 192);
    assert!(size_of::<BalancerSlot>() == 64);
    assert!(size_of::<LaneSlot>() == 64 + 2 * MEMBERS);
    assert!(size_of::<MemberChanges>() == 512);
    assert!(size_of::<BalancerChanges>() == 704);
    assert!(size_of::<CheckerSlot>() == 64);
    assert!(size_of::<HealthSlot>() == 32);
    assert!(size_of::<Heartbeats>() == 128 + 64 * HEARTBEATS);
    assert!(size_of::<CheckChanges>() == 512);
    assert!(size_of::<MemberPlace>() == 320);
    assert!(size_of::<JkMemberSlot>() == 1280);
    assert!(size_of::<JkBalancerSlot>() == 320);
    assert!(size_of::<AgentSlot>() == 64);
    assert!(size_of::<NamingSlot>() == 768);
    assert!(size_of::<Layout>() <= SIZE);
    assert!(align_of::<Layout>() == 64);
    assert!(MEMBERS <= 1 << 16 && BALANCERS <= 1 << 16);
};
