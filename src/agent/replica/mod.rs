// SPDX-License-Identifier: Apache-2.0
//! Every session of the cluster, kept up to date by the messages of its nodes. No sockets, no disk, no clock.
//!
//! Messages of one session may come by several connections and overtake each other: a change before the session it belongs to,
//! a change after the session's end, a new id before anything else. What comes too early waits; what comes too late is told by
//! the marks that ended sessions leave.

mod apply;
mod changes;
mod duplicates;
mod entry;
mod held;
mod names;
mod order;
#[cfg(test)]
mod tests;
mod transfer;

use std::collections::HashMap;

use crate::wire::cluster::{ClusterError, Identity, SessionMessage};
use crate::wire::stream::Verdicts;
use changes::Pending;
use entry::Slot;

pub use apply::Effect;
pub use changes::{Changes, Write};
pub use duplicates::Duplicates;
pub use entry::{Kept, Rest};
pub use held::Held;
pub use names::{Name, Names};
pub use transfer::{Batch, Merged, Outgoing, Take, as_sent};

/// Idle limit of a session of which only the beginning is known: the default of a web application, 30 minutes.
const DEFAULT_MAX_INACTIVE: i32 = 1800;
/// How long a message waits for its session, in milliseconds.
const PARKED_FOR: i64 = 5_000;
/// How long the end and the old ids of a session are remembered, in milliseconds.
const REMEMBERED_FOR: i64 = 60_000;
/// Bytes of a session's record beside its attributes, roughly.
const HEAD: usize = 100;
/// How many messages may wait in a context.
const PARKED: usize = 10_000;

/// Which session: ids are unique in their context only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Name of the session manager: `localhost#/app`, or `/app` for a cluster inside of a host.
    pub context: Name,
    pub id: Name,
}

impl Key {
    pub fn new(context: &[u8], id: &[u8]) -> Key {
        Key { context: context.into(), id: id.into() }
    }
}

/// What is too large to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one attribute.
    pub value: usize,
    /// Bytes of all sessions. Above, those that were idle longest are let go.
    pub total: usize,
    /// Milliseconds that a session is kept without a message, even if it never expires.
    pub age: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { value: 16 << 20, total: 1 << 30, age: 30 * 24 * 3600 * 1000 }
    }
}

/// Ids that sessions had before, the id after, and when it changed.
type Renamed = HashMap<Name, (Name, i64)>;

/// The sessions of one web application.
#[derive(Debug, Default)]
struct Context {
    sessions: HashMap<Name, Slot>,
    /// What came before its session.
    parked: HashMap<Name, Vec<Parked>>,
    parked_count: usize,
    /// Ended sessions, and when.
    ended: HashMap<Name, i64>,
    renamed: Renamed,
}

#[derive(Debug)]
struct Parked {
    sender: Option<Identity>,
    message: SessionMessage,
    since: i64,
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Replica {
    limits: Limits,
    contexts: HashMap<Name, Context>,
    /// Names of attributes.
    names: Names,
    bytes: usize,
    changes: Pending,
    verdicts: Verdicts,
    /// Messages since state was asked for: they may be newer than what is answered.
    since_asked: Option<transfer::Since>,
    reports_requests: bool,
    let_go: usize,
}

impl Replica {
    pub fn new(limits: Limits) -> Replica {
        Replica { limits, ..Replica::default() }
    }

    /// Takes what the vault kept.
    pub fn restore(&mut self, key: Key, mut kept: Kept) {
        kept.share_names(&mut self.names);
        self.bytes += kept.size();
        let context = self.contexts.entry(key.context).or_default();
        if let Some(before) = context.sessions.insert(key.id, Slot { kept, recent: None }) {
            self.bytes -= before.kept.size();
        }
    }

    pub fn get(&self, key: &Key) -> Option<&Kept> {
        Some(&self.contexts.get(&key.context)?.sessions.get(&key.id)?.kept)
    }

    /// The key under which a session is known now; nothing is copied where it is.
    fn key(&self, context: &[u8], id: &[u8]) -> Key {
        let Some((name, of_context)) = self.contexts.get_key_value(context) else {
            return Key::new(context, id);
        };
        let id = of_context.current(id);
        let known = of_context.sessions.get_key_value(id);
        Key { context: Name::clone(name), id: known.map_or_else(|| id.into(), |(id, _)| Name::clone(id)) }
    }

