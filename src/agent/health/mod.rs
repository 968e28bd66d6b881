// SPDX-License-Identifier: Apache-2.0
//! Tells the module in httpd who lives, in the memory they share.
//!
//! What is said here never reaches a request that would have gone well without it: it takes a member out early or puts it back
//! early, it counts only as long as this task beats, and the module ignores it where nobody else would be left.

mod connector;
mod matching;
mod memory;
mod roster;
mod verdict;

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

pub use memory::Way;

use self::connector::Answer;
use self::matching::Match;
use self::roster::{Roster, Watched};
use self::verdict::{Step, View};
use super::cluster::{Life, Report};
use crate::balance::transition::{self, Event};
use crate::base::clock::{Clock, Moment, SystemClock};
use crate::base::status::Status;
use crate::shared::{JkState, LAPSE, MemberSlotId, Protocol, Reason, Region};
use crate::wire::cluster::Identity;

/// How often it is said that the agent lives, and looked whether something is due.
const BEAT: Duration = Duration::from_millis(100);
/// How often a connector is asked that is awaited.
const AWAITED: Duration = Duration::from_millis(100);
/// How often one is asked whose node is gone.
const MISSED: Duration = Duration::from_secs(1);
/// How often the members are read anew.
const RELOAD: Duration = Duration::from_secs(1);
/// Nodes that are found so soon did not join: the agent did.
const CENSUS: u64 = 5_000;
/// A node that takes connections may be busy for a moment: so often its connector is asked.
const ASKED_AGAIN: u32 = 2;
/// How long an open port that nobody can ask further does not count while a node stops.
const DOUBTED: Duration = Duration::from_secs(30);
/// After so much time it is said which members no node was found for.
const UNKNOWN_AFTER: Duration = Duration::from_secs(10);

/// What comes from outside of the task.
#[derive(Debug)]
enum News {
    Memory(Region),
    Answer { slot: MemberSlotId, turn: u64, answer: Answer },
    Resolved { host: String, addresses: Vec<std::net::IpAddr> },
}

/// The task; dropped, it goes on.
#[derive(Debug)]
pub struct Health {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Health {
    /// Says goodbye: what was said counts no more.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Starts to tell the module what the reports say. `None` if there is no module to be told.
///
/// # Errors
/// The descriptor that was handed over is none, or the system has no random numbers.
pub fn start(way: Way, reports: watch::Receiver<Report>) -> io::Result<Option<Health>> {
    let (news, incoming) = mpsc::unbounded_channel();
    if !memory::listen(way, news.clone())? {
        return Ok(None);
    }
    let mut me = [0; 8];
    getrandom::fill(&mut me).map_err(io::Error::other)?;
    let watcher = Watcher {
        // 0 is nobody.
        me: u64::from_le_bytes(me) | 1,
        started: SystemClock.now(),
        memory: None,
        report: Report::default(),
        joined: HashMap::new(),
        saw_departure: false,
        explained: HashSet::new(),
        news,
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(watcher.run(reports, incoming, stopped));
    Ok(Some(Health { stop, task }))
}

/// The memory of one module, and the members in it.
#[derive(Debug)]
struct Memory {
    region: Region,
    roster: Roster,
    since: Instant,
    reloaded: Instant,
    is_ours: bool,
    last_beat: Moment,
    /// It was said which members are not known.
    has_told: bool,
}

#[derive(Debug)]
struct Watcher {
    me: u64,
    started: Moment,
    memory: Option<Memory>,
    report: Report,
    /// When each living node joined; the time 0 for those that were there before.
    joined: HashMap<Identity, Moment>,
    /// From then on a node that comes has joined, however early.
    saw_departure: bool,
    /// Doubts that were explained.
    explained: HashSet<String>,
    news: mpsc::UnboundedSender<News>,
}

impl Watcher {
    async fn run(
        mut self,
        mut reports: watch::Receiver<Report>,
        mut incoming: mpsc::UnboundedReceiver<News>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        let mut tick = interval(BEAT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                changed = reports.changed() => match changed {
                    Ok(()) => {
                        let report = reports.borrow_and_update().clone();
                        self.take(report);
                    }
                    // Who knows is gone, so nothing that was said may count.
                    Err(_) => break,
                },
                Some(news) = incoming.recv() => self.hear(news),
                _ = tick.tick() => self.tick(),
            }
        }
        if let Some(memory) = &self.memory {
            memory.region.agent().release(self.me);
        }
    }

    fn take(&mut self, report: Report) {
        let is_alive = |life| !matches!(life, Life::Gone(_));
        self.saw_departure |= report.members.values().any(|node| !is_alive(node.life));
        self.joined.retain(|node, _| report.members.get(node).is_some_and(|node| is_alive(node.life)));
        for (identity, node) in report.members.iter().filter(|(_, node)| is_alive(node.life)) {
            let since = Moment(u64::try_from(node.since).unwrap_or(0));
            let is_census = since.0 <= self.started.0 + CENSUS && !self.saw_departure;
            self.joined.entry(*identity).or_insert(if is_census { Moment(0) } else { since });
        }
        self.report = report;
        self.rematch();
        self.act();
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Memory(region) => self.attach(region),
            News::Answer { slot, turn, answer } => {
                let members = self.memory.as_mut().map(|memory| &mut memory.roster);
                let asked = members.and_then(|roster| roster.find(slot)).filter(|member| member.turn == turn);
                if let Some(member) = asked {
                    member.answered(answer);
                    self.act();
                }
            }
            News::Resolved { host, addresses } => {
                if let Some(memory) = &mut self.memory {
                    memory.roster.resolved(&host, addresses);
                    self.rematch();
                    self.act();
                }
            }
        }
    }

