// SPDX-License-Identifier: Apache-2.0
//! What all processes know of one member: its state word, the values in force, its counters.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};
use std::time::Duration;

use crate::base::clock::Moment;
use crate::base::status::Status;

/// One member. Three lines of 64 bytes: what is decided by, what every request changes, what is only summed up.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct MemberSlot {
    state: AtomicU64,
    /// Time of the last change of status (upper 48 bits, ms) and its [`Reason`].
    changed: AtomicU64,
    load_factor: AtomicU32,
    lbset: AtomicU32,
    /// What the agent says: time and [`Reason`] as in `changed`; 0 = nothing. It counts only while the agent is heard.
    gone: AtomicU64,
    /// Also the agent's word: its node is one of the cluster ([`IN_CLUSTER`]), and lives ([`LIVES`]).
    node: AtomicU32,
    turn: Turn,
    sums: Sums,
}

#[repr(C, align(64))]
#[derive(Debug)]
struct Turn {
    elected: AtomicU64,
    lbstatus: AtomicI64,
    busy: AtomicU32,
}

#[repr(C, align(64))]
#[derive(Debug)]
struct Sums {
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    errors: AtomicU64,
}

const IN_CLUSTER: u32 = 1;
const LIVES: u32 = 2;
const FLAG_BITS: u32 = 12;
const RETRY_BITS: u32 = 12;
const FLAGS: u64 = (1 << FLAG_BITS) - 1;
const RETRIES: u64 = (1 << RETRY_BITS) - 1;
/// 40 bits of milliseconds last 34 years, so the error time is kept modulo that and read relative to now.
const TIMES: u64 = (1 << 40) - 1;

/// The state word, unpacked: changed as a whole by compare and swap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct State {
    pub status: Status,
    /// How often the error state was left without a successful connection since; at most 4095.
    pub retries: u16,
    /// Time of the last error modulo 2^40 ms; 0 = none.
    error_time: u64,
}

impl State {
    /// A state with these flags, no retries and no error time.
    pub const fn fresh(status: Status) -> State {
        State { status, retries: 0, error_time: 0 }
    }

    /// This state with other flags.
    pub fn with_status(self, status: Status) -> State {
        State { status, ..self }
    }

    /// In the error state from `now` on.
    pub fn failed(self, now: Moment) -> State {
        State { error_time: (now.0 & TIMES).max(1), ..self.with_status(self.status.with(Status::ERROR)) }
    }

    /// Out of the error state, one retry more.
    pub fn retried(self) -> State {
        let retries = self.retries.saturating_add(1).min(RETRIES as u16);
        State { retries, ..self.with_status(self.status.without(Status::ERROR)) }
    }

    /// Proven alive: no retries, no error time. The flags stay.
    pub fn proven(self) -> State {
        State::fresh(self.status)
    }

    /// How long ago the last error was; `None` without one, zero if it lies ahead (a clock set back).
    pub fn error_age(self, now: Moment) -> Option<Duration> {
        (self.error_time != 0).then(|| Duration::from_millis(u64::try_from(self.age_ms(now)).unwrap_or(0)))
    }

    /// Out of the error state only to be tried: since the last error nothing has proven the member alive.
    pub fn is_unproven(self) -> bool {
        self.retries > 0 && self.error_time != 0
    }

    /// Is the rest of `retry` over? Always without an error time, and with `retry=0`. An error that lies further ahead than the rest is
    /// long shows that the clock was set back: then waiting for it makes no sense.
    pub fn has_rested(self, now: Moment, retry: Duration) -> bool {
        let retry_ms = i64::try_from(retry.as_millis()).unwrap_or(i64::MAX);
        let age = self.age_ms(now);
        self.error_time == 0 || retry_ms == 0 || age > retry_ms || -age > retry_ms
    }

    /// Signed distance from the error to now, on the circle of 2^40 ms.
    fn age_ms(self, now: Moment) -> i64 {
        let forward = now.0.wrapping_sub(self.error_time) & TIMES;
        let signed = if forward > TIMES / 2 { forward | !TIMES } else { forward };
        signed.cast_signed()
    }

    fn pack(self) -> u64 {
        u64::from(self.status.0) & FLAGS
            | (u64::from(self.retries) & RETRIES) << FLAG_BITS
            | (self.error_time & TIMES) << (FLAG_BITS + RETRY_BITS)
    }

    fn unpack(word: u64) -> State {
        State {
            status: Status((word & FLAGS) as u16),
            retries: (word >> FLAG_BITS & RETRIES) as u16,
            error_time: word >> (FLAG_BITS + RETRY_BITS),
        }
    }
}

