// SPDX-License-Identifier: Apache-2.0
//! The life of one forwarded request: pick a member, try, judge, try again, answer.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::attempt::{Answered, Attempt, Buffers, Failure, Scratch, Stage};
use super::exchange::{BodyError, Chosen, Exchange, Level, Request};
use super::http;
use super::judge::{self, Next};
use super::outward::Outward;
use super::request_body::RequestBody;
use super::response::Sections;
use super::session;
use super::target;
use crate::backend::Pool;
use crate::balance::retry::{self, Attempts};
use crate::balance::transition::{self, Event};
use crate::balance::{self, Bindings, Chooser, InForce, NoMember, Session, Tried};
use crate::base::clock::Clock;
use crate::config::Plan;
use crate::config::plan::{Balancer, BalancerId, Encoding, Member, MemberId, Scheme, Via, Worker};
use crate::shared::{Lane, MemberSlot, Reason, Region};
use crate::wire::ajp::{BodyLength, max_body};
use crate::wire::http1::BadHeader;
use crate::wire::uri::{self, EncodedSlashes};

/// What all requests of a process share.
#[derive(Clone, Copy)]
pub struct World<'w> {
    pub plan: &'w Plan,
    pub region: &'w Region,
    pub bindings: &'w Bindings,
    /// By [`MemberId`].
    pub pools: &'w [Pool],
    pub lane: &'w Lane<'w>,
    pub clock: &'w dyn Clock,
}

impl<'w> World<'w> {
    pub(super) fn chooser(&self) -> Chooser<'w> {
        Chooser { plan: self.plan, region: self.region, bindings: self.bindings }
    }

    /// The members of a balancer, those that joined while the server runs included.
    fn members(&self, balancer: &'w Balancer) -> impl Iterator<Item = MemberId> + use<'w> {
        balance::members(self.plan, self.region, self.bindings, balancer)
    }

    fn slot(&self, id: MemberId) -> &'w MemberSlot {
        self.region.member(self.bindings.member(id))
    }
}

/// What a server says about its HTTP members.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpRules<'j> {
    /// `ProxyVia`.
    pub via: Via,
    /// What `ProxyVia Full` adds, like `Apache/2.4.62`.
    pub software: &'j [u8],
    /// `ProxyBadHeader`.
    pub bad_header: BadHeader,
    /// `None`: every member is asked directly, and none is blocked.
    pub outward: Option<Outward<'j>>,
}

/// Where one request goes.
#[derive(Debug, Clone, Copy)]
pub struct Job<'j> {
    pub worker: Worker,
    /// Path part for the worker: that of the rule's target and the rest of the request's, decoded unless `encoding` is
    /// [`Encoding::AsReceived`].
    pub path: &'j [u8],
    pub encoding: Encoding,
    /// `AllowEncodedSlashes NoDecode`: a `%2F` in `path` stands for itself.
    pub slashes: EncodedSlashes,
    pub sections: Sections<'j>,
    /// `ProxyTimeout`, else `Timeout`.
    pub timeout: Duration,
    pub source: Option<IpAddr>,
    pub http: HttpRules<'j>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The response is out, or cut.
    Done,
    /// The server is to answer with this status.
    Answer(u16),
    /// The client's body failed; the value of [`BodyError`].
    Client(i32),
}

/// Carries a request to a member and the answer back.
pub fn forward<E: Exchange>(
    world: &World<'_>,
    job: &Job<'_>,
    exchange: &mut E,
    scratch: &mut Scratch,
) -> Outcome {
    let mut route = std::mem::take(&mut scratch.route);
    let in_force = match job.worker {
        Worker::Balancer(id) => Some((id, world.chooser().in_force(id))),
        Worker::Member(_) => None,
    };
    let sticky = in_force.and_then(|(id, values)| Some((id, values.sticky()?)));
    let found =
        sticky.as_ref().and_then(|(id, sticky)| session::find(world, *id, sticky, job, exchange, &mut route));
    let session = found.map(|found| found.session(&route));
    let outcome = Forward::new(world, job, in_force.map(|(_, values)| values), session, exchange.request())
        .run(exchange, scratch);
    scratch.route = route;
    outcome
}

