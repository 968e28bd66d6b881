// SPDX-License-Identifier: Apache-2.0
//! What each message does. The order of messages is whatever the connections made of it.

use super::entry::{Kept, Slot, Touched};
use super::order::Order;
use super::{Context, DEFAULT_MAX_INACTIVE, Ignored, Key, PARKED, Parked, Replica};
use crate::wire::cluster::{
    Action, Change, ClusterError, Delta, Event, Identity, SessionMessage, SessionState, Subject,
};

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Applied,
    /// It waits for its session.
    Parked,
    /// The change is kept as it came: without the application's classes nobody can read it.
    Opaque(ClusterError),
    Ignored(Ignored),
}

impl Replica {
    /// Applies a message. `now`: milliseconds since 1970.
    pub fn apply(&mut self, message: &SessionMessage, now: i64) -> Effect {
        self.apply_from(None, message, now)
    }

    /// As [`Replica::apply`], with the node that sent it: what it changed later and what came before is not undone.
    pub fn apply_from(&mut self, sender: Option<Identity>, message: &SessionMessage, now: i64) -> Effect {
        if self.since_asked.is_some() && is_about_a_session(message.event) {
            self.remember(sender, message, now);
        }
        self.apply_now(sender, message, now)
    }

    /// Keeps a message for what nodes that were asked will answer.
    fn remember(&mut self, sender: Option<Identity>, message: &SessionMessage, now: i64) {
        let (Some(context), Some(id)) = (&message.context, &message.session_id) else { return };
        let key = Key::new(context, self.contexts.get(&**context).map_or(id, |context| context.current(id)));
        let touched = self.get(&key).map(|kept| kept.touched);
        let Some(log) = &mut self.since_asked else { return };
        log.add(sender, message, now);
        if let Some(touched) = touched {
            if let Event::ChangeId = message.event
                && let Ok(new) = message.new_id()
            {
                log.remember_touched(Key::new(context, &new), touched);
            }
            log.remember_touched(key, touched);
        }
    }

    pub(super) fn apply_now(
        &mut self,
        sender: Option<Identity>,
        message: &SessionMessage,
        now: i64,
    ) -> Effect {
        if !is_about_a_session(message.event) {
            return Effect::Ignored(Ignored::NotForReplicas);
        }
        let (Some(context), Some(id)) = (&message.context, &message.session_id) else {
            return Effect::Ignored(Ignored::Nameless);
        };
        let key = self.key(context, id);
        match message.event {
            Event::Created => self.created(key, message, now),
            Event::Delta => self.delta(key, sender, message, now),
            Event::Accessed => self.accessed(key, message, now),
            Event::Expired => self.expired(&key, now),
            Event::ChangeId => self.change_id(&key, message, now),
            _ => Effect::Ignored(Ignored::NotForReplicas),
        }
    }

    fn context(&mut self, key: &Key) -> &mut Context {
        self.contexts.entry(key.context.clone()).or_default()
    }

    fn created(&mut self, key: Key, message: &SessionMessage, now: i64) -> Effect {
        let context = self.context(&key);
        if context.ended.contains_key(&key.id) {
            return Effect::Ignored(Ignored::Ended);
        }
        // A session that is known has changed since; the message comes late.
        if !context.sessions.contains_key(&key.id) {
            let creation = message.time.unwrap_or(now);
            let state = SessionState::new(Vec::new(), creation, DEFAULT_MAX_INACTIVE);
            let mut slot = Slot { kept: Kept::new(state, now), recent: None };
            slot.recent().begun = Some(now);
            self.insert(key, slot, now);
        }
        Effect::Applied
    }

    /// Adds a session, and applies what has waited for it.
    pub(super) fn insert(&mut self, key: Key, mut slot: Slot, now: i64) {
        slot.kept.share_names(&mut self.names);
        self.bytes += slot.kept.size();
        let context = self.context(&key);
        let before = context.sessions.get_mut(&key.id).map(|before| {
            // What is late for the one is late for the other.
            slot.recent = slot.recent.take().or(before.recent.take());
            before.kept.size()
        });
        context.sessions.insert(key.id.clone(), slot);
        let waiting = context.parked.remove(&key.id).unwrap_or_default();
        context.parked_count -= waiting.len();
        self.bytes -= before.unwrap_or(0);
        self.changes.whole(key);
        for parked in waiting {
            self.apply_now(parked.sender, &parked.message, now);
        }
    }

    fn park(&mut self, key: &Key, sender: Option<Identity>, message: &SessionMessage, now: i64) -> Effect {
        let context = self.context(key);
        if context.ended.contains_key(&key.id) {
            return Effect::Ignored(Ignored::Ended);
        }
        if context.parked_count >= PARKED {
            return Effect::Ignored(Ignored::TooMany);
        }
        context.parked_count += 1;
        let parked = Parked { sender, message: message.clone(), since: now };
        context.parked.entry(key.id.clone()).or_default().push(parked);
        Effect::Parked
    }

