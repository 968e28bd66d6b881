// SPDX-License-Identifier: Apache-2.0
//! One balancer with its members: the plan, the slots, and the values in force.

use crate::balance::Bindings;
use crate::base::clock::Moment;
use crate::config::Plan;
use crate::config::jk::plan::{Activation, JkBalancer, JkBalancerId, JkMethod};
use crate::config::plan::MemberId;
use crate::shared::{
    JkBalancerNumber, JkBalancerSlot, JkMemberNumber, JkMemberSlot, JkMemberText, JkState, MemberSlot,
    Region, ShortText,
};

/// The largest common multiple that is used as it is; above it shares are rounded, so that values never overflow.
const LARGEST_MULTIPLE: u64 = 1 << 40;

/// A balancer of mod_jk's lines.
#[derive(Debug, Clone, Copy)]
pub struct JkCluster<'a> {
    pub plan: &'a Plan,
    pub region: &'a Region,
    pub bindings: &'a Bindings,
    pub id: JkBalancerId,
}

/// A text in force: the file's, or the one given by hand.
#[derive(Debug, Clone, Copy)]
pub enum InForceText<'a> {
    File(&'a str),
    Changed(ShortText),
}

impl InForceText<'_> {
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::File(text) => text.as_bytes(),
            Self::Changed(text) => text.as_bytes(),
        }
    }
}

impl<'a> JkCluster<'a> {
    pub fn balancer(&self) -> &'a JkBalancer {
        self.plan.jk.balancer(self.id)
    }

    pub fn slot(&self) -> &'a JkBalancerSlot {
        self.region.jk_balancer(self.bindings.jk_balancer(self.id))
    }

    pub fn number(&self, which: JkBalancerNumber) -> u64 {
        self.slot().number(which)
    }

    pub fn method(&self) -> JkMethod {
        method_of(self.number(JkBalancerNumber::Method))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.balancer().members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.balancer().members.is_empty()
    }

    /// The members in order.
    pub fn ids(&self) -> &'a [MemberId] {
        &self.balancer().members
    }

    pub fn member_slot(&self, id: MemberId) -> &'a JkMemberSlot {
        self.region.jk_member(self.bindings.member(id))
    }

    /// The part that members of all lines have.
    pub fn common_slot(&self, id: MemberId) -> &'a MemberSlot {
        self.region.member(self.bindings.member(id))
    }

    /// The route in force.
    pub fn route(&self, id: MemberId) -> InForceText<'a> {
        text_in_force(self.member_slot(id), JkMemberText::Route, &self.plan.member(id).route)
    }

    /// The redirect in force: the route of another member.
    pub fn redirect(&self, id: MemberId) -> InForceText<'a> {
        text_in_force(self.member_slot(id), JkMemberText::Redirect, &self.plan.member(id).redirect)
    }

    /// The domain in force; empty for none.
    pub fn domain(&self, id: MemberId) -> InForceText<'a> {
        let domain = self.plan.jk.member(id).map_or("", |member| &member.domain);
        text_in_force(self.member_slot(id), JkMemberText::Domain, domain)
    }

    /// The activation in force, as the member has it for all rules.
    pub fn activation(&self, id: MemberId) -> Activation {
        activation_of(self.member_slot(id).number(JkMemberNumber::Activation))
    }

    /// Requests under way at all members.
    pub fn busy(&self) -> u32 {
        self.ids().iter().map(|id| self.common_slot(*id).busy()).sum()
    }

    /// Does what the agent says count?
    pub fn hears_agent(&self, now: Moment) -> bool {
        self.region.agent().is_heard(now)
    }

    /// Members that the agent has taken out count as failed for this request, as long as the agent is heard and somebody else
    /// can serve. A session that may not leave its member (`sticky_session_force`) finds out itself whether that is there.
    /// True if there are any.
    pub fn heed_agent(&self, states: &mut [JkState], has_session: bool, now: Moment) -> bool {
        let is_gone = |id: &MemberId| self.common_slot(*id).is_gone();
        if !self.ids().iter().any(is_gone)
            || has_session && self.number(JkBalancerNumber::StickyForce) != 0
            || !self.region.agent().is_heard(now)
        {
            return false;
        }
        let serves = |id: &MemberId, state: &JkState| {
            !is_gone(id) && state.is_usable() && self.activation(*id) == Activation::Active
        };
        if !self.ids().iter().zip(&*states).any(|(id, state)| serves(id, state)) {
            return false;
        }
        for (_, state) in self.ids().iter().zip(states).filter(|(id, _)| is_gone(id)) {
            *state = JkState::Error;
        }
        true
    }

    /// Nobody else could serve: what the agent says does not count any more for this request.
    pub fn ignore_agent(&self, states: &mut [JkState]) {
        for (id, state) in self.ids().iter().zip(states).filter(|(id, _)| self.common_slot(**id).is_gone()) {
            *state = self.member_slot(*id).state();
        }
    }

    /// Works out what a request counts at each member: the least common multiple of all factors, divided by its own. To be
    /// called whenever a factor has changed.
    pub fn share_out(&self) {
        let factor = |id: &MemberId| self.member_slot(*id).number(JkMemberNumber::LbFactor).max(1);
        let multiple = self.ids().iter().map(factor).fold(1, |so_far, factor| {
            let common = so_far / greatest_divisor(so_far, factor);
            common.saturating_mul(factor).min(LARGEST_MULTIPLE)
        });
        for id in self.ids() {
            self.member_slot(*id).set_lb_mult((multiple / factor(id)).max(1));
        }
    }

    /// Sets all values by which members are compared to 0, as a changed activation does.
    pub fn begin_values_anew(&self) {
        for id in self.ids() {
            self.member_slot(*id).update_lb_value(|_| 0);
        }
    }
}

/// The text of a member in force.
pub fn text_in_force<'a>(slot: &JkMemberSlot, which: JkMemberText, file: &'a str) -> InForceText<'a> {
    slot.text(which).map_or(InForceText::File(file), InForceText::Changed)
}

/// The activation of this number.
pub fn activation_of(number: u64) -> Activation {
    match number {
        1 => Activation::Disabled,
        2 => Activation::Stopped,
        _ => Activation::Active,
    }
}

/// The method of this number.
pub fn method_of(number: u64) -> JkMethod {
    match number {
        1 => JkMethod::Traffic,
        2 => JkMethod::Busyness,
        3 => JkMethod::Session,
        4 => JkMethod::Next,
        _ => JkMethod::Request,
    }
}

fn greatest_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}
