// SPDX-License-Identifier: Apache-2.0
//! What is kept over a stop (`BalancerPersist On`), as text: one line for each balancer and member, with the values that
//! are not as the file says, error states and counters. Values that are read back go before the file, as in stock.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::action::{BalancerChange, Change, MemberChange, Outcome};
use super::change_checks::ChecksChange;
use super::escape::percent;
use super::view::State;
use crate::balance::{Event, METHODS, checks_in_force, transition};
use crate::base::clock::Moment;
use crate::base::key::Key;
use crate::base::status::Status;
use crate::config::plan::{BalancerId, MemberId};
use crate::shared::ShortText;

/// The first line: files that begin otherwise are left alone.
const TITLE: &str = "margay state 1";

/// Flags an administrator changes.
const FLAGS: Status = Status(
    Status::IGNORE_ERRORS.0
        | Status::DRAIN.0
        | Status::DISABLED.0
        | Status::STOPPED.0
        | Status::HOT_STANDBY.0
        | Status::HOT_SPARE.0
        | Status::HC_FAIL.0,
);

/// The text for all servers that keep their state; `None` if there are none.
pub fn write(state: &State<'_>) -> Option<String> {
    let balancers = kept(state);
    if !state.plan.sites.iter().any(|site| site.persist) {
        return None;
    }
    let mut out = format!("{TITLE}\n");
    let mut members = BTreeSet::new();
    for id in balancers {
        write_balancer(&mut out, state, id);
        members.extend(state.members(id));
        write_joined(&mut out, state, id);
    }
    for id in members {
        write_member(&mut out, state, id);
    }
    Some(out)
}

/// The balancers of servers that keep their state.
fn kept(state: &State<'_>) -> BTreeSet<BalancerId> {
    let sites = state.plan.sites.iter().filter(|site| site.persist);
    sites.flat_map(|site| site.balancers.iter().map(|(_, id)| *id)).collect()
}

fn word(out: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = write!(out, " {name}={}", percent(&value.to_string(), b"/:@|"));
}

fn write_balancer(out: &mut String, state: &State<'_>, id: BalancerId) {
    let balancer = state.plan.balancer(id);
    let changes = state.region.balancer_changes(state.bindings.balancer(id));
    let _ = write!(out, "balancer {:?} {}", balancer.key, percent(&balancer.name, b""));
    let in_force = state.in_force(id);
    if changes.method().is_some() {
        let method = METHODS.iter().find(|(method, _)| *method == in_force.method());
        word(out, "lbmethod", method.map_or("", |(_, name)| name));
    }
    if let Some(seconds) = changes.wait_seconds() {
        word(out, "timeout", seconds);
    }
    if let Some(attempts) = changes.max_attempts() {
        word(out, "maxattempts", attempts);
    }
    if let Some(on) = changes.no_failover() {
        word(out, "nofailover", u32::from(on));
    }
    if let Some((cookie, path)) = changes.sticky() {
        word(out, "cookie", cookie.as_str());
        word(out, "path", path.as_str());
    }
    out.push('\n');
}

/// Members that the file does not name: who they are comes before what is known of them.
fn write_joined(out: &mut String, state: &State<'_>, id: BalancerId) {
    let balancer = state.plan.balancer(id);
    for member in state.members(id).into_iter().filter(|id| state.plan.reserve(*id).is_some()) {
        let name = percent(&state.plan.member(member).name, b"/:@[]|");
        let _ = writeln!(out, "joined {:?} {name}", balancer.key);
    }
}

fn write_member(out: &mut String, state: &State<'_>, id: MemberId) {
    let member = state.plan.member(id);
    let place = state.bindings.member(id);
    let (slot, changes) = (state.region.member(place), state.region.member_changes(place));
    let _ = write!(out, "member {:?} {}", member.key, percent(&member.name, b"/:@[]"));
    if slot.load_factor() != member.load_factor {
        word(out, "loadfactor", slot.load_factor());
    }
    if slot.lbset() != member.lbset {
        word(out, "lbset", slot.lbset());
    }
    if let Some(route) = changes.route() {
        word(out, "route", route.as_str());
    }
    if let Some(redirect) = changes.redirect() {
        word(out, "redirect", redirect.as_str());
    }
    write_checks(out, state, id);
    let now = slot.state();
    if (now.status.0 ^ member.status.0) & FLAGS.0 != 0 {
        word(out, "flags", now.status.0 & FLAGS.0);
    }
    if now.status.has(Status::ERROR) || now.is_unproven() {
        let age = now.error_age(state.now).unwrap_or_default();
        word(out, "error", u128::from(state.now.0).saturating_sub(age.as_millis()));
        word(out, "reason", slot.last_change().1 as u16);
    }
    word(out, "elected", slot.elected());
    word(out, "sent", slot.bytes_written());
    word(out, "received", slot.bytes_read());
    word(out, "turn", slot.lbstatus());
    out.push('\n');
}

fn write_checks(out: &mut String, state: &State<'_>, id: MemberId) {
    let changes = state.region.check_changes(state.bindings.member(id));
    let Some(in_force) = checks_in_force(state.plan.member(id), changes) else { return };
    let settings = &in_force.settings;
    if changes.method().is_some() {
        word(out, "hcmethod", in_force.method_name());
    }
    for (name, number) in
        [("hcinterval", changes.interval_ms()), ("hcpasses", changes.passes()), ("hcfails", changes.fails())]
    {
        if let Some(number) = number {
            word(out, name, number);
        }
    }
    if changes.uri().is_some() {
        word(out, "hcuri", &settings.uri);
    }
    if changes.condition().is_some() {
        word(out, "hcexpr", settings.expression.as_ref().map_or("", |condition| &condition.name));
    }
}

