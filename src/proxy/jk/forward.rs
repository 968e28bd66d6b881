// SPDX-License-Identifier: Apache-2.0
//! The life of one request: at a worker on its own, or at the members of a balancer, round by round.

use super::answer::SessionCookie;
use super::job::{JkExchange, JkJob, JkTried};
use super::judge::Ending;
use super::pools::{maintain_if_due, tell_connections};
use super::visit::{Load, Visit, Visited, packet_size};
use crate::balance::jk::transition::{self, length};
use crate::balance::jk::{JkChoice, JkCluster, JkHow, JkResult, JkSessionNames, JkWish, force, session};
use crate::balance::retry;
use crate::config::jk::plan::{JkBalancerId, JkMethod, JkTarget};
use crate::config::plan::MemberId;
use crate::proxy::World;
use crate::proxy::attempt::Scratch;
use crate::proxy::exchange::Level;
use crate::proxy::forward::Outcome;
use crate::proxy::request_body::RequestBody;
use crate::shared::{JkBalancerNumber, JkCounter, JkMemberNumber, JkState, Reason};
use crate::wire::ajp::{BodyLength, Dialect, max_body};

/// Carries a request to a worker and the answer back.
///
/// [`JkTarget::Status`] is nobody to forward to: such a request is answered 500.
pub fn forward_jk<E: JkExchange>(
    world: &World<'_>,
    job: &JkJob<'_>,
    exchange: &mut E,
    scratch: &mut Scratch,
) -> Outcome {
    let request = exchange.request();
    let length = match request.body {
        // It is sent on demand, like one in chunks.
        BodyLength::Known(_) if job.variables.ignore_content_length => BodyLength::Chunked,
        length => length,
    };
    let mut load = Load {
        body: RequestBody::new_in(Dialect::ModJk, length),
        idempotent: retry::is_idempotent(request.method),
    };
    let outcome = match job.target {
        JkTarget::Ajp(id) => alone(world, job, id, &mut load, exchange, scratch),
        JkTarget::Balancer(id) => balanced(world, job, id, &mut load, exchange, scratch),
        JkTarget::Status(_) => Outcome::Answer(500),
    };
    // Afterwards, so that nobody waits for it.
    maintain_if_due(world);
    outcome
}

fn outcome_of(ending: Ending) -> Outcome {
    match ending {
        Ending::Done => Outcome::Done,
        Ending::Answer(status) => Outcome::Answer(status),
        Ending::Client(status) => Outcome::Client(status),
    }
}

/// A worker that is in no balancer: always tried, its state is only shown.
fn alone<E: JkExchange>(
    world: &World<'_>,
    job: &JkJob<'_>,
    id: MemberId,
    load: &mut Load,
    exchange: &mut E,
    scratch: &mut Scratch,
) -> Outcome {
    let Some(visit) = Visit::of(world, job, id) else { return Outcome::Answer(500) };
    if let Some(route) = job.variables.route {
        exchange.route(route);
    }
    visit.slot.move_state(JkState::Error, JkState::Probe);
    let visited = match visit.lease() {
        Ok(lease) => visit.run(lease, load, exchange, scratch),
        Err(busy) => {
            log_busy(&visit, &busy.to_string(), exchange);
            Visited::refused(JkResult::Busy)
        }
    };
    tell_connections(world, id);
    let slot = visit.slot;
    match visited.result {
        JkResult::Success => {}
        JkResult::Client => slot.add(JkCounter::ClientErrors, 1),
        JkResult::ReplyTimeout => {
            slot.add(JkCounter::ReplyTimeouts, 1);
            slot.add(JkCounter::Errors, 1);
        }
        _ => slot.add(JkCounter::Errors, 1),
    }
    let state = match visited.result {
        JkResult::Success | JkResult::Client => JkState::Ok,
        _ => JkState::Error,
    };
    if slot.state() != state {
        slot.set_state(state);
    }
    outcome_of(visited.ending)
}

fn log_busy<E: JkExchange>(visit: &Visit<'_>, why: &str, exchange: &E) {
    exchange.log(
        Level::Error,
        "MGY3002",
        format_args!(
            "worker {}: no free connection (connection_pool_size, connection_acquire_timeout): {why}",
            visit.jk.name
        ),
    );
}

fn balanced<E: JkExchange>(
    world: &World<'_>,
    job: &JkJob<'_>,
    id: JkBalancerId,
    load: &mut Load,
    exchange: &mut E,
    scratch: &mut Scratch,
) -> Outcome {
    let cluster = JkCluster { plan: world.plan, region: world.region, bindings: world.bindings, id };
    let mut ids = std::mem::take(&mut scratch.route);
    let mut states = std::mem::take(&mut scratch.states);
    find_session(&cluster, job, exchange, &mut ids);
    let wish = JkWish {
        ids: &ids,
        stateless: job.variables.stateless || job.extensions.stateless,
        wants_replicas: false,
        activation: &job.extensions.activation,
    };
    let outcome = Rounds { world, job, cluster, wish, states: &mut states, load, heeds_agent: false }
        .run(exchange, scratch);
    scratch.route = ids;
    scratch.states = states;
    outcome
}

