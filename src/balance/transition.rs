// SPDX-License-Identifier: Apache-2.0
//! How the state of a member moves: the only place that decides it.
//!
//! | event | moves if | to |
//! |---|---|---|
//! | connect failed, exchange failed, `failonstatus`, `failontimeout` | not `Ign` | `Err`, error time now |
//! | retry due | `Err`, not `Stop`, and `Ign` or the rest is over | not `Err`, retries + 1 |
//! | forced recovery | `Err` | not `Err`, retries + 1 |
//! | alive | retries or an error time are noted | retries 0, no error time; `Err` stays until a retry is due |
//! | `hcfails` checks failed | always | `HcFl`, whatever `retry` and `forcerecovery` say |
//! | `hcpasses` checks were good | `HcFl` or `Err` | neither, retries 0, no error time |
//! | the agent sees a node come back | `Err`, not `Stop` | not `Err`, retries 0, no error time |
//! | administrator | always | the flags asked for; where that clears `Err`, also no retries and no error time |
//!
//! What the agent says when a node goes is no state: it stands beside the state word, and who chooses looks at both.

use std::time::Duration;

use crate::base::clock::Moment;
use crate::base::status::Status;
use crate::shared::{Change, MemberSlot, Reason, State};

/// What happened to a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// No connection could be made, or none was free in time, or CPing was not answered.
    ConnectFailed,
    /// An attempt ended with 500 or 503 of our own making.
    ExchangeFailed,
    /// The final status is in `failonstatus`.
    FailOnStatus,
    /// No answer in time, and `failontimeout` is on.
    FailOnTimeout,
    /// A connection was made or an answer came.
    Alive,
    /// The member is looked at for a request; `retry` is how long it rests after an error.
    RetryDue { retry: Duration },
    /// All members of the balancer are in the error state, and `forcerecovery` is on.
    ForcedRecovery,
    /// As many health checks failed as `hcfails` says.
    ChecksFailed,
    /// As many health checks were good as `hcpasses` says.
    ChecksPassed,
    /// The agent saw the member's node join the cluster after the error, and its connector answers.
    NodeBack,
    /// An administrator sets and clears flags.
    Admin { set: Status, clear: Status },
}

impl Event {
    /// What is noted as the reason of a change.
    pub fn reason(self) -> Reason {
        match self {
            Event::ConnectFailed => Reason::ConnectFailed,
            Event::ExchangeFailed => Reason::ExchangeFailed,
            Event::FailOnStatus => Reason::FailOnStatus,
            Event::FailOnTimeout => Reason::FailOnTimeout,
            Event::Alive => Reason::Alive,
            Event::RetryDue { .. } => Reason::RetryDue,
            Event::ForcedRecovery => Reason::ForcedRecovery,
            Event::ChecksFailed => Reason::ChecksFailed,
            Event::ChecksPassed => Reason::ChecksPassed,
            Event::NodeBack => Reason::NodeBack,
            Event::Admin { .. } => Reason::Admin,
        }
    }
}

/// The state after an event; `None` = it stays as it is.
pub fn next(state: State, event: Event, now: Moment) -> Option<State> {
    let status = state.status;
    match event {
        Event::ConnectFailed | Event::ExchangeFailed | Event::FailOnStatus | Event::FailOnTimeout => {
            (!status.has(Status::IGNORE_ERRORS)).then(|| state.failed(now))
        }
        Event::Alive => (!status.has(Status::ERROR)).then(|| state.proven()),
        Event::RetryDue { retry } => is_retry_due(state, retry, now).then(|| state.retried()),
        Event::ForcedRecovery => status.has(Status::ERROR).then(|| state.retried()),
        Event::ChecksFailed => Some(state.with_status(status.with(Status::HC_FAIL))),
        Event::ChecksPassed => {
            let is_out = status.has_any(Status::HC_FAIL.with(Status::ERROR));
            let back = status.without(Status::HC_FAIL.with(Status::ERROR));
            is_out.then(|| state.with_status(back).proven())
        }
        Event::NodeBack => {
            let is_out = status.has(Status::ERROR) && !status.has(Status::STOPPED);
            is_out.then(|| state.with_status(status.without(Status::ERROR)).proven())
        }
        Event::Admin { set, clear } => Some(administered(state, status.without(clear).with(set))),
    }
    .filter(|after| *after != state)
}

/// Moves a member's state; `None` if the event changes nothing, or another process already made the move.
pub fn apply(slot: &MemberSlot, event: Event, now: Moment) -> Option<Change> {
    slot.update(now, event.reason(), |state| next(state, event, now))
}

fn is_retry_due(state: State, retry: Duration, now: Moment) -> bool {
    let status = state.status;
    status.has(Status::ERROR)
        && !status.has(Status::STOPPED)
        && (status.has(Status::IGNORE_ERRORS) || state.has_rested(now, retry))
}