/// A request under way.
struct Forward<'a> {
    world: &'a World<'a>,
    job: &'a Job<'a>,
    session: Option<Session<'a>>,
    balancer: Option<&'a Balancer>,
    in_force: Option<InForce<'a>>,
    attempts: Attempts,
    tried: Tried,
    body: RequestBody,
    idempotent: bool,
    /// What the error page says of the last failure.
    explanation: Option<Cow<'static, str>>,
    /// A kept connection ended under the request: the next one must be new.
    fresh: bool,
    /// So many other proxies were asked in vain.
    proxies_asked: usize,
    /// The agent had taken the member out when it was chosen nevertheless.
    against_agent: bool,
}

impl<'a> Forward<'a> {
    fn new(
        world: &'a World<'a>,
        job: &'a Job<'a>,
        in_force: Option<InForce<'a>>,
        session: Option<Session<'a>>,
        request: Request<'_>,
    ) -> Self {
        let balancer = match job.worker {
            Worker::Balancer(id) => Some(world.plan.balancer(id)),
            Worker::Member(_) => None,
        };
        let attempts = balancer
            .zip(in_force.as_ref())
            .map(|(balancer, values)| Attempts::among(world.members(balancer).count(), values));
        Self {
            world,
            job,
            session,
            balancer,
            in_force,
            attempts: attempts.unwrap_or_else(Attempts::of_plain_worker),
            tried: Tried::default(),
            body: RequestBody::new(request.body),
            idempotent: retry::is_idempotent(request.method),
            explanation: None,
            fresh: false,
            proxies_asked: 0,
            against_agent: false,
        }
    }

    fn run<E: Exchange>(&mut self, exchange: &mut E, scratch: &mut Scratch) -> Outcome {
        // The answer if nobody else can be asked: that of the try before.
        let mut otherwise = None;
        loop {
            let member = match self.choose(exchange, otherwise.is_some()) {
                Ok(member) => member,
                Err(status) => {
                    if let (Some(balancer), None) = (self.balancer, otherwise) {
                        target::is_balancer(exchange, &balancer.name, self.job.path, self.job.encoding);
                    }
                    let status = otherwise.unwrap_or(status);
                    self.explain(status, exchange);
                    return Outcome::Answer(status);
                }
            };
            // Not before a member is found: the first read makes the server send "100 Continue".
            if let Err(BodyError(status)) = self.read_first(member, exchange) {
                return Outcome::Client(status);
            }
            match self.try_member(member, exchange, scratch) {
                Next::Done => return Outcome::Done,
                Next::Client(status) => return Outcome::Client(status),
                Next::Answer(status) => return self.answer(member, status, exchange),
                Next::OtherMember { or_else } if !self.attempts.take() => {
                    return self.answer(member, or_else, exchange);
                }
                Next::OtherMember { or_else } => otherwise = Some(or_else),
            }
            self.tried.add(self.world.bindings.member(member));
        }
    }

    fn choose<E: Exchange>(&self, exchange: &mut E, again: bool) -> Result<MemberId, u16> {
        let id = match self.job.worker {
            Worker::Member(_) if again => return Err(503),
            Worker::Member(member) => return Ok(member),
            Worker::Balancer(id) => id,
        };
        let choice = self.choose_of(id).map_err(|nobody| {
            log_no_member(exchange, &nobody);
            503u16
        })?;
        exchange.chosen(Chosen {
            balancer: id,
            member: choice.member,
            session_name: choice.session_route.and(self.session).map(|session| session.name),
            session_route: choice.session_route,
            route_changed: choice.route_changed,
        });
        Ok(choice.member)
    }