fn checks_wish(words: &Words<'_>) -> ChecksChange {
    ChecksChange {
        method: words.text("hcmethod").and_then(|name| ChecksChange::method_of(name.as_str())),
        interval: words.number("hcinterval").filter(|interval| *interval >= 100),
        passes: words.number("hcpasses").filter(|passes| *passes > 0),
        fails: words.number("hcfails").filter(|fails| *fails > 0),
        uri: words.text("hcuri"),
        condition: words.text("hcexpr"),
    }
}

/// Puts a snapshot into force, as far as it is about balancers and members that are still there. Returns how many lines
/// were; `None` if the text is no snapshot. For slots that were never used.
pub fn restore(state: &State<'_>, text: &str) -> Option<usize> {
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return None;
    }
    let kept = kept(state);
    Some(lines.filter(|line| restore_line(state, &kept, line).is_some()).count())
}

/// The words of a line behind its name.
struct Words<'a>(Vec<(&'a str, String)>);

impl<'a> Words<'a> {
    fn of(words: impl Iterator<Item = &'a str>) -> Self {
        let pairs = words.filter_map(|word| word.split_once('='));
        Self(pairs.filter_map(|(name, value)| Some((name, plain(value)?))).collect())
    }

    fn text(&self, name: &str) -> Option<ShortText> {
        self.0.iter().find(|(known, _)| *known == name).and_then(|(_, value)| ShortText::of(value.as_bytes()))
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.0.iter().find(|(known, _)| *known == name)?.1.parse().ok()
    }
}

fn plain(value: &str) -> Option<String> {
    String::from_utf8(super::params::decoded(value.as_bytes())).ok()
}

fn restore_line(state: &State<'_>, kept: &BTreeSet<BalancerId>, line: &str) -> Option<()> {
    let mut words = line.split(' ');
    let kind = words.next()?;
    let key = Key(u128::from_str_radix(words.next()?, 16).ok()?);
    let name = words.next()?;
    let words = Words::of(words);
    match kind {
        "balancer" => {
            let id = kept.iter().find(|id| state.plan.balancer(**id).key == key)?;
            let change = Change { balancer: balancer_wish(&words), ..Change::default() };
            change.apply(state, *id, None);
        }
        "joined" => {
            let id = kept.iter().find(|id| state.plan.balancer(**id).key == key)?;
            let join = plain(name)?;
            let balancer = BalancerChange { join: Some(join), ..BalancerChange::default() };
            match (Change { balancer, ..Change::default() }).apply(state, *id, None) {
                Outcome::Done(_) => {}
                Outcome::NotJoined(..) | Outcome::Busy => return None,
            }
        }
        "member" => {
            let owner = |id: &&BalancerId| {
                state.members(**id).into_iter().any(|member| state.plan.member(member).key == key)
            };
            let balancer = kept.iter().find(owner)?;
            let mut members = state.members(*balancer).into_iter();
            let member = members.find(|member| state.plan.member(*member).key == key)?;
            restore_member(state, *balancer, member, &words);
        }
        _ => return None,
    }
    Some(())
}

fn balancer_wish(words: &Words<'_>) -> BalancerChange {
    let method = words.text("lbmethod");
    BalancerChange {
        method: METHODS
            .iter()
            .find(|(_, name)| method.is_some_and(|method| method.as_str() == *name))
            .map(|(method, _)| *method),
        timeout: words.number("timeout").filter(|seconds| *seconds <= 7200),
        max_attempts: words.number("maxattempts").filter(|attempts| *attempts <= 99),
        no_failover: words.number::<u32>("nofailover").map(|on| on != 0),
        sticky: words.text("cookie").zip(words.text("path")),
        join: None,
    }
}

/// The event that had the reason.
fn failure(reason: u16) -> Event {
    let failures = [Event::ConnectFailed, Event::FailOnStatus, Event::FailOnTimeout, Event::ExchangeFailed];
    failures.into_iter().find(|event| event.reason() as u16 == reason).unwrap_or(Event::ExchangeFailed)
}

fn restore_member(state: &State<'_>, balancer: BalancerId, member: MemberId, words: &Words<'_>) {
    let flags = words.number::<u16>("flags").map(|flags| flags & FLAGS.0);
    let wish = MemberChange {
        load_factor: words.number("loadfactor").filter(|factor| (100..=10_000).contains(factor)),
        lbset: words.number("lbset").filter(|set| *set <= 99),
        route: words.text("route"),
        redirect: words.text("redirect"),
        set: Status(flags.unwrap_or(0)),
        clear: Status(flags.map_or(0, |flags| FLAGS.0 & !flags)),
        checks: checks_wish(words),
    };
    Change { member: wish, ..Change::default() }.apply(state, balancer, Some(member));
    let slot = state.region.member(state.bindings.member(member));
    if let Some(error) = words.number("error") {
        let event = failure(words.number("reason").unwrap_or(0));
        transition::apply(slot, event, Moment(error));
    }
    slot.add_elected(words.number("elected").unwrap_or(0));
    slot.add_bytes_written(words.number("sent").unwrap_or(0));
    slot.add_bytes_read(words.number("received").unwrap_or(0));
    slot.set_lbstatus(words.number::<i64>("turn").unwrap_or(0));
}
