// SPDX-License-Identifier: Apache-2.0
//! What one child process owes: its share of the busy counters, so that a killed child's share can be taken back.
//!
//! Entering notes in the lane first and counts second; leaving counts first and clears the note second. So a child
//! killed between the two steps leaves a note too much, never a count too much: the repair then takes one too many
//! from the member. That error heals, because counts stop at zero and are right again when the member is idle; a
//! count left behind would stay for ever. It is at most one for each thread that was just between the two steps.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU16, AtomicU64};

use super::layout::{MEMBERS, MemberSlotId};
use super::region::Region;

/// The notes of one child. 16 bits for each member are enough: httpd allows at most 20 000 threads in a child.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct LaneSlot {
    /// Process number in the upper half, generation in the lower; 0 = nobody's.
    owner: AtomicU64,
    notes: Notes,
}

#[repr(C, align(64))]
#[derive(Debug)]
struct Notes([AtomicU16; MEMBERS]);

/// Who holds a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    pub pid: u32,
    pub generation: u32,
}

/// What a repair took back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Repaired {
    pub lanes: usize,
    /// Requests that were under way when their process ended.
    pub busy: u64,
}

/// The lane of this process. Made once per child, used by all its threads.
#[derive(Debug)]
pub struct Lane<'r> {
    region: &'r Region,
    notes: Option<&'r Notes>,
}

/// One request under way: counted as busy until dropped.
#[derive(Debug)]
#[must_use = "the member counts as busy only as long as this lives"]
pub struct Busy<'l> {
    lane: &'l Lane<'l>,
    slot: MemberSlotId,
}

impl Region {
    /// Takes a lane for the calling child process. With all lanes taken the child counts without one: see
    /// [`Lane::is_noted`].
    pub fn claim_lane(&self, pid: u32, generation: u32) -> Lane<'_> {
        let word = Owner { pid, generation }.pack();
        let claimed = self
            .layout()
            .lanes
            .iter()
            .find(|lane| lane.owner.compare_exchange(0, word, AcqRel, Relaxed).is_ok());
        Lane { region: self, notes: claimed.map(|lane| &lane.notes) }
    }

    /// Takes back what the ended process `pid` still owed, and frees its lane. For the parent process only.
    pub fn repair(&self, pid: u32) -> Repaired {
        self.repair_where(|owner| owner.pid == pid)
    }

    /// As [`Region::repair`] for every owner that `has_ended`: after a restart that ended children unseen.
    pub fn repair_where(&self, has_ended: impl Fn(Owner) -> bool) -> Repaired {
        let mut repaired = Repaired::default();
        for lane in &self.layout().lanes {
            if lane.owner().is_some_and(&has_ended) {
                repaired.lanes += 1;
                repaired.busy += self.take_back(&lane.notes);
                lane.owner.store(0, Release);
            }
        }
        repaired
    }

    /// The oldest generation that holds a lane, for [`Region::retire`]; `None` = no child has one. Children that have
    /// not claimed a lane yet, or found none free, are not seen: who starts them knows better.
    pub fn oldest_generation(&self) -> Option<u32> {
        self.layout().lanes.iter().filter_map(LaneSlot::owner).map(|owner| owner.generation).min()
    }

    fn take_back(&self, notes: &Notes) -> u64 {
        let mut total = 0;
        for (note, member) in notes.0.iter().zip(&self.layout().members) {
            // Looked at first, so that pages nobody wrote to stay untouched.
            if note.load(Relaxed) != 0 {
                let rest = u32::from(note.swap(0, Relaxed));
                member.lower_busy(rest);
                total += u64::from(rest);
            }
        }
        total
    }
}

impl Owner {
    pub(super) fn pack(self) -> u64 {
        u64::from(self.pid) << 32 | u64::from(self.generation)
    }

    /// 0 is nobody.
    pub(super) fn unpack(word: u64) -> Option<Owner> {
        (word != 0).then_some(Owner { pid: (word >> 32) as u32, generation: word as u32 })
    }
}

impl LaneSlot {
    fn owner(&self) -> Option<Owner> {
        Owner::unpack(self.owner.load(Acquire))
    }
}

