// SPDX-License-Identifier: Apache-2.0
//! What the result of a request does to its member: in shared memory, and for the rest of the same request.

use std::time::Duration;

use super::in_force::millis;
use crate::base::clock::Moment;
use crate::shared::{JkCounter, JkMemberSlot, JkState};

/// How a member did with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JkResult {
    Success,
    /// The client failed; the member did nothing wrong.
    Client,
    /// This module failed, or bytes came that are no AJP, or a kept connection had ended: not the state of the member.
    NotItsState,
    /// A status in `fail_on_status` with a minus.
    SoftStatus,
    /// A status in `fail_on_status`.
    HardStatus,
    /// No free connection, or more requests than `busy_limit`.
    Busy,
    ReplyTimeout,
    /// No connection, or it ended, or a message was malformed.
    Failed,
}

/// What decides over the weight of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// Other requests are under way on the member: it cannot be as broken as that.
    pub others_at_work: bool,
    /// How long errors last already; `None`: this is the first.
    pub errors_for: Option<Duration>,
    /// `error_escalation_time`
    pub escalation: Duration,
    /// Timeouts since the last success or decay, this one included.
    pub reply_timeouts: u64,
    /// `max_reply_timeouts`
    pub max_reply_timeouts: u64,
}

/// A step of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// For all processes.
    pub shared: JkState,
    /// For the rest of this request.
    pub local: JkState,
    pub errors: ErrorTimes,
    /// The request counts as an error of the member.
    pub counts: bool,
}

/// What becomes of the times of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorTimes {
    Cleared,
    Kept,
    /// The first if there was none before.
    Begun,
    /// As [`ErrorTimes::Begun`], and the last is now.
    Marked,
    /// Both are now.
    Now,
}

/// The table: from the state in shared memory and a result to the next state.
pub fn step(now_shared: JkState, result: JkResult, of: Circumstances) -> Step {
    let unless_failed = if now_shared == JkState::Error { JkState::Error } else { JkState::Ok };
    let failed = |errors| Step { shared: JkState::Error, local: JkState::Error, errors, counts: true };
    let only_local = |shared, errors| Step { shared, local: JkState::Error, errors, counts: false };
    match result {
        JkResult::Success => {
            Step { shared: JkState::Ok, local: JkState::Ok, errors: ErrorTimes::Cleared, counts: false }
        }
        JkResult::Client | JkResult::SoftStatus => only_local(JkState::Ok, ErrorTimes::Cleared),
        JkResult::NotItsState => only_local(unless_failed, ErrorTimes::Kept),
        JkResult::HardStatus => failed(ErrorTimes::Now),
        JkResult::Busy => {
            let shared = if now_shared == JkState::Error { JkState::Error } else { JkState::Busy };
            Step { shared, local: JkState::Busy, errors: ErrorTimes::Kept, counts: false }
        }
        JkResult::ReplyTimeout if of.reply_timeouts > of.max_reply_timeouts => failed(ErrorTimes::Marked),
        JkResult::ReplyTimeout => only_local(unless_failed, ErrorTimes::Kept),
        JkResult::Failed => {
            let escalates = of.escalation.is_zero() || of.errors_for.is_some_and(|age| age >= of.escalation);
            if escalates || !of.others_at_work {
                failed(ErrorTimes::Marked)
            } else {
                Step { counts: true, ..only_local(unless_failed, ErrorTimes::Begun) }
            }
        }
    }
}

/// Takes the step; returns the state for the rest of the request.
pub fn apply(
    slot: &JkMemberSlot,
    result: JkResult,
    others_at_work: bool,
    limits: (Duration, u64),
    now: Moment,
) -> Step {
    match result {
        JkResult::Client => slot.add(JkCounter::ClientErrors, 1),
        JkResult::ReplyTimeout => slot.add(JkCounter::ReplyTimeouts, 1),
        _ => {}
    }
    let first = slot.first_error();
    let circumstances = Circumstances {
        others_at_work,
        errors_for: (first.0 > 0).then(|| now.since(first)),
        escalation: limits.0,
        reply_timeouts: slot.count(JkCounter::ReplyTimeouts),
        max_reply_timeouts: limits.1,
    };
    let before = slot.state();
    let step = step(before, result, circumstances);
    if step.counts {
        slot.add(JkCounter::Errors, 1);
    }
    let began = if first.0 > 0 { first } else { now };
    match step.errors {
        ErrorTimes::Cleared if first.0 > 0 || slot.last_error().0 > 0 => {
            slot.set_errors_at(Moment(0), Moment(0));
        }
        ErrorTimes::Cleared | ErrorTimes::Kept => {}
        ErrorTimes::Begun => slot.set_errors_at(began, slot.last_error()),
        ErrorTimes::Marked => slot.set_errors_at(began, now),
        ErrorTimes::Now => slot.set_errors_at(now, now),
    }
    // Unchanged is the usual case, and all processes read the word.
    if step.shared != before {
        slot.set_state(step.shared);
    }
    step
}