    fn delta(&mut self, key: Key, sender: Option<Identity>, message: &SessionMessage, now: i64) -> Effect {
        let Some(payload) = &message.payload else {
            return Effect::Ignored(Ignored::Malformed(ClusterError::Truncated("the changes of a session")));
        };
        if self.get(&key).is_none() {
            return self.park(&key, sender, message, now);
        }
        let mut read = Delta::read(payload, &mut self.verdicts, self.limits.value);
        let Some(slot) = self.contexts.get_mut(&key.context).and_then(|of| of.sessions.get_mut(&key.id))
        else {
            return Effect::Ignored(Ignored::Nameless);
        };
        if let Ok(delta) = &mut read {
            self.reports_requests |= is_only_a_request(delta);
            if let (Some(sender), Some(time)) = (sender, message.time) {
                let order = slot.recent().order.get_or_insert_with(|| Order::new(sender));
                order.filter(sender, time, delta);
            }
        }
        let kept = &mut slot.kept;
        let before = kept.size();
        kept.touched = now;
        let (touched, effect) = match read {
            Ok(delta) if kept.rest().opaque.is_empty() => {
                (kept.apply(delta, &mut self.names), Effect::Applied)
            }
            // What follows something unreadable must stay behind it.
            Ok(_) => {
                kept.rest_mut().opaque.push(payload.clone());
                (Touched { rest: true, ..Touched::default() }, Effect::Applied)
            }
            Err(error) => {
                kept.rest_mut().opaque.push(payload.clone());
                (Touched { rest: true, ..Touched::default() }, Effect::Opaque(error))
            }
        };
        self.bytes = self.bytes + kept.size() - before;
        self.changes.parts(key, touched);
        effect
    }

    fn accessed(&mut self, key: Key, message: &SessionMessage, now: i64) -> Effect {
        let Some(slot) = self.contexts.get_mut(&key.context).and_then(|of| of.sessions.get_mut(&key.id))
        else {
            return self.park(&key, None, message, now);
        };
        slot.kept.touched = now;
        slot.kept.is_new = false;
        self.changes.parts(key, Touched::default());
        Effect::Applied
    }

    fn expired(&mut self, key: &Key, now: i64) -> Effect {
        self.remove(key);
        let context = self.context(key);
        context.ended.insert(key.id.clone(), now);
        let waiting = context.parked.remove(&key.id).unwrap_or_default();
        context.parked_count -= waiting.len();
        Effect::Applied
    }

    fn change_id(&mut self, key: &Key, message: &SessionMessage, now: i64) -> Effect {
        let new = match message.new_id() {
            Ok(new) => Key { context: key.context.clone(), id: new.into() },
            Err(error) => return Effect::Ignored(Ignored::Malformed(error)),
        };
        if new.id == key.id {
            // It was applied before: the old id leads here already.
            return Effect::Applied;
        }
        let slot = self.remove(key);
        let context = self.context(key);
        // An id may come back: a session that moves to and fro.
        context.renamed.remove(&new.id);
        context.ended.remove(&new.id);
        context.renamed.insert(key.id.clone(), (new.id.clone(), now));
        let waiting = context.parked.remove(&key.id).unwrap_or_default();
        let mut already_there = false;
        if let Some(there) = context.sessions.get_mut(&new.id) {
            already_there = true;
            there.recent().begun = Some(now);
        }
        context.parked.entry(new.id.clone()).or_default().extend(waiting);
        if context.parked.get(&new.id).is_some_and(Vec::is_empty) {
            context.parked.remove(&new.id);
        }
        if let Some(mut slot) = slot.filter(|_| !already_there) {
            slot.recent().begun = Some(now);
            slot.kept.touched = now;
            if !slot.kept.rest().opaque.is_empty() {
                for payload in &mut slot.kept.rest_mut().opaque {
                    *payload = with_session_id(payload, &new.id);
                }
            }
            self.insert(new, slot, now);
        }
        Effect::Applied
    }
}

impl Context {
    /// The id that a session has now.
    pub(super) fn current<'a>(&'a self, id: &'a [u8]) -> &'a [u8] {
        let mut current = id;
        // Longer chains than any session has mean that ids run in a circle.
        for _ in 0..8 {
            match self.renamed.get(current) {
                Some((new, _)) if !self.sessions.contains_key(current) => current = new,
                _ => break,
            }
        }
        current
    }
}

fn is_about_a_session(event: Event) -> bool {
    matches!(event, Event::Created | Event::Delta | Event::Accessed | Event::Expired | Event::ChangeId)
}

/// Says the change only that there was a request? Tomcats since 9.0.110, 10.1.47 and 11.0.12 do so.
fn is_only_a_request(delta: &Delta) -> bool {
    let is_no_longer_new = |action: &Action| {
        action.subject == Some(Subject::IsNew)
            && matches!(&action.change, Change::Set(value) if value.as_boolean() == Some(false))
    };
    matches!(delta.actions.as_slice(), [action] if is_no_longer_new(action))
}

/// The same changes for a session that has another id now: the id stands first in the first record of primitive data.
fn with_session_id(payload: &[u8], id: &[u8]) -> Vec<u8> {
    let rewritten = || -> Option<Vec<u8>> {
        let (head, rest) = payload.split_at_checked(4)?;
        let (length, rest) = match rest.split_first()? {
            (0x77, rest) => (usize::from(*rest.first()?), &rest[1..]),
            (0x7a, rest) => (usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?, &rest[4..]),
            _ => return None,
        };
        let (record, rest) = rest.split_at_checked(length)?;
        let old = usize::from(u16::from_be_bytes(*record.first_chunk()?));
        let behind = record.get(2 + old..)?;
        let mut new = u16::try_from(id.len()).ok()?.to_be_bytes().to_vec();
        new.extend_from_slice(id);
        new.extend_from_slice(behind);
        let mut out = head.to_vec();
        match u8::try_from(new.len()) {
            Ok(length) => out.extend_from_slice(&[0x77, length]),
            Err(_) => {
                out.push(0x7a);
                out.extend_from_slice(&u32::try_from(new.len()).ok()?.to_be_bytes());
            }
        }
        out.extend_from_slice(&new);
        out.extend_from_slice(rest);
        Some(out)
    };
    rewritten().unwrap_or_else(|| payload.to_vec())
}
