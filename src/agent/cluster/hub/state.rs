// SPDX-License-Identifier: Apache-2.0
//! Sessions as a whole: asked for from nodes, and given to those that start.

use std::collections::HashSet;

use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::{AHEAD, ANSWER_WITHIN, BATCH, Hub, Waiting, shown};
use crate::agent::cluster::pull::{Next, Pull, Purpose, known_to_nodes, known_to_returned};
use crate::agent::cluster::sender::SendError;
use crate::agent::now;
use crate::agent::replica::{Key, Name, Outgoing};
use crate::wire::cluster::{Event, Identity, Member, Options, SessionMessage};

impl Hub {
    pub(super) fn pull(&mut self, now: i64) {
        let mut over = Vec::new();
        let mut asks = Vec::new();
        for (at, pull) in self.pulls.iter_mut().enumerate() {
            match pull.next(now) {
                Next::Wait => {}
                Next::Ask => {
                    pull.asked(now);
                    asks.push(pull.from.clone());
                }
                Next::Done => over.push(at),
                Next::GiveUp => {
                    self.is_unanswered |= matches!(pull.purpose, Purpose::Knows | Purpose::Returned);
                    warn!(member = %pull.identity(), "a node does not say which sessions it has");
                    over.push(at);
                }
            }
        }
        for node in asks {
            let question = SessionMessage {
                event: Event::GetAllSessions,
                context: None,
                session_id: Some(b"GET-ALL".to_vec()),
                unique_id: Some(b"GET-ALL-".to_vec()),
                time: Some(now),
                payload: None,
            };
            self.send_plain(&node, question.to_bytes(), Options::ASYNCHRONOUS);
        }
        for at in over.into_iter().rev() {
            let pull = self.pulls.remove(at);
            self.pulled(pull);
        }
        let needs_messages = |pull: &Pull| matches!(pull.purpose, Purpose::Returned | Purpose::Refused);
        if self.health.is_ready && !self.pulls.iter().any(needs_messages) {
            self.settle_with_returned();
            if now >= self.expected_until {
                self.replica.end_asking();
            }
        }
    }

    /// Nodes that came back have all answered: sessions that none of them knows any more have ended meanwhile, if all that are there
    /// came back. What one of them does not have it is given.
    fn settle_with_returned(&mut self) {
        let answered = std::mem::take(&mut self.returned);
        let is_whole = !std::mem::take(&mut self.is_unanswered);
        let members = self.table.members().into_iter().map(|seen| (seen.member.identity(), seen.since));
        if let Some((known, until)) = known_to_returned(&answered, members).filter(|_| is_whole) {
            for (context, known) in known {
                if self.has_begun_anew(&context, &known, until) {
                    warn!(context = %shown(Some(&context)), "nodes that came back have none of the sessions; they are kept");
                    continue;
                }
                let ended = self.replica.keep_only(&context, &|id| known.contains(id), until);
                if ended > 0 {
                    info!(context = %shown(Some(&context)), sessions = ended, "sessions ended while the agent was cut off");
                }
            }
        }
        for pull in &answered {
            self.give_what_is_missing(pull);
        }
    }

    /// Have nodes none of several sessions that were there before? Then the application was started again, and its sessions have not ended.
    fn has_begun_anew(&self, context: &[u8], known: &HashSet<Name>, until: i64) -> bool {
        let ours = self.replica.contexts().find(|(name, _)| *name == context).map_or(0, |(_, count)| count);
        let is_older =
            |id: &[u8]| self.replica.get(&Key::new(context, id)).is_some_and(|kept| kept.creation < until);
        ours > known.len() + 1 && !known.iter().any(|id| is_older(id))
    }

    fn pulled(&mut self, pull: Pull) {
        let received: usize = pull.known.values().map(HashSet::len).sum();
        info!(member = %pull.identity(), sessions = received, "a node's sessions are known");
        if pull.purpose == Purpose::Started {
            self.give_what_is_missing(&pull);
        }
        if pull.purpose == Purpose::Returned {
            self.returned.push(pull);
        } else if !self.health.is_ready {
            self.answered.push(pull);
        }
    }

    /// A node that could not ask when it started is given what it does not have.
    fn give_what_is_missing(&mut self, pull: &Pull) {
        for (context, known) in pull.contexts() {
            let now = now();
            let before = pull.since - AHEAD;
            let replica = &self.replica;
            let missing = |id: &[u8]| !known.contains(id) && !replica.is_begun_since(context, id, before);
            let gift = replica.gift(context, &missing, now);
            if gift.is_empty() {
                self.agree(pull.identity(), context.into());
            } else {
                info!(member = %pull.identity(), context = %shown(Some(context)), sessions = gift.len(), "a node is given sessions it does not have");
                self.send_sessions(&pull.from, vec![gift], true);
            }
        }
    }

