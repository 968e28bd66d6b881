// SPDX-License-Identifier: Apache-2.0
//! State as a whole: taking over what nodes know, and giving it to a node that starts.

use super::entry::{Kept, Slot};
use super::{Ignored, Key, Name, Replica};
use crate::wire::cluster::{
    Action, Change, Delta, Event, Identity, SessionMessage, SessionState, Subject, read_sessions,
    write_sessions,
};
use crate::wire::stream::Value;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What taking over the sessions of a node changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Sessions that the node has.
    pub received: usize,
    /// Of these, how many were not known before.
    pub new: usize,
    /// The ids of all.
    pub ids: Vec<Name>,
}

/// Which of the sessions of a node are taken over. What came here as messages may be newer than its answer, and older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// Those that are not known. All messages of the others came here, to the node perhaps not yet.
    Unknown,
    /// Also those that were used later than the last message of them came: the node and we did not hear each other for a while.
    Newer,
    /// All: the node lived while the agent did not.
    All,
}

/// Messages since state was asked for, to be applied once more on top of what is answered.
#[derive(Debug, Default)]
pub(super) struct Since {
    messages: Vec<(Option<Identity>, SessionMessage, i64)>,
    bytes: usize,
    /// Sessions that came from nodes meanwhile.
    taken: HashSet<Key>,
    /// When sessions were touched before the first of these messages.
    touched: HashMap<Key, i64>,
}

/// So far apart may members see one request, in milliseconds.
const ONE_REQUEST: i64 = 1_000;

/// Bytes of messages that are remembered. What is taken over afterwards is only what is not known.
const REMEMBERED_BYTES: usize = 128 << 20;

impl Since {
    pub(super) fn add(&mut self, sender: Option<Identity>, message: &SessionMessage, now: i64) {
        self.bytes += message.payload.as_ref().map_or(0, Vec::len) + 200;
        if self.is_whole() {
            self.messages.push((sender, message.clone(), now));
        }
    }

    /// A message of a session comes that was touched then.
    pub(super) fn remember_touched(&mut self, key: Key, touched: i64) {
        if self.is_whole() {
            self.touched.entry(key).or_insert(touched);
        }
    }

    fn is_whole(&self) -> bool {
        self.bytes <= REMEMBERED_BYTES
    }
}

/// How much goes into one message.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    pub sessions: usize,
    pub bytes: usize,
}

/// Sessions that are on their way to a node. Only their ids are held: what is sent is how they are when their turn comes, for
/// what changes before that is told to the node as well, and applied behind it.
#[derive(Debug)]
pub struct Outgoing {
    context: Name,
    ids: Vec<Name>,
    /// Goes into each message. It must not lie behind that of the question, by the clock of the node.
    time: i64,
    /// The node waits for the end.
    completes: bool,
    next: Next,
}

#[derive(Debug)]
enum Next {
    /// State, from this id on.
    State(usize),
    Complete,
    /// What states leave out, from this id on.
    LeftOut(usize),
}

impl Outgoing {
    pub fn context(&self) -> &[u8] {
        &self.context
    }

    /// How many sessions.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl Replica {
    /// From now on messages are remembered: what a node answers may be older than they are.
    pub fn begin_asking(&mut self) {
        self.since_asked.get_or_insert_default();
    }

    /// All answers are there.
    pub fn end_asking(&mut self) {
        self.since_asked = None;
    }

    /// Takes over sessions of a node.
    ///
    /// # Errors
    /// The message is no state, or malformed.
    pub fn merge(&mut self, message: &SessionMessage, take: Take, now: i64) -> Result<Merged, Ignored> {
        self.merge_from(None, &BTreeSet::new(), message, take, now)
    }

    /// As [`Replica::merge`], of a node with those `jvmRoute`s: of the sessions that it serves it knows more than others.
    ///
    /// # Errors
    /// As there.
    pub fn merge_from(
        &mut self,
        node: Option<Identity>,
        routes: &BTreeSet<String>,
        message: &SessionMessage,
        take: Take,
        now: i64,
    ) -> Result<Merged, Ignored> {
        let (Event::AllSessionData, Some(context), Some(payload)) =
            (message.event, &message.context, &message.payload)
        else {
            return Err(Ignored::NotForReplicas);
        };
        let sessions =
            read_sessions(payload, &mut self.verdicts, self.limits.value).map_err(Ignored::Malformed)?;
        let mut merged = Merged::default();
        // Also an application without sessions is one that was heard of.
        let of_context = &*self.contexts.entry(context.as_slice().into()).or_default();
        let mut taken = HashSet::new();
        let sessions: Vec<_> = sessions
            .into_iter()
            .filter(|state| !of_context.ended.contains_key(state.id.as_slice()))
            .collect();
        for state in sessions {
            let key = self.key(context, &state.id);
            merged.received += 1;
            merged.ids.push(key.id.clone());
            let known = self.get(&key);
            // Under its old id it is older than what is known here.
            let has_new_id = *key.id != *state.id;
            let is_behind = has_new_id && known.is_some();
            if is_behind || !self.is_to_be_taken(&key, &state, take, is_served(&state.id, routes)) {
                continue;
            }
            merged.new += usize::from(known.is_none());
            // The kind of login is no part of what nodes send.
            let auth_type = known.and_then(|kept| kept.rest().auth_type.clone());
            let touched = known
                .map_or(state.this_accessed.min(now), |kept| kept.touched.max(state.this_accessed.min(now)));
            let state = SessionState { auth_type, ..state };
            taken.insert(key.clone());
            let mut slot = Slot { kept: Kept::new(state, touched), recent: None };
            if has_new_id {
                slot.recent().begun = Some(now);
            }
            self.insert(key, slot, now);
        }
        self.apply_again(&taken, node, message.time.unwrap_or(0));
        Ok(merged)
    }

