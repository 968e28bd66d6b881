// SPDX-License-Identifier: Apache-2.0
//! A process that serves by lines of mod_jk: workers, alone or in one balancer.

use std::cell::Cell;
use std::time::Duration;

use margay::backend::Pool;
use margay::balance::Bindings;
use margay::balance::jk::JkCluster;
use margay::base::clock::{Clock, ManualClock, SystemClock};
use margay::base::key::Key;
use margay::config::Plan;
use margay::config::jk::plan::{
    Activation, FailOnStatus, JkBalancer, JkBalancerId, JkMember, JkTarget, RuleExtensions,
};
use margay::config::origin::Origin;
use margay::config::plan::{Member, MemberId};
use margay::proxy::jk::{JkJob, JkVariables, forward_jk, maintain_all};
use margay::proxy::{Outcome, Scratch, World};
use margay::shared::{JkMemberSlot, Lane, MemberSlot, Region};

use crate::ajp_peer::Peer;
use crate::conf;
use crate::exchange::FakeExchange;

/// One process that serves by one configuration.
pub struct Stage {
    pub plan: Plan,
    pub region: &'static Region,
    pub bindings: Bindings,
    pools: Vec<Pool>,
    lane: Lane<'static>,
    pub clock: ManualClock,
    target: JkTarget,
}

/// Workers of these names and ports, and a balancer `lb` over them.
pub fn plan(workers: &[(&str, u16)]) -> Plan {
    // What is common to all members is taken from lines of mod_proxy with other ports.
    let lines: Vec<String> =
        (1..=workers.len()).map(|n| format!("ProxyPass /{n} ajp://127.0.0.1:{n}")).collect();
    let mut plan = conf::read(&lines.join("\n")).plan.expect("a plan");
    plan.jk.is_used = true;
    plan.jk.maintain = Duration::from_secs(60);
    for (number, (member, (name, port))) in (0u32..).zip(plan.members.iter_mut().zip(workers)) {
        fill_member(member, name, *port);
        plan.jk.members.push(Some(jk_member(name)));
        if plan.jk.balancers.is_empty() {
            plan.jk.balancers.push(balancer());
        }
        plan.jk.balancers[0].members.push(MemberId(number));
    }
    plan
}

fn fill_member(member: &mut Member, name: &str, port: u16) {
    member.key = Key::of(&["lb", name]);
    name.clone_into(&mut member.name);
    name.clone_into(&mut member.route);
    member.port = port;
    member.pool.acquire = Some(Duration::from_millis(200));
}

fn jk_member(name: &str) -> JkMember {
    JkMember {
        name: name.to_owned(),
        balancer: Some(JkBalancerId(0)),
        host: "127.0.0.1".to_owned(),
        source: None,
        prefer_ipv6: false,
        lbfactor: 1,
        distance: 0,
        activation: Activation::Active,
        domain: String::new(),
        connect_ping: None,
        prepost_ping: None,
        ping_timeout: Duration::from_secs(10),
        ping_interval: Duration::ZERO,
        reply_timeout: None,
        retries: 2,
        retry_interval: Duration::from_millis(1),
        recovery: Default::default(),
        fail_on_status: FailOnStatus::default(),
        busy_limit: 0,
        pool_size: None,
        pool_min_size: None,
        pool_timeout: Duration::ZERO,
        acquire_timeout: Duration::from_millis(200),
        packet_size: 8192,
        socket_timeout: Duration::ZERO,
    }
}

fn balancer() -> JkBalancer {
    JkBalancer {
        key: Key::of(&["lb"]),
        name: "lb".to_owned(),
        origin: Origin::new("workers.properties", 1),
        members: Vec::new(),
        sticky: true,
        sticky_force: false,
        method: Default::default(),
        lock: Default::default(),
        retries: 2,
        lb_retries: 2,
        retry_interval: Duration::from_millis(1),
        recover_time: Duration::from_secs(60),
        error_escalation_time: Duration::from_secs(30),
        max_reply_timeouts: 0,
        session_cookie: "JSESSIONID".to_owned(),
        session_path: ";jsessionid".to_owned(),
        set_session_cookie: false,
        session_cookie_path: "/".to_owned(),
        packet_size: 8192,
    }
}

