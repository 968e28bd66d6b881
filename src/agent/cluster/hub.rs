// SPDX-License-Identifier: Apache-2.0
//! The one task that knows everything: members, sessions, and what is under way. All others only carry bytes.

mod elsewhere;
mod keep;
mod known;
mod members;
mod messages;
mod moved;
mod state;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, error, info, warn};

use self::moved::Moved;
use self::state::Turn;
use super::interfaces::Interface;
use super::multicast::Group;
use super::names::Names;
use super::pull::{Pull, Purpose};
use super::receiver::{self, Incoming, Limits as Taken};
use super::report::Report;
use super::sender::Sender;
use super::stack::Stack;
use super::table::Table;
use crate::agent::now;
use crate::agent::replica::{Batch, Changes, Duplicates, Kept, Key, Limits, Name, Replica};
use crate::agent::settings::{Settings, StaticClass};
use crate::agent::vault::{self, About, Loaded};
use crate::wire::cluster::frame::STATIC_STOP;
use crate::wire::cluster::{Identity, Member, MemberVersion, Options, SHUTDOWN, StaticMessage, StaticWord};
use elsewhere::{Elsewhere, Sockets};

/// At most so long a change stays in memory only.
const COMMIT_AFTER: Duration = Duration::from_millis(5);
/// Messages that are taken in before anything else is looked at.
const AT_ONCE: usize = 64;
/// How often what takes long is looked at.
const TICK: Duration = Duration::from_millis(100);
/// Sessions in one message of a state transfer.
const BATCH: Batch = Batch { sessions: 1000, bytes: 4 << 20 };
/// A node that has just joined deploys its applications before it can be asked.
const ASK_NEW_NODE_AFTER: i64 = 2_000;
/// A node that is older when it joins did not just start, in milliseconds.
const LIVED: i64 = 10_000;
/// So long a node that comes back is left to apply what others sent it, in milliseconds.
const SETTLES: i64 = 3_000;
/// A node of this age has its sessions, or never will.
const SETTLED: i64 = 70_000;
/// After so long without a turn the agent stood still itself, in milliseconds.
const STILL: i64 = 500;
/// So much may we be ahead of a node in what we heard, in milliseconds.
const AHEAD: i64 = 1_000;
/// For how long a member that closed a connection is looked at, in milliseconds.
const LOOKED_AT: i64 = 500;
/// How long a question for state waits for us to know it, in milliseconds.
const ANSWER_WITHIN: i64 = 10_000;

/// What the administrator and other tasks may ask.
#[derive(Debug)]
pub enum Request {
    /// Looks at the sessions as they are now.
    Look(oneshot::Sender<()>, Box<dyn Look>),
    /// Ends a session here (not at the nodes).
    Forget(Key, oneshot::Sender<bool>),
    /// Adds sessions that were stored elsewhere; answers how many were not known.
    Import(Vec<(Key, Kept)>, oneshot::Sender<usize>),
    /// Says goodbye to the group, writes everything, and ends.
    Stop(oneshot::Sender<()>),
}

/// A look at the replica.
pub trait Look: Send + std::fmt::Debug {
    fn look(&mut self, replica: &Replica, health: &Health);
}

/// How the agent itself is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Where members reach it.
    pub address: String,
    /// It knows all that can be known.
    pub is_ready: bool,
    /// Why sessions are in memory only, if they are.
    pub vault_trouble: Option<String>,
    /// Sessions whose changes are not written yet.
    pub unwritten: usize,
}

/// What a hub needs to begin.
#[derive(Debug)]
pub struct Start {
    pub settings: Arc<Settings>,
    pub listener: TcpListener,
    /// `None` without multicast.
    pub group: Option<Group>,
    /// Interfaces that others may be behind, if the one to use was not said by anybody.
    pub elsewhere: Vec<Interface>,
    /// What is announced.
    pub address: SocketAddr,
    pub stack: Stack,
    pub loaded: Loaded,
    pub vault: vault::Writer,
}

/// A probe that came back.
#[derive(Debug)]
struct Probed {
    identity: Identity,
    result: io::Result<()>,
}

/// Sessions of an application that a node has acknowledged.
type Given = (Identity, Box<[u8]>);

/// A node that waits for its sessions.
#[derive(Debug)]
struct Waiting {
    node: Member,
    context: Option<Vec<u8>>,
    until: i64,
}

