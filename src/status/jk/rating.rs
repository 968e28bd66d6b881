// SPDX-License-Identifier: Apache-2.0
//! Which members count as good, degraded and bad: the attributes `good` and `bad` of a status worker.

use super::model::MemberView;
use crate::config::jk::plan::Activation;
use crate::shared::JkState;

/// How many members of a balancer are good, degraded and bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rating {
    pub good: usize,
    pub degraded: usize,
    pub bad: usize,
}

/// Counts the members. `bad` is looked at first; what is neither is degraded.
pub(super) fn rate(members: &[MemberView], good: &[String], bad: &[String]) -> Rating {
    let mut rating = Rating::default();
    for member in members {
        let fits = |rules: &[String]| rules.iter().any(|rule| is_meant(rule, member));
        if fits(bad) {
            rating.bad += 1;
        } else if fits(good) {
            rating.good += 1;
        } else {
            rating.degraded += 1;
        }
    }
    rating
}

/// One or two letters joined by a dot: all of them must fit.
fn is_meant(rule: &str, member: &MemberView) -> bool {
    let mut letters = rule.split('.').map(|part| part.trim().chars().next()).peekable();
    letters.peek().is_some_and(Option::is_some)
        && letters.all(|letter| letter.is_some_and(|letter| fits(letter.to_ascii_lowercase(), member)))
}

fn fits(letter: char, member: &MemberView) -> bool {
    match letter {
        'a' => member.settings.activation == Activation::Active,
        'd' => member.settings.activation == Activation::Disabled,
        's' => member.settings.activation == Activation::Stopped,
        'o' => member.state == JkState::Ok,
        'n' | 'i' => member.state == JkState::Idle,
        'b' => member.state == JkState::Busy,
        'r' => {
            matches!(member.state, JkState::Recover | JkState::Force | JkState::Probe)
        }
        'e' => member.state == JkState::Error,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::jk::model::MemberSettings;

    fn member(activation: Activation, state: JkState) -> MemberView {
        MemberView {
            settings: MemberSettings { activation, ..MemberSettings::default() },
            state,
            ..MemberView::default()
        }
    }

    fn words(rules: &[&str]) -> Vec<String> {
        rules.iter().map(|&rule| rule.to_owned()).collect()
    }

    #[test]
    fn bad_is_looked_at_before_good() {
        let members = [
            member(Activation::Active, JkState::Ok),
            member(Activation::Stopped, JkState::Ok),
            member(Activation::Disabled, JkState::Idle),
            member(Activation::Active, JkState::Error),
            member(Activation::Active, JkState::Probe),
        ];
        let (good, bad) = (words(&["a.o", "a.n", "a.b", "a.r"]), words(&["e", "s"]));
        assert_eq!(rate(&members, &good, &bad), Rating { good: 2, degraded: 1, bad: 2 });
        assert_eq!(rate(&members, &words(&["o"]), &[]), Rating { good: 2, degraded: 3, bad: 0 });
        assert_eq!(
            rate(&members, &words(&["", "."]), &words(&["x", "a."])),
            Rating { good: 0, degraded: 5, bad: 0 }
        );
    }
}
