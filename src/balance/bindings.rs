// SPDX-License-Identifier: Apache-2.0
//! Where the plan's members and balancers live in shared memory.

use crate::base::clock::Moment;
use crate::base::key::Key;
use crate::base::status::Status;
use crate::config::plan::{BalancerId, Member, MemberId, Plan};
use crate::shared::{BalancerSlotId, Full, MemberSlot, MemberSlotId, Place, Reason, Region, State};

/// Slots by number of the plan. Made by the parent process for each configuration, inherited by its children.
#[derive(Debug, Clone, Default)]
pub struct Bindings {
    members: Vec<MemberSlotId>,
    balancers: Vec<BalancerSlotId>,
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
    /// with the flags of the file; known ones keep error state and counters, and follow the file in everything else.
    /// Plain workers never enter the error state. For the parent process only.
    ///
    /// # Errors
    /// The region has no room for all; then nothing was changed.
    pub fn attach(plan: &Plan, region: &Region, generation: u32, now: Moment) -> Result<Bindings, Full> {
        let members: Vec<Key> = plan.members.iter().map(|member| member.key).collect();
        let balancers: Vec<Key> = plan.balancers.iter().map(|balancer| balancer.key).collect();
        let bound = region.bind(generation, &members, &balancers)?;
        let balanced = balanced_members(plan);
        for ((member, place), balanced) in plan.members.iter().zip(&bound.members).zip(balanced) {
            put_into_force(member, balanced, region.member(place.slot), place, now);
        }
        Ok(Bindings {
            members: bound.members.iter().map(|place| place.slot).collect(),
            balancers: bound.balancers.iter().map(|place| place.slot).collect(),
        })
    }

    pub fn member(&self, id: MemberId) -> MemberSlotId {
        self.members[id.0 as usize]
    }

    pub fn balancer(&self, id: BalancerId) -> BalancerSlotId {
        self.balancers[id.0 as usize]
    }
}

/// For each member of the plan, whether it belongs to a balancer.
fn balanced_members(plan: &Plan) -> Vec<bool> {
    let mut balanced = vec![false; plan.members.len()];
    for id in plan.balancers.iter().flat_map(|balancer| &balancer.members) {
        balanced[id.0 as usize] = true;
    }
    balanced
}

fn put_into_force(
    member: &Member,
    is_balanced: bool,
    slot: &MemberSlot,
    place: &Place<MemberSlotId>,
    now: Moment,
) {
    slot.set_load_factor(member.load_factor);
    slot.set_lbset(member.lbset);
    let plain = if is_balanced { Status::default() } else { Status::IGNORE_ERRORS };
    let written = member.status.with(Status::INIT).with(plain);
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
