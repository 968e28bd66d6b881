// SPDX-License-Identifier: Apache-2.0
//! A balancer written as text, with members that can be dead.

use std::collections::HashSet;
use std::time::Duration;

use margay::balance::{Attempts, Bindings, Choice, Chooser, Event, NoMember, RequestView, Tried, transition};
use margay::base::clock::Moment;
use margay::base::key::Key;
use margay::base::status::Status;
use margay::config::origin::Origin;
use margay::config::plan::{
    Balancer, BalancerId, Flush, Member, MemberId, Method, Plan, PoolLimits, Scheme, Sticky, Written,
};
use margay::shared::{MemberSlot, Region};

pub const BALANCER: BalancerId = BalancerId(0);

pub struct Cluster {
    pub plan: Plan,
    pub region: Region,
    pub bindings: Bindings,
    pub now: Moment,
    /// Members that refuse connections.
    pub dead: HashSet<String>,
    /// Body bytes of each exchange: sent to the member, received from it.
    pub traffic: (u64, u64),
}

impl Cluster {
    /// Members as `name [factor=1.5] [set=2] [status=H] [redirect=B]`, separated by commas. The name is the route.
    pub fn new(method: Method, members: &str) -> Cluster {
        let plan = plan(method, members);
        let (region, now) = (Region::private().unwrap(), Moment(1_790_000_000_000));
        let bindings = Bindings::attach(&plan, &region, 1, now).unwrap();
        Cluster { plan, region, bindings, now, dead: HashSet::new(), traffic: (0, 0) }
    }

    pub fn by_requests(members: &str) -> Cluster {
        Cluster::new(Method::ByRequests, members)
    }

    pub fn with(mut self, change: impl FnOnce(&mut Balancer)) -> Cluster {
        change(&mut self.plan.balancers[0]);
        self
    }

    pub fn sticky(self) -> Cluster {
        self.with(|balancer| balancer.sticky = Some(sticky()))
    }

    /// Puts another configuration into force.
    pub fn restart(&mut self, generation: u32, plan: Plan) {
        self.plan = plan;
        self.bindings = Bindings::attach(&self.plan, &self.region, generation, self.now).unwrap();
    }

    pub fn chooser(&self) -> Chooser<'_> {
        Chooser { plan: &self.plan, region: &self.region, bindings: &self.bindings }
    }

    pub fn id(&self, name: &str) -> MemberId {
        let at = self.plan.members.iter().position(|member| member.route == name).unwrap();
        MemberId(at as u32)
    }

    pub fn slot(&self, name: &str) -> &MemberSlot {
        self.region.member(self.bindings.member(self.id(name)))
    }

    pub fn kill(&mut self, names: &str) {
        self.dead.extend(names.chars().map(String::from));
    }

    pub fn revive(&mut self, names: &str) {
        self.dead.retain(|name| !names.contains(name.as_str()));
    }

    pub fn set(&self, name: &str, set: Status, clear: Status) {
        transition::apply(self.slot(name), Event::Admin { set, clear }, self.now);
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    /// One request without a session: who answers, or the refusal.
    pub fn request(&self) -> String {
        self.request_with("").0
    }

    /// One request with a cookie: who answers it, or the refusal, and the last choice's `BALANCER_ROUTE_CHANGED`.
    pub fn request_with(&self, cookie: &str) -> (String, bool) {
        let view = RequestView { path: b"/app", query: None, cookies: std::iter::once(cookie.as_bytes()) };
        let in_force = self.chooser().in_force(BALANCER);
        let sticky = in_force.sticky();
        let session = sticky.as_ref().and_then(|names| self.chooser().session(BALANCER, names, &view));
        let mut attempts = Attempts::of(self.plan.balancer(BALANCER), &in_force);
        let mut tried = Tried::default();
        loop {
            let choice = match self.chooser().choose(BALANCER, session.as_ref(), &tried, self.now) {
                Ok(choice) => choice,
                Err(refusal) => return (refusal_text(&refusal), false),
            };
            if self.exchange(&choice) {
                return (self.plan.member(choice.member).route.clone(), choice.route_changed);
            }
            tried.add(choice.slot);
            if !attempts.take() {
                return ("503".into(), choice.route_changed);
            }
        }
    }

    fn exchange(&self, choice: &Choice<'_>) -> bool {
        let slot = self.region.member(choice.slot);
        if self.dead.contains(&self.plan.member(choice.member).route) {
            transition::apply(slot, Event::ConnectFailed, self.now);
            return false;
        }
        transition::apply(slot, Event::Alive, self.now);
        slot.add_bytes_written(self.traffic.0);
        slot.add_bytes_read(self.traffic.1);
        true
    }

    /// Answers of `count` requests without a session, separated by blanks.
    pub fn sequence(&self, count: usize) -> String {
        (0..count).map(|_| self.request()).collect::<Vec<_>>().join(" ")
    }

    /// Fails unless exactly these members answer the next requests.
    #[track_caller]
    pub fn expect(&self, sequence: &str) {
        assert_eq!(self.sequence(sequence.split(' ').count()), sequence);
    }
}

