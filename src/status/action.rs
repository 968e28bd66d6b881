// SPDX-License-Identifier: Apache-2.0
//! Changes that an administrator makes while the server runs: what a form says, and putting it into force.
//!
//! As stock, a value out of range changes nothing, and says nothing: the page shows what is in force.

use std::time::Duration;

use super::change_checks::ChecksChange;
use super::escape::hundredths;
use super::join::NotJoined;
use super::params::Params;
use super::view::State;
use crate::balance::{Event, METHODS, code_of_method, transition};
use crate::base::status::Status;
use crate::base::text::leading_integer;
use crate::config::plan::{BalancerId, MemberId, Method};
use crate::shared::{Administrator, ShortText};

/// How long a change waits for one that another process is making.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a form asks for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Change {
    pub member: MemberChange,
    pub balancer: BalancerChange,
}

/// Wishes for a member.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MemberChange {
    /// × 100.
    pub load_factor: Option<u32>,
    pub lbset: Option<u32>,
    pub route: Option<ShortText>,
    pub redirect: Option<ShortText>,
    pub set: Status,
    pub clear: Status,
    pub checks: ChecksChange,
}

/// Wishes for a balancer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct BalancerChange {
    pub method: Option<Method>,
    /// Seconds; 0 = no waiting.
    pub timeout: Option<u32>,
    pub max_attempts: Option<u32>,
    pub no_failover: Option<bool>,
    /// Names in cookies and in URLs; both empty = not sticky.
    pub sticky: Option<(ShortText, ShortText)>,
    /// URL of a member that is to join.
    pub join: Option<String>,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// In force in all processes; empty if everything was so already.
    Done(Vec<Applied>),
    /// The other changes are in force, but a member could not join.
    NotJoined(Vec<Applied>, NotJoined),
    /// Another change is being made.
    Busy,
}

/// One value that changed, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied(pub String);

const FLAGS: [(&str, Status); 7] = [
    ("w_status_i", Status::IGNORE_ERRORS),
    ("w_status_n", Status::DRAIN),
    ("w_status_d", Status::DISABLED),
    ("w_status_h", Status::HOT_STANDBY),
    ("w_status_r", Status::HOT_SPARE),
    ("w_status_s", Status::STOPPED),
    ("w_status_c", Status::HC_FAIL),
];

impl Change {
    /// Reads a form. What is out of range is left out.
    pub fn of(params: &Params) -> Change {
        let mut member = MemberChange {
            load_factor: params.get("w_lf").and_then(factor),
            lbset: number(params, "w_ls", 99),
            route: params.get("w_wr").map(short_or_empty),
            redirect: params.get("w_rr").map(short_or_empty),
            checks: ChecksChange::of(params),
            ..MemberChange::default()
        };
        for (name, flag) in FLAGS {
            match params.get(name).map(is_on) {
                Some(true) => member.set = member.set.with(flag),
                Some(false) => member.clear = member.clear.with(flag),
                None => {}
            }
        }
        let balancer = BalancerChange {
            method: params.get("b_lbm").and_then(method),
            timeout: number(params, "b_tmo", 7200),
            max_attempts: number(params, "b_max", 99),
            no_failover: params.get("b_sforce").map(is_on),
            sticky: params.get("b_ss").and_then(sticky),
            join: join(params),
        };
        Change { member, balancer }
    }

    /// Puts the change into force for all processes at once: the member's part if one is named, and the balancer's.
    pub fn apply(&self, state: &State<'_>, balancer: BalancerId, member: Option<MemberId>) -> Outcome {
        let Some(administrator) = state.region.administer(PATIENCE) else { return Outcome::Busy };
        let mut work = Work { state, balancer, administrator, applied: Vec::new() };
        if let Some(member) = member {
            work.change_member(member, &self.member);
        }
        work.change_balancer(&self.balancer);
        let joined = self.balancer.join.as_ref().map(|url| work.join(url));
        match joined {
            Some(Err(why)) => Outcome::NotJoined(work.applied, why),
            _ => Outcome::Done(work.applied),
        }
    }
}

/// A change while it is made.
pub(super) struct Work<'a> {
    pub state: &'a State<'a>,
    pub balancer: BalancerId,
    pub administrator: Administrator<'a>,
    applied: Vec<Applied>,
}

