// SPDX-License-Identifier: Apache-2.0
//! One member of mod_jk's lines.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::state::JkState;
use crate::base::clock::Moment;
use crate::shared::Administrator;
use crate::shared::text::{SharedText, ShortText};

/// A setting of a member that can be changed. Times are in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum JkMemberNumber {
    /// Number of the activation.
    Activation = 0,
    LbFactor = 1,
    Distance = 2,
    Port = 3,
    /// `connection_pool_timeout`
    PoolTimeout = 4,
    PingTimeout = 5,
    /// CPing after connecting; 0 = none.
    ConnectTimeout = 6,
    /// CPing before each request; 0 = none.
    PrepostTimeout = 7,
    /// 0 = none.
    ReplyTimeout = 8,
    Retries = 9,
    RetryInterval = 10,
    /// `connection_ping_interval`
    PingInterval = 11,
    RecoveryOptions = 12,
    BusyLimit = 13,
    MaxPacketSize = 14,
}

/// A text of a member that can be changed, at most [`LONGEST`](crate::shared::LONGEST) bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum JkMemberText {
    Route = 0,
    Redirect = 1,
    Domain = 2,
    Host = 3,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum JkCounter {
    /// Requests given to the member by its balancer.
    Elected = 0,
    /// Requests without a session among them.
    Sessions = 1,
    Errors = 2,
    ClientErrors = 3,
    /// Halved at each maintenance.
    ReplyTimeouts = 4,
    /// Bytes received.
    Read = 5,
    /// Bytes sent.
    Transferred = 6,
    /// Requests served by the AJP worker.
    Used = 7,
    MaxBusy = 8,
    /// Open connections of all processes.
    Connected = 9,
    MaxConnected = 10,
    /// [`JkCounter::Used`] at the last maintenance.
    UsedBefore = 11,
}

/// How many numbers have a mark before the texts have theirs.
const NUMBERS: usize = 16;

/// Shared values of one member: what is decided by, what every request changes, what can be changed by hand.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct JkMemberSlot {
    state: AtomicU32,
    /// Which texts are in force in place of the file's.
    changed: AtomicU32,
    /// Raised with every change by hand.
    sequence: AtomicU32,
    lb_mult: AtomicU64,
    first_error: AtomicU64,
    last_error: AtomicU64,
    last_reset: AtomicU64,
    lb_value: AtomicU64,
    counters: Counters,
    numbers: [AtomicU64; NUMBERS],
    /// What the file said last: about the numbers, then about the texts.
    marks: [AtomicU64; NUMBERS + 8],
    texts: [SharedText; 4],
}

#[repr(C, align(64))]
#[derive(Debug)]
struct Counters([AtomicU64; 16]);

impl JkMemberSlot {
    pub fn state(&self) -> JkState {
        JkState::of_code(self.state.load(Acquire))
    }

    pub fn set_state(&self, state: JkState) {
        self.state.store(state as u32, Release);
    }

    /// Moves from one state to another; false if the state was a different one.
    pub fn move_state(&self, from: JkState, to: JkState) -> bool {
        self.state.compare_exchange(from as u32, to as u32, AcqRel, Relaxed).is_ok()
    }

    /// When the errors of the time since the last success began; 0 = there was none.
    pub fn first_error(&self) -> Moment {
        Moment(self.first_error.load(Relaxed))
    }

    /// When the last error was; 0 = never since the last success.
    pub fn last_error(&self) -> Moment {
        Moment(self.last_error.load(Relaxed))
    }

    /// Sets both times of errors.
    pub fn set_errors_at(&self, first: Moment, last: Moment) {
        self.first_error.store(first.0, Relaxed);
        self.last_error.store(last.0, Relaxed);
    }

    pub fn last_reset(&self) -> Moment {
        Moment(self.last_reset.load(Relaxed))
    }

    /// What each request adds to the value by which members are compared.
    pub fn lb_mult(&self) -> u64 {
        self.lb_mult.load(Relaxed).max(1)
    }

    pub fn set_lb_mult(&self, mult: u64) {
        self.lb_mult.store(mult, Relaxed);
    }

    /// The value by which members are compared.
    pub fn lb_value(&self) -> u64 {
        self.lb_value.load(Relaxed)
    }

    /// Changes the value; `next` may be asked more than once.
    pub fn update_lb_value(&self, next: impl Fn(u64) -> u64) {
        self.lb_value.update(Relaxed, Relaxed, next);
    }

    pub fn count(&self, counter: JkCounter) -> u64 {
        self.counters.0[counter as usize].load(Relaxed)
    }

    pub fn add(&self, counter: JkCounter, amount: u64) {
        self.counters.0[counter as usize].fetch_add(amount, Relaxed);
    }

    /// Never below zero.
    pub fn subtract(&self, counter: JkCounter, amount: u64) {
        self.counters.0[counter as usize].update(Relaxed, Relaxed, |count| count.saturating_sub(amount));
    }

    /// For counters that hold the largest value seen.
    pub fn raise(&self, counter: JkCounter, to: u64) {
        let place = &self.counters.0[counter as usize];
        if place.load(Relaxed) < to {
            place.fetch_max(to, Relaxed);
        }
    }

    pub fn set_count(&self, counter: JkCounter, to: u64) {
        self.counters.0[counter as usize].store(to, Relaxed);
    }

    /// The value in force.
    pub fn number(&self, which: JkMemberNumber) -> u64 {
        self.numbers[which as usize].load(Relaxed)
    }