    /// Two members see one request at different times, and the one that only heard of it may have missed what it changed. So the
    /// word of the node that serves the session counts as it is, that of another only if it is of a later request.
    fn is_to_be_taken(&self, key: &Key, state: &SessionState, take: Take, is_served: bool) -> bool {
        let Some(kept) = self.get(key) else { return true };
        let Some(since) = self.since_asked.as_ref().filter(|since| since.is_whole()) else { return false };
        let used = state.this_accessed;
        match take {
            Take::Unknown => false,
            // Another node gave it already: both times are of nodes.
            _ if since.taken.contains(key) && is_served => used > kept.this_accessed - ONE_REQUEST,
            _ if since.taken.contains(key) => used > kept.this_accessed + ONE_REQUEST,
            Take::All => true,
            // A change that came since says nothing of those that were missed before it.
            Take::Newer => {
                let touched = *since.touched.get(key).unwrap_or(&kept.touched);
                used > touched + if is_served { 0 } else { ONE_REQUEST }
            }
        }
    }

    /// Messages that came since state was asked for are newer than what was answered.
    /// Those that the node itself sent before came late.
    fn apply_again(&mut self, taken: &HashSet<Key>, node: Option<Identity>, answered: i64) {
        let Some(mut since) = self.since_asked.take() else { return };
        for (sender, message, at) in &since.messages {
            let (Some(context), Some(id)) = (&message.context, &message.session_id) else { continue };
            let key = self.key(context, id);
            let is_late =
                node.is_some() && *sender == node && message.time.is_some_and(|time| time < answered);
            if taken.contains(&key) && !is_late {
                self.apply_now(*sender, message, *at);
            }
        }
        since.taken.extend(taken.iter().cloned());
        self.since_asked = Some(since);
    }

    /// Lets go of sessions of a context that a node which has lived through all of it does not know any more: they ended while
    /// nobody told. `since`: sessions with later messages stay.
    pub fn keep_only(&mut self, context: &[u8], known: &dyn Fn(&[u8]) -> bool, since: i64) -> usize {
        let Some(of_context) = self.contexts.get(context) else { return 0 };
        let gone: Vec<_> = of_context
            .sessions
            .iter()
            .filter(|(id, slot)| !known(id) && slot.kept.touched < since)
            .map(|(id, _)| Key { context: context.into(), id: Name::clone(id) })
            .collect();
        for key in &gone {
            self.remove(key);
        }
        gone.len()
    }

    /// Did a session get its id, by its creation or a change, at `time` or later? Then a node may have it though its answer, made
    /// before, has not.
    pub fn is_begun_since(&self, context: &[u8], id: &[u8], time: i64) -> bool {
        let slot = self.contexts.get(context).and_then(|context| context.sessions.get(id));
        slot.and_then(|slot| slot.recent.as_ref()?.begun).is_some_and(|begun| begun >= time)
    }

    /// The answer to a node that asks for its sessions.
    pub fn answer(&self, context: &[u8], time: i64, now: i64) -> Outgoing {
        self.select(context, &|_| true, time, now)
    }

    /// Those of the sessions that `wanted` names, to a node that has not asked: no end follows.
    pub fn gift(&self, context: &[u8], wanted: &dyn Fn(&[u8]) -> bool, now: i64) -> Outgoing {
        Outgoing { completes: false, ..self.select(context, wanted, 0, now) }
    }

    fn select(&self, context: &[u8], wanted: &dyn Fn(&[u8]) -> bool, time: i64, now: i64) -> Outgoing {
        let known = self.contexts.get_key_value(context);
        let name = known.map_or_else(|| context.into(), |(name, _)| Name::clone(name));
        let sessions = known.into_iter().flat_map(|(_, of_context)| &of_context.sessions);
        let alive = sessions.filter(|(id, slot)| !self.is_over(&slot.kept, now) && wanted(id));
        let ids = alive.map(|(id, _)| Name::clone(id)).collect();
        Outgoing { context: name, ids, time, completes: true, next: Next::State(0) }
    }

