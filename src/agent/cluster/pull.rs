// SPDX-License-Identifier: Apache-2.0
//! Asking a node for all its sessions: when to ask again, when it is over, what its answer means. No sockets, no clock.

use std::collections::{HashMap, HashSet};

use crate::agent::replica::Name;
use crate::wire::cluster::{Identity, Member};

/// How long a node may take until it is asked again: one that waits for sessions itself drops the question.
const AGAIN_AFTER: i64 = 2_000;
/// Silence after an application's end until nothing more is expected.
const QUIET: i64 = 400;

/// Why a node is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The agent starts. The node lived all the time the agent did not: what it does not know has ended.
    Knows,
    /// The node started while the agent did not run, or just now: what it does not know it has lost.
    Started,
    /// The node and the agent lived and did not hear each other for a while.
    Returned,
    /// The agent stood still for a while.
    Missed,
    /// The agent refused connections for a while: changes of what it knows are missing, too.
    Refused,
    /// Something is missing here.
    Missing,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Wait,
    Ask,
    Done,
    /// It never answered.
    GiveUp,
}

/// By application: the ids of sessions.
type Known = HashMap<Name, HashSet<Name>>;

/// Of which applications a node knew all sessions before we did not hear it. One that has just started may know none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Witness {
    #[default]
    OfNone,
    /// We gave it what it did not have.
    Of(HashSet<Box<[u8]>>),
    /// It has lived for long.
    OfAll,
}

impl Witness {
    fn is_of(&self, context: &[u8]) -> bool {
        match self {
            Self::OfNone => false,
            Self::Of(contexts) => contexts.contains(context),
            Self::OfAll => true,
        }
    }
}

/// One question under way.
#[derive(Debug)]
pub struct Pull {
    pub from: Member,
    pub purpose: Purpose,
    /// When it was lost, if it came back.
    pub lost: Option<i64>,
    /// The applications of which it knew everything at that time: what it does not know any more has ended.
    pub witness: Witness,
    /// When it was decided to ask.
    pub begun: i64,
    /// When it was asked first: later messages are newer than the answer.
    pub since: i64,
    asked: Option<i64>,
    asks: u32,
    last: i64,
    /// The sessions that the node has.
    pub known: Known,
    complete: HashSet<Name>,
}

impl Pull {
    /// A question to be asked not before `at`.
    pub fn new(from: Member, purpose: Purpose, at: i64) -> Pull {
        Pull {
            from,
            purpose,
            lost: None,
            witness: if purpose == Purpose::Knows { Witness::OfAll } else { Witness::OfNone },
            begun: at,
            since: at,
            asked: None,
            asks: 0,
            last: at,
            known: HashMap::new(),
            complete: HashSet::new(),
        }
    }

    /// A question to one that came back after it was `lost`; `None`: it was not known before.
    pub fn returned(from: Member, lost: Option<i64>, witness: Witness, now: i64, at: i64) -> Pull {
        Pull { lost, witness, begun: now, ..Pull::new(from, Purpose::Returned, at) }
    }

    pub fn identity(&self) -> Identity {
        self.from.identity()
    }

    /// How often a node is asked: one that starts, or did not long ago, may wait for sessions itself for a minute.
    fn asks_at_most(&self) -> u32 {
        if matches!(self.purpose, Purpose::Started | Purpose::Returned) { 40 } else { 3 }
    }

    pub fn next(&self, now: i64) -> Next {
        let Some(asked) = self.asked else {
            return if now >= self.since { Next::Ask } else { Next::Wait };
        };
        let is_answered = !self.complete.is_empty();
        let is_whole = self.known.keys().all(|context| self.complete.contains(context));
        if is_answered && is_whole && now - self.last >= QUIET {
            return Next::Done;
        }
        if now - asked.max(self.last) < AGAIN_AFTER {
            return Next::Wait;
        }
        match self.asks < self.asks_at_most() {
            true => Next::Ask,
            false if is_answered => Next::Done,
            false => Next::GiveUp,
        }
    }

    pub fn asked(&mut self, now: i64) {
        if self.asked.is_none() {
            self.since = now;
        }
        self.asked = Some(now);
        self.asks += 1;
    }

    /// Sessions came.
    pub fn received(&mut self, context: &[u8], ids: impl IntoIterator<Item = Name>, now: i64) {
        self.last = now;
        self.known.entry(context.into()).or_default().extend(ids);
    }

    /// All sessions of an application have come.
    pub fn completed(&mut self, context: &[u8], now: i64) {
        self.last = now;
        self.known.entry(context.into()).or_default();
        self.complete.insert(context.into());
    }

    /// Applications of which everything is known.
    pub fn contexts(&self) -> impl Iterator<Item = (&[u8], &HashSet<Name>)> {
        self.complete.iter().filter_map(|context| Some((&**context, self.known.get(context)?)))
    }
}

