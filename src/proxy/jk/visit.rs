// SPDX-License-Identifier: Apache-2.0
//! One request at one worker: its own attempts, with pauses, on connections of its pool.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::answer::{Answer, SessionCookie};
use super::head::{self, ForMember};
use super::job::{JkExchange, JkJob};
use super::judge::{Case, Ending, Judgement};
use crate::backend::{BackendError, DialTarget, Lease, Pool, Receiver};
use crate::balance::jk::{JkResult, text_in_force};
use crate::config::jk::plan::{Activation, JkMember, Recovery};
use crate::config::plan::{Flush, Member, MemberId};
use crate::proxy::World;
use crate::proxy::ajp::{Talk, ping};
use crate::proxy::attempt::{Answered, Failure, Scratch, Stage};
use crate::proxy::exchange::BodyError;
use crate::proxy::request_body::RequestBody;
use crate::shared::{JkCounter, JkMemberNumber, JkMemberSlot, JkMemberText, MemberSlot};
use crate::wire::ajp::{CPING, MAX_PACKET_SIZE, MIN_PACKET_SIZE, max_body};
use crate::wire::uri;

/// So long is as good as for ever, and the system still takes it.
const NO_LIMIT: Duration = Duration::from_secs(1 << 31);
/// How often a request that waits to try again looks whether there is sense in it.
const LOOK: Duration = Duration::from_millis(10);

/// A worker as one request meets it.
pub(super) struct Visit<'a> {
    pub world: &'a World<'a>,
    pub job: &'a JkJob<'a>,
    pub id: MemberId,
    pub member: &'a Member,
    pub jk: &'a JkMember,
    pub slot: &'a JkMemberSlot,
    pub common: &'a MemberSlot,
    pub pool: &'a Pool,
    /// What it is told: see [`ForMember::route`].
    pub route: Option<&'a [u8]>,
    pub activation: Activation,
    pub cookie: Option<SessionCookie<'a>>,
    /// The most body that a first packet may have.
    pub first_packet: usize,
}

/// What a request carries from one worker to the next.
#[derive(Debug)]
pub(super) struct Load {
    pub body: RequestBody,
    pub idempotent: bool,
}

/// How a visit ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visited {
    pub result: JkResult,
    pub ending: Ending,
    /// Another worker may be asked.
    pub again: bool,
    /// Bytes of bodies, both ways.
    pub bytes: u64,
}

impl Visited {
    /// Nobody was asked.
    pub fn refused(result: JkResult) -> Self {
        Visited { result, ending: Ending::Answer(503), again: true, bytes: 0 }
    }
}

/// Limits for one attempt.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// For each send and receive.
    each: Duration,
    /// The limit is `reply_timeout`, not `socket_timeout`.
    is_reply: bool,
}