impl Work<'_> {
    pub fn note(&mut self, what: &str, old: &str, new: &str) {
        self.applied.push(Applied(format!("{what} \"{new}\" (was \"{old}\")")));
    }

    fn change_member(&mut self, id: MemberId, wish: &MemberChange) {
        let state = self.state;
        let place = state.bindings.member(id);
        let (slot, changes) = (state.region.member(place), state.region.member_changes(place));
        if let Some(factor) = wish.load_factor
            && factor != slot.load_factor()
        {
            let old = hundredths(slot.load_factor());
            slot.set_load_factor(factor);
            self.note("load factor", &old, &hundredths(factor));
            self.level_counters(|slot| i64::from(slot.load_factor()));
        }
        if let Some(lbset) = wish.lbset
            && lbset != slot.lbset()
        {
            self.note("lbset", &slot.lbset().to_string(), &lbset.to_string());
            slot.set_lbset(lbset);
        }
        let planned = state.member_plan(id);
        let old = changes.route().or_else(|| ShortText::of(planned.route.as_bytes())).unwrap_or_default();
        if let Some(route) = wish.route.filter(|route| *route != old) {
            self.administrator.set_route(changes, &route);
            self.note("route", old.as_str(), route.as_str());
        }
        let old =
            changes.redirect().or_else(|| ShortText::of(planned.redirect.as_bytes())).unwrap_or_default();
        if let Some(redirect) = wish.redirect.filter(|redirect| *redirect != old) {
            self.administrator.set_redirect(changes, &redirect);
            self.note("redirect", old.as_str(), redirect.as_str());
        }
        self.change_flags(id, wish);
        self.change_checks(id, &wish.checks);
    }

    fn change_flags(&mut self, id: MemberId, wish: &MemberChange) {
        let slot = self.state.region.member(self.state.bindings.member(id));
        // A form says all flags, also those that stay: they must not count as a change that proves a member alive.
        let status = slot.status();
        let set = wish.set.without(status);
        let clear = wish.clear.without(Status(!status.0));
        if set == Status::default() && clear == Status::default() {
            return;
        }
        let Some(change) = transition::apply(slot, Event::Admin { set, clear }, self.state.now) else {
            return;
        };
        let (from, to) = (change.from.status, change.to.status);
        self.note("status", from.to_string().trim_end(), to.to_string().trim_end());
        if to.is_usable() && !from.is_usable() {
            self.begin_anew(self.state.in_force(self.balancer).method());
        }
    }

    /// What a method has counted begins anew, as stock's methods do it: the figures of the others stay.
    fn begin_anew(&self, method: Method) {
        match method {
            Method::ByRequests | Method::ByBusyness => self.level_counters(|_| 0),
            Method::ByTraffic => {
                for id in self.state.members(self.balancer) {
                    self.state.region.member(self.state.bindings.member(id)).forget_traffic();
                }
            }
            Method::Heartbeat => {}
        }
    }

    /// The members begin sharing requests anew.
    fn level_counters(&self, value: impl Fn(&crate::shared::MemberSlot) -> i64) {
        for id in self.state.members(self.balancer) {
            let slot = self.state.region.member(self.state.bindings.member(id));
            slot.set_lbstatus(value(slot));
        }
    }

    fn change_balancer(&mut self, wish: &BalancerChange) {
        let state = self.state;
        let changes = state.region.balancer_changes(state.bindings.balancer(self.balancer));
        let old = state.in_force(self.balancer);
        if let Some(method) = wish.method
            && method != old.method()
        {
            self.administrator.set_method(changes, code_of_method(method));
            self.note("lbmethod", name_of(old.method()), name_of(method));
            self.begin_anew(method);
        }
        let seconds = old.wait().map_or(0, |wait| wait.as_secs());
        if let Some(timeout) = wish.timeout.filter(|timeout| u64::from(*timeout) != seconds) {
            self.administrator.set_wait_seconds(changes, timeout);
            self.note("timeout", &seconds.to_string(), &timeout.to_string());
        }
        // The form shows what follows from the number of members where nothing is written, and sends it back.
        let members = state.members(self.balancer).len().saturating_sub(1);
        let attempts = old.max_attempts().unwrap_or(u32::try_from(members).unwrap_or(u32::MAX));
        if let Some(wished) = wish.max_attempts.filter(|wished| *wished != attempts) {
            self.administrator.set_max_attempts(changes, wished);
            self.note("maxattempts", &attempts.to_string(), &wished.to_string());
        }
        if let Some(on) = wish.no_failover.filter(|on| *on != old.no_failover()) {
            self.administrator.set_no_failover(changes, on);
            self.note("nofailover", if on { "Off" } else { "On" }, if on { "On" } else { "Off" });
        }
        if let Some((cookie, path)) = &wish.sticky {
            let before = old.sticky().map(|names| format!("{}|{}", names.cookie(), names.path()));
            let before = before.unwrap_or_else(|| "|".to_owned());
            let after = format!("{}|{}", cookie.as_str(), path.as_str());
            if before != after {
                self.administrator.set_sticky(changes, cookie, path);
                self.note("stickysession", &before, &after);
            }
        }
    }
}

