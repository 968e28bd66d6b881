// SPDX-License-Identifier: Apache-2.0
//! Where the plan's members and balancers live in shared memory.

use super::checks::code_of_check;
use super::jk;
use super::naming;
use super::places::Places;
use crate::base::clock::Moment;
use crate::base::key::Key;
use crate::base::status::Status;
use crate::config::jk::plan::JkBalancerId;
use crate::config::plan::{Balancer, BalancerId, Member, MemberId, Plan};
use crate::shared::{
    BalancerChanges, BalancerSlotId, BalancerValue, CheckChanges, CheckValue, Full, MemberSlotId,
    MemberValue, Place, Reason, Region, State,
};

/// Slots by number of the plan. Made by the parent process for each configuration, inherited by its children.
#[derive(Debug, Clone, Default)]
pub struct Bindings {
    members: Vec<MemberSlotId>,
    balancers: Vec<BalancerSlotId>,
    jk_balancers: Vec<BalancerSlotId>,
    left_out: Vec<(String, String)>,
}

/// What a running member keeps when the configuration is read again: found out while serving, not written in a file.
/// Without checks nothing would ever take `HcFl` away.
fn learnt_flags(member: &Member) -> Status {
    match member.health {
        Some(_) => Status::ERROR.with(Status::HC_FAIL),
        None => Status::ERROR,
    }
}

impl Bindings {
    /// Gives every member and balancer of the plan its slot and puts the plan's values into force. New members start
    /// with the values of the file; known ones keep error state and counters. What an administrator changed stays, until
    /// the file says something else about that value than it said before.
    /// Plain workers never enter the error state. For the parent process only.
    ///
    /// # Errors
    /// The region has no room for all; then nothing was changed.
    pub fn attach(plan: &Plan, region: &Region, generation: u32, now: Moment) -> Result<Bindings, Full> {
        let places = Places::find(plan, region);
        let members: Vec<Key> =
            plan.members.iter().map(|member| member.key).chain(places.keys.iter().copied()).collect();
        let jk_balancers = plan.jk.balancers.iter().map(|balancer| balancer.key);
        let balancers: Vec<Key> =
            plan.balancers.iter().map(|balancer| balancer.key).chain(jk_balancers).collect();
        let bound = region.bind(generation, &members, &balancers).inspect_err(|_| places.undo(region))?;
        let balanced = balanced_members(plan);
        for ((member, place), balanced) in plan.all_members().zip(&bound.members).zip(balanced) {
            put_into_force(member, balanced, region, place, now);
        }
        for (balancer, place) in plan.balancers.iter().zip(&bound.balancers) {
            follow_file(balancer, region.balancer_changes(place.slot));
        }
        let (balancers, jk_balancers) = bound.balancers.split_at(plan.balancers.len());
        let bindings = Bindings {
            members: bound.members.iter().map(|place| place.slot).collect(),
            balancers: balancers.iter().map(|place| place.slot).collect(),
            jk_balancers: jk_balancers.iter().map(|place| place.slot).collect(),
            left_out: places.left_out.clone(),
        };
        places.keep(region, &bindings.balancers);
        jk::attach(plan, region, &bindings, (&bound.members, jk_balancers), now);
        naming::publish(plan, region, &bindings, generation);
        Ok(bindings)
    }

    /// Balancer and URL of members that joined while the server ran, and for whom this configuration has no place.
    pub fn left_out(&self) -> &[(String, String)] {
        &self.left_out
    }

    pub fn member(&self, id: MemberId) -> MemberSlotId {
        self.members[id.0 as usize]
    }

    pub fn balancer(&self, id: BalancerId) -> BalancerSlotId {
        self.balancers[id.0 as usize]
    }

    pub fn jk_balancer(&self, id: JkBalancerId) -> BalancerSlotId {
        self.jk_balancers[id.0 as usize]
    }
}