/// Milliseconds of shared memory as a length of time.
pub fn length(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Is the time of an error as old as this? For pages.
pub fn time_to_recover(slot: &JkMemberSlot, recover_time: u64, now: Moment) -> Option<Duration> {
    let rested = millis(now.since(slot.last_error()));
    (slot.state() == JkState::Error).then(|| length(recover_time.saturating_sub(rested)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Circumstances = Circumstances {
        others_at_work: false,
        errors_for: None,
        escalation: Duration::from_secs(30),
        reply_timeouts: 1,
        max_reply_timeouts: 0,
    };

    const STATES: [JkState; 7] = [
        JkState::Idle,
        JkState::Ok,
        JkState::Recover,
        JkState::Force,
        JkState::Busy,
        JkState::Error,
        JkState::Probe,
    ];

    #[test]
    fn a_success_heals_whatever_was_before() {
        for state in STATES {
            let step = step(state, JkResult::Success, ALONE);
            assert_eq!(
                (step.shared, step.local, step.errors),
                (JkState::Ok, JkState::Ok, ErrorTimes::Cleared)
            );
        }
    }

    #[test]
    fn a_client_that_fails_and_a_soft_status_leave_the_member_in_service() {
        for (state, result) in
            STATES.into_iter().flat_map(|s| [(s, JkResult::Client), (s, JkResult::SoftStatus)])
        {
            let step = step(state, result, ALONE);
            assert_eq!((step.shared, step.local), (JkState::Ok, JkState::Error));
        }
    }

    #[test]
    fn what_is_not_the_members_state_does_not_take_it_out_of_error() {
        for state in STATES {
            let expected = if state == JkState::Error { JkState::Error } else { JkState::Ok };
            assert_eq!(step(state, JkResult::NotItsState, ALONE).shared, expected);
        }
    }

    #[test]
    fn a_busy_member_is_not_a_failed_one() {
        assert_eq!(step(JkState::Ok, JkResult::Busy, ALONE).shared, JkState::Busy);
        assert_eq!(step(JkState::Error, JkResult::Busy, ALONE).shared, JkState::Error);
        assert!(!step(JkState::Ok, JkResult::Busy, ALONE).counts);
    }

    #[test]
    fn a_failure_marks_the_member_unless_others_are_at_work_there() {
        let at_work = Circumstances { others_at_work: true, ..ALONE };
        assert_eq!(step(JkState::Ok, JkResult::Failed, ALONE).shared, JkState::Error);
        let kept = step(JkState::Ok, JkResult::Failed, at_work);
        assert_eq!((kept.shared, kept.local, kept.errors), (JkState::Ok, JkState::Error, ErrorTimes::Begun));

        let old = Circumstances { errors_for: Some(Duration::from_secs(30)), ..at_work };
        assert_eq!(step(JkState::Ok, JkResult::Failed, old).shared, JkState::Error);
        let young = Circumstances { errors_for: Some(Duration::from_secs(29)), ..at_work };
        assert_eq!(step(JkState::Ok, JkResult::Failed, young).shared, JkState::Ok);
        let at_once = Circumstances { escalation: Duration::ZERO, ..at_work };
        assert_eq!(step(JkState::Ok, JkResult::Failed, at_once).shared, JkState::Error);
    }

    #[test]
    fn reply_timeouts_mark_the_member_above_their_number() {
        let third = Circumstances { reply_timeouts: 3, max_reply_timeouts: 3, ..ALONE };
        assert_eq!(step(JkState::Ok, JkResult::ReplyTimeout, third).shared, JkState::Ok);
        let fourth = Circumstances { reply_timeouts: 4, ..third };
        assert_eq!(step(JkState::Ok, JkResult::ReplyTimeout, fourth).shared, JkState::Error);
        assert_eq!(step(JkState::Ok, JkResult::ReplyTimeout, ALONE).shared, JkState::Error);
    }
}
