// SPDX-License-Identifier: Apache-2.0
//! Changes of health checks while the server runs: `w_hm` and its companions.

use super::action::{Work, short_or_empty};
use super::params::Params;
use crate::balance::{checks_in_force, code_of_check};
use crate::base::text::leading_integer;
use crate::config::health::{CheckMethod, interval_in_form};
use crate::config::plan::MemberId;
use crate::shared::{CheckValue, ShortText};

/// Wishes for the checks of a member.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ChecksChange {
    /// `Some(None)`: no checks.
    pub method: Option<Option<CheckMethod>>,
    /// Milliseconds.
    pub interval: Option<u32>,
    pub passes: Option<u32>,
    pub fails: Option<u32>,
    pub uri: Option<ShortText>,
    /// Name of a condition; one that is unknown means none.
    pub condition: Option<ShortText>,
}

impl ChecksChange {
    pub(super) fn of(params: &Params) -> ChecksChange {
        let count = |name: &str| {
            let (number, _) = leading_integer(params.get(name)?);
            u32::try_from(number).ok().filter(|number| (1..=i32::MAX as u32).contains(number))
        };
        let interval = params.get("w_hi").and_then(interval_in_form);
        ChecksChange {
            method: params.get("w_hm").and_then(ChecksChange::method_of),
            interval: interval.and_then(|interval| u32::try_from(interval.as_millis()).ok()),
            passes: count("w_hp"),
            fails: count("w_hf"),
            uri: params.get("w_hu").map(short_or_empty),
            condition: params.get("w_he").map(short_or_empty),
        }
    }

    /// The method of this name, letter case ignored; `Some(None)` for `NONE`.
    pub(super) fn method_of(name: &str) -> Option<Option<CheckMethod>> {
        match CheckMethod::from_name(name) {
            Some(method) => Some(Some(method)),
            None => name.eq_ignore_ascii_case("NONE").then_some(None),
        }
    }
}

impl Work<'_> {
    /// Whoever runs the checks looks at the new values within a second.
    pub(super) fn change_checks(&mut self, id: MemberId, wish: &ChecksChange) {
        if *wish == ChecksChange::default() {
            return;
        }
        let state = self.state;
        let changes = state.region.check_changes(state.bindings.member(id));
        let Some(old) = checks_in_force(state.plan.member(id), changes) else { return };
        let old_method = old.is_on.then_some(old.settings.method);
        let method = wish.method.unwrap_or(old_method);
        let mut is_changed = false;
        if method != old_method {
            self.administrator.set_check_number(changes, CheckValue::Method, code_of_check(method));
            self.note("health check method", old.method_name(), method.map_or("NONE", CheckMethod::name));
            is_changed = true;
        }
        let interval = u32::try_from(old.settings.interval.as_millis()).unwrap_or(u32::MAX);
        for (value, what, old, new) in [
            (CheckValue::Interval, "health check interval in ms", interval, wish.interval),
            (CheckValue::Passes, "health check passes", old.settings.passes, wish.passes),
            (CheckValue::Fails, "health check fails", old.settings.fails, wish.fails),
        ] {
            if let Some(new) = new.filter(|new| *new != old) {
                self.administrator.set_check_number(changes, value, new);
                self.note(what, &old.to_string(), &new.to_string());
                is_changed = true;
            }
        }
        if let Some(uri) = wish.uri.filter(|uri| uri.as_str() != old.settings.uri) {
            self.administrator.set_check_uri(changes, &uri);
            self.note("health check uri", &old.settings.uri, uri.as_str());
            is_changed = true;
        }
        let condition = self.condition(id, method, wish);
        let before = old.settings.expression.as_ref().map_or("", |condition| &condition.name);
        if let Some(condition) = condition.filter(|name| name.as_str() != before) {
            self.administrator.set_check_condition(changes, &condition);
            self.note("health check expression", before, condition.as_str());
            is_changed = true;
        }
        if is_changed {
            state.region.checker().revise();
        }
    }

    /// The condition that is wished for, if it can be; empty where the method has no answer to look at.
    fn condition(&self, id: MemberId, method: Option<CheckMethod>, wish: &ChecksChange) -> Option<ShortText> {
        let has_answer = method.is_some_and(CheckMethod::has_answer);
        if wish.method.is_some() && !has_answer {
            return Some(ShortText::default());
        }
        let name = wish.condition?;
        let basis = self.state.plan.member(id).check_basis.as_ref()?;
        let is_known = basis.conditions.iter().any(|known| known.name == name.as_str());
        Some(if has_answer && is_known { name } else { ShortText::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(form: &str) -> ChecksChange {
        ChecksChange::of(&Params::parse(form.as_bytes()))
    }

    #[test]
    fn methods_are_known_in_any_letter_case() {
        assert_eq!(change("w_hm=tcp").method, Some(Some(CheckMethod::Tcp)));
        assert_eq!(change("w_hm=None").method, Some(None));
        assert_eq!(change("w_hm=").method, None);
        assert_eq!(change("w_hm=PUT").method, None);
    }

    #[test]
    fn intervals_are_milliseconds_unless_they_say_otherwise() {
        for (text, expected) in [
            ("100", Some(100)),
            ("99", None),
            ("5000", Some(5000)),
            ("5s", Some(5000)),
            ("2min", Some(120_000)),
            ("abc", None),
            ("-5", None),
            ("", None),
        ] {
            assert_eq!(change(&format!("w_hi={text}")).interval, expected, "{text}");
        }
    }

    #[test]
    fn counts_begin_at_one() {
        assert_eq!((change("w_hp=3x&w_hf=9").passes, change("w_hp=3&w_hf=9").fails), (Some(3), Some(9)));
        assert_eq!(change("w_hp=0&w_hf=-1"), ChecksChange::default());
    }

    #[test]
    fn a_uri_that_is_too_long_clears_it() {
        assert_eq!(change(&format!("w_hu=/{}", "x".repeat(63))).uri, Some(ShortText::default()));
        assert_eq!(change("w_hu=/up").uri.unwrap().as_str(), "/up");
    }
}