/// For each member of the plan, whether it belongs to a balancer.
fn balanced_members(plan: &Plan) -> Vec<bool> {
    let mut balanced = vec![false; plan.member_count()];
    for id in
        plan.balancers.iter().flat_map(|balancer| balancer.members.iter().copied().chain(balancer.places()))
    {
        balanced[id.0 as usize] = true;
    }
    balanced
}

fn put_into_force(
    member: &Member,
    is_balanced: bool,
    region: &Region,
    place: &Place<MemberSlotId>,
    now: Moment,
) {
    let (slot, changes) = (region.member(place.slot), region.member_changes(place.slot));
    let is_kept = |value, mark| changes.is_as_before(value, mark) && !place.is_new;
    follow_file_in_checks(member, region.check_changes(place.slot));
    if !is_kept(MemberValue::LoadFactor, u64::from(member.load_factor)) {
        slot.set_load_factor(member.load_factor);
    }
    if !is_kept(MemberValue::Lbset, u64::from(member.lbset)) {
        slot.set_lbset(member.lbset);
    }
    for (value, text) in [(MemberValue::Route, &member.route), (MemberValue::Redirect, &member.redirect)] {
        if !is_kept(value, mark_of(text)) {
            changes.follow_file(value);
        }
    }
    let plain = if is_balanced { Status::default() } else { Status::IGNORE_ERRORS };
    let written = member.status.with(Status::INIT).with(plain);
    if !changes.is_as_before(MemberValue::Health, u64::from(member.health.is_some()))
        && member.health.is_none()
    {
        slot.update(now, Reason::Plan, |state| {
            Some(state.with_status(state.status.without(Status::HC_FAIL)))
        });
    }
    if is_kept(MemberValue::Status, u64::from(written.0)) {
        return;
    }
    let learnt_flags = learnt_flags(member);
    slot.update(now, Reason::Plan, |state| {
        Some(if place.is_new {
            State::fresh(written)
        } else {
            let learnt = Status(state.status.0 & learnt_flags.0);
            state.with_status(written.without(learnt_flags).with(learnt))
        })
    });
}

/// What the file says about checks; the mark of a value that has none is that of its default.
fn follow_file_in_checks(member: &Member, changes: &CheckChanges) {
    let Some(basis) = &member.check_basis else { return };
    let settings = &basis.settings;
    let condition = settings.expression.as_ref().map_or("", |condition| &condition.name);
    let method = member.health.as_ref().map(|check| check.method);
    let marks = [
        (CheckValue::Method, u64::from(code_of_check(method))),
        (CheckValue::Interval, u64::try_from(settings.interval.as_millis()).unwrap_or(u64::MAX)),
        (CheckValue::Passes, u64::from(settings.passes)),
        (CheckValue::Fails, u64::from(settings.fails)),
        (CheckValue::Uri, mark_of(&settings.uri)),
        (CheckValue::Condition, mark_of(condition)),
    ];
    for (value, mark) in marks {
        if !changes.is_as_before(value, mark) {
            changes.follow_file(value);
        }
    }
}

fn follow_file(balancer: &Balancer, changes: &BalancerChanges) {
    let optional = |number: Option<u64>| number.map_or(0, |number| number + 1);
    let sticky = balancer.sticky.as_ref().map(|sticky| format!("{}|{}", sticky.cookie, sticky.path));
    let marks = [
        (BalancerValue::Method, balancer.method as u64),
        (BalancerValue::Wait, optional(balancer.wait.map(|wait| wait.as_secs()))),
        (BalancerValue::MaxAttempts, optional(balancer.max_attempts.map(u64::from))),
        (BalancerValue::NoFailover, u64::from(balancer.no_failover)),
        (BalancerValue::Sticky, sticky.map_or(0, |names| mark_of(&names))),
    ];
    for (value, mark) in marks {
        if !changes.is_as_before(value, mark) {
            changes.follow_file(value);
        }
    }
}

/// What the file says, short enough to be compared.
fn mark_of(text: &str) -> u64 {
    Key::of(&[text]).0 as u64
}
