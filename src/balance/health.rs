// SPDX-License-Identifier: Apache-2.0
//! What the result of a health check means for a member.
//!
//! As in mod_proxy_hcheck, failures count while the member is in, good checks while it is out (failed its checks, or in
//! the error state), and neither count starts anew when the opposite happens.

use super::transition::{self, Event};
use crate::base::clock::Moment;
use crate::base::status::Status;
use crate::config::health::HealthCheck;
use crate::shared::{Change, HealthSlot, MemberSlot};

/// Counts a result; the move it made, if it was the one that was missing.
pub fn judged(
    slot: &MemberSlot,
    counts: &HealthSlot,
    check: &HealthCheck,
    is_good: bool,
    now: Moment,
) -> Option<Change> {
    let is_out = slot.status().has_any(Status::HC_FAIL.with(Status::ERROR));
    let event = match (is_good, is_out) {
        (true, true) if counts.count_pass(check.passes) => Event::ChecksPassed,
        (false, false) if counts.count_failure(check.fails) => Event::ChecksFailed,
        _ => return None,
    };
    transition::apply(slot, event, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::key::Key;
    use crate::config::health::CheckMethod;
    use crate::shared::Region;
    use std::time::Duration;

    const NOW: Moment = Moment(1_790_000_000_000);

    /// The status words after each result (`+` good, `-` failed), beginning with `start`.
    fn after(results: &str, fails: u32, passes: u32, start: Status) -> Vec<String> {
        let region = Region::private().unwrap();
        let place = region.bind(1, &[Key::of(&["a"])], &[]).unwrap().members[0].slot;
        let (slot, counts) = (region.member(place), region.health(place));
        transition::apply(slot, Event::Admin { set: start, clear: Status::default() }, NOW);
        let check = HealthCheck {
            method: CheckMethod::Tcp,
            interval: Duration::from_secs(1),
            passes,
            fails,
            uri: String::new(),
            expression: None,
            timeout: Duration::from_secs(1),
            source: None,
        };
        let mut words = Vec::new();
        for result in results.chars() {
            judged(slot, counts, &check, result == '+', NOW);
            words.push(slot.status().to_string());
        }
        words
    }

    #[test]
    fn the_last_of_hcfails_failures_takes_the_member_out() {
        assert_eq!(after("---", 3, 1, Status::INIT), ["Init Ok ", "Init Ok ", "Init HcFl "]);
    }

    #[test]
    fn the_last_of_hcpasses_good_checks_brings_it_back() {
        assert_eq!(after("-++", 1, 2, Status::INIT), ["Init HcFl ", "Init HcFl ", "Init Ok "]);
    }

    #[test]
    fn good_checks_clear_the_error_state_that_requests_caused() {
        let start = Status::INIT.with(Status::ERROR).with(Status::HC_FAIL);
        assert_eq!(after("+", 1, 1, start), ["Init Ok "]);
        assert_eq!(after("-+", 1, 1, Status::INIT.with(Status::ERROR)), ["Init Err ", "Init Ok "]);
    }

    #[test]
    fn opposite_results_do_not_start_the_count_anew() {
        assert_eq!(after("-+-+-", 3, 1, Status::INIT).last().unwrap(), "Init HcFl ");
    }

    #[test]
    fn other_flags_stay() {
        let start = Status::INIT.with(Status::DRAIN).with(Status::IGNORE_ERRORS);
        let words = after("-+", 1, 1, start);
        assert!(words[0].contains("Drn ") && words[0].contains("Ign ") && words[0].contains("HcFl "));
        assert!(words[1].contains("Drn ") && words[1].contains("Ign ") && !words[1].contains("HcFl "));
    }
}
