// SPDX-License-Identifier: Apache-2.0
//! One member seen with the eyes of a request: may it serve, and in which part.

use crate::base::clock::Moment;
use crate::base::status::Status;
use crate::config::plan::{Member, MemberId};
use crate::shared::{MemberChanges, MemberSlot, MemberSlotId, ShortText};

use super::transition::{self, Event};

/// A member of the balancer with its slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'p> {
    pub id: MemberId,
    pub place: MemberSlotId,
    pub member: &'p Member,
    pub slot: &'p MemberSlot,
    pub changes: &'p MemberChanges,
}

/// The part a member can take in its lbset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Takes part in the choice.
    Serves,
    /// Takes the place of one that cannot serve.
    Spare,
    /// Serves when nobody else does.
    Standby,
    /// Cannot serve; a spare may take its place.
    Unusable,
    /// Takes no part, and no spare replaces it.
    Absent,
}

impl Candidate<'_> {
    /// Members without a route have nobody's.
    pub fn has_route(&self, route: &[u8]) -> bool {
        if route.is_empty() {
            return false;
        }
        match self.changes.route() {
            Some(changed) => changed.as_bytes() == route,
            None => self.member.route.as_bytes() == route,
        }
    }

    /// The route that sessions of this member are sent to when it cannot serve; empty = none.
    pub fn redirect(&self) -> Option<ShortText> {
        let redirect = self.changes.redirect().or_else(|| ShortText::of(self.member.redirect.as_bytes()));
        redirect.filter(|route| !route.as_bytes().is_empty())
    }

    /// The status after the retry rule.
    pub fn refreshed(&self, now: Moment) -> Status {
        let status = self.slot.status();
        if !status.has(Status::ERROR) {
            return status;
        }
        match transition::apply(self.slot, Event::RetryDue { retry: self.member.retry }, now) {
            Some(change) => change.to.status,
            None => self.slot.status(),
        }
    }

    /// The member's part for a request that was already given to `tried`.
    pub fn role(&self, tried: &Tried, now: Moment) -> Role {
        let is_reserve = Status::HOT_SPARE.with(Status::HOT_STANDBY);
        let status = self.slot.status();
        if status.has(Status::DRAIN) {
            return if status.has_any(is_reserve) { Role::Absent } else { Role::Unusable };
        }
        let usable = !tried.leaves_out(self) && self.refreshed(now).is_usable();
        match usable {
            true if status.has(Status::HOT_SPARE) => Role::Spare,
            true if status.has(Status::HOT_STANDBY) => Role::Standby,
            true => Role::Serves,
            false if status.has_any(is_reserve) => Role::Absent,
            false => Role::Unusable,
        }
    }
}

/// Members a request was already given to, or that were looked at already. It has room for more than any request tries;
/// when it is full, every member counts as tried, so that a search ends.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    places: [Option<MemberSlotId>; Tried::ROOM],
    count: usize,
    /// Members that the agent has taken out are left out too.
    heeds_agent: bool,
    /// Members that have no copies of sessions are left out too.
    wants_replicas: bool,
}

impl Default for Tried {
    fn default() -> Self {
        Self { places: [None; Self::ROOM], count: 0, heeds_agent: false, wants_replicas: false }
    }
}

impl Tried {
    const ROOM: usize = 32;

    pub fn add(&mut self, slot: MemberSlotId) {
        if !self.has(slot) {
            self.places[self.count] = Some(slot);
            self.count += 1;
        }
    }

    pub fn has(&self, slot: MemberSlotId) -> bool {
        self.count == Self::ROOM || self.places[..self.count].contains(&Some(slot))
    }

    /// The same members, and all that the agent has taken out.
    pub(super) fn heeding_agent(&self) -> Tried {
        Tried { heeds_agent: true, ..*self }
    }

    /// The same members, all that the agent has taken out, and all that have no copies of the cluster's sessions.
    pub(super) fn wanting_replicas(&self) -> Tried {
        Tried { heeds_agent: true, wants_replicas: true, ..*self }
    }

    /// The same members, whatever the agent says.
    pub(super) fn ignoring_agent(&self) -> Tried {
        Tried { heeds_agent: false, ..*self }
    }

    pub(super) fn heeds_agent(&self) -> bool {
        self.heeds_agent
    }

    pub(super) fn leaves_out(&self, candidate: &Candidate<'_>) -> bool {
        self.has(candidate.place)
            || self.heeds_agent && candidate.slot.is_gone()
            || self.wants_replicas && !candidate.slot.has_replicas()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many different members.
    pub fn len(&self) -> usize {
        self.count
    }
}