/// Collects the session ids of a sticky balancer into `ids`.
fn find_session<E: JkExchange>(cluster: &JkCluster<'_>, job: &JkJob<'_>, exchange: &E, ids: &mut Vec<u8>) {
    ids.clear();
    let is_ignored = job.variables.sticky_ignore || job.extensions.sticky_ignore;
    if is_ignored || cluster.number(JkBalancerNumber::Sticky) == 0 {
        return;
    }
    let balancer = cluster.balancer();
    let said = job.extensions;
    let names = JkSessionNames {
        cookie: said.session_cookie.as_deref().unwrap_or(&balancer.session_cookie).as_bytes(),
        path: said.session_path.as_deref().unwrap_or(&balancer.session_path).as_bytes(),
    };
    let cookies =
        exchange.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"Cookie")).map(|(_, value)| value);
    session::collect(ids, names, job.variables.route, job.uri, cookies);
}

/// A request under way at a balancer.
struct Rounds<'a> {
    world: &'a World<'a>,
    job: &'a JkJob<'a>,
    cluster: JkCluster<'a>,
    wish: JkWish<'a>,
    /// The states as this request sees them: a member that failed it is not asked again in the same round.
    states: &'a mut Vec<JkState>,
    load: &'a mut Load,
    /// Members that the agent has taken out are not asked.
    heeds_agent: bool,
}

