// SPDX-License-Identifier: Apache-2.0
//! Whose check is due when. Time is an argument.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::base::clock::Moment;
use crate::config::plan::MemberId;

/// The members that are checked, by the time of their next check.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: BinaryHeap<Reverse<(Instant, MemberId)>>,
}

impl Schedule {
    pub fn add(&mut self, id: MemberId, due: Instant) {
        self.due.push(Reverse((due, id)));
    }

    /// The member that has been due longest, taken out of the schedule; with the time it was due.
    pub fn take_due(&mut self, now: Instant) -> Option<MemberId> {
        match self.due.peek() {
            Some(Reverse((due, _))) if *due <= now => self.due.pop().map(|Reverse((_, id))| id),
            _ => None,
        }
    }

    /// How long nothing is due; `None` if nothing ever is.
    pub fn pause(&self, now: Instant) -> Option<Duration> {
        self.due.peek().map(|Reverse((due, _))| due.saturating_duration_since(now))
    }
}

/// How long a member whose last check began at `last` has to wait, when another process begins to check. Without a last
/// check it is one interval, as at the start; also when `last` lies ahead, because the clock was set back.
pub(super) fn remaining(last: Option<Moment>, interval: Duration, now: Moment) -> Duration {
    match last {
        Some(last) if last <= now => interval.saturating_sub(now.since(last)),
        _ => interval,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_has_been_due_longest_comes_first() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.add(MemberId(0), start + 2 * SECOND);
        schedule.add(MemberId(1), start + SECOND);
        assert_eq!(schedule.take_due(start), None);
        assert_eq!(schedule.pause(start), Some(SECOND));
        let later = start + 3 * SECOND;
        assert_eq!(schedule.take_due(later), Some(MemberId(1)));
        assert_eq!(schedule.take_due(later), Some(MemberId(0)));
        assert_eq!((schedule.take_due(later), schedule.pause(later)), (None, None));
    }

    #[test]
    fn another_process_goes_on_where_the_last_one_was() {
        let now = Moment(1_790_000_000_000);
        let ago = |seconds: u64| Some(Moment(now.0 - seconds * 1000));
        assert_eq!(remaining(ago(10), 30 * SECOND, now), 20 * SECOND);
        assert_eq!(remaining(ago(31), 30 * SECOND, now), Duration::ZERO);
        assert_eq!(remaining(None, 30 * SECOND, now), 30 * SECOND);
        assert_eq!(remaining(Some(Moment(now.0 + 1)), 30 * SECOND, now), 30 * SECOND);
    }
}
