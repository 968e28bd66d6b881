// SPDX-License-Identifier: Apache-2.0
//! Who is in the group: what beacons, connections and probes say, put together. No sockets, no clock.

use std::collections::HashMap;

use crate::wire::cluster::{Identity, Member};

/// How long a member that is silent but answers probes stays suspected, in milliseconds (`removeSuspectsTimeout`).
const SUSPECTED_FOR: i64 = 300_000;

/// Why a member was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It said so.
    Left,
    /// Silence, and nobody takes connections at its address.
    Dead,
    /// Nobody takes connections at its address, before it was missed.
    Refused,
    /// Another member took its address.
    Replaced,
}

impl Departure {
    /// In the words of a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Left => "it said that it stops",
            Self::Dead => "no beacon in dropTime, and it takes no connection",
            Self::Refused => "it takes no connection",
            Self::Replaced => "another member has its address",
        }
    }
}

/// What came of a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A member that was not known. It is to be probed, and counts when it answers.
    New,
    Known,
    /// It leaves.
    Left,
    /// Ourselves, or another domain.
    NotOurs,
}

/// One member as it is seen.
#[derive(Debug, Clone)]
pub struct Seen {
    pub member: Member,
    /// When it was added.
    pub since: i64,
    /// Last sign of life.
    pub heard: i64,
    /// Silent since then, but it takes connections.
    pub suspect: Option<i64>,
    /// It did not answer a probe since it was heard last.
    pub is_unreachable: bool,
    /// It answered a probe: only then it counts.
    pub is_confirmed: bool,
    /// It sends no beacons: silence means nothing.
    pub is_static: bool,
}

/// All members but ourselves.
#[derive(Debug)]
pub struct Table {
    own: Identity,
    domain: Vec<u8>,
    drop_time: i64,
    members: HashMap<Identity, Seen>,
}

impl Table {
    /// `drop_time` in milliseconds. An empty domain takes everybody.
    pub fn new(own: Identity, domain: Vec<u8>, drop_time: i64) -> Table {
        Table { own, domain, drop_time, members: HashMap::new() }
    }

    /// We are reached at another address now.
    pub fn rename(&mut self, own: Identity) {
        self.own = own;
    }

    /// Was nobody heard, or not since long?
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes a beacon, or the sender of a message.
    pub fn hear(&mut self, member: &Member, now: i64, is_static: bool) -> Heard {
        let identity = member.identity();
        let is_foreign = !self.domain.is_empty() && self.domain != member.domain;
        if identity == self.own || is_foreign {
            return Heard::NotOurs;
        }
        if member.is_leaving() {
            return if self.members.remove(&identity).is_some() { Heard::Left } else { Heard::NotOurs };
        }
        if let Some(seen) = self.members.get_mut(&identity) {
            seen.heard = now;
            seen.suspect = None;
            seen.is_unreachable = false;
            seen.member = member.clone();
            seen.is_static &= is_static;
            return Heard::Known;
        }
        let seen = Seen {
            member: member.clone(),
            since: now,
            heard: now,
            suspect: None,
            is_unreachable: false,
            is_confirmed: false,
            is_static,
        };
        self.members.insert(identity, seen);
        Heard::New
    }

    /// A probe was answered: true if the member counts from now on.
    pub fn confirm(&mut self, identity: &Identity, now: i64) -> bool {
        let Some(seen) = self.members.get_mut(identity) else { return false };
        seen.is_unreachable = false;
        if now - seen.heard > self.drop_time && !seen.is_static {
            seen.suspect.get_or_insert(now);
        }
        !std::mem::replace(&mut seen.is_confirmed, true)
    }

    /// Others that were known at the same address: that is one process, so they are gone.
    pub fn replaced_by(&mut self, identity: &Identity) -> Vec<Seen> {
        let is_twin = |other: &Identity| {
            other != identity && other.host == identity.host && other.port == identity.port
        };
        let twins: Vec<_> = self.members.keys().filter(|other| is_twin(other)).copied().collect();
        twins.iter().filter_map(|twin| self.members.remove(twin)).collect()
    }

    /// Members to be probed: those that are silent, and those that did not answer yet.
    pub fn silent(&self, now: i64) -> Vec<Member> {
        // Half of the time is left for the question: who has died is known within dropTime.
        let is_silent = |seen: &Seen| !seen.is_static && now - seen.heard > self.drop_time / 2;
        let silent =
            self.members.values().filter(|seen| is_silent(seen) || !seen.is_confirmed || seen.is_static);
        silent.map(|seen| seen.member.clone()).collect()
    }

    /// A probe was refused: the member is gone. `None` if it was not known, or never counted.
    pub fn refuse(&mut self, identity: &Identity, now: i64) -> Option<(Seen, Departure)> {
        let seen = self.members.remove(identity)?;
        let was_missed = now - seen.heard > self.drop_time && !seen.is_static;
        let departure = if was_missed { Departure::Dead } else { Departure::Refused };
        seen.is_confirmed.then_some((seen, departure))
    }

    /// A probe was not answered.
    pub fn unreachable(&mut self, identity: &Identity) {
        if let Some(seen) = self.members.get_mut(identity) {
            seen.is_unreachable = true;
        }
    }