/// For applications of which a node knows everything that lived while the agent heard nothing: the sessions that any node has. All
/// other sessions of them have ended.
pub fn known_to_nodes<'a>(answered: &'a [Pull]) -> Known {
    let of_witness = |pull: &'a Pull| {
        let contexts = pull.contexts().map(|(context, _)| context);
        contexts.filter(|context| pull.witness.is_of(context))
    };
    let contexts: HashSet<&[u8]> = answered.iter().flat_map(of_witness).collect();
    let known_of = |context: &[u8]| {
        answered.iter().filter_map(|pull| pull.known.get(context)).flatten().cloned().collect()
    };
    contexts.into_iter().map(|context| (context.into(), known_of(context))).collect()
}

/// What nodes that came back together say: the sessions of `known_to_nodes`, and up to when nobody else can have told us of others.
/// `members`: who counts now, and since when. Nothing if one of them was here all the time: what we know it knows.
pub fn known_to_returned(
    answered: &[Pull],
    mut members: impl Iterator<Item = (Identity, i64)>,
) -> Option<(Known, i64)> {
    let begun = answered.iter().map(|pull| pull.begun).min()?;
    let lost = answered.iter().filter_map(|pull| pull.lost).max()?;
    let is_returned = |(member, since): (Identity, i64)| {
        since >= begun || answered.iter().any(|pull| pull.identity() == member)
    };
    members.all(is_returned).then(|| (known_to_nodes(answered), lost))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(purpose: Purpose) -> Pull {
        Pull::new(Member::new("10.0.0.1:4000".parse().unwrap(), [1; 16]), purpose, 100)
    }

    #[test]
    fn it_is_over_when_every_application_has_ended_and_nothing_more_comes() {
        let mut pull = pull(Purpose::Knows);
        assert_eq!(pull.next(99), Next::Wait);
        assert_eq!(pull.next(100), Next::Ask);
        pull.asked(100);
        pull.received(b"/a", [b"1".as_slice().into()], 200);
        pull.received(b"/b", [], 210);
        pull.completed(b"/a", 220);
        assert_eq!(pull.next(220 + QUIET), Next::Wait);
        pull.completed(b"/b", 700);
        assert_eq!(pull.next(700), Next::Wait);
        assert_eq!(pull.next(700 + QUIET), Next::Done);
        assert_eq!(pull.contexts().count(), 2);
    }

    #[test]
    fn a_node_that_does_not_answer_is_asked_again_and_given_up() {
        let mut pull = pull(Purpose::Knows);
        let mut now = 100;
        for _ in 0..3 {
            assert_eq!(pull.next(now), Next::Ask);
            pull.asked(now);
            assert_eq!(pull.next(now + AGAIN_AFTER - 1), Next::Wait);
            now += AGAIN_AFTER;
        }
        assert_eq!(pull.next(now), Next::GiveUp);
    }

    #[test]
    fn a_node_that_starts_is_asked_for_as_long_as_it_may_wait_itself() {
        let mut pull = pull(Purpose::Started);
        let mut now = 100;
        while pull.next(now) == Next::Ask {
            pull.asked(now);
            now += AGAIN_AFTER;
        }
        assert!(now > 60_000);
    }

    #[test]
    fn a_session_has_ended_only_if_no_node_knows_it_and_one_of_them_must() {
        let mut all = [pull(Purpose::Knows), pull(Purpose::Started)];
        for (pull, context, id) in [(0, b"/a", b"1"), (1, b"/a", b"2"), (1, b"/b", b"3")] {
            all[pull].received(context, [id.as_slice().into()], 200);
            all[pull].completed(context, 210);
        }
        let known = known_to_nodes(&all);
        assert_eq!(known.len(), 1);
        let of_a = &known[b"/a".as_slice()];
        assert!(of_a.contains(b"1".as_slice()) && of_a.contains(b"2".as_slice()));
    }

    #[test]
    fn who_comes_back_tells_what_ended_unless_somebody_was_here_all_the_time() {
        let agreed = Witness::Of([b"/a".as_slice().into()].into());
        let mut back = Pull::returned(pull(Purpose::Knows).from, Some(5_000), agreed, 8_000, 11_000);
        back.completed(b"/new", 11_050);
        back.received(b"/a", [b"1".as_slice().into()], 11_100);
        back.completed(b"/a", 11_200);
        let itself = back.identity();
        let other = Identity { port: 4001, ..itself };
        let all = [back];
        let (known, until) = known_to_returned(&all, [(itself, 8_000)].into_iter()).unwrap();
        assert_eq!((known[b"/a".as_slice()].len(), known.len(), until), (1, 1, 5_000));
        assert!(known_to_returned(&all, [(itself, 8_000), (other, 9_000)].into_iter()).is_some());
        assert!(known_to_returned(&all, [(itself, 8_000), (other, 100)].into_iter()).is_none());
        let unknown = [Pull::returned(pull(Purpose::Knows).from, None, Witness::OfNone, 8_000, 11_000)];
        assert!(known_to_returned(&unknown, [(itself, 8_000)].into_iter()).is_none());
    }
}