impl<'a> Visit<'a> {
    /// What is known of the worker; `None` for a member of other lines.
    pub fn of(world: &'a World<'a>, job: &'a JkJob<'a>, id: MemberId) -> Option<Visit<'a>> {
        let place = world.bindings.member(id);
        let slot = world.region.jk_member(place);
        let visit = Visit {
            world,
            job,
            id,
            member: world.plan.member(id),
            jk: world.plan.jk.member(id)?,
            slot,
            common: world.region.member(place),
            pool: &world.pools[id.0 as usize],
            route: job.variables.route,
            activation: Activation::Active,
            cookie: None,
            first_packet: max_body(packet_size(slot)),
        };
        visit.pool.follow(slot.sequence());
        Some(visit)
    }

    /// Takes a place in the pool, waiting as long as the worker allows.
    pub fn lease(&self) -> Result<Lease<'a>, BackendError> {
        self.pool.acquire()
    }

    /// The request at this worker, on `lease` first. Counts it, too.
    pub fn run<E: JkExchange>(
        &self,
        lease: Lease<'_>,
        load: &mut Load,
        exchange: &mut E,
        scratch: &mut Scratch,
    ) -> Visited {
        let _busy = self.world.lane.busy(self.world.bindings.member(self.id));
        self.slot.add(JkCounter::Used, 1);
        let busy = self.common.busy();
        self.slot.raise(JkCounter::MaxBusy, u64::from(busy));
        let most = self.slot.number(JkMemberNumber::BusyLimit);
        if most > 0 && u64::from(busy) > most {
            lease.put_back();
            return Visited::refused(JkResult::Busy);
        }
        // Not before a worker is found: the first read makes the server send "100 Continue".
        if let Err(BodyError(status)) = load.body.read_first(exchange, self.first_packet) {
            lease.put_back();
            let ending = Ending::Client(status);
            return Visited { result: JkResult::Client, ending, again: false, bytes: 0 };
        }
        let sent_before = load.body.sent;
        let received_before = scratch.receiver.total();
        let visited = self.attempts(lease, load, exchange, scratch);
        let received = scratch.receiver.total() - received_before;
        let sent = load.body.sent - sent_before;
        self.slot.add(JkCounter::Read, received);
        self.slot.add(JkCounter::Transferred, sent);
        Visited { bytes: received + sent, ..visited }
    }

    fn attempts<E: JkExchange>(
        &self,
        lease: Lease<'_>,
        load: &mut Load,
        exchange: &mut E,
        scratch: &mut Scratch,
    ) -> Visited {
        let mut left = self.slot.number(JkMemberNumber::Retries).max(1);
        let mut lease = Some(lease);
        let mut fresh = false;
        loop {
            let judged = match self.attempt(lease.take(), fresh, load, exchange, scratch) {
                Ok(answered) => {
                    let ending =
                        if answered.replaced { Ending::Answer(answered.status) } else { Ending::Done };
                    return Visited { result: JkResult::Success, ending, again: false, bytes: 0 };
                }
                Err((failure, case)) => self.judge(&failure, case, load, exchange),
            };
            // Once more on a new connection costs nothing, but only once.
            if judged.fresh && !std::mem::replace(&mut fresh, true) {
                continue;
            }
            fresh = false;
            left -= 1;
            if !judged.again || left == 0 || !self.pause() {
                let Judgement { result, ending, again, .. } = judged;
                return Visited { result, ending, again, bytes: 0 };
            }
        }
    }

    /// Waits for the next attempt. False if there is no sense in it: the agent has found out that the worker is gone.
    fn pause(&self) -> bool {
        let end = Instant::now() + Duration::from_millis(self.slot.number(JkMemberNumber::RetryInterval));
        loop {
            if self.common.is_gone() && self.world.region.agent().is_heard(self.world.clock.now()) {
                return false;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    fn judge<E: JkExchange>(
        &self,
        failure: &Failure,
        (has_head, reply_timeout): (bool, bool),
        load: &Load,
        exchange: &mut E,
    ) -> Judgement {
        if !failure.is_after_passing() {
            exchange.forget_response();
        }
        let recovery = u32::try_from(self.slot.number(JkMemberNumber::RecoveryOptions)).unwrap_or(0);
        let case = Case {
            name: &self.jk.name,
            method: method_of_repeats(exchange.request().method),
            idempotent: load.idempotent,
            body_at_hand: load.body.can_repeat(),
            recovery: Recovery(recovery),
            malformed_is_500: self.job.variables.malformed_is_500,
            has_head,
            reply_timeout,
        };
        case.judge(failure, exchange)
    }

    /// One attempt; with a failure comes whether the head had come, and whether `reply_timeout` was the limit.
    fn attempt<E: JkExchange>(
        &self,
        lease: Option<Lease<'_>>,
        fresh: bool,
        load: &mut Load,
        exchange: &mut E,
        scratch: &mut Scratch,
    ) -> Result<Answered, (Failure, (bool, bool))> {
        let limits = self.limits();
        let early = |failure| (failure, (false, limits.is_reply));
        let size = packet_size(self.slot);
        let Scratch { packet, text, receiver, uri, .. } = scratch;
        packet.clear();
        let to = ForMember {
            member: self.member,
            packet_size: size,
            route: self.route,
            activation: self.activation,
        };
        if let Err(error) = head::write(exchange, self.job, sendable(self.job.uri, uri), to, packet) {
            if let Some(lease) = lease {
                lease.put_back();
            }
            return Err(early(Failure::Encode(error)));
        }
        let not_sent = |error| early(Failure::Backend { error, stage: Stage::NotSent });
        let mut lease = match lease {
            Some(lease) => lease,
            None => self.lease().map_err(not_sent)?,
        };
        if fresh {
            // One kept connection has ended, and the others are as old.
            lease.discard();
            self.pool.clear();
        }
        self.connect(&mut lease, limits.each, load.idempotent, receiver).map_err(not_sent)?;
        load.body.sent += packet.len() as u64;
        let answer = Answer {
            job: self.job,
            fail_on_status: self.job.extensions.fail_on_status.as_ref().unwrap_or(&self.jk.fail_on_status),
            cookie: self.cookie,
            has_head: Cell::new(false),
        };
        let talk = Talk {
            name: &self.jk.name,
            packet_size: size,
            // mod_jk does not count the packet header here, and containers may rely on it.
            receive_size: size + 4,
            careful: !load.idempotent,
            flush: if self.job.options.flush_packets { Flush::On } else { Flush::Off },
            keeps: !self.job.options.disable_reuse,
            taker: &answer,
        };
        talk.carry(exchange, &mut load.body, (packet, text), receiver, lease)
            .map_err(|failure| (failure, (answer.has_head.get(), limits.is_reply)))
    }

    /// A kept connection that is quiet and answers, one after the other, else a new one that answers.
    fn connect(
        &self,
        lease: &mut Lease<'_>,
        each: Duration,
        idempotent: bool,
        receiver: &mut Receiver,
    ) -> Result<(), BackendError> {
        let limit =
            |which| Some(Duration::from_millis(self.slot.number(which))).filter(|limit| !limit.is_zero());
        let before_request = limit(JkMemberNumber::PrepostTimeout);
        let now = Instant::now();
        while let Some(kept) = lease.connection() {
            let answers = kept.is_quiet(now, !idempotent)
                && match before_request {
                    Some(limit) => self.ping(lease, (limit, each), receiver).is_ok(),
                    None => kept.limit(each).is_ok(),
                };
            if answers {
                return Ok(());
            }
            lease.take_other();
        }
        let host = text_in_force(self.slot, JkMemberText::Host, &self.member.host);
        let host = std::str::from_utf8(host.as_bytes()).unwrap_or(&self.member.host);
        let port = u16::try_from(self.slot.number(JkMemberNumber::Port)).unwrap_or(0);
        let connect = self.member.connect_timeout.unwrap_or(NO_LIMIT);
        let target = DialTarget { host, port, ipv6_first: Some(self.jk.prefer_ipv6) };
        lease.dial_at(self.member, target, (connect, each), self.jk.source)?;
        match limit(JkMemberNumber::ConnectTimeout).or(before_request) {
            Some(limit) => self.ping(lease, (limit, each), receiver),
            None => Ok(()),
        }
    }

    /// Asks the worker whether it is there; the question counts as bytes sent, as in mod_jk.
    fn ping(
        &self,
        lease: &mut Lease<'_>,
        limits: (Duration, Duration),
        receiver: &mut Receiver,
    ) -> Result<(), BackendError> {
        self.slot.add(JkCounter::Transferred, CPING.len() as u64);
        ping(lease, limits, receiver)
    }

    fn limits(&self) -> Limits {
        let of_worker = self.slot.number(JkMemberNumber::ReplyTimeout);
        let of_worker = Some(Duration::from_millis(of_worker)).filter(|limit| !limit.is_zero());
        let (variables, rule) = (&self.job.variables, self.job.extensions);
        let reply = variables.reply_timeout.or(rule.reply_timeout).unwrap_or(of_worker);
        let socket = Some(self.jk.socket_timeout).filter(|limit| !limit.is_zero());
        match (reply, socket) {
            (Some(reply), Some(socket)) if socket < reply => Limits { each: socket, is_reply: false },
            (Some(reply), _) => Limits { each: reply, is_reply: true },
            (None, socket) => Limits { each: socket.unwrap_or(NO_LIMIT), is_reply: false },
        }
    }
}

/// The packet size in force, brought into the range that both sides understand.
pub(super) fn packet_size(slot: &JkMemberSlot) -> usize {
    let size = usize::try_from(slot.number(JkMemberNumber::MaxPacketSize)).unwrap_or(MAX_PACKET_SIZE);
    size.clamp(MIN_PACKET_SIZE, MAX_PACKET_SIZE).next_multiple_of(1024)
}

/// The path with control characters encoded, which `ForwardURICompat` leaves in it; `room` is used then. Blanks stay, as
/// with mod_jk: a string of AJP has a length.
fn sendable<'u>(uri: &'u [u8], room: &'u mut Vec<u8>) -> &'u [u8] {
    if !uri.iter().any(u8::is_ascii_control) {
        return uri;
    }
    room.clear();
    for byte in uri {
        if byte.is_ascii_control() {
            room.extend_from_slice(&uri::escape(*byte));
        } else {
            room.push(*byte);
        }
    }
    room
}

/// Of the methods, only these two have options of their own.
fn method_of_repeats(method: &[u8]) -> &'static [u8] {
    match method {
        b"HEAD" => b"HEAD",
        b"GET" => b"GET",
        _ => b"",
    }
}