    /// Memory that is handed over again after a reconnection is the same.
    fn attach(&mut self, region: Region) {
        if self.memory.as_ref().is_some_and(|memory| memory.region.is_same(&region)) {
            return;
        }
        if let Some(memory) = &self.memory {
            memory.region.agent().release(self.me);
        }
        info!("the module in httpd is told who lives");
        let now = Instant::now();
        self.memory = Some(Memory {
            region,
            roster: Roster::default(),
            since: now,
            reloaded: now,
            is_ours: false,
            last_beat: Moment(0),
            has_told: false,
        });
        self.tick();
    }

    fn tick(&mut self) {
        let now = SystemClock.now();
        let Some(memory) = &mut self.memory else { return };
        memory.beat(self.me, now);
        let is_new = memory.roster.generation != Some(memory.region.generation());
        if is_new || memory.reloaded.elapsed() >= RELOAD {
            memory.reloaded = Instant::now();
            memory.roster.reload(&memory.region);
            memory.roster.resolve(&self.news);
            self.rematch();
        }
        self.act();
        self.tell_unknown();
    }

    /// Finds the node of each member.
    fn rematch(&mut self) {
        let Some(memory) = &mut self.memory else { return };
        let subjects: Vec<_> = memory.roster.members.iter().map(|member| member.subject.clone()).collect();
        let found = matching::match_all(&subjects, &self.report);
        let mut matched = 0;
        for (member, found) in memory.roster.members.iter_mut().zip(found) {
            matched += u32::from(matches!(found, Match::Node(_)));
            if let Match::Perhaps(_, Some(why)) = &found
                && self.explained.insert(format!("{} {why}", member.subject.naming.url))
            {
                let naming = &member.subject.naming;
                warn!(
                    member = %naming.url, balancer = %naming.balancer, %why,
                    "it is not clear which node of the cluster a balancer member is; until a session shows it, httpd is only told whether its port is closed"
                );
            }
            member.meet(&found, &self.report);
        }
        let alive = self.report.members.values().filter(|node| !matches!(node.life, Life::Gone(_))).count();
        if memory.is_ours {
            memory.region.agent().note(u32::try_from(alive).unwrap_or(u32::MAX), matched);
        }
    }

    fn act(&mut self) {
        let now = SystemClock.now();
        let Some(Memory { region, roster, is_ours: true, .. }) = &mut self.memory else { return };
        for member in &mut roster.members {
            let view = member.view(region, &self.joined, now);
            let lives = matches!(view.life, Some(Life::Alive | Life::Suspect));
            region.member(member.slot).set_node(view.is_certain, lives);
            match verdict::step(&view) {
                Step::Nothing => {}
                Step::Ask => member.ask(&self.news),
                Step::TakeOut(reason) => member.take_out(region, reason, now),
                Step::PutBack => member.put_back(region, &view, now),
            }
        }
    }