    /// With a balancer `timeout`, asks again until somebody can serve or the time is over.
    fn choose_of(&self, id: BalancerId) -> Result<crate::balance::Choice<'_>, NoMember<'_>> {
        let chooser = self.world.chooser();
        let wait = self.in_force.and_then(|values| values.wait());
        let deadline = wait.map(|wait| (Instant::now() + wait, wait / 100));
        let mut counted = false;
        loop {
            let chosen = chooser.choose(id, self.session.as_ref(), &self.tried, self.world.clock.now());
            if chosen.is_err() && !std::mem::replace(&mut counted, true) {
                self.world.region.balancer(self.world.bindings.balancer(id)).count_refused();
            }
            match (chosen, deadline) {
                (Err(nobody), Some((end, pause))) if nobody.may_pass() && Instant::now() < end => {
                    std::thread::sleep(pause.max(Duration::from_millis(1)));
                }
                (chosen, _) => return chosen,
            }
        }
    }

    /// Reads what the member must have with the head (AJP), or what is better at hand before a connection is taken (HTTP).
    fn read_first<E: Exchange>(&mut self, member: MemberId, exchange: &mut E) -> Result<(), BodyError> {
        match self.world.plan.member(member).scheme {
            Scheme::Ajp => self.body.read_first(exchange, self.packet_limit(member)),
            _ if http::leaves_body_to_member(exchange, self.job.sections) => Ok(()),
            _ => self.body.read_ahead(exchange),
        }
    }

    /// The first packet must fit every member that may get it.
    fn packet_limit(&self, member: MemberId) -> usize {
        let own = self.world.plan.member(member).packet_size;
        let others = self.balancer.into_iter().flat_map(|balancer| self.world.members(balancer));
        max_body(others.map(|id| self.world.plan.member(id).packet_size).fold(own, usize::min))
    }

    fn try_member<E: Exchange>(&mut self, id: MemberId, exchange: &mut E, scratch: &mut Scratch) -> Next {
        let member = self.world.plan.member(id);
        let slot = self.world.slot(id);
        self.proxies_asked = 0;
        self.against_agent = slot.is_gone();
        let _busy = self.world.lane.busy(self.world.bindings.member(id));
        loop {
            let sent_before = self.body.sent;
            let result = self.one_try(id, exchange, scratch);
            slot.add_bytes_written(self.body.sent - sent_before);
            let failure = match result {
                Ok(answered) => {
                    slot.add_bytes_read(answered.received);
                    if self.against_agent && answered.status < 500 {
                        slot.put_back(self.world.clock.now(), Reason::Alive);
                    }
                    if answered.replaced {
                        return Next::Answer(answered.status);
                    }
                    self.fail_on_status(id, answered.status, exchange);
                    return Next::Done;
                }
                Err(failure) => failure,
            };
            if !failure.is_after_passing() {
                exchange.forget_response();
            }
            self.explanation = judge::explanation(&failure, member, self.job.sections.forward);
            let case = judge::Case {
                member,
                balancer: self.balancer,
                idempotent: self.idempotent,
                body_at_hand: self.body.can_repeat(),
            };
            match case.judge(failure, exchange) {
                judge::Judgement::SameMemberFresh => self.fresh = true,
                judge::Judgement::Next { next, .. } if self.has_another_way(member, next, exchange) => {
                    self.fresh = false;
                    self.proxies_asked += 1;
                }
                judge::Judgement::Next { event, next } => {
                    self.fresh = false;
                    self.apply(id, event, exchange);
                    return next;
                }
            }
        }
    }

    fn one_try<E: Exchange>(
        &mut self,
        id: MemberId,
        exchange: &mut E,
        scratch: &mut Scratch,
    ) -> Result<Answered, Failure> {
        let member = self.world.plan.member(id);
        let Scratch { packet, uri, text, receiver, .. } = scratch;
        self.write_uri(member, uri);
        target::is_member(exchange, member, uri);
        let pool = &self.world.pools[id.0 as usize];
        let outward = self.job.http.outward;
        let remote = outward.and_then(|way| way.remote(member, uri, &exchange.request(), self.proxies_asked));
        if let Some(way) = outward {
            way.admit(member, pool, remote).map_err(Failure::at(Stage::NotSent))?;
            if remote.is_some() && !member.scheme.is_tls() {
                let path = std::mem::take(uri);
                way.write_url(member, &path, uri);
            }
        }
        let attempt = Attempt {
            member,
            pool,
            sections: self.job.sections,
            uri,
            session_route: self.session.and_then(|session| session.route),
            timeout: member.timeout.unwrap_or(self.job.timeout),
            source: self.job.source,
            careful: !self.idempotent,
            fresh: self.fresh,
            http: self.job.http,
            remote,
        };
        let connected = || {
            transition::apply(self.world.slot(id), Event::Alive, self.world.clock.now());
        };
        attempt.run(exchange, &mut self.body, Buffers { packet, text, receiver }, connected)
    }