fn refusal_text(refusal: &NoMember<'_>) -> String {
    format!("{}: {refusal}", refusal.id())
}

pub fn sticky() -> Sticky {
    Sticky {
        cookie: "JSESSIONID".into(),
        path: "jsessionid".into(),
        separator: Some(b'.'),
        semicolon_ends: false,
        origin: origin(),
    }
}

pub fn plan(method: Method, members: &str) -> Plan {
    let members: Vec<Member> =
        members.split(',').map(str::trim).filter(|text| !text.is_empty()).map(member).collect();
    let balancer = Balancer {
        key: Key::of(&["c"]),
        name: "c".into(),
        origin: origin(),
        members: (0..members.len() as u32).map(MemberId).collect(),
        method,
        sticky: None,
        no_failover: false,
        wait: None,
        max_attempts: None,
        fail_on_status: Vec::new(),
        fail_on_timeout: false,
        force_recovery: true,
        nonce: None,
        growth: 0,
        places: 0..0,
    };
    Plan { members, balancers: vec![balancer], ..Plan::default() }
}

fn origin() -> Origin {
    Origin::new("httpd.conf", 1)
}

fn member(text: &str) -> Member {
    let mut words = text.split(' ');
    let route = words.next().unwrap().to_string();
    let mut member = Member {
        key: Key::of(&["c", &route]),
        name: format!("ajp://{}:8009", route.to_lowercase()),
        origin: origin(),
        scheme: Scheme::Ajp,
        host: route.to_lowercase(),
        port: 8009,
        path: String::new(),
        route,
        redirect: String::new(),
        load_factor: 100,
        lbset: 0,
        status: Status::default(),
        retry: Duration::from_secs(60),
        timeout: None,
        connect_timeout: None,
        ping: None,
        pool: PoolLimits { max: 0, soft_max: None, min: 0, ttl: None, acquire: None, reuse: true },
        tcp_keepalive: false,
        address_ttl: None,
        packet_size: 8192,
        socket: None,
        response_field_size: 8192,
        upgrade: String::new(),
        receive_buffer: 0,
        flush: Flush::Off,
        secret: String::new(),
        health: None,
        check_basis: None,
        written: Written::default(),
    };
    for (name, value) in words.map(|word| word.split_once('=').unwrap()) {
        match name {
            "factor" => member.load_factor = (value.parse::<f64>().unwrap() * 100.0) as u32,
            "set" => member.lbset = value.parse().unwrap(),
            "status" => member.status = member.status.apply_letters(value).unwrap(),
            "route" => member.route = value.into(),
            "redirect" => member.redirect = value.into(),
            "retry" => member.retry = Duration::from_secs(value.parse().unwrap()),
            _ => panic!("no such word: {name}"),
        }
    }
    member
}
