// SPDX-License-Identifier: Apache-2.0
//! What members say, once it has been received: to whom each kind of message goes.

use std::sync::PoisonError;

use tracing::{debug, info, warn};

use super::{ANSWER_WITHIN, Hub, Waiting, shown};
use crate::agent::cluster::pull::Purpose;
use crate::agent::cluster::routes;
use crate::agent::cluster::stack::Stack;
use crate::agent::now;
use crate::agent::replica::{Effect, Ignored, Merged, Take};
use crate::wire::cluster::frame::{STATIC_START, STATIC_STOP};
use crate::wire::cluster::{
    ChannelData, Event, Identity, Member, Options, Rpc, SHUTDOWN, SessionMessage, StaticMessage, StaticWord,
};

impl Hub {
    pub(super) fn message(&mut self, message: ChannelData) {
        self.moved.add(message.payload.len());
        let sender = message.sender.clone();
        let identity = sender.identity();
        if Stack::is_probe(&message.payload) {
            return;
        }
        let domain = &self.settings.membership.domain.bytes;
        let is_ours = domain.is_empty() || *domain == sender.domain;
        if !is_ours || identity == self.own.identity() {
            return;
        }
        let (unique_id, is_bytes) = (message.unique_id, message.options.has(Options::BYTES));
        if is_bytes || message.payload == STATIC_START || message.payload == STATIC_STOP {
            return self.plain(&sender, &message.payload);
        }
        let undone = self.stack.lock().unwrap_or_else(PoisonError::into_inner).undo(message, now());
        let payload = match undone {
            Ok(Some(payload)) => payload,
            Ok(None) => return,
            Err(error) => {
                warn!(member = %identity, %error, "a message is dropped");
                return;
            }
        };
        // Pieces of one message have one id, so the look comes after they are together.
        if !self.duplicates.is_new(unique_id) {
            return;
        }
        match SessionMessage::read(&payload) {
            Ok(Some(session)) => self.session(&sender, &session),
            Ok(None) => self.other(&sender, &payload),
            Err(error) => warn!(member = %identity, %error, "a message is dropped"),
        }
    }

    /// Notices of `StaticMembershipInterceptor`.
    fn plain(&mut self, sender: &Member, payload: &[u8]) {
        if payload == STATIC_START {
            self.hear(sender, true);
        } else if payload == STATIC_STOP {
            let leaving = Member { command: SHUTDOWN.to_vec(), ..sender.clone() };
            self.hear(&leaving, true);
        }
    }

    /// Questions between members, and what no agent needs.
    fn other(&mut self, sender: &Member, payload: &[u8]) {
        if let Ok(Some(message)) = StaticMessage::read_payload(payload) {
            self.static_word(sender, &message, None);
            return;
        }
        let rpc = match Rpc::read(payload, self.settings.vault.max_value) {
            Ok(Some(rpc)) => rpc,
            Ok(None) => return,
            Err(error) => {
                debug!(member = %sender.identity(), %error, "a message is dropped");
                return;
            }
        };
        if let Ok(Some(message)) = StaticMessage::read(&rpc.message) {
            self.static_word(sender, &message, (!rpc.is_reply).then_some(rpc.uuid));
        } else if !rpc.is_reply {
            // Without it a starting Tomcat would wait for seconds.
            let answer = Rpc::unknown(&rpc.uuid, &rpc.rpc_id);
            self.send_plain(sender, answer, Options::ASYNCHRONOUS);
        }
    }

    fn static_word(&mut self, sender: &Member, message: &StaticMessage, question: Option<Vec<u8>>) {
        self.version = message.version;
        self.hear(&message.member, message.word != StaticWord::Stop && !self.settings.membership.multicast);
        if let Some(uuid) = question {
            let member = self.own();
            let answer = StaticMessage { member, ..message.clone() };
            self.send_plain(sender, answer.to_rpc(&uuid, true), Options::default());
        }
    }