/// Everything.
#[derive(Debug)]
pub struct Hub {
    settings: Arc<Settings>,
    own: Member,
    started: Instant,
    table: Table,
    report: Report,
    reports: watch::Sender<Report>,
    replica: Replica,
    duplicates: Duplicates,
    stack: Arc<Mutex<Stack>>,
    sender: Sender,
    vault: vault::Writer,
    /// A batch is being written; these are its changes, to be written again if it fails.
    writing: Option<Changes>,
    about: About,
    about_changed: bool,
    health: Health,
    retry_vault_at: i64,
    pulls: Vec<Pull>,
    /// What nodes answered that were there when the agent started.
    answered: Vec<Pull>,
    /// One of them did not answer.
    is_unanswered: bool,
    /// Members that fell silent or vanished, and when they were taken out.
    lost: HashMap<Identity, i64>,
    /// Applications of which nodes have all that we have.
    agreed: HashMap<Identity, HashSet<Box<[u8]>>>,
    given: mpsc::UnboundedSender<Given>,
    /// What nodes answered that came back.
    returned: Vec<Pull>,
    /// Until then a node that came back is expected to be asked.
    expected_until: i64,
    waiting: Vec<Waiting>,
    names: Names,
    /// The form of members in what nodes send: that of Tomcat 9.0 is another.
    version: MemberVersion,
    probing: HashSet<Identity>,
    /// Members that closed a connection, and until when they are looked at.
    closed: HashMap<Identity, i64>,
    probes: mpsc::UnboundedSender<Probed>,
    /// For those who carry sessions to a node.
    turns: mpsc::UnboundedSender<Turn>,
    /// Until then others are only listened to.
    listening_until: i64,
    /// When the agent ran last before this start; `None`: never.
    ran_before: Option<i64>,
    /// A member joined since the start.
    has_met: bool,
    /// The last beacon could not be sent.
    is_mute: bool,
    /// What was moved to and fro since memory was given back.
    moved: Moved,
    ticks: u64,
    /// Until then what comes may have waited here: silence was ours.
    still_until: i64,
    /// When the last one was; milliseconds since 1970.
    ticked: i64,
}

/// Runs until it is told to stop. `ready` fires once the agent knows all that can be known.
///
/// # Errors
/// Random numbers or the system's sockets fail at the start.
pub async fn run(
    start: Start,
    requests: mpsc::Receiver<Request>,
    reports: watch::Sender<Report>,
    ready: oneshot::Sender<()>,
) -> io::Result<()> {
    let (probes, probed) = mpsc::unbounded_channel();
    let (turns, asked) = mpsc::unbounded_channel();
    let Start { settings, listener, group, elsewhere, address, stack, loaded, vault } = start;
    let incoming = receiver::start(listener, Taken::of(&settings.receiver))?;
    let (given, arrived) = mpsc::unbounded_channel();
    let hub = Hub::new(settings, address, stack, loaded, vault, reports, (probes, given, turns))?;
    let elsewhere = Elsewhere::new(&hub, elsewhere);
    hub.serve(Sockets { group, elsewhere, incoming }, probed, (arrived, asked), requests, ready).await
}

impl Hub {
    fn new(
        settings: Arc<Settings>,
        address: SocketAddr,
        stack: Stack,
        loaded: Loaded,
        vault: vault::Writer,
        reports: watch::Sender<Report>,
        (probes, given, turns): (
            mpsc::UnboundedSender<Probed>,
            mpsc::UnboundedSender<Given>,
            mpsc::UnboundedSender<Turn>,
        ),
    ) -> io::Result<Hub> {
        let limits = Limits {
            value: settings.vault.max_value,
            total: usize::try_from(settings.vault.max_size).unwrap_or(usize::MAX),
            age: i64::from(settings.vault.max_age_days) * 24 * 3_600_000,
        };
        let mut replica = Replica::new(limits);
        for (key, kept) in loaded.sessions {
            replica.restore(key, kept);
        }
        if loaded.damaged > 0 {
            error!(
                sessions = loaded.damaged,
                "the vault holds records that cannot be read; they are left out"
            );
        }
        let ran_before = loaded.about.as_ref().map(|about| about.last_running);
        let mut about = loaded.about.unwrap_or_default();
        about.unique_id = match settings.membership.unique_id {
            Some(id) => id.0,
            None if about.unique_id != [0; 16] => about.unique_id,
            None => new_id()?,
        };
        replica.set_reports_requests(about.reports_requests);
        replica.begin_asking();
        let membership = &settings.membership;
        let domain = membership.domain.bytes.clone();
        let own = Member { domain: domain.clone(), ..Member::new(address, about.unique_id) };
        let drop_time = i64::try_from(membership.drop_time).unwrap_or(i64::MAX);
        let stack = Arc::new(Mutex::new(stack));
        let listening = membership.frequency() * 2 + Duration::from_millis(200);
        info!(sessions = replica.len(), member = %own.identity(), "the agent begins");
        Ok(Hub {
            table: Table::new(own.identity(), domain, drop_time),
            own,
            started: Instant::now(),
            report: Report::default(),
            reports,
            replica,
            duplicates: Duplicates::default(),
            sender: Sender::new(Arc::clone(&stack)),
            stack,
            vault,
            writing: None,
            about,
            about_changed: true,
            health: Health { address: address.to_string(), ..Health::default() },
            retry_vault_at: 0,
            pulls: Vec::new(),
            answered: Vec::new(),
            is_unanswered: false,
            lost: HashMap::new(),
            agreed: HashMap::new(),
            given,
            returned: Vec::new(),
            expected_until: 0,
            waiting: Vec::new(),
            names: Names::default(),
            version: MemberVersion::default(),
            probing: HashSet::new(),
            closed: HashMap::new(),
            probes,
            turns,
            listening_until: now() + i64::try_from(listening.as_millis()).unwrap_or(0),
            ran_before,
            has_met: false,
            is_mute: false,
            moved: Moved::default(),
            ticks: 0,
            still_until: 0,
            ticked: now(),
            settings,
        })
    }