    /// Sessions that no node knows any more ended while the agent did not run. One that lived all the time must say so, and all
    /// must have been asked: a node that was cut off knows only its own.
    fn let_go_of_ended(&mut self) {
        let answered = std::mem::take(&mut self.answered);
        if std::mem::take(&mut self.is_unanswered) {
            return;
        }
        let since = answered.iter().map(|pull| pull.since).min().unwrap_or(0);
        for (context, known) in known_to_nodes(&answered) {
            let ended = self.replica.keep_only(&context, &|id| known.contains(id), since);
            if ended > 0 {
                info!(context = %shown(Some(&context)), sessions = ended, "sessions ended while the agent did not run");
            }
        }
    }

    /// Everything that can be known is known when everybody who is there at the start was asked.
    pub(super) fn become_ready(&mut self, now: i64) {
        if self.health.is_ready || now < self.listening_until {
            return;
        }
        let is_asking = self.pulls.iter().any(|pull| match pull.purpose {
            Purpose::Knows | Purpose::Missing | Purpose::Missed | Purpose::Refused | Purpose::Returned => {
                true
            }
            // One that starts may itself wait for us.
            Purpose::Started => now < self.listening_until + ANSWER_WITHIN / 2,
        });
        if is_asking || !self.probing.is_empty() && now < self.listening_until + 2_000 {
            return;
        }
        self.let_go_of_ended();
        self.health.is_ready = true;
        info!(sessions = self.replica.len(), members = self.table.members().len(), "the agent is ready");
    }

    pub(super) fn answer_waiting(&mut self) {
        let now = now();
        let is_ready = self.health.is_ready;
        let (answered, still): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| is_ready || now >= waiting.until);
        self.waiting = still;
        for Waiting { node, context, .. } in answered {
            let contexts: Vec<Vec<u8>> = match context {
                Some(context) => vec![context],
                None => self.replica.contexts().map(|(name, _)| name.to_vec()).collect(),
            };
            // A time in the past: messages that the node keeps back meanwhile are then all applied.
            let answers: Vec<_> =
                contexts.iter().map(|context| self.replica.answer(context, 0, now)).collect();
            for answer in &answers {
                info!(member = %node.identity(), context = %shown(Some(answer.context())), sessions = answer.len(), "a node is given its sessions");
            }
            self.send_sessions(&node, answers, true);
        }
    }

    /// A node has all sessions of an application that we have.
    pub(super) fn agree(&mut self, node: Identity, context: Box<[u8]>) {
        if self.table.get(&node).is_some() {
            self.agreed.entry(node).or_default().insert(context);
        }
    }

    /// Message by message, each when the one before is acknowledged: however many sessions there are, two messages are in memory.
    /// `is_all`: with these sessions it has all that we have.
    pub(super) fn send_sessions(&mut self, to: &Member, all: Vec<Outgoing>, is_all: bool) {
        let (sender, own, to, turns) = (self.sender.clone(), self.own(), to.clone(), self.turns.clone());
        let given = self.given.clone();
        tokio::spawn(async move {
            for outgoing in all {
                let context: Box<[u8]> = outgoing.context().into();
                let mut next = take_turn(&turns, outgoing).await;
                while let Some((outgoing, messages)) = next {
                    let send = async {
                        for message in messages {
                            sender.send(&own, &to, Options::SYNCHRONOUS_ACK, message.to_bytes()).await?;
                        }
                        Ok::<_, SendError>(())
                    };
                    let (sent, after) = tokio::join!(send, take_turn(&turns, outgoing));
                    if let Err(error) = sent {
                        warn!(member = %to.identity(), %error, "sessions did not arrive");
                        return;
                    }
                    next = after;
                }
                if is_all {
                    let _ = given.send((to.identity(), context));
                }
            }
        });
    }

    pub(super) fn turn(&mut self, turn: Turn) {
        let Turn { mut outgoing, done } = turn;
        let part = self.replica.next_part(&mut outgoing, BATCH, now());
        self.moved
            .add(part.iter().flatten().filter_map(|message| message.payload.as_ref()).map(Vec::len).sum());
        let _ = done.send(part.map(|messages| (outgoing, messages)));
    }
}

/// What comes next of sessions on their way; `None` at their end.
type Part = Option<(Outgoing, Vec<SessionMessage>)>;

/// The question for it.
#[derive(Debug)]
pub(super) struct Turn {
    outgoing: Outgoing,
    done: oneshot::Sender<Part>,
}

async fn take_turn(turns: &mpsc::UnboundedSender<Turn>, outgoing: Outgoing) -> Part {
    let (done, part) = oneshot::channel();
    turns.send(Turn { outgoing, done }).ok()?;
    part.await.ok()?
}
