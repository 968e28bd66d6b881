// SPDX-License-Identifier: Apache-2.0
//! Chooses the member that gets a request: by its session, else by the values of the members.

use super::cluster::JkCluster;
use super::session;
use crate::config::jk::plan::Activation;
use crate::config::plan::MemberId;
use crate::shared::{JkBalancerNumber, JkMemberNumber, JkState};

/// What a request asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct JkWish<'a> {
    /// The list that [`session::collect`] made; empty for a request without a session.
    pub ids: &'a [u8],
    /// Values do not count: members take turns.
    pub stateless: bool,
    /// The agent is heard: whoever has copies of the session comes before others.
    pub wants_replicas: bool,
    /// Activations that the rule says; the last one of a member counts.
    pub activation: &'a [(MemberId, Activation)],
}

/// Who was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JkChoice {
    /// Place among the members of the balancer.
    pub place: usize,
    pub member: MemberId,
    pub how: JkHow,
}

/// Why it was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JkHow {
    /// The session names its very route.
    Route,
    /// The session names its domain, or that of a member which cannot serve.
    Domain,
    /// Another member names it as the one to use in its place.
    Redirect,
    Value,
}

impl JkWish<'_> {
    /// The activation of a member for this request.
    pub fn activation(&self, cluster: &JkCluster<'_>, id: MemberId) -> Activation {
        let said = self.activation.iter().rev().find(|(member, _)| *member == id);
        said.map_or_else(|| cluster.activation(id), |(_, activation)| *activation)
    }
}

impl JkCluster<'_> {
    /// Chooses by the states as this request sees them, one for each member in order.
    pub fn choose(&self, states: &[JkState], wish: &JkWish<'_>) -> Option<JkChoice> {
        let pick = Pick { cluster: self, states, wish };
        if let [only] = self.ids()
            && (!pick.takes_sessions(0) || pick.takes_all(0))
        {
            return pick.takes_all(0).then(|| pick.only(*only));
        }
        if let Some(choice) = session::routes(wish.ids).find_map(|route| pick.by_session(route)) {
            return Some(choice);
        }
        if !wish.ids.is_empty() && self.number(JkBalancerNumber::StickyForce) != 0 {
            return None;
        }
        pick.by_replica().or_else(|| pick.by_value()).or_else(|| pick.by_failover())
    }
}

struct Pick<'a> {
    cluster: &'a JkCluster<'a>,
    states: &'a [JkState],
    wish: &'a JkWish<'a>,
}

impl Pick<'_> {
    fn choice(&self, place: usize, how: JkHow) -> JkChoice {
        JkChoice { place, member: self.cluster.ids()[place], how }
    }

    fn activation(&self, place: usize) -> Activation {
        self.wish.activation(self.cluster, self.cluster.ids()[place])
    }

    fn is_in_service(&self, place: usize) -> bool {
        self.states.get(place).is_some_and(|state| state.is_usable())
    }

    fn takes_sessions(&self, place: usize) -> bool {
        self.is_in_service(place) && self.activation(place) != Activation::Stopped
    }

    fn takes_all(&self, place: usize) -> bool {
        self.is_in_service(place) && self.activation(place) == Activation::Active
    }

    /// There is nothing to choose, and `sticky_session_force` asks for nobody else.
    fn only(&self, id: MemberId) -> JkChoice {
        let route = self.cluster.route(id);
        let is_named = session::routes(self.wish.ids).any(|named| named == route.as_bytes());
        self.choice(0, if is_named { JkHow::Route } else { JkHow::Value })
    }

    fn by_session(&self, route: &[u8]) -> Option<JkChoice> {
        let Some(named) = self.by_route(route) else {
            return self.by_domain(route).map(|place| self.choice(place, JkHow::Domain));
        };
        if self.takes_sessions(named) {
            return Some(self.choice(named, JkHow::Route));
        }
        if self.cluster.number(JkBalancerNumber::StickyForce) != 0 {
            return None;
        }
        let id = self.cluster.ids()[named];
        let (redirect, domain) = (self.cluster.redirect(id), self.cluster.domain(id));
        if !redirect.as_bytes().is_empty() {
            let other = self.by_route(redirect.as_bytes()).filter(|place| self.takes_sessions(*place));
            return other.map(|place| self.choice(place, JkHow::Redirect));
        }
        if domain.as_bytes().is_empty() {
            return None;
        }
        self.by_domain(domain.as_bytes()).map(|place| self.choice(place, JkHow::Domain))
    }

    fn by_route(&self, route: &[u8]) -> Option<usize> {
        self.cluster.ids().iter().position(|id| self.cluster.route(*id).as_bytes() == route)
    }

    /// Is the member of the domain that a route begins with, or is?
    fn is_in_domain(&self, place: usize, route: &[u8]) -> bool {
        let wanted = route.split(|byte| *byte == b'.').next().unwrap_or(route);
        let domain = self.cluster.domain(self.cluster.ids()[place]);
        let domain = domain.as_bytes();
        !domain.is_empty() && (domain == wanted || domain == route)
    }

    fn by_domain(&self, route: &[u8]) -> Option<usize> {
        let places = 0..self.cluster.len();
        self.best(places.filter(|place| self.is_in_domain(*place, route)), false)
    }

    /// Where others have copies of its member's sessions: one of these.
    fn by_replica(&self) -> Option<JkChoice> {
        let slot = |place: usize| self.cluster.common_slot(self.cluster.ids()[place]);
        let is_replicated = |route| self.by_route(route).is_some_and(|place| slot(place).is_replicated());
        if !self.wish.wants_replicas || !session::routes(self.wish.ids).any(is_replicated) {
            return None;
        }
        self.by_value_among(|place| slot(place).has_replicas())
    }

    fn by_value(&self) -> Option<JkChoice> {
        self.by_value_among(|_| true)
    }

    fn by_value_among(&self, is_among: impl Fn(usize) -> bool) -> Option<JkChoice> {
        let count = self.cluster.len();
        if count == 0 {
            return None;
        }
        let start = usize::try_from(self.cluster.slot().next()).unwrap_or(0) % count;
        let around = (start..count).chain(0..start).filter(|place| is_among(*place));
        let place = self.best(around, self.wish.stateless)?;
        self.cluster.slot().set_next(u32::try_from(place + 1).unwrap_or(0));
        Some(self.choice(place, JkHow::Value))
    }

    /// The nearest, and of these the one with the smallest value; the first of equals.
    fn best(&self, places: impl Iterator<Item = usize>, in_turn: bool) -> Option<usize> {
        let rank = |place: usize| {
            let slot = self.cluster.member_slot(self.cluster.ids()[place]);
            (slot.number(JkMemberNumber::Distance).cast_signed(), if in_turn { 0 } else { slot.lb_value() })
        };
        places.filter(|place| self.takes_all(*place)).min_by_key(|place| rank(*place))
    }

    /// Nobody can serve: the first member that names a replacement names it for all.
    fn by_failover(&self) -> Option<JkChoice> {
        let redirects = self.cluster.ids().iter().map(|id| self.cluster.redirect(*id));
        let redirect = redirects.into_iter().find(|redirect| !redirect.as_bytes().is_empty())?;
        let choice = self.by_session(redirect.as_bytes())?;
        Some(JkChoice { how: JkHow::Redirect, ..choice })
    }
}