/// Why the status of a member changed last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u16)]
pub enum Reason {
    /// It never changed.
    #[default]
    None = 0,
    /// The configuration was read.
    Plan = 1,
    /// No connection could be made.
    ConnectFailed = 2,
    /// An exchange ended with 500 or 503.
    ExchangeFailed = 3,
    /// The answer's status is in `failonstatus`.
    FailOnStatus = 4,
    /// No answer in time (`failontimeout`).
    FailOnTimeout = 5,
    /// The rest after an error is over.
    RetryDue = 6,
    /// All members were in the error state.
    ForcedRecovery = 7,
    /// An administrator changed it.
    Admin = 8,
    /// A connection or an answer proved the member alive.
    Alive = 9,
    /// `hcfails` health checks failed.
    ChecksFailed = 10,
    /// `hcpasses` health checks were good.
    ChecksPassed = 11,
    /// The agent heard the node say that it stops.
    NodeLeft = 12,
    /// The agent found the node silent, and no connection to it could be made.
    NodeDead = 13,
    /// The node takes no connections from the agent.
    NodeRefuses = 14,
    /// The agent found the node in the cluster, or its connector answering.
    NodeBack = 15,
    /// The agent was silent for a while, so what it had said counts no more.
    AgentSilent = 16,
    /// The agent found the node silent, and its connector open without an answer.
    NodeHangs = 17,
}

impl Reason {
    const ALL: [Reason; 18] = [
        Reason::None,
        Reason::Plan,
        Reason::ConnectFailed,
        Reason::ExchangeFailed,
        Reason::FailOnStatus,
        Reason::FailOnTimeout,
        Reason::RetryDue,
        Reason::ForcedRecovery,
        Reason::Admin,
        Reason::Alive,
        Reason::ChecksFailed,
        Reason::ChecksPassed,
        Reason::NodeLeft,
        Reason::NodeDead,
        Reason::NodeRefuses,
        Reason::NodeBack,
        Reason::AgentSilent,
        Reason::NodeHangs,
    ];

    /// In the words of a sentence; empty for [`Reason::None`].
    pub fn words(self) -> &'static str {
        match self {
            Reason::None => "",
            Reason::Plan => "the configuration was read",
            Reason::ConnectFailed => "no connection could be made",
            Reason::ExchangeFailed => "a request failed",
            Reason::FailOnStatus => "it answered with a status of failonstatus",
            Reason::FailOnTimeout => "it did not answer in time",
            Reason::RetryDue => "its rest after an error is over",
            Reason::ForcedRecovery => "all members had failed, so all are tried again",
            Reason::Admin => "changed by an administrator",
            Reason::Alive => "it is reachable",
            Reason::ChecksFailed => "it failed its health checks",
            Reason::ChecksPassed => "it passed its health checks",
            Reason::NodeLeft => "its node told the cluster that it stops",
            Reason::NodeDead => "its node is silent in the cluster and takes no connection",
            Reason::NodeRefuses => "its node takes no connection",
            Reason::NodeBack => "the agent sees that its node answers again",
            Reason::AgentSilent => "the agent was silent, so what it had said counts no more",
            Reason::NodeHangs => "its node is silent in the cluster and does not answer",
        }
    }

    fn of_code(code: u64) -> Reason {
        usize::try_from(code).ok().and_then(|at| Self::ALL.get(at)).copied().unwrap_or_default()
    }
}

/// A move from one state to another that this process made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    pub from: State,
    pub to: State,
}

impl Change {
    /// True if the member left or entered the error state, or an administrator's flag changed.
    pub fn is_of_status(&self) -> bool {
        self.from.status != self.to.status
    }
}

impl MemberSlot {
    pub fn state(&self) -> State {
        State::unpack(self.state.load(Acquire))
    }

    pub fn status(&self) -> Status {
        self.state().status
    }

    /// Moves the state by compare and swap; `next` is asked again when another process was faster, and says `None`
    /// to leave the state alone. Which moves are legal is decided by the caller, in one place for all.
    pub fn update(
        &self,
        now: Moment,
        reason: Reason,
        next: impl Fn(State) -> Option<State>,
    ) -> Option<Change> {
        let step = |word| {
            let old = State::unpack(word);
            next(old).filter(|new| *new != old).map(State::pack)
        };
        let old = self.state.try_update(AcqRel, Acquire, step).ok()?;
        let from = State::unpack(old);
        let to = next(from)?;
        if from.status != to.status {
            self.changed.store(now.0 << 16 | u64::from(reason as u16), Relaxed);
        }
        Some(Change { from, to })
    }