    async fn serve(
        mut self,
        mut sockets: Sockets,
        mut probed: mpsc::UnboundedReceiver<Probed>,
        (mut arrived, mut asked): (mpsc::UnboundedReceiver<Given>, mpsc::UnboundedReceiver<Turn>),
        mut requests: mpsc::Receiver<Request>,
        ready: oneshot::Sender<()>,
    ) -> io::Result<()> {
        let mut ready = Some(ready);
        let mut beacon = interval(self.settings.membership.frequency());
        let mut tick = interval(TICK);
        let mut commit = interval(COMMIT_AFTER);
        for timer in [&mut beacon, &mut tick, &mut commit] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut datagram = vec![0; 65_536];
        loop {
            tokio::select! {
                first = sockets.incoming.recv() => match first {
                    Some(first) => self.take_in(first, &mut sockets.incoming),
                    None => return Ok(()),
                },
                received = receive(sockets.group.as_ref(), &mut datagram) => match received {
                    Ok((length, peer)) => self.beacon(&datagram[..length], peer),
                    Err(error) => debug!(%error, "a datagram of the group is lost"),
                },
                (interface, member) = sockets.elsewhere.heard() => {
                    self.heard_elsewhere(&mut sockets, &interface, &member).await;
                }
                Some(result) = probed.recv() => self.probed(&result),
                Some((node, context)) = arrived.recv() => self.agree(node, context),
                Some(turn) = asked.recv() => self.turn(turn),
                Some(written) = self.vault.done.recv() => self.written(written),
                _ = commit.tick(), if self.has_to_write() => self.commit(),
                _ = beacon.tick() => {
                    if let Some(group) = &sockets.group && now() >= self.listening_until {
                        self.announce(group).await;
                    }
                }
                _ = tick.tick() => {
                    self.tick();
                    if self.health.is_ready && let Some(ready) = ready.take() {
                        let _ = ready.send(());
                    }
                }
                request = requests.recv() => match request {
                    Some(Request::Stop(done)) => {
                        self.stop(sockets.group.as_ref()).await;
                        let _ = done.send(());
                        return Ok(());
                    }
                    Some(request) => self.request(request),
                    None => return Ok(()),
                },
            }
        }
    }

    /// What came from members. Under load several wait, and looking at everything else between them would cost more than they do.
    fn take_in(&mut self, first: Incoming, more: &mut mpsc::Receiver<Incoming>) {
        let others = std::iter::from_fn(|| more.try_recv().ok());
        for incoming in std::iter::once(first).chain(others).take(AT_ONCE) {
            match incoming {
                Incoming::Message(message, room) => {
                    // It waits no more, however long it takes.
                    drop(room);
                    self.message(*message);
                }
                Incoming::Missed => self.ask_for_refused(now()),
                Incoming::Closed(identity) => self.closed(identity),
            }
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Look(done, mut look) => {
                self.health.unwritten =
                    self.replica.unwritten() + self.writing.as_ref().map_or(0, Changes::len);
                look.look(&self.replica, &self.health);
                let _ = done.send(());
            }
            Request::Forget(key, done) => {
                let _ = done.send(self.replica.forget(&key));
            }
            Request::Import(sessions, done) => {
                let _ = done.send(self.import(sessions));
            }
            Request::Stop(_) => {}
        }
    }