    /// Says once which members are not known, when there was time to meet them.
    fn tell_unknown(&mut self) {
        let Some(memory) = &mut self.memory else { return };
        if memory.has_told || memory.since.elapsed() < UNKNOWN_AFTER || self.report.members.is_empty() {
            return;
        }
        memory.has_told = true;
        for member in memory.roster.members.iter().filter(|member| !member.is_known()) {
            let naming = &member.subject.naming;
            info!(
                member = %naming.url, balancer = %naming.balancer, route = %naming.route,
                "no node of the cluster is known to be this balancer member yet"
            );
        }
    }
}

impl Memory {
    fn beat(&mut self, me: u64, now: Moment) {
        let agent = self.region.agent();
        let was_silent = now.since(self.last_beat) > LAPSE || self.last_beat.since(now) > LAPSE;
        if self.is_ours && !was_silent && agent.beat(me, now) {
            self.last_beat = now;
            return;
        }
        if !agent.claim(me, std::process::id(), now) {
            if std::mem::take(&mut self.is_ours) {
                warn!("another agent tells the module who lives now");
            }
            return;
        }
        // What was said before the silence may be wrong by now, whoever said it.
        for (_, _, slot) in self.region.members() {
            slot.put_back(now, Reason::AgentSilent);
            slot.set_node(false, false);
        }
        self.roster.forget_answers();
        self.is_ours = agent.beat(me, now);
        self.last_beat = now;
    }
}

impl Watched {
    /// It is certain which node it is.
    fn is_known(&self) -> bool {
        self.node.is_some_and(|node| node.is_certain)
    }

    fn view(&self, region: &Region, joined: &HashMap<Identity, Moment>, now: Moment) -> View {
        let slot = region.member(self.slot);
        let out_for = slot.gone().map(|(since, _)| now.since(since));
        let life = self.node.map(|node| node.life);
        let joined = self.node.filter(|node| node.is_certain).and_then(|node| joined.get(&node.identity));
        // Whoever listens after a time without anybody has nothing to do with errors of before, whatever node it is.
        let reopened = self.refused.filter(|_| out_for.is_some());
        let since = joined.copied().max(reopened).unwrap_or_default();
        let is_doubtful = self.subject.naming.protocol == Protocol::Tcp
            && matches!(life, Some(Life::Gone(_)) | None)
            && out_for.is_some_and(|out_for| out_for < DOUBTED);
        let may_be_busy = life == Some(Life::Suspect) && self.unanswered < ASKED_AGAIN;
        View {
            life,
            is_certain: self.is_known(),
            is_heeded: self.node.is_some_and(|node| self.heeded == Some(node.since)),
            out_for,
            failed_before: since.0 > 0 && has_failed_before(region, self.slot, since, now),
            can_ask: self.can_ask(),
            answer: self.answer.filter(|answer| match answer {
                Answer::Good => !is_doubtful,
                Answer::Bad | Answer::Refused => !may_be_busy,
            }),
        }
    }

    /// Asks the connector, if it is time to.
    fn ask(&mut self, news: &mpsc::UnboundedSender<News>) {
        let naming = &self.subject.naming;
        if self.asking || Instant::now() < self.ask_at || !self.can_ask() {
            return;
        }
        let is_there = self.node.is_some_and(|node| !matches!(node.life, Life::Gone(_)));
        let is_awaited = is_there && self.answer != Some(Answer::Good);
        self.ask_at = Instant::now() + if is_awaited { AWAITED } else { MISSED };
        self.asking = true;
        let (slot, turn, news) = (self.slot, self.turn, news.clone());
        let (protocol, addresses, port) = (naming.protocol, self.subject.addresses.clone(), naming.port);
        tokio::spawn(async move {
            let answer = connector::ask_all(protocol, &addresses, port).await;
            let _ = news.send(News::Answer { slot, turn, answer });
        });
    }

    fn take_out(&mut self, region: &Region, reason: Reason, now: Moment) {
        let naming = &self.subject.naming;
        region.member(self.slot).take_out(now, reason);
        info!(member = %naming.url, balancer = %naming.balancer, why = reason.words(), "a balancer member is taken out");
        self.heeded = self.node.map(|node| node.since);
        self.forget_answer();
    }

    fn put_back(&mut self, region: &Region, view: &View, now: Moment) {
        let slot = region.member(self.slot);
        let was_out = slot.put_back(now, Reason::NodeBack);
        if view.failed_before {
            transition::apply(slot, Event::NodeBack, now);
            region.jk_member(self.slot).move_state(JkState::Error, JkState::Recover);
        }
        if was_out || view.failed_before {
            let naming = &self.subject.naming;
            info!(member = %naming.url, balancer = %naming.balancer, "a balancer member answers and is put back");
        }
        self.refused = None;
        self.forget_answer();
    }
}

/// Has the module had the member in the error state since before `joined`? Since then nobody may have tried it.
fn has_failed_before(region: &Region, slot: MemberSlotId, joined: Moment, now: Moment) -> bool {
    let state = region.member(slot).state();
    let is_old = |age: Duration| age > now.since(joined);
    let of_proxy = state.status.has(Status::ERROR)
        && !state.status.has(Status::STOPPED)
        && state.error_age(now).is_some_and(is_old);
    let jk = region.jk_member(slot);
    of_proxy || jk.state() == JkState::Error && is_old(now.since(jk.last_error()))
}