    /// The text in place of the file's, if one was given by hand.
    pub fn text(&self, which: JkMemberText) -> Option<ShortText> {
        (self.changed.load(Acquire) & 1 << which as u32 != 0).then(|| self.texts[which as usize].read())
    }

    /// How many changes were made by hand.
    pub fn sequence(&self) -> u32 {
        self.sequence.load(Acquire)
    }

    /// Takes the number the file says, unless it says the same as before and `keep` is true.
    pub fn number_of_file(&self, which: JkMemberNumber, value: u64, keep: bool) {
        if !self.is_marked(which as usize, value) || !keep {
            self.numbers[which as usize].store(value, Relaxed);
        }
    }

    /// Goes back to the text of the file, unless its mark is the same as before and `keep` is true.
    pub fn text_of_file(&self, which: JkMemberText, mark: u64, keep: bool) {
        if !self.is_marked(NUMBERS + which as usize, mark) || !keep {
            self.changed.fetch_and(!(1 << which as u32), Release);
        }
    }

    fn is_marked(&self, place: usize, mark: u64) -> bool {
        // A place never marked holds 0, which no mark is.
        let mark = mark.wrapping_add(1).max(1);
        self.marks[place].swap(mark, Relaxed) == mark
    }

    /// Counts anew; the state is that of a member never used.
    pub fn reset_counters(&self, now: Moment) {
        // What is open stays open.
        let connected = self.count(JkCounter::Connected);
        for counter in &self.counters.0 {
            counter.store(0, Relaxed);
        }
        self.set_count(JkCounter::Connected, connected);
        self.set_count(JkCounter::MaxConnected, connected);
        self.set_state(JkState::Idle);
        self.set_errors_at(Moment(0), Moment(0));
        self.lb_value.store(0, Relaxed);
        self.last_reset.store(now.0, Relaxed);
    }

    /// Back to the state of a slot that was never used.
    pub(in crate::shared) fn reset(&self) {
        self.reset_counters(Moment(0));
        self.set_count(JkCounter::Connected, 0);
        self.set_count(JkCounter::MaxConnected, 0);
        for number in self.numbers.iter().chain(&self.marks).chain([&self.lb_mult]) {
            number.store(0, Relaxed);
        }
        self.changed.store(0, Relaxed);
        self.sequence.store(0, Relaxed);
    }
}

impl Administrator<'_> {
    /// Puts a number into force in place of the file's. After a change of [`JkMemberNumber::LbFactor`] the shares of the
    /// balancer are to be worked out anew.
    pub fn set_jk_member_number(&self, slot: &JkMemberSlot, which: JkMemberNumber, value: u64) {
        slot.numbers[which as usize].store(value, Relaxed);
        slot.sequence.fetch_add(1, AcqRel);
    }

    /// Puts a text into force in place of the file's.
    pub fn set_jk_member_text(&self, slot: &JkMemberSlot, which: JkMemberText, text: &ShortText) {
        slot.texts[which as usize].write(text);
        slot.changed.fetch_or(1 << which as u32, Release);
        slot.sequence.fetch_add(1, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::key::Key;
    use crate::shared::Region;
    use std::time::Duration;

    fn with_slot(test: impl FnOnce(&Region, &JkMemberSlot)) {
        let region = Region::private().unwrap();
        let slot = region.bind(1, &[Key::of(&["a"])], &[]).unwrap().members[0].slot;
        test(&region, region.jk_member(slot));
    }

    #[test]
    fn a_value_changed_by_hand_stays_until_the_file_says_something_else() {
        with_slot(|region, slot| {
            let administrator = region.administer(Duration::from_secs(60)).unwrap();
            let which = JkMemberNumber::Retries;
            slot.number_of_file(which, 2, false);
            administrator.set_jk_member_number(slot, which, 5);
            slot.number_of_file(which, 2, true);
            assert_eq!((slot.number(which), slot.sequence()), (5, 1));
            slot.number_of_file(which, 3, true);
            assert_eq!(slot.number(which), 3);

            let which = JkMemberText::Route;
            slot.text_of_file(which, 7, false);
            administrator.set_jk_member_text(slot, which, &ShortText::of(b"r").unwrap());
            slot.text_of_file(which, 7, true);
            assert_eq!(slot.text(which).unwrap().as_str(), "r");
            slot.text_of_file(which, 8, true);
            assert_eq!(slot.text(which), None);
        });
    }

    #[test]
    fn a_reset_keeps_what_is_no_count() {
        with_slot(|_, slot| {
            slot.number_of_file(JkMemberNumber::LbFactor, 4, false);
            slot.add(JkCounter::Elected, 3);
            slot.add(JkCounter::Connected, 2);
            slot.set_state(JkState::Error);
            slot.update_lb_value(|value| value + 9);
            slot.reset_counters(Moment(77));
            assert_eq!(
                (slot.count(JkCounter::Elected), slot.lb_value(), slot.state()),
                (0, 0, JkState::Idle)
            );
            assert_eq!((slot.count(JkCounter::Connected), slot.last_reset()), (2, Moment(77)));
            assert_eq!(slot.number(JkMemberNumber::LbFactor), 4);
        });
    }

    #[test]
    fn only_one_process_takes_the_trial() {
        with_slot(|_, slot| {
            slot.set_state(JkState::Recover);
            assert!(slot.move_state(JkState::Recover, JkState::Probe));
            assert!(!slot.move_state(JkState::Recover, JkState::Probe));
        });
    }
}