/// What a member is in mod_jk's words.
pub fn jk(plan: &mut Plan, member: usize) -> &mut JkMember {
    plan.jk.members[member].as_mut().expect("a member of mod_jk's lines")
}

thread_local! {
    /// Kept between requests, as the server's threads do: what one leaves may not touch the next.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// A request's rule and variables; the default is none.
#[derive(Default)]
pub struct Ask<'a> {
    pub extensions: RuleExtensions,
    pub variables: JkVariables<'a>,
    pub options: margay::config::jk::plan::JkOptions,
}

impl Stage {
    pub fn new(plan: Plan, target: JkTarget) -> Stage {
        // Mapped for the life of the program, so that lanes and threads may borrow it.
        let region: &'static Region = Box::leak(Box::new(Region::private().expect("shared memory")));
        let clock = ManualClock::at(SystemClock.now().0);
        let bindings = Bindings::attach(&plan, region, 1, clock.now()).expect("room for all members");
        let pools = plan.members.iter().map(Pool::new).collect();
        let lane = region.claim_lane(std::process::id(), 1);
        Stage { plan, region, bindings, pools, lane, clock, target }
    }

    /// A balancer `lb` over members named a, b, c…
    pub fn balanced(peers: &[&Peer], edit: impl FnOnce(&mut Plan)) -> Stage {
        let workers: Vec<(&str, u16)> =
            ["a", "b", "c", "d"].into_iter().zip(peers.iter().map(|peer| peer.port())).collect();
        let mut plan = plan(&workers);
        edit(&mut plan);
        Stage::new(plan, JkTarget::Balancer(JkBalancerId(0)))
    }

    /// A worker `w` on its own.
    pub fn alone(peer: &Peer, edit: impl FnOnce(&mut Plan)) -> Stage {
        let mut plan = plan(&[("w", peer.port())]);
        plan.jk.balancers.clear();
        jk(&mut plan, 0).balancer = None;
        edit(&mut plan);
        Stage::new(plan, JkTarget::Ajp(MemberId(0)))
    }

    pub fn world(&self) -> World<'_> {
        World {
            plan: &self.plan,
            region: self.region,
            bindings: &self.bindings,
            pools: &self.pools,
            lane: &self.lane,
            clock: &self.clock,
        }
    }

    pub fn cluster(&self) -> JkCluster<'_> {
        JkCluster { plan: &self.plan, region: self.region, bindings: &self.bindings, id: JkBalancerId(0) }
    }

    pub fn slot(&self, member: u32) -> &JkMemberSlot {
        self.region.jk_member(self.bindings.member(MemberId(member)))
    }

    pub fn common(&self, member: u32) -> &MemberSlot {
        self.region.member(self.bindings.member(MemberId(member)))
    }

    /// Carries the request and checks what holds for every request.
    pub fn ask(&self, uri: &str, ask: &Ask<'_>, exchange: &mut FakeExchange) -> Outcome {
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let job = JkJob {
            target: self.target,
            extensions: &ask.extensions,
            uri: uri.as_bytes(),
            options: ask.options,
            variables: ask.variables,
        };
        let outcome = forward_jk(&self.world(), &job, exchange, &mut scratch);
        SCRATCH.set(Some(scratch));
        exchange.assert_orderly();
        if outcome != Outcome::Done {
            assert_eq!(exchange.writes().count(), 0, "the server is to answer, but a response has begun");
        }
        for member in 0..self.plan.members.len() {
            let busy = self.common(u32::try_from(member).unwrap()).busy();
            assert_eq!(busy, 0, "counted as busy after the last request");
        }
        outcome
    }

    pub fn play(&self, uri: &str, exchange: &mut FakeExchange) -> Outcome {
        self.ask(uri, &Ask::default(), exchange)
    }

    /// A GET that is expected to be answered in full; gives the body.
    pub fn text_of_get(&self, uri: &str) -> String {
        let mut exchange = FakeExchange::get();
        assert_eq!(self.play(uri, &mut exchange), Outcome::Done, "{:?}", exchange.lines());
        assert!(exchange.is_complete(), "{:?}", exchange.calls);
        exchange.text()
    }

    /// Lets the time pass and does what is due.
    pub fn wait(&self, length: Duration) {
        self.clock.advance(length);
        maintain_all(&self.world());
    }
}
