// SPDX-License-Identifier: Apache-2.0
//! One balancer of mod_jk's lines.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::base::clock::Moment;
use crate::shared::Administrator;

/// A setting of a balancer that can be changed. Times are in milliseconds, yes is 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum JkBalancerNumber {
    Retries = 0,
    RetryInterval = 1,
    RecoverTime = 2,
    ErrorEscalationTime = 3,
    MaxReplyTimeouts = 4,
    Sticky = 5,
    StickyForce = 6,
    /// Number of the method.
    Method = 7,
    /// Number of the lock.
    Lock = 8,
}

/// Shared numbers of one balancer.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct JkBalancerSlot {
    numbers: [AtomicU64; 16],
    /// What the file said about each number last.
    marks: [AtomicU64; 16],
    last_maintenance: AtomicU64,
    last_reset: AtomicU64,
    max_busy: AtomicU32,
    /// Raised with every change by hand.
    sequence: AtomicU32,
    /// Place of the member behind the one chosen last.
    next: AtomicU32,
}

impl JkBalancerSlot {
    /// The value in force.
    pub fn number(&self, which: JkBalancerNumber) -> u64 {
        self.numbers[which as usize].load(Relaxed)
    }

    /// Takes what the file says, unless it says the same as before and `keep` is true.
    pub fn follow_file(&self, which: JkBalancerNumber, value: u64, keep: bool) {
        let before = self.marks[which as usize].swap(value.wrapping_add(1), Relaxed);
        if !keep || before != value.wrapping_add(1) {
            self.numbers[which as usize].store(value, Relaxed);
        }
    }

    /// How many changes were made by hand.
    pub fn sequence(&self) -> u32 {
        self.sequence.load(Acquire)
    }

    /// The most requests that were under way at once.
    pub fn max_busy(&self) -> u32 {
        self.max_busy.load(Relaxed)
    }

    pub fn raise_max_busy(&self, busy: u32) {
        if self.max_busy.load(Relaxed) < busy {
            self.max_busy.fetch_max(busy, Relaxed);
        }
    }

    pub fn last_maintenance(&self) -> Moment {
        Moment(self.last_maintenance.load(Relaxed))
    }

    /// Moves the time of the last maintenance; false if another process was faster.
    pub fn move_maintenance(&self, from: Moment, to: Moment) -> bool {
        self.last_maintenance.compare_exchange(from.0, to.0, AcqRel, Relaxed).is_ok()
    }

    pub fn last_reset(&self) -> Moment {
        Moment(self.last_reset.load(Relaxed))
    }

    /// Place where the next choice begins.
    pub fn next(&self) -> u32 {
        self.next.load(Relaxed)
    }

    pub fn set_next(&self, place: u32) {
        self.next.store(place, Relaxed);
    }

    /// Counts anew.
    pub fn reset_counters(&self, now: Moment) {
        self.max_busy.store(0, Relaxed);
        self.last_reset.store(now.0, Relaxed);
    }

    /// Back to the state of a slot that was never used.
    pub(in crate::shared) fn reset(&self) {
        for number in self.numbers.iter().chain(&self.marks).chain([&self.last_maintenance, &self.last_reset])
        {
            number.store(0, Relaxed);
        }
        for number in [&self.max_busy, &self.sequence, &self.next] {
            number.store(0, Relaxed);
        }
    }
}

impl Administrator<'_> {
    /// Puts a value into force in place of the file's.
    pub fn set_jk_balancer_number(&self, slot: &JkBalancerSlot, which: JkBalancerNumber, value: u64) {
        slot.numbers[which as usize].store(value, Relaxed);
        slot.sequence.fetch_add(1, AcqRel);
    }
}