impl Lane<'_> {
    /// False if all lanes were taken: requests are counted, but not taken back if this process is killed.
    pub fn is_noted(&self) -> bool {
        self.notes.is_some()
    }

    /// Counts one request of this process on the member. Each call needs its [`Lane::leave`]; see [`Lane::busy`].
    pub fn enter(&self, slot: MemberSlotId) {
        if let Some(notes) = self.notes {
            // A kill falls between two instructions, so the order in the program is what counts: acquire keeps the
            // compiler from counting before noting, release in `leave` from clearing the note before counting.
            notes.0[slot.index()].fetch_add(1, Acquire);
        }
        self.region.member(slot).raise_busy();
    }

    /// Takes back one [`Lane::enter`].
    pub fn leave(&self, slot: MemberSlotId) {
        self.region.member(slot).lower_busy(1);
        if let Some(notes) = self.notes {
            notes.0[slot.index()].fetch_sub(1, Release);
        }
    }

    /// Counts one request until the guard is dropped.
    pub fn busy(&self, slot: MemberSlotId) -> Busy<'_> {
        self.enter(slot);
        Busy { lane: self, slot }
    }
}

impl Busy<'_> {
    pub fn slot(&self) -> MemberSlotId {
        self.slot
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.lane.leave(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::key::Key;
    use crate::shared::LANES;

    fn region_with_members(count: usize) -> (Region, Vec<MemberSlotId>) {
        let region = Region::private().unwrap();
        let keys: Vec<Key> = (0..count).map(|n| Key::of(&[&n.to_string()])).collect();
        let slots = region.bind(1, &keys, &[]).unwrap().members.iter().map(|place| place.slot).collect();
        (region, slots)
    }

    #[test]
    fn a_guard_counts_until_it_is_dropped() {
        let (region, slots) = region_with_members(1);
        let lane = region.claim_lane(10, 1);
        let guard = lane.busy(slots[0]);
        assert_eq!(region.member(guard.slot()).busy(), 1);
        drop(guard);
        assert_eq!(region.member(slots[0]).busy(), 0);
        assert_eq!(region.repair(10), Repaired { lanes: 1, busy: 0 });
    }

    #[test]
    fn repair_takes_back_the_share_of_the_ended_process_only() {
        let (region, slots) = region_with_members(2);
        let (dead, alive) = (region.claim_lane(10, 1), region.claim_lane(11, 2));
        for _ in 0..3 {
            dead.enter(slots[0]);
        }
        dead.enter(slots[1]);
        alive.enter(slots[0]);
        assert_eq!(region.oldest_generation(), Some(1));
        assert_eq!(region.repair(10), Repaired { lanes: 1, busy: 4 });
        assert_eq!(region.oldest_generation(), Some(2));
        assert_eq!(region.member(slots[0]).busy(), 1);
        assert_eq!(region.member(slots[1]).busy(), 0);
        assert_eq!(region.repair(10), Repaired::default());
    }

    #[test]
    fn a_kill_between_note_and_count_heals_when_the_member_is_idle() {
        let (region, slots) = region_with_members(1);
        let (dead, alive) = (region.claim_lane(10, 1), region.claim_lane(11, 1));
        alive.enter(slots[0]);
        dead.notes.unwrap().0[slots[0].index()].fetch_add(1, Relaxed);
        region.repair(10);
        assert_eq!(region.member(slots[0]).busy(), 0);
        alive.leave(slots[0]);
        assert_eq!(region.member(slots[0]).busy(), 0);
        let _guard = alive.busy(slots[0]);
        assert_eq!(region.member(slots[0]).busy(), 1);
    }

    #[test]
    fn a_child_without_a_lane_still_counts_and_says_so() {
        let (region, slots) = region_with_members(1);
        for pid in 1..=LANES as u32 {
            assert!(region.claim_lane(pid, 1).is_noted());
        }
        let lane = region.claim_lane(9999, 1);
        assert!(!lane.is_noted());
        let guard = lane.busy(slots[0]);
        assert_eq!(region.member(slots[0]).busy(), 1);
        drop(guard);
        region.repair(5);
        assert!(region.claim_lane(9999, 1).is_noted());
    }

    #[test]
    fn threads_of_one_child_share_a_lane_without_losing_a_count() {
        let (region, slots) = region_with_members(2);
        let lane = region.claim_lane(10, 1);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (lane, slot) = (&lane, slots[thread % 2]);
                scope.spawn(move || (0..2000).for_each(|_| drop(lane.busy(slot))));
            }
        });
        assert!(slots.iter().all(|slot| region.member(*slot).busy() == 0));
        assert_eq!(region.repair(10).busy, 0);
    }
}
