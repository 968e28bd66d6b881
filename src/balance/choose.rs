// SPDX-License-Identifier: Apache-2.0
//! One choice: session first, then the balancing method. Counts nothing as busy; the caller does, with its lane.

use std::fmt;

use crate::base::clock::Moment;
use crate::base::status::Status;
use crate::config::plan::{Balancer, BalancerId, MemberId, Method, Plan};
use crate::shared::{MemberSlotId, Region};

use super::bindings::Bindings;
use super::candidate::{Candidate, Role, Tried};
use super::in_force::{InForce, StickyInForce};
use super::method::{ByBusyness, ByRequests, ByTraffic, Contest, Rule, by_heartbeat};
use super::roster;
use super::sticky::{self, RequestView, Session};
use super::transition::{self, Event};

/// Chooses members of one configuration. Cheap to make; no locks and no allocations.
#[derive(Clone, Copy, Debug)]
pub struct Chooser<'p> {
    pub plan: &'p Plan,
    pub region: &'p Region,
    pub bindings: &'p Bindings,
}

/// The member that gets the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice<'a> {
    pub member: MemberId,
    pub slot: MemberSlotId,
    /// The session's route or its redirect led here, not the balancing method.
    pub by_route: bool,
    /// `BALANCER_ROUTE_CHANGED`: a session that starts now or continues here does not carry this member's route.
    pub route_changed: bool,
    /// `BALANCER_SESSION_ROUTE`: the route the request carried.
    pub session_route: Option<&'a [u8]>,
}

/// Why no member may serve the request: it is answered 503.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoMember<'a> {
    /// AH01167: the session's member cannot serve, and `nofailover` keeps the session from moving.
    RouteDown { balancer: &'a str, route: &'a [u8] },
    /// AH01170: none of the members can serve now.
    AllFailed { balancer: &'a str },
    /// AH01171: the balancer has no members.
    Empty { balancer: &'a str },
}

impl NoMember<'_> {
    /// The number stock logs this with.
    pub fn id(&self) -> &'static str {
        match self {
            Self::RouteDown { .. } => "AH01167",
            Self::AllFailed { .. } => "AH01170",
            Self::Empty { .. } => "AH01171",
        }
    }

    /// Can waiting help (`timeout` of the balancer)? Asked again, `choose` may find a member.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::AllFailed { .. })
    }
}

impl fmt::Display for NoMember<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RouteDown { balancer, route } => write!(
                f,
                "balancer://{balancer}: All workers are in error state for route ({})",
                route.escape_ascii()
            ),
            Self::AllFailed { balancer } => {
                write!(f, "balancer://{balancer}: All workers are in error state")
            }
            Self::Empty { balancer } => write!(f, "balancer://{balancer}: No workers in balancer"),
        }
    }
}

impl std::error::Error for NoMember<'_> {}

