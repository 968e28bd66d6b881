// SPDX-License-Identifier: Apache-2.0
//! What is done to the balancers every `worker.maintain` seconds, once for all processes.

use std::time::Duration;

use super::cluster::JkCluster;
use super::in_force::millis;
use crate::balance::Bindings;
use crate::base::clock::Moment;
use crate::config::Plan;
use crate::config::jk::plan::{JkBalancerId, JkMethod};
use crate::config::plan::MemberId;
use crate::shared::{JkBalancerNumber, JkCounter, JkMemberSlot, JkState, Region};

/// Timers of several processes do not fire at the same instant.
const TOLERANCE: Duration = Duration::from_millis(250);

/// Looks after all balancers whose time has come; the first process that asks does it for all. Cheap when nothing is due.
pub fn maintain(plan: &Plan, region: &Region, bindings: &Bindings, now: Moment) {
    let interval = millis(plan.jk.maintain);
    if interval == 0 {
        return;
    }
    for number in 0..plan.jk.balancers.len() {
        // A plan has fewer balancers than shared memory has room for.
        let id = JkBalancerId(number as u32);
        look_after(&JkCluster { plan, region, bindings, id }, interval, now);
    }
}

fn look_after(cluster: &JkCluster<'_>, interval: u64, now: Moment) {
    let slot = cluster.slot();
    let last = slot.last_maintenance();
    let passed = millis(now.since(last) + TOLERANCE);
    if passed < interval || !slot.move_maintenance(last, now) {
        return;
    }
    decay(cluster, u32::try_from(passed / interval).unwrap_or(u32::MAX));
    heal(cluster, now);
    for id in cluster.ids() {
        let slot = cluster.member_slot(*id);
        let used = slot.count(JkCounter::Elected);
        if slot.count(JkCounter::UsedBefore) == used {
            slot.move_state(JkState::Ok, JkState::Idle);
        }
        slot.set_count(JkCounter::UsedBefore, used);
    }
    force_if_nobody_is_left(cluster);
}

/// Old load counts less: values are halved once for each interval that has passed.
fn decay(cluster: &JkCluster<'_>, intervals: u32) {
    let halved = |value: u64| value.checked_shr(intervals).unwrap_or(0);
    let usable = |slot: &&JkMemberSlot| slot.state().is_usable();
    let smallest = cluster
        .ids()
        .iter()
        .map(|id| cluster.member_slot(*id))
        .filter(usable)
        .map(JkMemberSlot::lb_value)
        .min();
    for id in cluster.ids() {
        let slot = cluster.member_slot(*id);
        match cluster.method() {
            JkMethod::Busyness => {}
            JkMethod::Next => {
                slot.update_lb_value(|value| value.saturating_sub(smallest.unwrap_or(0)));
            }
            JkMethod::Request | JkMethod::Traffic | JkMethod::Session => slot.update_lb_value(halved),
        }
        let timeouts = slot.count(JkCounter::ReplyTimeouts);
        slot.subtract(JkCounter::ReplyTimeouts, timeouts - halved(timeouts));
    }
}

/// Members that have rested get their trial; errors that have lasted too long count as the state of the member.
fn heal(cluster: &JkCluster<'_>, now: Moment) {
    let rest = cluster.number(JkBalancerNumber::RecoverTime);
    let escalation = cluster.number(JkBalancerNumber::ErrorEscalationTime);
    for id in cluster.ids() {
        let slot = cluster.member_slot(*id);
        match slot.state() {
            JkState::Error if millis(now.since(slot.last_error())) >= rest => {
                give_trial(cluster, slot);
            }
            // Whoever tried it is gone, with its process.
            JkState::Probe if cluster.common_slot(*id).busy() == 0 => {
                slot.move_state(JkState::Probe, JkState::Recover);
            }
            JkState::Error | JkState::Recover | JkState::Force | JkState::Probe => {}
            state @ (JkState::Idle | JkState::Ok | JkState::Busy) => {
                let first = slot.first_error();
                if first.0 > 0
                    && millis(now.since(first)) >= escalation
                    && slot.move_state(state, JkState::Error)
                {
                    slot.set_errors_at(first, now);
                }
            }
        }
    }
}

/// It must not get all requests at once because it had none for a while.
fn give_trial(cluster: &JkCluster<'_>, slot: &JkMemberSlot) -> bool {
    if !slot.move_state(JkState::Error, JkState::Recover) {
        return false;
    }
    if cluster.method() != JkMethod::Busyness {
        let largest = cluster.ids().iter().map(|id| cluster.member_slot(*id).lb_value()).max();
        slot.update_lb_value(|value| largest.unwrap_or(value));
    }
    slot.set_count(JkCounter::ReplyTimeouts, 0);
    true
}

fn force_if_nobody_is_left(cluster: &JkCluster<'_>) {
    let failed = |id: &MemberId| cluster.member_slot(*id).state() == JkState::Error;
    if cluster.ids().iter().all(failed) {
        force(cluster, &mut []);
    }
}

/// All members in the error state may be tried again, also by the request whose copy of the states is given; returns how
/// many there were.
pub fn force(cluster: &JkCluster<'_>, copy: &mut [JkState]) -> usize {
    let mut forced = 0;
    for (place, id) in cluster.ids().iter().enumerate() {
        let slot = cluster.member_slot(*id);
        if slot.move_state(JkState::Error, JkState::Force) {
            slot.set_count(JkCounter::ReplyTimeouts, 0);
            if let Some(state) = copy.get_mut(place) {
                *state = JkState::Force;
            }
            forced += 1;
        }
    }
    forced
}

/// `cmd=recover`: a member in the error state gets its trial now; false if it is in another state.
pub fn recover(cluster: &JkCluster<'_>, member: MemberId) -> bool {
    give_trial(cluster, cluster.member_slot(member))
}

/// `cmd=reset` of a balancer: its counters and those of its members begin anew.
pub fn reset_balancer(cluster: &JkCluster<'_>, now: Moment) {
    cluster.slot().reset_counters(now);
    for id in cluster.ids() {
        cluster.member_slot(*id).reset_counters(now);
    }
}