    /// After another proxy broke off, the next one is asked, or the member itself, if that can do no harm.
    fn has_another_way<E: Exchange>(&self, member: &Member, next: Next, exchange: &E) -> bool {
        let Some(way) = self.job.http.outward.filter(|way| !way.rules.remotes.is_empty()) else {
            return false;
        };
        let broke_off = matches!(next, Next::Answer(502) | Next::OtherMember { or_else: 502 });
        let has_no_body = matches!(exchange.request().body, BodyLength::None | BodyLength::Known(0));
        if !(broke_off && has_no_body && self.idempotent) {
            return false;
        }
        let mut path = Vec::new();
        self.write_uri(member, &mut path);
        let asked = |skipped| way.remote(member, &path, &exchange.request(), skipped).is_some();
        asked(self.proxies_asked) && (way.only_remote.is_none() || asked(self.proxies_asked + 1))
    }

    fn write_uri(&self, member: &Member, out: &mut Vec<u8>) {
        out.clear();
        match self.job.encoding {
            Encoding::Canonical => {
                uri::encode_path(member.path.as_bytes(), self.job.slashes, out);
                uri::encode_path(self.job.path, self.job.slashes, out);
            }
            // The other forms of matching leave the rest of the path as the client sent it.
            Encoding::AsReceived | Encoding::Encoded | Encoding::Servlet => {
                out.extend_from_slice(member.path.as_bytes());
                out.extend_from_slice(self.job.path);
            }
        }
    }

    fn answer<E: Exchange>(&self, member: MemberId, status: u16, exchange: &mut E) -> Outcome {
        self.fail_on_status(member, status, exchange);
        self.explain(status, exchange);
        Outcome::Answer(status)
    }

    fn explain<E: Exchange>(&self, status: u16, exchange: &mut E) {
        if let Some(cause) = &self.explanation {
            exchange.explain(status, cause);
        }
    }

    fn fail_on_status<E: Exchange>(&self, id: MemberId, status: u16, exchange: &E) {
        let Some(balancer) = self.balancer else { return };
        if balancer.fail_on_status.contains(&status) {
            exchange.log(
                Level::Error,
                "MGY2004",
                format_args!(
                    "balancer://{}: member {}: status {status}, which failonstatus names: forced into error state (AH01174)",
                    balancer.name,
                    self.world.plan.member(id).name,
                ),
            );
            self.apply(id, Some(Event::FailOnStatus), exchange);
        }
    }

    fn apply<E: Exchange>(&self, id: MemberId, event: Option<Event>, exchange: &E) {
        let Some(event) = event else { return };
        let (slot, now) = (self.world.slot(id), self.world.clock.now());
        slot.count_error();
        let Some(change) = transition::apply(slot, event, now) else { return };
        let member = self.world.plan.member(id);
        exchange.log(
            Level::Error,
            "MGY2005",
            format_args!(
                "{}member {} is now \"{}\" (was \"{}\"); it is tried again after retry={}s (AH00959)",
                judge::balancer_prefix(self.balancer),
                member.name,
                change.to.status.to_string().trim_end(),
                change.from.status.to_string().trim_end(),
                member.retry.as_secs(),
            ),
        );
    }
}

fn log_no_member<E: Exchange>(exchange: &E, nobody: &NoMember<'_>) {
    let id = match nobody {
        NoMember::RouteDown { .. } => "MGY2001",
        NoMember::AllFailed { .. } => "MGY2002",
        NoMember::Empty { .. } => "MGY2003",
    };
    exchange.log(Level::Error, id, format_args!("{nobody} ({})", nobody.id()));
}