impl Rounds<'_> {
    fn run<E: JkExchange>(mut self, exchange: &mut E, scratch: &mut Scratch) -> Outcome {
        let cluster = self.cluster;
        cluster.slot().raise_max_busy(cluster.busy() + 1);
        self.free_busy_members();
        self.copy_states();
        let in_round = u64::from(cluster.balancer().lb_retries).min(cluster.len() as u64);
        let rounds = cluster.number(JkBalancerNumber::Retries);
        let (mut attempt, mut round, mut forced) = (0, 0, false);
        let mut status = 503;
        loop {
            if attempt >= in_round {
                round += 1;
                if round >= rounds {
                    return Outcome::Answer(status);
                }
                std::thread::sleep(length(cluster.number(JkBalancerNumber::RetryInterval)));
                self.copy_states();
                attempt = 0;
            }
            let Some(choice) = cluster.choose(self.states, &self.wish) else {
                if std::mem::take(&mut self.heeds_agent) {
                    cluster.ignore_agent(self.states);
                    continue;
                }
                if !std::mem::replace(&mut forced, true) && force(&cluster, self.states) > 0 {
                    continue;
                }
                status = 503;
                attempt += 1;
                if attempt >= in_round && round + 1 >= rounds {
                    self.log_nobody(exchange);
                }
                continue;
            };
            if !self.take_trial(choice) {
                continue;
            }
            match self.visit(choice, exchange, scratch) {
                Visited { ending: Ending::Answer(answer), again: true, .. } => status = answer,
                visited => return outcome_of(visited.ending),
            }
            attempt += 1;
        }
    }

    fn copy_states(&mut self) {
        self.states.clear();
        let cluster = self.cluster;
        self.states.extend(cluster.ids().iter().map(|id| cluster.member_slot(*id).state()));
        let (has_session, now) = (self.has_session(), self.world.clock.now());
        self.wish.wants_replicas = has_session && cluster.hears_agent(now);
        self.heeds_agent = cluster.heed_agent(self.states, has_session, now);
    }

    /// Members that were busy serve again as soon as they have room.
    fn free_busy_members(&self) {
        for id in self.cluster.ids() {
            let slot = self.cluster.member_slot(*id);
            if slot.state() == JkState::Busy {
                let most = slot.number(JkMemberNumber::BusyLimit);
                let has_room = most == 0 || u64::from(self.cluster.common_slot(*id).busy()) < most;
                if has_room && self.world.pools[id.0 as usize].has_room() {
                    slot.move_state(JkState::Busy, JkState::Ok);
                }
            }
        }
    }

    /// Whose rest is over is tried by one request only; false if another one was faster.
    fn take_trial(&mut self, choice: JkChoice) -> bool {
        if self.states[choice.place] != JkState::Recover {
            return true;
        }
        let slot = self.cluster.member_slot(choice.member);
        let is_ours = slot.move_state(JkState::Recover, JkState::Probe);
        // Another process may have found out already how the member is.
        self.states[choice.place] = slot.state();
        is_ours || slot.state().is_usable()
    }

    fn visit<E: JkExchange>(&mut self, choice: JkChoice, exchange: &mut E, scratch: &mut Scratch) -> Visited {
        let (world, job, cluster) = (self.world, self.job, self.cluster);
        let Some(mut visit) = Visit::of(world, job, choice.member) else {
            return Visited { again: false, ..Visited::refused(JkResult::NotItsState) };
        };
        let (route, domain) = (cluster.route(choice.member), cluster.domain(choice.member));
        let told = match job.variables.route {
            Some(given) => given,
            None if choice.how == JkHow::Domain => domain.as_bytes(),
            None => route.as_bytes(),
        };
        exchange.route(told);
        visit.route = Some(told);
        visit.activation = self.wish.activation(&cluster, choice.member);
        if choice.how != JkHow::Route {
            let secure = exchange.request().is_tls;
            visit.cookie = SessionCookie::of(job, cluster.balancer(), route.as_bytes(), secure);
        }
        visit.first_packet = self.first_packet();
        let common = cluster.common_slot(choice.member);
        let against_agent = common.is_gone();
        let visited = match visit.lease() {
            Ok(lease) => {
                self.count_before(&visit);
                let visited = visit.run(lease, self.load, exchange, scratch);
                self.count_after(&visit, visited.bytes);
                visited
            }
            Err(busy) => {
                log_busy(&visit, &busy.to_string(), exchange);
                Visited::refused(JkResult::Busy)
            }
        };
        if against_agent && visited.result == JkResult::Success {
            common.put_back(world.clock.now(), Reason::Alive);
        }
        tell_connections(world, choice.member);
        self.note(choice, &visit, visited, exchange);
        visited
    }

    /// The first packet must fit every member that may get it.
    fn first_packet(&self) -> usize {
        let sizes = self.cluster.ids().iter().map(|id| max_body(packet_size(self.cluster.member_slot(*id))));
        sizes.min().unwrap_or(max_body(0))
    }

    fn has_session(&self) -> bool {
        !self.wish.ids.is_empty()
    }

    fn count_before(&self, visit: &Visit<'_>) {
        let is_new = !self.has_session() && !self.wish.stateless;
        let counts = match self.cluster.method() {
            JkMethod::Request | JkMethod::Busyness => true,
            JkMethod::Session | JkMethod::Next => is_new,
            JkMethod::Traffic => false,
        };
        let slot = visit.slot;
        if counts {
            let mult = slot.lb_mult();
            slot.update_lb_value(|value| value.saturating_add(mult));
        }
        slot.add(JkCounter::Elected, 1);
        if is_new {
            slot.add(JkCounter::Sessions, 1);
        }
    }

    fn count_after(&self, visit: &Visit<'_>, bytes: u64) {
        let mult = visit.slot.lb_mult();
        match self.cluster.method() {
            JkMethod::Traffic => {
                let load = bytes.saturating_mul(mult);
                visit.slot.update_lb_value(|value| value.saturating_add(load));
            }
            JkMethod::Busyness => visit.slot.update_lb_value(|value| value.saturating_sub(mult)),
            JkMethod::Request | JkMethod::Session | JkMethod::Next => {}
        }
    }

    /// What the visit does to the member, and what is told of it.
    fn note<E: JkExchange>(
        &mut self,
        choice: JkChoice,
        visit: &Visit<'_>,
        visited: Visited,
        exchange: &mut E,
    ) {
        let cluster = self.cluster;
        let slot = visit.slot;
        let before = slot.state();
        let limits = (
            length(cluster.number(JkBalancerNumber::ErrorEscalationTime)),
            cluster.number(JkBalancerNumber::MaxReplyTimeouts),
        );
        let others_at_work = visit.common.busy() > 0;
        let now = self.world.clock.now();
        let step = transition::apply(slot, visited.result, others_at_work, limits, now);
        self.states[choice.place] = step.local;
        if step.shared == JkState::Error && before != JkState::Error {
            exchange.log(
                Level::Error,
                "MGY2005",
                format_args!(
                    "balancer {}: member {} is now \"{}\" (was \"{}\"); it is tried again after recover_time={}s",
                    cluster.balancer().name,
                    visit.jk.name,
                    step.shared.name(),
                    before.name(),
                    length(cluster.number(JkBalancerNumber::RecoverTime)).as_secs(),
                ),
            );
        }
        exchange.tried(&JkTried {
            member: choice.member,
            name: &visit.jk.name,
            value: slot.lb_value(),
            accessed: slot.count(JkCounter::Elected),
            sessions: slot.count(JkCounter::Sessions),
            read: slot.count(JkCounter::Read),
            transferred: slot.count(JkCounter::Transferred),
            errors: slot.count(JkCounter::Errors),
            busy: visit.common.busy(),
            // Its own, whatever the rule says.
            activation: cluster.activation(choice.member),
            state: slot.state(),
        });
    }

    fn log_nobody<E: JkExchange>(&self, exchange: &E) {
        let why = if self.has_session() && self.cluster.number(JkBalancerNumber::StickyForce) != 0 {
            "no member may serve the request's session (sticky_session_force)"
        } else {
            "all members are in error, busy, disabled or stopped"
        };
        exchange.log(
            Level::Error,
            "MGY2002",
            format_args!("balancer {}: {why}", self.cluster.balancer().name),
        );
    }
}