    /// Has the agent taken the member out? Whether that counts says [`super::AgentSlot::is_heard`].
    pub fn is_gone(&self) -> bool {
        self.gone.load(Relaxed) != 0
    }

    /// When and why the agent took the member out.
    pub fn gone(&self) -> Option<(Moment, Reason)> {
        let packed = self.gone.load(Acquire);
        (packed != 0).then(|| (Moment(packed >> 16), Reason::of_code(packed & 0xffff)))
    }

    /// The agent takes the member out. No flag and no error of the member is touched.
    pub fn take_out(&self, now: Moment, reason: Reason) {
        let packed = now.0 << 16 | u64::from(reason as u16);
        self.gone.store(packed, Release);
        self.changed.store(packed, Relaxed);
    }

    /// What the agent said counts no more: it says so itself, or a request or a check was answered. True if it had said anything.
    pub fn put_back(&self, now: Moment, reason: Reason) -> bool {
        let was_out = self.gone.swap(0, AcqRel) != 0;
        if was_out {
            self.changed.store(now.0 << 16 | u64::from(reason as u16), Relaxed);
        }
        was_out
    }

    /// The agent says whether it knows the member's node, and whether that lives. Nodes of a cluster have each other's sessions.
    pub fn set_node(&self, is_known: bool, lives: bool) {
        let node = if is_known { IN_CLUSTER } else { 0 } | if is_known && lives { LIVES } else { 0 };
        self.node.store(node, Relaxed);
    }

    /// Have others copies of its sessions? Counts only while the agent is heard.
    pub fn is_replicated(&self) -> bool {
        self.node.load(Relaxed) & IN_CLUSTER != 0
    }

    /// Has it copies of the sessions of others, and lives? Counts only while the agent is heard.
    pub fn has_replicas(&self) -> bool {
        self.node.load(Relaxed) & LIVES != 0
    }

    /// When and why the status changed last.
    pub fn last_change(&self) -> (Moment, Reason) {
        let packed = self.changed.load(Relaxed);
        (Moment(packed >> 16), Reason::of_code(packed & 0xffff))
    }

    /// Load factor in force, × 100, at least 1.
    pub fn load_factor(&self) -> u32 {
        self.load_factor.load(Relaxed).max(1)
    }

    pub fn set_load_factor(&self, factor: u32) {
        self.load_factor.store(factor, Relaxed);
    }

    /// `lbset` in force.
    pub fn lbset(&self) -> u32 {
        self.lbset.load(Relaxed)
    }

    pub fn set_lbset(&self, lbset: u32) {
        self.lbset.store(lbset, Relaxed);
    }

    /// How often the member was chosen, failed attempts included.
    pub fn elected(&self) -> u64 {
        self.turn.elected.load(Relaxed)
    }

    pub fn count_elected(&self) {
        self.turn.elected.fetch_add(1, Relaxed);
    }

    /// Counts on from an earlier run.
    pub fn add_elected(&self, times: u64) {
        self.turn.elected.fetch_add(times, Relaxed);
    }

    /// Requests the member is working on, over all processes.
    pub fn busy(&self) -> u32 {
        self.turn.busy.load(Relaxed)
    }

    pub(super) fn raise_busy(&self) {
        self.turn.busy.fetch_add(1, Relaxed);
    }

    /// Never below zero: a count that a crash left one too low is right again when the member is idle.
    pub(super) fn lower_busy(&self, by: u32) {
        self.turn.busy.update(Relaxed, Relaxed, |busy| busy.saturating_sub(by));
    }

    /// The counter by which requests are shared out.
    pub fn lbstatus(&self) -> i64 {
        self.turn.lbstatus.load(Relaxed)
    }

    /// Adds to the counter and returns the new value.
    pub fn add_lbstatus(&self, amount: i64) -> i64 {
        self.turn.lbstatus.fetch_add(amount, Relaxed).wrapping_add(amount)
    }

    /// Begins counting turns anew from `value`.
    pub fn set_lbstatus(&self, value: i64) {
        self.turn.lbstatus.store(value, Relaxed);
    }

    /// Body bytes received from the member.
    pub fn bytes_read(&self) -> u64 {
        self.sums.bytes_read.load(Relaxed)
    }

    pub fn add_bytes_read(&self, bytes: u64) {
        self.sums.bytes_read.fetch_add(bytes, Relaxed);
    }

    /// Body bytes sent to the member.
    pub fn bytes_written(&self) -> u64 {
        self.sums.bytes_written.load(Relaxed)
    }