    pub(super) fn session(&mut self, sender: &Member, message: &SessionMessage) {
        let identity = sender.identity();
        let now = now();
        match message.event {
            Event::GetAllSessions => {
                let until = now + ANSWER_WITHIN;
                info!(member = %identity, context = %shown(message.context.as_deref()), "a node asks for its sessions");
                self.waiting.push(Waiting { node: sender.clone(), context: message.context.clone(), until });
                self.answer_waiting();
            }
            Event::AllSessionData => match self.merge(&identity, message, now) {
                Ok(merged) => {
                    debug!(member = %identity, sessions = merged.received, new = merged.new, "sessions came");
                    if let Some(pull) = self.pulls.iter_mut().find(|pull| pull.identity() == identity) {
                        pull.received(message.context.as_deref().unwrap_or_default(), merged.ids, now);
                    }
                }
                Err(ignored) => warn!(member = %identity, ?ignored, "sessions of a node are not taken over"),
            },
            Event::TransferComplete | Event::NoContextManager => {
                if let Some(pull) = self.pulls.iter_mut().find(|pull| pull.identity() == identity) {
                    pull.completed(message.context.as_deref().unwrap_or_default(), now);
                }
            }
            _ => {
                self.learn_route(&identity, message);
                self.look_for_gap(&identity, now);
                let session = shown_session(message.session_id.as_deref());
                match self.replica.apply_from(Some(identity), message, now) {
                    Effect::Applied => debug!(%session, event = ?message.event, "a session changes"),
                    Effect::Parked => {
                        debug!(%session, event = ?message.event, "a session changes that is not known yet")
                    }
                    Effect::Opaque(error) => warn!(%session, %error, "a change is kept as it came"),
                    Effect::Ignored(ignored) => {
                        debug!(member = %identity, %session, ?ignored, "a message changes nothing");
                    }
                }
            }
        }
    }

    fn merge(&mut self, node: &Identity, message: &SessionMessage, now: i64) -> Result<Merged, Ignored> {
        let take = self.take(node);
        let report = self.report.members.get(node);
        let routes = report.map(|report| report.routes.clone()).unwrap_or_default();
        self.replica.merge_from(Some(*node), &routes, message, take, now)
    }

    /// Whose sessions are newer: those of a node that answers, or ours?
    fn take(&self, identity: &Identity) -> Take {
        let purpose = self.pulls.iter().find(|pull| pull.identity() == *identity).map(|pull| pull.purpose);
        match purpose {
            Some(Purpose::Returned) => Take::Newer,
            Some(Purpose::Refused) => Take::All,
            Some(Purpose::Knows | Purpose::Started | Purpose::Missed) if !self.health.is_ready => Take::All,
            _ => Take::Unknown,
        }
    }

    /// A node makes ids with its own route.
    fn learn_route(&mut self, identity: &Identity, message: &SessionMessage) {
        let learnt = match message.event {
            Event::Created => message.session_id.as_deref().and_then(|id| self.report.learn(identity, id)),
            Event::ChangeId => message.new_id().ok().and_then(|id| self.report.learn(identity, &id)),
            _ => None,
        };
        if let Some((identity, route)) = learnt {
            info!(member = %identity, %route, "a node's jvmRoute is known");
            routes::remember(&mut self.about.routes, &identity, &route);
            self.about_changed = true;
            self.publish();
        }
    }

    pub(super) fn send_plain(&mut self, to: &Member, payload: Vec<u8>, options: Options) {
        let (sender, own, to) = (self.sender.clone(), self.own(), to.clone());
        tokio::spawn(async move {
            if let Err(error) = sender.send(&own, &to, options, payload).await {
                debug!(member = %to.identity(), %error, "a message did not arrive");
            }
        });
    }
}

/// A session for a log line: who has the whole id has the session, so that only its beginning and route are shown.
fn shown_session(id: Option<&[u8]>) -> String {
    let id = String::from_utf8_lossy(id.unwrap_or_default());
    let (random, route) = id.split_once('.').unwrap_or((&id, ""));
    let beginning: String = random.chars().take(8).collect();
    if route.is_empty() { format!("{beginning}…") } else { format!("{beginning}….{route}") }
}