fn name_of(method: Method) -> &'static str {
    METHODS.iter().find(|(known, _)| *known == method).map_or("", |(_, name)| name)
}

fn method(name: &str) -> Option<Method> {
    METHODS.iter().find(|(_, known)| *known == name).map(|(method, _)| *method)
}

/// The URL of a member that is to join, if the form says that it is sure.
fn join(params: &Params) -> Option<String> {
    params.get("b_nwrkr").filter(|_| params.get("b_wyes") == Some("1")).map(str::to_owned)
}

fn is_on(value: &str) -> bool {
    leading_integer(value).0 != 0
}

fn number(params: &Params, name: &str, most: u32) -> Option<u32> {
    u32::try_from(leading_integer(params.get(name)?).0).ok().filter(|number| *number <= most)
}

/// 1 to 100 in hundredths; further decimals and what follows the number are cut.
fn factor(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let text = text.strip_prefix('+').unwrap_or(text);
    let (whole, rest) = leading_integer(text);
    let mut digits = rest.strip_prefix('.').unwrap_or("").chars().map_while(|c| c.to_digit(10));
    let cents = digits.next().unwrap_or(0) * 10 + digits.next().unwrap_or(0);
    let whole = u32::try_from(whole).ok().filter(|whole| *whole <= 100)?;
    Some(whole * 100 + cents).filter(|factor| (100..=10_000).contains(factor))
}

/// As stock: a text that is too long clears the value.
pub(super) fn short_or_empty(text: &str) -> ShortText {
    ShortText::of(text.as_bytes()).unwrap_or_default()
}

/// `name`, `cookie|path`, `-` or an empty cookie for none; nothing for an empty value or names that are too long.
fn sticky(text: &str) -> Option<(ShortText, ShortText)> {
    match text {
        "" => None,
        "-" => Some((ShortText::default(), ShortText::default())),
        _ => {
            let (cookie, path) = text.split_once('|').unwrap_or((text, text));
            let (cookie, path) = (ShortText::of(cookie.as_bytes())?, ShortText::of(path.as_bytes())?);
            let is_none = cookie.as_bytes().is_empty();
            Some((cookie, if is_none { ShortText::default() } else { path }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(form: &str) -> Change {
        Change::of(&Params::parse(form.as_bytes()))
    }

    #[test]
    fn load_factors_are_read_as_stock_reads_them() {
        for (text, expected) in [
            ("2abc", Some(200)),
            ("3.456", Some(345)),
            ("1.5", Some(150)),
            ("%2B7", Some(700)),
            ("100", Some(10_000)),
            ("100.5", None),
            ("0.5", None),
            ("-3", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(change(&format!("w_lf={text}")).member.load_factor, expected, "{text}");
        }
    }

    #[test]
    fn numbers_out_of_range_change_nothing() {
        assert_eq!(change("w_ls=5x").member.lbset, Some(5));
        assert_eq!(change("w_ls=x").member.lbset, Some(0));
        assert_eq!(change("w_ls=100&b_tmo=7201&b_max=100&b_lbm=nope&b_ss="), Change::default());
        assert_eq!(change("w_ls=-1&b_tmo=-1"), Change::default());
    }

    #[test]
    fn a_text_that_is_too_long_clears_a_route_and_leaves_session_names() {
        let long = "x".repeat(64);
        assert_eq!(change(&format!("w_wr={long}")).member.route, Some(ShortText::default()));
        assert_eq!(change(&format!("b_ss={long}")).balancer.sticky, None);
    }

    #[test]
    fn flags_are_set_by_any_number_but_zero() {
        let member = change("w_status_D=2&w_status_H=0&w_status_N=&w_status_E=1").member;
        assert_eq!(member.set, Status::DISABLED);
        assert_eq!(member.clear, Status::HOT_STANDBY.with(Status::DRAIN));
    }

    #[test]
    fn session_names_come_in_one_word_or_two() {
        let names = |text: &str| {
            let (cookie, path) = sticky(text)?;
            Some((cookie.as_str().to_owned(), path.as_str().to_owned()))
        };
        assert_eq!(names("S"), Some(("S".into(), "S".into())));
        assert_eq!(names("S|s"), Some(("S".into(), "s".into())));
        assert_eq!(names("S|"), Some(("S".into(), String::new())));
        assert_eq!(names("-"), Some((String::new(), String::new())));
        assert_eq!(names("|s"), Some((String::new(), String::new())));
    }
}
