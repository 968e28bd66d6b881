// SPDX-License-Identifier: Apache-2.0
//! What all processes know of health checks: who runs them, and how far each member's have come.
//!
//! One process runs the checks. It holds the [`CheckerSlot`] and says now and then that it is alive; another takes over
//! when it has ended, is silent, or belongs to an older configuration.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use super::lane::Owner;
use super::layout::MemberSlotId;
use super::region::Region;
use crate::base::clock::Moment;

/// Who runs the checks.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct CheckerSlot {
    /// Process and generation; 0 = nobody.
    owner: AtomicU64,
    /// When the owner said last that it is alive.
    beat: AtomicU64,
    /// Turned whenever an administrator changed what is checked.
    revision: AtomicU32,
}

/// The checks of one member.
#[repr(C, align(32))]
#[derive(Debug)]
pub struct HealthSlot {
    /// When the last check began; 0 = there was none.
    began: AtomicU64,
    /// Process and generation that has a check under way; 0 = none.
    under_way: AtomicU64,
    failures: AtomicU32,
    passes: AtomicU32,
}

/// An owner that did not say for this long that it is alive has lost the checks. It says so several times a second.
const SILENCE: Duration = Duration::from_secs(10);

impl CheckerSlot {
    /// Takes the checks over, or says that the owner is alive if that is `me`. True if they are `me`'s now.
    pub fn claim(&self, me: Owner, now: Moment) -> bool {
        let word = self.owner.load(Acquire);
        if word != me.pack() {
            let is_free = match Owner::unpack(word) {
                None => true,
                Some(owner) => owner.generation < me.generation || self.is_silent(now),
            };
            if !is_free || self.owner.compare_exchange(word, me.pack(), AcqRel, Acquire).is_err() {
                return false;
            }
        }
        self.beat.store(now.0, Relaxed);
        true
    }

    /// Do the checks belong to `me`? Asked before a result counts.
    pub fn is_held_by(&self, me: Owner) -> bool {
        self.owner.load(Acquire) == me.pack()
    }

    /// Who runs the checks.
    pub fn owner(&self) -> Option<Owner> {
        Owner::unpack(self.owner.load(Acquire))
    }

    /// A number that is another one after each change of what is checked.
    pub fn revision(&self) -> u32 {
        self.revision.load(Acquire)
    }

    /// An administrator changed what is checked.
    pub fn revise(&self) {
        self.revision.fetch_add(1, AcqRel);
    }

    /// Leaves the checks to others, if they are `me`'s.
    pub fn release(&self, me: Owner) {
        let _ = self.owner.compare_exchange(me.pack(), 0, AcqRel, Relaxed);
    }

    /// A beat that lies far ahead shows that the clock was set back: then it says nothing.
    fn is_silent(&self, now: Moment) -> bool {
        let beat = Moment(self.beat.load(Relaxed));
        now.since(beat) > SILENCE || beat.since(now) > SILENCE
    }
}

impl HealthSlot {
    /// Notes that `me` begins a check. False if one is under way, unless it began longer than `longest` ago: then its
    /// process is stuck.
    pub fn begin(&self, me: Owner, now: Moment, longest: Duration) -> bool {
        let word = self.under_way.load(Acquire);
        let began = Moment(self.began.load(Relaxed));
        let is_stuck = now.since(began) > longest || began.since(now) > longest;
        if word != 0 && !is_stuck {
            return false;
        }
        if self.under_way.compare_exchange(word, me.pack(), AcqRel, Relaxed).is_err() {
            return false;
        }
        self.began.store(now.0, Relaxed);
        true
    }

    /// The check that `me` began is over.
    pub fn end(&self, me: Owner) {
        let _ = self.under_way.compare_exchange(me.pack(), 0, AcqRel, Relaxed);
    }

    /// When the last check began; `None` if there was none.
    pub fn last_began(&self) -> Option<Moment> {
        Some(Moment(self.began.load(Relaxed))).filter(|moment| *moment != Moment::default())
    }

    /// Counts a failed check; true, and counting anew, when there were `limit` of them.
    pub fn count_failure(&self, limit: u32) -> bool {
        count(&self.failures, limit)
    }

    /// As [`HealthSlot::count_failure`] for good checks of a member that is out.
    pub fn count_pass(&self, limit: u32) -> bool {
        count(&self.passes, limit)
    }

    /// Failed checks counted so far.
    pub fn failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    /// Good checks of a member that is out, counted so far.
    pub fn passes(&self) -> u32 {
        self.passes.load(Relaxed)
    }

    /// Back to the state of a slot that was never used.
    pub(super) fn reset(&self) {
        for counter in [&self.began, &self.under_way] {
            counter.store(0, Relaxed);
        }
        for counter in [&self.failures, &self.passes] {
            counter.store(0, Relaxed);
        }
    }
}

fn count(counter: &AtomicU32, limit: u32) -> bool {
    let is_reached = counter.fetch_add(1, Relaxed).saturating_add(1) >= limit;
    if is_reached {
        counter.store(0, Relaxed);
    }
    is_reached
}

