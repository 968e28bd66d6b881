// SPDX-License-Identifier: Apache-2.0
//! State as a whole: taking over what nodes know, and giving it to a node that starts.

use super::entry::Kept;
use super::{Ignored, Key, Replica};
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
    pub ids: Vec<Box<[u8]>>,
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

/// What a node that asks is sent, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// To be acknowledged one by one.
    pub data: Vec<SessionMessage>,
    /// Ends the transfer.
    pub complete: Option<SessionMessage>,
    /// What state transfers leave out, and what nobody can read: as changes, behind the end.
    pub after: Vec<SessionMessage>,
    /// How many sessions that are.
    pub sessions: usize,
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
            .map(|state| (Key::new(context, of_context.current(&state.id)), state))
            .collect();
        for (key, state) in sessions {
            merged.received += 1;
            merged.ids.push(key.id.clone());
            let known = self.get(&key);
            // Under its old id it is older than what is known here.
            let is_behind = *key.id != *state.id && known.is_some();
            if is_behind || !self.is_to_be_taken(&key, &state, take, is_served(&state.id, routes)) {
                continue;
            }
            merged.new += usize::from(known.is_none());
            // The kind of login is no part of what nodes send.
            let auth_type = known.and_then(|kept| kept.state.auth_type.clone());
            let touched = known
                .map_or(state.this_accessed.min(now), |kept| kept.touched.max(state.this_accessed.min(now)));
            let state = SessionState { id: key.id.to_vec(), auth_type, is_valid: true, ..state };
            taken.insert(key.clone());
            self.insert(key, Kept::new(state, touched), now);
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
            _ if since.taken.contains(key) && is_served => used > kept.state.this_accessed - ONE_REQUEST,
            _ if since.taken.contains(key) => used > kept.state.this_accessed + ONE_REQUEST,
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
            let key =
                Key::new(context, self.contexts.get(&**context).map_or(id, |context| context.current(id)));
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
            .filter(|(id, kept)| !known(id) && kept.touched < since)
            .map(|(id, _)| Key::new(context, id))
            .collect();
        for key in &gone {
            self.remove(key);
        }
        gone.len()
    }

    /// Did a session get its id, by its creation or a change, at `time` or later? Then a node may have it though its answer, made
    /// before, has not.
    pub fn is_begun_since(&self, context: &[u8], id: &[u8], time: i64) -> bool {
        let begun = self.contexts.get(context).and_then(|context| context.begun.get(id));
        begun.is_some_and(|begun| *begun >= time)
    }

    /// The answer to a node that asks for its sessions. `time` must not lie behind that of the
    /// question, by the clock of the node.
    pub fn answer(&self, context: &[u8], size: Batch, time: i64, now: i64) -> Answer {
        self.answer_some(context, &|_| true, size, time, now)
    }

    /// As [`Replica::answer`], with those of the sessions that `wanted` names.
    pub fn answer_some(
        &self,
        context: &[u8],
        wanted: &dyn Fn(&[u8]) -> bool,
        size: Batch,
        time: i64,
        now: i64,
    ) -> Answer {
        let all = self.contexts.get(context).into_iter().flat_map(|context| context.sessions.values());
        let alive: Vec<_> = all.filter(|kept| !self.is_over(kept, now) && wanted(&kept.state.id)).collect();
        answer_with(context, &alive, size, time)
    }
}

/// Does the id of a session end with one of those routes?
fn is_served(id: &[u8], routes: &BTreeSet<String>) -> bool {
    let dot = id.iter().position(|byte| *byte == b'.');
    let route = dot.and_then(|dot| std::str::from_utf8(&id[dot + 1..]).ok());
    route.is_some_and(|route| routes.contains(route))
}

fn answer_with(context: &[u8], alive: &[&Kept], batch: Batch, time: i64) -> Answer {
    let mut answer = Answer { sessions: alive.len(), ..Answer::default() };
    let mut rest = alive;
    loop {
        let mut size = 0;
        let fits = |kept: &&&Kept| {
            size += kept.size();
            size <= batch.bytes
        };
        let count = rest.iter().take(batch.sessions.max(1)).take_while(fits).count().max(1).min(rest.len());
        let (part, others) = rest.split_at(count);
        let states: Vec<_> = part.iter().map(|kept| as_sent(kept)).collect();
        answer.data.push(SessionMessage {
            event: Event::AllSessionData,
            context: Some(context.to_vec()),
            session_id: Some(b"SESSION-STATE".to_vec()),
            unique_id: Some([b"SESSION-STATE-", context].concat()),
            time: Some(time),
            payload: Some(write_sessions(states.iter())),
        });
        rest = others;
        if rest.is_empty() {
            break;
        }
    }
    answer.complete = Some(SessionMessage {
        event: Event::TransferComplete,
        context: Some(context.to_vec()),
        session_id: Some(b"SESSION-STATE-TRANSFERRED".to_vec()),
        unique_id: Some([b"SESSION-STATE-TRANSFERRED", context].concat()),
        time: Some(time),
        payload: None,
    });
    answer.after = alive.iter().flat_map(|kept| what_state_leaves_out(context, kept, time)).collect();
    answer
}

/// The state of a session for a node: its times are those of the last message.
pub fn as_sent(kept: &Kept) -> SessionState {
    let mut state = kept.state.clone();
    state.last_accessed = state.last_accessed.max(kept.touched);
    state.this_accessed = state.this_accessed.max(kept.touched);
    state.is_valid = true;
    // A request that finds it there has come with its id.
    state.is_new = false;
    state
}

/// The kind of login, and changes that are kept as they came.
fn what_state_leaves_out<'a>(
    context: &'a [u8],
    kept: &'a Kept,
    time: i64,
) -> impl Iterator<Item = SessionMessage> + 'a {
    let message = move |payload: Vec<u8>| SessionMessage {
        event: Event::Delta,
        context: Some(context.to_vec()),
        session_id: Some(kept.state.id.clone()),
        unique_id: Some([&kept.state.id, b"-".as_slice(), time.to_string().as_bytes()].concat()),
        time: Some(time),
        payload: Some(payload),
    };
    let login = kept.state.auth_type.iter().map(|auth_type| {
        let action = Action {
            subject: Some(Subject::AuthType),
            name: Subject::AuthType.fixed_name().to_vec(),
            change: Change::Set(Value::string(auth_type)),
        };
        let delta = Delta { session_id: kept.state.id.clone(), records_all: false, actions: vec![action] };
        delta.to_bytes()
    });
    login.chain(kept.opaque.iter().cloned()).map(message)
}