fn administered(state: State, status: Status) -> State {
    let clears_error = state.status.has(Status::ERROR) && !status.has(Status::ERROR);
    let state = state.with_status(status);
    if clears_error { state.proven() } else { state }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(5_000_000);
    const RETRY: Duration = Duration::from_secs(60);
    const DUE: Event = Event::RetryDue { retry: RETRY };
    const UP: State = State::fresh(Status::INIT);

    fn with(flags: Status) -> State {
        UP.with_status(Status::INIT.with(flags))
    }

    #[test]
    fn every_failure_leads_to_the_error_state() {
        for event in [Event::ConnectFailed, Event::ExchangeFailed, Event::FailOnStatus, Event::FailOnTimeout]
        {
            assert_eq!(next(UP, event, NOW), Some(UP.failed(NOW)), "{event:?}");
            assert_eq!(next(with(Status::IGNORE_ERRORS), event, NOW), None, "{event:?}");
        }
    }

    #[test]
    fn a_member_is_tried_again_only_after_its_rest() {
        let down = UP.failed(NOW);
        assert_eq!(next(down, DUE, Moment(NOW.0 + 60_000)), None);
        let retried = next(down, DUE, Moment(NOW.0 + 60_001)).unwrap();
        assert_eq!((retried.status, retried.retries), (Status::INIT, 1));
        assert_eq!(next(UP, DUE, NOW), None);
    }

    #[test]
    fn a_stopped_member_is_not_brought_back_by_time() {
        let stopped = with(Status::STOPPED).failed(NOW);
        assert_eq!(next(stopped, DUE, Moment(NOW.0 + 90_000)), None);
    }

    #[test]
    fn a_member_that_ignores_errors_leaves_the_error_state_at_once() {
        let state = with(Status::IGNORE_ERRORS.with(Status::ERROR)).failed(NOW);
        assert!(!next(state, DUE, NOW).unwrap().status.has(Status::ERROR));
    }

    #[test]
    fn forced_recovery_clears_the_error_and_nothing_else() {
        let state = with(Status::DISABLED.with(Status::HC_FAIL)).failed(NOW);
        let forced = next(state, Event::ForcedRecovery, NOW).unwrap();
        assert_eq!(forced.status, with(Status::DISABLED.with(Status::HC_FAIL)).status);
        assert_eq!(forced.retries, 1);
        assert_eq!(next(UP, Event::ForcedRecovery, NOW), None);
    }

    #[test]
    fn neither_time_nor_need_brings_back_what_failed_its_checks() {
        let failed = next(UP, Event::ChecksFailed, NOW).unwrap();
        assert_eq!(failed, with(Status::HC_FAIL));
        assert_eq!(next(failed, DUE, Moment(NOW.0 + 90_000)), None);
        assert_eq!(next(failed, Event::ForcedRecovery, NOW), None);
        assert_eq!(next(failed, Event::Alive, NOW), None);
        assert_eq!(next(failed, Event::ChecksFailed, NOW), None);
    }

    #[test]
    fn good_checks_clear_both_kinds_of_failure_before_the_rest_is_over() {
        let down = with(Status::HC_FAIL).failed(NOW);
        assert_eq!(next(down, Event::ChecksPassed, NOW), Some(UP));
        assert_eq!(next(UP.failed(NOW), Event::ChecksPassed, NOW), Some(UP));
        assert_eq!(next(UP, Event::ChecksPassed, NOW), None);
    }

    #[test]
    fn a_member_that_ignores_errors_still_fails_its_checks() {
        let ignoring = with(Status::IGNORE_ERRORS);
        assert!(next(ignoring, Event::ChecksFailed, NOW).unwrap().status.has(Status::HC_FAIL));
    }

    #[test]
    fn a_proof_of_life_ends_the_count_of_retries() {
        let retried = UP.failed(NOW).retried();
        assert_eq!(next(retried, Event::Alive, NOW), Some(UP));
        assert_eq!(next(UP, Event::Alive, NOW), None);
        assert_eq!(next(UP.failed(NOW), Event::Alive, NOW), None);
    }

    #[test]
    fn a_node_that_is_back_ends_the_rest_and_touches_nothing_else() {
        let flags = Status::DISABLED.with(Status::HC_FAIL);
        assert_eq!(next(with(flags).failed(NOW), Event::NodeBack, NOW), Some(with(flags)));
        assert_eq!(next(UP.failed(NOW).retried().failed(NOW), Event::NodeBack, NOW), Some(UP));
        assert_eq!(next(UP, Event::NodeBack, NOW), None);
        assert_eq!(next(with(Status::STOPPED).failed(NOW), Event::NodeBack, NOW), None);
    }

    #[test]
    fn an_administrator_sets_and_clears_flags() {
        let admin = |set, clear| Event::Admin { set, clear };
        let none = Status::default();
        assert_eq!(next(UP, admin(Status::DRAIN, none), NOW), Some(with(Status::DRAIN)));
        assert_eq!(next(UP.failed(NOW).retried().failed(NOW), admin(none, Status::ERROR), NOW), Some(UP));
        assert_eq!(next(UP, admin(none, Status::DRAIN), NOW), None);
    }
}