    /// Members that were suspected for too long, and those that neither said nor answered anything in all of dropTime.
    pub fn give_up(&mut self, now: i64) -> Vec<Seen> {
        let is_dead = |seen: &Seen| {
            let is_silent = now - seen.heard >= self.drop_time && !seen.is_static;
            is_silent && seen.is_unreachable && seen.is_confirmed
        };
        let is_over =
            |seen: &Seen| is_dead(seen) || seen.suspect.is_some_and(|since| now - since > SUSPECTED_FOR);
        let over: Vec<_> =
            self.members.iter().filter(|(_, seen)| is_over(seen)).map(|(identity, _)| *identity).collect();
        over.iter().filter_map(|identity| self.members.remove(identity)).collect()
    }

    pub fn get(&self, identity: &Identity) -> Option<&Seen> {
        self.members.get(identity)
    }

    /// Those that count, the oldest first by what they say of themselves.
    pub fn members(&self) -> Vec<&Seen> {
        let mut all: Vec<_> = self.members.values().filter(|seen| seen.is_confirmed).collect();
        all.sort_by_key(|seen| std::cmp::Reverse(seen.member.alive));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn member(port: u16, id: u8) -> Member {
        Member::new(format!("10.0.0.1:{port}").parse().unwrap(), [id; 16])
    }

    fn table() -> Table {
        Table::new(member(4000, 0).identity(), Vec::new(), 3000)
    }

    #[test]
    fn a_member_counts_once_it_answered_a_probe() {
        let mut table = table();
        assert_eq!(table.hear(&member(4001, 1), NOW, false), Heard::New);
        assert!(table.members().is_empty());
        assert!(table.confirm(&member(4001, 1).identity(), NOW));
        assert!(!table.confirm(&member(4001, 1).identity(), NOW));
        assert_eq!(table.hear(&member(4001, 1), NOW, false), Heard::Known);
        assert_eq!(table.members().len(), 1);
    }

    #[test]
    fn our_own_beacons_and_other_domains_are_nobodys() {
        let mut table = Table::new(member(4000, 0).identity(), b"a".to_vec(), 3000);
        assert_eq!(table.hear(&member(4000, 0), NOW, false), Heard::NotOurs);
        assert_eq!(table.hear(&member(4001, 1), NOW, false), Heard::NotOurs);
        let friend = Member { domain: b"a".to_vec(), ..member(4001, 1) };
        assert_eq!(table.hear(&friend, NOW, false), Heard::New);
    }

    #[test]
    fn who_says_that_it_stops_is_gone_at_once() {
        let mut table = table();
        table.hear(&member(4001, 1), NOW, false);
        let leaving = Member { command: crate::wire::cluster::SHUTDOWN.to_vec(), ..member(4001, 1) };
        assert_eq!(table.hear(&leaving, NOW, false), Heard::Left);
        assert_eq!(table.hear(&leaving, NOW, false), Heard::NotOurs);
    }

    #[test]
    fn silence_is_asked_about_and_told_from_death() {
        let mut table = table();
        table.hear(&member(4001, 1), NOW, false);
        table.confirm(&member(4001, 1).identity(), NOW);
        assert!(table.silent(NOW + 1500).is_empty());
        assert_eq!(table.silent(NOW + 1501).len(), 1);
        assert!(!table.confirm(&member(4001, 1).identity(), NOW + 1501));
        assert_eq!(table.get(&member(4001, 1).identity()).unwrap().suspect, None);
        assert!(!table.confirm(&member(4001, 1).identity(), NOW + 3001));
        assert_eq!(table.get(&member(4001, 1).identity()).unwrap().suspect, Some(NOW + 3001));
        assert!(table.give_up(NOW + 3001 + SUSPECTED_FOR).is_empty());
        table.unreachable(&member(4001, 1).identity());
        table.hear(&member(4001, 1), NOW + 5000, false);
        assert!(table.give_up(NOW + 8000).is_empty(), "it was heard since");
        let (_, departure) = table.refuse(&member(4001, 1).identity(), NOW + 9000).unwrap();
        assert_eq!(departure, Departure::Dead);
    }

    #[test]
    fn who_neither_says_nor_answers_anything_is_dead_when_drop_time_is_over() {
        let mut table = table();
        table.hear(&member(4001, 1), NOW, false);
        table.confirm(&member(4001, 1).identity(), NOW);
        table.unreachable(&member(4001, 1).identity());
        assert!(table.give_up(NOW + 2999).is_empty());
        assert_eq!(table.give_up(NOW + 3000).len(), 1);
        assert!(table.members().is_empty());
    }

    #[test]
    fn a_restarted_process_takes_the_place_of_the_one_before() {
        let mut table = table();
        for id in [1, 2] {
            table.hear(&member(4001, id), NOW, false);
            table.confirm(&member(4001, id).identity(), NOW);
        }
        let gone = table.replaced_by(&member(4001, 2).identity());
        assert_eq!(gone.iter().map(|seen| seen.member.unique_id[0]).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn the_oldest_by_its_own_word_comes_first() {
        let mut table = table();
        for (port, alive) in [(4001, 5), (4002, -1), (4003, 900)] {
            let member = Member { alive, ..member(port, 1) };
            table.hear(&member, NOW, false);
            table.confirm(&member.identity(), NOW);
        }
        let ports: Vec<_> = table.members().iter().map(|seen| seen.member.port).collect();
        assert_eq!(ports, [4003, 4001, 4002]);
    }
}