    /// The messages that come next, each to be acknowledged; `None` at the end.
    pub fn next_part(&self, outgoing: &mut Outgoing, batch: Batch, now: i64) -> Option<Vec<SessionMessage>> {
        loop {
            match outgoing.next {
                Next::State(from) => {
                    let (states, to) = self.states(outgoing, from, batch, now);
                    outgoing.next = if to < outgoing.ids.len() { Next::State(to) } else { Next::Complete };
                    // An application without sessions says so; that those which are left have ended meanwhile needs no word.
                    if !states.is_empty() || from == 0 {
                        return Some(vec![outgoing.state(&states)]);
                    }
                }
                Next::Complete => {
                    outgoing.next = Next::LeftOut(0);
                    if outgoing.completes {
                        return Some(vec![outgoing.complete()]);
                    }
                }
                Next::LeftOut(from) => {
                    let ids = outgoing.ids.get(from..).filter(|ids| !ids.is_empty())?;
                    let ids = &ids[..ids.len().min(batch.sessions.max(1))];
                    let messages: Vec<_> = ids
                        .iter()
                        .map(|id| self.key(&outgoing.context, id))
                        .filter_map(|key| Some((self.get(&key)?, key)))
                        .flat_map(|(kept, key)| what_state_leaves_out(&key, kept, outgoing.time))
                        .collect();
                    outgoing.next = Next::LeftOut(from + ids.len());
                    if !messages.is_empty() {
                        return Some(messages);
                    }
                }
            }
        }
    }

    /// Sessions for one message, and where the next begins.
    fn states(&self, outgoing: &Outgoing, from: usize, batch: Batch, now: i64) -> (Vec<SessionState>, usize) {
        let (mut states, mut bytes, mut at) = (Vec::new(), 0, from);
        while let Some(id) = outgoing.ids.get(at) {
            let key = self.key(&outgoing.context, id);
            if let Some(kept) = self.get(&key).filter(|kept| !self.is_over(kept, now)) {
                bytes += kept.size();
                if !states.is_empty() && (bytes > batch.bytes || states.len() >= batch.sessions) {
                    break;
                }
                states.push(as_sent(&key.id, kept));
            }
            at += 1;
        }
        (states, at)
    }
}

impl Outgoing {
    fn message(&self, event: Event, name: &[u8], payload: Option<Vec<u8>>) -> SessionMessage {
        SessionMessage {
            event,
            context: Some(self.context.to_vec()),
            session_id: Some(name.to_vec()),
            unique_id: None,
            time: Some(self.time),
            payload,
        }
    }

    fn state(&self, states: &[SessionState]) -> SessionMessage {
        let payload = Some(write_sessions(states.iter()));
        let unique_id = Some([b"SESSION-STATE-".as_slice(), &self.context].concat());
        SessionMessage { unique_id, ..self.message(Event::AllSessionData, b"SESSION-STATE", payload) }
    }

    fn complete(&self) -> SessionMessage {
        let name = b"SESSION-STATE-TRANSFERRED".as_slice();
        let unique_id = Some([name, &self.context].concat());
        SessionMessage { unique_id, ..self.message(Event::TransferComplete, name, None) }
    }
}

/// The state of a session for a node: its times are those of the last message.
pub fn as_sent(id: &[u8], kept: &Kept) -> SessionState {
    let mut state = kept.state(id);
    state.last_accessed = state.last_accessed.max(kept.touched);
    state.this_accessed = state.this_accessed.max(kept.touched);
    // A request that finds it there has come with its id.
    state.is_new = false;
    state
}

/// The kind of login, and changes that are kept as they came.
fn what_state_leaves_out(key: &Key, kept: &Kept, time: i64) -> Vec<SessionMessage> {
    let message = |payload: Vec<u8>| SessionMessage {
        event: Event::Delta,
        context: Some(key.context.to_vec()),
        session_id: Some(key.id.to_vec()),
        unique_id: Some([&*key.id, b"-".as_slice(), time.to_string().as_bytes()].concat()),
        time: Some(time),
        payload: Some(payload),
    };
    let login = kept.rest().auth_type.iter().map(|auth_type| {
        let action = Action {
            subject: Some(Subject::AuthType),
            name: Subject::AuthType.fixed_name().to_vec(),
            change: Change::Set(Value::string(auth_type)),
        };
        let delta = Delta { session_id: key.id.to_vec(), records_all: false, actions: vec![action] };
        delta.to_bytes()
    });
    login.chain(kept.rest().opaque.iter().cloned()).map(message).collect()
}

/// Does the id of a session end with one of those routes?
fn is_served(id: &[u8], routes: &BTreeSet<String>) -> bool {
    let dot = id.iter().position(|byte| *byte == b'.');
    let route = dot.and_then(|dot| std::str::from_utf8(&id[dot + 1..]).ok());
    route.is_some_and(|route| routes.contains(route))
}
