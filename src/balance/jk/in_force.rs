// SPDX-License-Identifier: Apache-2.0
//! The values of the file put into force, but for those that were changed by hand.

use std::time::Duration;

use super::cluster::JkCluster;
use crate::balance::Bindings;
use crate::base::clock::Moment;
use crate::base::key::Key;
use crate::config::Plan;
use crate::config::jk::plan::{Activation, JkBalancer, JkBalancerId, JkMember};
use crate::config::plan::Member;
use crate::shared::{
    BalancerSlotId, JkBalancerNumber, JkBalancerSlot, JkMemberNumber, JkMemberSlot, JkMemberText,
    MemberSlotId, Place, Region,
};

/// Milliseconds, as shared memory counts them.
pub fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Puts the values of the file into force for all members and balancers of mod_jk's lines; `places` are those of all members
/// and of mod_jk's balancers.
pub(in crate::balance) fn attach(
    plan: &Plan,
    region: &Region,
    bindings: &Bindings,
    places: (&[Place<MemberSlotId>], &[Place<BalancerSlotId>]),
    now: Moment,
) {
    for ((jk, member), place) in plan.jk.members.iter().zip(&plan.members).zip(places.0) {
        if let Some(jk) = jk {
            attach_member(member, jk, region.jk_member(place.slot), place.is_new, now);
        }
    }
    for (number, (balancer, place)) in (0u32..).zip(plan.jk.balancers.iter().zip(places.1)) {
        attach_balancer(balancer, region.jk_balancer(place.slot), place.is_new, now);
        JkCluster { plan, region, bindings, id: JkBalancerId(number) }.share_out();
    }
}

/// `is_new`: the slot was never used, so nothing in it is worth keeping.
fn attach_member(member: &Member, jk: &JkMember, slot: &JkMemberSlot, is_new: bool, now: Moment) {
    use JkMemberNumber as Number;
    // Nobody can be reached at port 0.
    let activation =
        if member.port == 0 && jk.balancer.is_some() { Activation::Stopped } else { jk.activation };
    let optional = |limit: Option<Duration>| limit.map_or(0, millis);
    let numbers = [
        (Number::Activation, activation as u64),
        (Number::LbFactor, u64::from(jk.lbfactor.max(1))),
        (Number::Distance, i64::from(jk.distance).cast_unsigned()),
        (Number::Port, u64::from(member.port)),
        (Number::PoolTimeout, millis(jk.pool_timeout)),
        (Number::PingTimeout, millis(jk.ping_timeout)),
        (Number::ConnectTimeout, optional(jk.connect_ping)),
        (Number::PrepostTimeout, optional(jk.prepost_ping)),
        (Number::ReplyTimeout, optional(jk.reply_timeout)),
        (Number::Retries, u64::from(jk.retries.max(1))),
        (Number::RetryInterval, millis(jk.retry_interval)),
        (Number::PingInterval, millis(jk.ping_interval)),
        (Number::RecoveryOptions, u64::from(jk.recovery.0)),
        (Number::BusyLimit, u64::from(jk.busy_limit)),
        (Number::MaxPacketSize, jk.packet_size as u64),
    ];
    for (which, value) in numbers {
        slot.number_of_file(which, value, !is_new);
    }
    let texts = [
        (JkMemberText::Route, &member.route),
        (JkMemberText::Redirect, &member.redirect),
        (JkMemberText::Domain, &jk.domain),
        (JkMemberText::Host, &jk.host),
    ];
    for (which, text) in texts {
        slot.text_of_file(which, Key::of(&[text]).0 as u64, !is_new);
    }
    if is_new {
        slot.reset_counters(now);
    }
}

/// As [`attach_member`].
fn attach_balancer(balancer: &JkBalancer, slot: &JkBalancerSlot, is_new: bool, now: Moment) {
    use JkBalancerNumber as Number;
    let numbers = [
        (Number::Retries, u64::from(balancer.retries)),
        (Number::RetryInterval, millis(balancer.retry_interval)),
        (Number::RecoverTime, millis(balancer.recover_time)),
        (Number::ErrorEscalationTime, millis(balancer.error_escalation_time)),
        (Number::MaxReplyTimeouts, u64::from(balancer.max_reply_timeouts)),
        (Number::Sticky, u64::from(balancer.sticky)),
        (Number::StickyForce, u64::from(balancer.sticky_force)),
        (Number::Method, balancer.method as u64),
        (Number::Lock, balancer.lock as u64),
    ];
    for (which, value) in numbers {
        slot.follow_file(which, value, !is_new);
    }
    if is_new {
        slot.reset_counters(now);
        slot.move_maintenance(slot.last_maintenance(), now);
    }
}