    pub fn add_bytes_written(&self, bytes: u64) {
        self.sums.bytes_written.fetch_add(bytes, Relaxed);
    }

    /// Begins counting bytes in both directions anew.
    pub fn forget_traffic(&self) {
        self.sums.bytes_read.store(0, Relaxed);
        self.sums.bytes_written.store(0, Relaxed);
    }

    /// Attempts that failed.
    pub fn errors(&self) -> u64 {
        self.sums.errors.load(Relaxed)
    }

    pub fn count_error(&self) {
        self.sums.errors.fetch_add(1, Relaxed);
    }

    /// Back to the state of a slot that was never used.
    pub(super) fn reset(&self) {
        for counter in [
            &self.state,
            &self.changed,
            &self.gone,
            &self.turn.elected,
            &self.sums.bytes_read,
            &self.sums.bytes_written,
            &self.sums.errors,
        ] {
            counter.store(0, Relaxed);
        }
        for counter in [&self.load_factor, &self.lbset, &self.turn.busy] {
            counter.store(0, Relaxed);
        }
        self.turn.lbstatus.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_790_000_000_123);
    const REST: Duration = Duration::from_secs(60);

    fn later(ms: u64) -> Moment {
        Moment(NOW.0 + ms)
    }

    #[test]
    fn the_state_word_holds_every_part() {
        let state = State { status: Status(0xfff), retries: 4095, error_time: TIMES };
        assert_eq!(State::unpack(state.pack()), state);
        assert_eq!(State::unpack(0), State::default());
        let failed = State::fresh(Status::INIT).failed(NOW).retried();
        assert_eq!(State::unpack(failed.pack()), failed);
    }

    #[test]
    fn a_failed_member_rests_strictly_longer_than_its_retry_period() {
        let state = State::fresh(Status::INIT).failed(NOW);
        assert!(!state.has_rested(later(60_000), REST));
        assert!(state.has_rested(later(60_001), REST));
        assert_eq!(state.error_age(later(5)), Some(Duration::from_millis(5)));
    }

    #[test]
    fn without_a_retry_period_there_is_no_rest() {
        assert!(State::fresh(Status::INIT).failed(NOW).has_rested(NOW, Duration::ZERO));
    }

    #[test]
    fn an_error_without_a_time_has_rested() {
        assert!(State::fresh(Status::INIT.with(Status::ERROR)).has_rested(NOW, REST));
    }

    #[test]
    fn a_clock_set_back_does_not_keep_a_member_out() {
        let state = State::fresh(Status::INIT).failed(NOW);
        assert!(!state.has_rested(Moment(NOW.0 - 60_000), REST));
        assert!(state.has_rested(Moment(NOW.0 - 60_001), REST));
        assert_eq!(state.error_age(Moment(NOW.0 - 5)), Some(Duration::ZERO));
    }

    #[test]
    fn the_rest_ends_also_where_the_forty_bits_turn_over() {
        let edge = Moment((TIMES + 1) * 2 - 1);
        let state = State::fresh(Status::INIT).failed(edge);
        assert!(!state.has_rested(Moment(edge.0 + 10), REST));
        assert!(state.has_rested(Moment(edge.0 + 60_001), REST));
    }

    #[test]
    fn retries_stop_counting_at_their_limit() {
        let state = (0..5000).fold(State::default(), |state, _| state.retried());
        assert_eq!(state.retries, 4095);
        assert_eq!(state.proven().retries, 0);
    }

    #[test]
    fn what_the_agent_says_touches_neither_flags_nor_errors() {
        let region = crate::shared::Region::private().unwrap();
        let key = crate::base::key::Key::of(&["a"]);
        let slot = region.member(region.bind(1, &[key], &[]).unwrap().members[0].slot);
        slot.update(NOW, Reason::Plan, |_| Some(State::fresh(Status::INIT).failed(NOW)));
        let before = slot.state();
        slot.take_out(later(5), Reason::NodeLeft);
        assert_eq!((slot.state(), slot.gone()), (before, Some((later(5), Reason::NodeLeft))));
        assert_eq!(slot.last_change(), (later(5), Reason::NodeLeft));
        assert!(slot.put_back(later(9), Reason::Alive));
        assert_eq!((slot.state(), slot.gone()), (before, None));
        assert!(!slot.put_back(later(10), Reason::NodeBack));
        assert_eq!(slot.last_change(), (later(9), Reason::Alive));
    }

    #[test]
    fn every_reason_is_read_back() {
        for (code, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, code);
            assert_eq!(Reason::of_code(code as u64), reason);
        }
        assert_eq!(Reason::of_code(0xffff), Reason::None);
    }
}