    /// Nodes that run ask for nothing, so they are told.
    fn import(&mut self, sessions: Vec<(Key, Kept)>) -> usize {
        let now = now();
        let mut new: HashMap<Name, HashSet<Name>> = HashMap::new();
        for (key, kept) in sessions {
            if self.replica.import(key.clone(), kept, now) {
                new.entry(key.context).or_default().insert(key.id);
            }
        }
        let nodes: Vec<_> = self.table.members().iter().map(|seen| seen.member.clone()).collect();
        for node in nodes {
            let gifts =
                new.iter().map(|(context, ids)| self.replica.gift(context, &|id| ids.contains(id), now));
            let gifts = gifts.collect();
            self.send_sessions(&node, gifts, false);
        }
        new.values().map(HashSet::len).sum()
    }

    fn tick(&mut self) {
        self.ticks += 1;
        let now = now();
        self.notice_pause(now);
        self.look_after_members(now);
        self.pull(now);
        self.become_ready(now);
        self.answer_waiting();
        if self.ticks.is_multiple_of(10) {
            self.every_second(now);
        }
    }

    /// The nodes may have taken us for dead meanwhile, and not told of new sessions. What they sent waits in our sockets, so that
    /// nothing that is known is taken from them: a node may be behind us again.
    fn notice_pause(&mut self, now: i64) {
        let paused = now - std::mem::replace(&mut self.ticked, now);
        if paused > STILL {
            self.still_until = now + SETTLES;
        }
        if paused <= i64::try_from(self.settings.membership.drop_time).unwrap_or(i64::MAX) {
            return;
        }
        warn!(milliseconds = paused, "the agent stood still; the nodes are asked for what it missed");
        self.ask_all(Purpose::Missed, now);
    }

    /// Nothing that was sent before waits any more, so that what comes from now on is newer than what the nodes answer.
    fn ask_for_refused(&mut self, now: i64) {
        if !self.health.is_ready {
            return self.ask_all(Purpose::Missed, now);
        }
        self.pulls.retain(|pull| !matches!(pull.purpose, Purpose::Missed | Purpose::Returned));
        self.replica.begin_asking();
        self.ask_all(Purpose::Refused, now + SETTLES);
    }

    fn ask_all(&mut self, purpose: Purpose, at: i64) {
        let nodes: Vec<_> = self.table.members().iter().map(|seen| seen.member.clone()).collect();
        self.pulls.extend(nodes.into_iter().map(|node| Pull::new(node, purpose, at)));
    }

    fn every_second(&mut self, now: i64) {
        for context in self.replica.tick(now) {
            let is_asked = self.pulls.iter().any(|pull| pull.purpose == Purpose::Missing);
            if let Some(oldest) = self.table.members().first().filter(|_| !is_asked) {
                info!(context = %shown(Some(&context)), "changes of unknown sessions: the oldest node is asked for all");
                self.pulls.push(Pull::new(oldest.member.clone(), Purpose::Missing, now));
            }
        }
        self.moved.make_room();
        let let_go = self.replica.take_let_go();
        if let_go > 0 {
            warn!(
                sessions = let_go,
                "sessions were let go, the longest idle first: together they are over [vault] maxSize"
            );
        }
        self.report.forget(now);
        self.about.last_running = now;
        self.about_changed |= self.ticks.is_multiple_of(50);
        self.meet_static_members();
    }

    async fn stop(&mut self, group: Option<&Group>) {
        let leaving = Member { command: SHUTDOWN.to_vec(), ..self.own() };
        if let Some(group) = group {
            let _ = group.socket.send_to(&leaving.to_bytes(), group.address).await;
        }
        let members: Vec<_> = self.table.members().into_iter().cloned().collect();
        for seen in members.iter().filter(|seen| seen.is_static) {
            let payload = match self.settings.membership.class {
                StaticClass::Interceptor => STATIC_STOP.to_vec(),
                StaticClass::Service => {
                    let id =
                        format!("{}-StaticMembership", self.settings.membership.channel_name).into_bytes();
                    let word = StaticWord::Stop;
                    StaticMessage { word, member: leaving.clone(), membership_id: id, version: self.version }
                        .to_bytes()
                }
            };
            let _ = self.sender.send(&self.own.clone(), &seen.member, Options::default(), payload).await;
        }
        if self.writing.is_some()
            && let Some(written) = self.vault.done.recv().await
        {
            self.written(written);
        }
        self.about_changed = true;
        self.commit();
        self.vault.finish();
        info!("the agent ends");
    }
}

async fn receive(group: Option<&Group>, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match group {
        Some(group) => group.socket.recv_from(into).await,
        None => std::future::pending().await,
    }
}

/// A random id in the form of Java's: version 4.
fn new_id() -> io::Result<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    Ok(id)
}

/// Text of the cluster for a log line.
fn shown(text: Option<&[u8]>) -> String {
    text.map_or_else(|| "all".to_owned(), |text| String::from_utf8_lossy(text).into_owned())
}
