// SPDX-License-Identifier: Apache-2.0
//! The connections of this process: kept in order now and then, counted for all to see.

use std::time::{Duration, Instant};

use crate::backend::Receiver;
use crate::balance::jk::{maintain, millis};
use crate::config::plan::MemberId;
use crate::proxy::World;
use crate::proxy::ajp::ping_on;
use crate::shared::{JkCounter, JkMemberNumber, JkMemberSlot, JkState};

/// As the requests do it if there is no watchdog: cheap when nothing is due.
pub(super) fn maintain_if_due(world: &World<'_>) {
    if world.plan.jk.watchdog.is_zero() {
        maintain_all(world);
    }
}

/// All that is to be done every `worker.maintain` seconds: for the balancers, once for all processes, and for the
/// connections of this one. For the watchdog; it may ask more often.
pub fn maintain_all(world: &World<'_>) {
    if !world.plan.jk.maintain.is_zero() {
        let now = world.clock.now();
        maintain(world.plan, world.region, world.bindings, now);
        // One pool keeps the time for all.
        let is_due =
            |(id, _): (MemberId, _)| world.pools[id.0 as usize].is_due(now.0, millis(world.plan.jk.maintain));
        if workers(world).next().is_some_and(is_due) {
            for (id, slot) in workers(world) {
                maintain_pool(world, id, slot);
            }
        }
    }
}

/// Takes this process's connections out of the numbers that all processes share: to be called once, when it ends.
pub fn forget_connections(world: &World<'_>) {
    for (id, slot) in workers(world) {
        slot.subtract(JkCounter::Connected, u64::from(world.pools[id.0 as usize].note_told(0)));
    }
}

/// Tells all processes how many connections of this one are open.
pub(super) fn tell_connections(world: &World<'_>, id: MemberId) {
    let pool = &world.pools[id.0 as usize];
    let slot = world.region.jk_member(world.bindings.member(id));
    let open = pool.connections();
    let before = pool.note_told(open);
    if open > before {
        slot.add(JkCounter::Connected, u64::from(open - before));
        slot.raise(JkCounter::MaxConnected, slot.count(JkCounter::Connected));
    } else if open < before {
        slot.subtract(JkCounter::Connected, u64::from(before - open));
    }
}

fn workers<'w>(world: &'w World<'_>) -> impl Iterator<Item = (MemberId, &'w JkMemberSlot)> {
    (0u32..).zip(&world.plan.jk.members).filter(|(_, jk)| jk.is_some()).map(|(number, _)| {
        let id = MemberId(number);
        (id, world.region.jk_member(world.bindings.member(id)))
    })
}

fn maintain_pool(world: &World<'_>, id: MemberId, slot: &JkMemberSlot) {
    let pool = &world.pools[id.0 as usize];
    let Some(jk) = world.plan.jk.member(id) else { return };
    let limit = |which| Some(Duration::from_millis(slot.number(which))).filter(|limit| !limit.is_zero());
    let moment = Instant::now();
    if let Some(idle) = limit(JkMemberNumber::PoolTimeout) {
        pool.close_idle(
            moment,
            idle,
            jk.pool_min_size.or(jk.pool_size.map(|size| size.div_ceil(2))).unwrap_or(0),
        );
    }
    if let Some(interval) = limit(JkMemberNumber::PingInterval) {
        let wait =
            Duration::from_millis(slot.number(JkMemberNumber::PingTimeout)).max(Duration::from_millis(1));
        let mut receiver = Receiver::default();
        pool.check_idle(moment, interval, |connection| {
            connection.is_quiet(moment, true) && ping_on(connection, (wait, wait), &mut receiver).is_ok()
        });
    }
    tell_connections(world, id);
    if jk.balancer.is_none() {
        rest_if_unused(slot);
    }
}

/// A worker on its own that had nothing to do since the last time is idle.
fn rest_if_unused(slot: &JkMemberSlot) {
    let used = slot.count(JkCounter::Used);
    if slot.count(JkCounter::UsedBefore) == used {
        slot.move_state(JkState::Ok, JkState::Idle);
    }
    slot.set_count(JkCounter::UsedBefore, used);
}