impl Region {
    /// Who runs the checks.
    pub fn checker(&self) -> &CheckerSlot {
        &self.layout().checker
    }

    /// The checks of a member.
    pub fn health(&self, slot: MemberSlotId) -> &HealthSlot {
        &self.layout().health[slot.index()]
    }

    /// The process has ended: its checks are nobody's now, and nobody listens to heartbeats. For the parent process only.
    pub fn end_checks_of(&self, pid: u32) {
        let checker = self.checker();
        if let Some(owner) = checker.owner().filter(|owner| owner.pid == pid) {
            checker.release(owner);
        }
        let listener = self.heartbeats().listener();
        if let Some(owner) = listener.owner().filter(|owner| owner.pid == pid) {
            listener.release(owner);
        }
        for slot in &self.layout().health {
            let word = slot.under_way.load(Relaxed);
            if let Some(owner) = Owner::unpack(word).filter(|owner| owner.pid == pid) {
                slot.end(owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::key::Key;

    const NOW: Moment = Moment(1_790_000_000_000);
    const LONGEST: Duration = Duration::from_secs(100);

    fn process(pid: u32, generation: u32) -> Owner {
        Owner { pid, generation }
    }

    fn member(region: &Region, generation: u32, name: &str) -> MemberSlotId {
        region.bind(generation, &[Key::of(&[name])], &[]).unwrap().members[0].slot
    }

    #[test]
    fn one_process_at_a_time_runs_the_checks() {
        let region = Region::private().unwrap();
        let (a, b) = (process(10, 1), process(11, 1));
        assert!(region.checker().claim(a, NOW));
        assert!(!region.checker().claim(b, NOW.after(Duration::from_secs(9))));
        assert!(region.checker().claim(a, NOW.after(Duration::from_secs(9))));
        assert!(!region.checker().claim(b, NOW.after(Duration::from_secs(18))));
        assert!(region.checker().is_held_by(a) && !region.checker().is_held_by(b));
    }

    #[test]
    fn the_checks_of_an_ended_or_silent_process_are_taken_over() {
        let region = Region::private().unwrap();
        let (a, b) = (process(10, 1), process(11, 1));
        assert!(region.checker().claim(a, NOW));
        region.end_checks_of(10);
        assert!(region.checker().claim(b, NOW));
        assert!(region.checker().claim(a, NOW.after(Duration::from_millis(10_001))));
        assert!(!region.checker().is_held_by(b));
        region.checker().release(b);
        assert_eq!(region.checker().owner(), Some(a));
        region.checker().release(a);
        assert_eq!(region.checker().owner(), None);
    }

    #[test]
    fn the_newest_generation_runs_the_checks() {
        let region = Region::private().unwrap();
        let (old, new) = (process(10, 1), process(11, 2));
        assert!(region.checker().claim(old, NOW));
        assert!(region.checker().claim(new, NOW));
        assert!(!region.checker().claim(old, NOW));
    }

    #[test]
    fn a_clock_set_back_does_not_keep_the_checks_from_being_taken_over() {
        let region = Region::private().unwrap();
        assert!(region.checker().claim(process(10, 1), NOW));
        let earlier = Moment(NOW.0 - 3_600_000);
        assert!(region.checker().claim(process(11, 1), earlier));
    }

    #[test]
    fn a_member_is_never_checked_twice_at_once() {
        let region = Region::private().unwrap();
        let health = region.health(member(&region, 1, "a"));
        let (a, b) = (process(10, 1), process(11, 2));
        assert_eq!(health.last_began(), None);
        assert!(health.begin(a, NOW, LONGEST));
        assert!(!health.begin(a, NOW, LONGEST) && !health.begin(b, NOW, LONGEST));
        health.end(b);
        assert!(!health.begin(b, NOW, LONGEST));
        health.end(a);
        assert!(health.begin(b, NOW, LONGEST));
        assert!(health.begin(a, NOW.after(Duration::from_secs(101)), LONGEST), "a stuck check");
        region.end_checks_of(10);
        assert!(health.begin(b, NOW.after(Duration::from_secs(101)), LONGEST));
        assert_eq!(health.last_began(), Some(NOW.after(Duration::from_secs(101))));
    }

    #[test]
    fn a_limit_of_three_is_reached_by_every_third() {
        let region = Region::private().unwrap();
        let health = region.health(member(&region, 1, "a"));
        let reached: Vec<bool> = (0..6).map(|_| health.count_failure(3)).collect();
        assert_eq!(reached, [false, false, true, false, false, true]);
        assert!(health.count_pass(1));
    }

    #[test]
    fn a_new_member_in_an_old_slot_begins_anew() {
        let region = Region::private().unwrap();
        let first = member(&region, 1, "a");
        assert!(region.health(first).begin(process(10, 1), NOW, LONGEST));
        member(&region, 2, "b");
        region.retire(2);
        let second = region.bind(3, &[Key::of(&["b"]), Key::of(&["c"])], &[]).unwrap().members[1].slot;
        assert_eq!(second, first);
        assert_eq!(region.health(second).last_began(), None);
    }
}
