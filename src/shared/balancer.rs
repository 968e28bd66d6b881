// SPDX-License-Identifier: Apache-2.0
//! What all processes know of one balancer.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Shared numbers of one balancer.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct BalancerSlot {
    refused: AtomicU64,
    recovered: AtomicU64,
    /// Generation in which the letter case of a session name was remarked on, plus one.
    noted: AtomicU64,
    /// How many places for members that join were ever given out.
    places: AtomicU32,
}

impl BalancerSlot {
    /// How many requests found no member that may serve them, those that waited for one included.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// How often all members were in the error state and were tried again (`forcerecovery`).
    pub fn recovered(&self) -> u64 {
        self.recovered.load(Relaxed)
    }

    pub fn count_recovered(&self) {
        self.recovered.fetch_add(1, Relaxed);
    }

    /// True once per generation of children, for remarks that all of them would make.
    pub fn note_once(&self, generation: u32) -> bool {
        let mark = u64::from(generation) + 1;
        self.noted.load(Relaxed) != mark && self.noted.swap(mark, Relaxed) != mark
    }

    /// How many places for members that join were given out so far; the numbers of them go from 0 to this.
    pub fn places(&self) -> u32 {
        self.places.load(Relaxed)
    }

    /// For the parent process only.
    pub fn set_places(&self, count: u32) {
        self.places.store(count, Relaxed);
    }

    /// Back to the state of a slot that was never used.
    pub(super) fn reset(&self) {
        self.refused.store(0, Relaxed);
        self.recovered.store(0, Relaxed);
        self.noted.store(0, Relaxed);
        self.places.store(0, Relaxed);
    }
}
