// SPDX-License-Identifier: Apache-2.0
//! Who lives, for those who want to know: the module in httpd, the administrator.

use std::collections::{BTreeMap, BTreeSet};

use super::routes::Remembered;
use super::table::{Departure, Seen};
use crate::wire::cluster::Identity;

/// How long a member that is gone stays in the report, in milliseconds.
const REMEMBERED_FOR: i64 = 3_600_000;

/// How a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Alive,
    /// Silent, but it takes connections.
    Suspect,
    Gone(Departure),
}

impl Life {
    /// In the words of a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "silent, but it takes connections",
            Self::Gone(departure) => departure.words(),
        }
    }
}

/// One member as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberReport {
    pub identity: Identity,
    pub domain: Vec<u8>,
    pub life: Life,
    /// Since when; milliseconds since 1970.
    pub since: i64,
    /// `jvmRoute`s of the sessions that it created.
    pub routes: BTreeSet<String>,
    /// The route of whoever had its address before, as long as its own is not known. Nothing is done because of it alone.
    pub likely_route: Option<String>,
}

/// All members that were there lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub members: BTreeMap<Identity, MemberReport>,
}

impl Report {
    /// A member counts now.
    pub fn joined(&mut self, seen: &Seen, remembered: Remembered, now: i64) {
        let (routes, likely_route) = match remembered {
            Remembered::Nothing => (BTreeSet::new(), None),
            Remembered::Known(route) => (BTreeSet::from([route]), None),
            Remembered::Likely(route) => (BTreeSet::new(), Some(route)),
        };
        let identity = seen.member.identity();
        let report = MemberReport {
            identity,
            domain: seen.member.domain.clone(),
            life: Life::Alive,
            since: now,
            routes,
            likely_route,
        };
        // One process at an address: what is said of the one before would be said of this one.
        self.members.retain(|other, _| other.address() != identity.address());
        self.members.insert(identity, report);
    }

    /// A member is gone.
    pub fn gone(&mut self, identity: &Identity, departure: Departure, now: i64) {
        if let Some(report) = self.members.get_mut(identity) {
            report.life = Life::Gone(departure);
            report.since = now;
        }
    }

    /// A member is or is no longer suspected; true if that is news.
    pub fn suspect(&mut self, identity: &Identity, is_suspect: bool, now: i64) -> bool {
        let life = if is_suspect { Life::Suspect } else { Life::Alive };
        match self.members.get_mut(identity) {
            Some(report) if !matches!(report.life, Life::Gone(_)) && report.life != life => {
                (report.life, report.since) = (life, now);
                true
            }
            _ => false,
        }
    }

    /// A session id that a member made says its route; true if that is news.
    pub fn learn(&mut self, identity: &Identity, session_id: &[u8]) -> Option<(Identity, String)> {
        let dot = session_id.iter().position(|byte| *byte == b'.')?;
        let route = std::str::from_utf8(&session_id[dot + 1..]).ok().filter(|route| !route.is_empty())?;
        let report = self.members.get_mut(identity).filter(|report| !report.routes.contains(route))?;
        report.routes.insert(route.to_owned());
        report.likely_route = None;
        Some((*identity, route.to_owned()))
    }

    /// Lets go of those that are gone for long.
    pub fn forget(&mut self, now: i64) {
        self.members.retain(|_, report| {
            !matches!(report.life, Life::Gone(_)) || now - report.since <= REMEMBERED_FOR
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cluster::Member;

    #[test]
    fn a_likely_route_is_forgotten_for_the_one_that_a_session_shows() {
        let member = Member::new("127.0.0.1:4000".parse().unwrap(), [7; 16]);
        let identity = member.identity();
        let seen = Seen {
            member,
            since: 1,
            heard: 1,
            suspect: None,
            is_unreachable: false,
            is_confirmed: true,
            is_static: false,
        };
        let mut report = Report::default();
        report.joined(&seen, Remembered::Likely("A".into()), 1);
        let node = |report: &Report| {
            let node = &report.members[&identity];
            (node.routes.iter().cloned().collect::<Vec<_>>(), node.likely_route.clone())
        };
        assert_eq!(node(&report), (vec![], Some("A".into())));
        assert!(report.learn(&identity, b"1234.B").is_some());
        assert_eq!(node(&report), (vec!["B".into()], None));
    }
}