impl<'p> Chooser<'p> {
    /// The values of a balancer that count now.
    pub fn in_force(&self, id: BalancerId) -> InForce<'p> {
        InForce::new(self.plan.balancer(id), self.region.balancer_changes(self.bindings.balancer(id)))
    }

    /// The session a request carries, by the names of [`InForce::sticky`].
    pub fn session<'a, C>(
        &self,
        balancer: BalancerId,
        sticky: &'a StickyInForce<'_>,
        request: &RequestView<'a, C>,
    ) -> Option<Session<'a>>
    where
        C: Iterator<Item = &'a [u8]> + Clone,
        'p: 'a,
    {
        let balancer = self.plan.balancer(balancer);
        sticky::lookup(sticky, request, |route| self.has_route(balancer, route))
    }

    /// Chooses a member and counts the choice. `tried` are members this request was already given to: they are left
    /// out, whatever other requests found out about them since. Only a written `maxattempts` lets them have it again
    /// when nobody else can.
    ///
    /// # Errors
    /// Nobody may serve the request now.
    pub fn choose<'a>(
        &self,
        id: BalancerId,
        session: Option<&Session<'a>>,
        tried: &Tried,
        now: Moment,
    ) -> Result<Choice<'a>, NoMember<'a>>
    where
        'p: 'a,
    {
        let balancer = self.plan.balancer(id);
        if self.candidates(balancer).next().is_none() {
            return Err(NoMember::Empty { balancer: balancer.name.as_str() });
        }
        self.recover(balancer, id, now);
        if self.must_heed_agent(balancer, now)
            && let Ok(choice) = self.find(balancer, id, session, &tried.heeding_agent(), now)
        {
            return Ok(choice);
        }
        self.find(balancer, id, session, tried, now)
    }

    fn find<'a>(
        &self,
        balancer: &'p Balancer,
        id: BalancerId,
        session: Option<&Session<'a>>,
        tried: &Tried,
        now: Moment,
    ) -> Result<Choice<'a>, NoMember<'a>>
    where
        'p: 'a,
    {
        let name = balancer.name.as_str();
        let in_force = self.in_force(id);
        let route = session.and_then(|session| session.route);
        if let Some(route) = route {
            // Who may not move finds out himself whether his member is there.
            let among = if in_force.no_failover() { tried.ignoring_agent() } else { *tried };
            if let Some(found) = self.by_route(balancer, route, &among, now) {
                self.account_for_session(balancer, &found);
                return Ok(choice(&in_force, found, Some(route), true));
            }
            if in_force.no_failover() && self.has_route(balancer, route) {
                return Err(NoMember::RouteDown { balancer: name, route });
            }
        }
        let with_replica = match route.is_some_and(|route| self.is_replicated(balancer, route, now)) {
            true => self.by_method(balancer, &in_force, &tried.wanting_replicas(), now),
            false => None,
        };
        with_replica
            .or_else(|| self.by_method(balancer, &in_force, tried, now))
            .map(|found| choice(&in_force, found, route, false))
            .ok_or(NoMember::AllFailed { balancer: name })
    }

    /// Has the agent taken out a member, and is the agent heard? If nobody is left then, what it says does not count: it may
    /// be wrong, and it alone never takes out all.
    fn must_heed_agent(&self, balancer: &'p Balancer, now: Moment) -> bool {
        self.candidates(balancer).any(|candidate| candidate.slot.is_gone())
            && self.region.agent().is_heard(now)
    }

    /// Have other members copies of the sessions of that route, as far as the agent knows?
    fn is_replicated(&self, balancer: &'p Balancer, route: &[u8], now: Moment) -> bool {
        self.region.agent().is_heard(now)
            && self
                .candidates(balancer)
                .any(|candidate| candidate.has_route(route) && candidate.slot.is_replicated())
    }

    fn candidates(&self, balancer: &'p Balancer) -> impl Iterator<Item = Candidate<'p>> + Clone {
        roster::members(self.plan, self.region, self.bindings, balancer).map(|id| {
            let place = self.bindings.member(id);
            Candidate {
                id,
                place,
                member: self.plan.member(id),
                slot: self.region.member(place),
                changes: self.region.member_changes(place),
            }
        })
    }

    fn has_route(&self, balancer: &'p Balancer, route: &[u8]) -> bool {
        self.candidates(balancer).any(|candidate| candidate.has_route(route))
    }

    /// When every member is in the error state, and none has rested long enough: all are tried again.
    fn recover(&self, balancer: &'p Balancer, id: BalancerId, now: Moment) {
        let is_down = |candidate: Candidate| candidate.refreshed(now).has(Status::ERROR);
        if balancer.force_recovery && self.candidates(balancer).all(is_down) {
            for candidate in self.candidates(balancer) {
                transition::apply(candidate.slot, Event::ForcedRecovery, now);
            }
            self.region.balancer(self.bindings.balancer(id)).count_recovered();
        }
    }

    fn by_route(
        &self,
        balancer: &'p Balancer,
        route: &[u8],
        tried: &Tried,
        now: Moment,
    ) -> Option<Candidate<'p>> {
        // A redirect that led nowhere once leads nowhere again: each is followed once, so a circle ends.
        let mut followed = Tried::default();
        self.follow(balancer, route, tried, &mut followed, now)
    }

    fn follow(
        &self,
        balancer: &'p Balancer,
        route: &[u8],
        tried: &Tried,
        followed: &mut Tried,
        now: Moment,
    ) -> Option<Candidate<'p>> {
        for in_reserve in [false, true] {
            for candidate in self.candidates(balancer).filter(|candidate| candidate.has_route(route)) {
                if candidate.slot.status().has(Status::HOT_STANDBY) != in_reserve {
                    continue;
                }
                if !tried.leaves_out(&candidate) && candidate.refreshed(now).is_usable() {
                    return Some(candidate);
                }
                let Some(redirect) = candidate.redirect().filter(|_| !followed.has(candidate.place)) else {
                    continue;
                };
                followed.add(candidate.place);
                if let Some(found) = self.follow(balancer, redirect.as_bytes(), tried, followed, now) {
                    return Some(found);
                }
            }
        }
        None
    }

    /// A session's request counts as a turn of its member, whatever the method.
    fn account_for_session(&self, balancer: &'p Balancer, chosen: &Candidate<'p>) {
        let mut sum = 0;
        for candidate in self.candidates(balancer) {
            if candidate.slot.status().is_usable() {
                let factor = i64::from(candidate.slot.load_factor());
                candidate.slot.add_lbstatus(factor);
                sum += factor;
            }
        }
        chosen.slot.add_lbstatus(-sum);
    }

    fn by_method(
        &self,
        balancer: &'p Balancer,
        in_force: &InForce<'p>,
        tried: &Tried,
        now: Moment,
    ) -> Option<Candidate<'p>> {
        let method = in_force.method();
        let select = |tried: &Tried| match method {
            Method::ByRequests => self.select::<ByRequests>(balancer, tried, now),
            Method::ByTraffic => self.select::<ByTraffic>(balancer, tried, now),
            Method::ByBusyness => self.select::<ByBusyness>(balancer, tried, now),
            Method::Heartbeat => {
                let beats = self.region.heartbeats();
                by_heartbeat::choose(self.candidates(balancer), beats, tried, now)
            }
        };
        let fresh = select(tried);
        let may_repeat = in_force.max_attempts().is_some() && !tried.is_empty() && !tried.heeds_agent();
        if fresh.is_none() && may_repeat { select(&Tried::default()) } else { fresh }
    }

    /// The lbsets in order, until one has somebody.
    fn select<R: Rule>(&self, balancer: &'p Balancer, tried: &Tried, now: Moment) -> Option<Candidate<'p>> {
        let mut set = Some(0);
        while let Some(lbset) = set {
            let (contest, next) = self.contest::<R>(balancer, lbset, tried, now);
            if let Some(winner) = contest.winner() {
                return Some(winner);
            }
            set = next;
        }
        None
    }

    /// The comparison within one lbset, and the next higher lbset that has members.
    fn contest<R: Rule>(
        &self,
        balancer: &'p Balancer,
        lbset: u32,
        tried: &Tried,
        now: Moment,
    ) -> (Contest<'p, R>, Option<u32>) {
        let mut contest = Contest::new();
        let (mut unusable, mut spares, mut standbys) = (0, 0, 0);
        let mut next = None;
        for candidate in self.candidates(balancer) {
            let own = candidate.slot.lbset();
            if own != lbset {
                if own > lbset && next.is_none_or(|next| own < next) {
                    next = Some(own);
                }
                continue;
            }
            match candidate.role(tried, now) {
                Role::Serves => contest.compare(candidate),
                Role::Spare => spares += 1,
                Role::Standby => standbys += 1,
                Role::Unusable => unusable += 1,
                Role::Absent => {}
            }
        }
        let with_role = |role: Role| {
            self.candidates(balancer).filter(move |candidate| {
                candidate.slot.lbset() == lbset && candidate.role(tried, now) == role
            })
        };
        if spares > 0 {
            with_role(Role::Spare).take(unusable).for_each(|spare| contest.compare(spare));
        }
        if standbys > 0 && contest.is_empty() {
            with_role(Role::Standby).for_each(|standby| contest.compare(standby));
        }
        (contest, next)
    }
}

fn choice<'a>(
    in_force: &InForce<'_>,
    found: Candidate<'_>,
    session_route: Option<&'a [u8]>,
    by_route: bool,
) -> Choice<'a> {
    found.slot.count_elected();
    Choice {
        member: found.id,
        slot: found.place,
        by_route,
        route_changed: if by_route {
            !session_route.is_some_and(|route| found.has_route(route))
        } else {
            in_force.is_sticky()
        },
        session_route,
    }
}