    /// Number of sessions.
    pub fn len(&self) -> usize {
        self.contexts.values().map(|context| context.sessions.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of what applications stored.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Names of the session managers that were heard of, and how many sessions each has.
    pub fn contexts(&self) -> impl Iterator<Item = (&[u8], usize)> {
        self.contexts.iter().map(|(name, context)| (&**name, context.sessions.len()))
    }

    /// All sessions, in no order.
    pub fn sessions(&self) -> impl Iterator<Item = (Key, &Kept)> {
        self.contexts.iter().flat_map(|(context, of_context)| {
            of_context.sessions.iter().map(move |(id, slot)| {
                (Key { context: Name::clone(context), id: Name::clone(id) }, &slot.kept)
            })
        })
    }

    /// Do the nodes tell of every request? Later Tomcats do; of earlier ones a session may be in use without a message.
    pub fn reports_requests(&self) -> bool {
        self.reports_requests
    }

    /// As the vault remembers it.
    pub fn set_reports_requests(&mut self, reports: bool) {
        self.reports_requests |= reports;
    }

    /// Sessions that changed since the vault took changes last.
    pub fn unwritten(&self) -> usize {
        self.changes.len()
    }

    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Takes a session that was stored elsewhere, unless it is known; true if it was not.
    pub fn import(&mut self, key: Key, kept: Kept, now: i64) -> bool {
        let is_new = self.get(&key).is_none();
        if is_new {
            self.insert(key, Slot { kept, recent: None }, now);
        }
        is_new
    }

    /// How many sessions were let go since the last call because all of them were too large.
    pub fn take_let_go(&mut self) -> usize {
        std::mem::take(&mut self.let_go)
    }

    /// What changed and is to be written next: what waits longest, until it is so many bytes.
    pub fn take_changes(&mut self, bytes: usize) -> Changes {
        let contexts = &self.contexts;
        let size = |key: &Key, names: Option<&[Name]>| {
            let kept = contexts.get(&key.context).and_then(|of| Some(&of.sessions.get(&key.id)?.kept));
            let Some(kept) = kept else { return HEAD };
            HEAD + match names {
                None => kept.size(),
                Some(names) => names.iter().filter_map(|name| kept.get(name)).map(Held::len).sum(),
            }
        };
        self.changes.take(bytes, size)
    }

    /// What could not be written is to be written again.
    pub fn give_back(&mut self, changes: Changes) {
        self.changes.give_back(changes);
    }

    /// Is it over?
    fn is_over(&self, kept: &Kept, now: i64) -> bool {
        kept.ends(!self.reports_requests).is_some_and(|end| end <= now)
            || kept.touched.saturating_add(self.limits.age) <= now
    }

    /// Lets go of sessions that are over, and of messages that waited in vain; call it about once a second. The contexts of
    /// such messages have sessions that are not known here: their state is to be asked for again.
    pub fn tick(&mut self, now: i64) -> Vec<Name> {
        let mut unknown = Vec::new();
        let over: Vec<_> =
            self.sessions().filter(|(_, kept)| self.is_over(kept, now)).map(|(key, _)| key).collect();
        for key in over {
            self.remove(&key);
        }
        for (name, context) in &mut self.contexts {
            context.ended.retain(|_, since| now - *since <= REMEMBERED_FOR);
            context.renamed.retain(|_, (_, since)| now - *since <= REMEMBERED_FOR);
            context.sessions.values_mut().for_each(|slot| slot.forget(now - REMEMBERED_FOR));
            let before = context.parked_count;
            let mut left = 0;
            context.parked.retain(|_, waiting| {
                waiting.retain(|parked| now - parked.since <= PARKED_FOR);
                left += waiting.len();
                !waiting.is_empty()
            });
            context.parked_count = left;
            if left < before {
                unknown.push(Name::clone(name));
            }
        }
        self.names.forget_unused();
        self.shrink();
        unknown
    }

    /// Over the limit, those that were idle longest go first.
    fn shrink(&mut self) {
        if self.bytes <= self.limits.total {
            return;
        }
        let mut by_age: Vec<_> = self.sessions().map(|(key, kept)| (kept.touched, key)).collect();
        by_age.sort();
        for (_, key) in by_age {
            if self.bytes <= self.limits.total {
                return;
            }
            self.remove(&key);
            self.let_go += 1;
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Slot> {
        let slot = self.contexts.get_mut(&key.context)?.sessions.remove(&key.id)?;
        self.bytes -= slot.kept.size();
        self.changes.whole(key.clone());
        Some(slot)
    }

    /// Takes a session away on the administrator's word.
    pub fn forget(&mut self, key: &Key) -> bool {
        self.remove(key).is_some()
    }
}

/// A message that nothing could be done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// It ended before.
    Ended,
    /// It belongs to no context or session.
    Nameless,
    /// It is for those who ask or answer.
    NotForReplicas,
    /// Too many wait for sessions that do not come.
    TooMany,
    /// It is malformed.
    Malformed(ClusterError),
}
