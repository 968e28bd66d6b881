// SPDX-License-Identifier: Apache-2.0
//! Thousands of steps with members that die, hang and return, children that are killed, and administrators at work.
//! After each step the books must balance. A failure names its seed.

use std::time::Duration;

use margay::balance::{Attempts, Event, NoMember, RequestView, Tried, transition};
use margay::base::rng::Rng;
use margay::base::status::Status;
use margay::config::plan::{MemberId, Method};
use margay::shared::{Busy, Lane};

use crate::cluster::{BALANCER, Cluster};

const STEPS: usize = 10_000;
const SEEDS: u64 = 6;
const NAMES: [&str; 6] = ["A", "B", "C", "D", "E", "F"];
const OUT: Status = Status::DISABLED.with(Status::STOPPED);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Health {
    Answers,
    /// Refuses connections.
    Dead,
    /// Takes requests and does not answer before their time is over.
    Hangs,
}

/// A request that a child works on.
struct Request<'l> {
    child: usize,
    member: MemberId,
    _busy: Busy<'l>,
}

struct World<'l> {
    rng: Rng,
    cluster: &'l Cluster,
    lanes: &'l [Lane<'l>],
    health: [Health; NAMES.len()],
    running: Vec<Request<'l>>,
    now: margay::base::clock::Moment,
    answered: u64,
    refused: u64,
}

fn cluster(method: Method) -> Cluster {
    let members = "A retry=5, B factor=2 retry=5, C redirect=A retry=5, D status=R retry=5, E status=H retry=5, F set=1 retry=5";
    Cluster::new(method, members).sticky()
}

fn pid(child: usize) -> u32 {
    child as u32 + 1
}

impl<'l> World<'l> {
    fn step(&mut self) {
        match self.rng.below(100) {
            0..55 => self.begin(),
            55..85 => self.end_one(),
            85..90 => self.change_health(),
            90..93 => self.administrate(),
            _ => self.now = self.now.after(Duration::from_millis(self.rng.below(2000))),
        }
    }

    fn begin(&mut self) {
        let cookie = match self.rng.below(2) {
            0 => String::new(),
            _ => format!("JSESSIONID=s.{}", NAMES[self.rng.below(NAMES.len() as u64) as usize]),
        };
        let child = self.rng.below(self.lanes.len() as u64) as usize;
        let chooser = self.cluster.chooser();
        let view = RequestView { path: b"/", query: None, cookies: std::iter::once(cookie.as_bytes()) };
        let in_force = chooser.in_force(BALANCER);
        let sticky = in_force.sticky();
        let session = sticky.as_ref().and_then(|names| chooser.session(BALANCER, names, &view));
        let mut attempts = Attempts::of(self.cluster.plan.balancer(BALANCER), &in_force);
        let mut tried = Tried::default();
        // As the life of a request has it: abandoned members stay busy until the request is over.
        let mut abandoned = Vec::new();
        loop {
            let choice = match chooser.choose(BALANCER, session.as_ref(), &tried, self.now) {
                Ok(choice) => choice,
                Err(refusal) => {
                    assert_eq!(refusal, NoMember::AllFailed { balancer: "c" });
                    self.refused += 1;
                    return;
                }
            };
            let slot = self.cluster.region.member(choice.slot);
            assert!(slot.status().is_usable(), "chose {:?} in state {}", choice.member, slot.status());
            assert!(choice.by_route || !slot.status().has(Status::DRAIN), "chose a draining member");
            let busy = self.lanes[child].busy(choice.slot);
            if self.health[choice.member.0 as usize] != Health::Dead {
                transition::apply(slot, Event::Alive, self.now);
                self.running.push(Request { child, member: choice.member, _busy: busy });
                return;
            }
            transition::apply(slot, Event::ConnectFailed, self.now);
            abandoned.push(busy);
            assert!(!tried.has(choice.slot), "one request was given to {:?} twice", choice.member);
            tried.add(choice.slot);
            if !attempts.take() {
                self.refused += 1;
                return;
            }
        }
    }

    fn end_one(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let request = self.running.swap_remove(self.rng.below(self.running.len() as u64) as usize);
        let slot = self.cluster.region.member(self.cluster.bindings.member(request.member));
        match self.health[request.member.0 as usize] {
            Health::Answers => self.answered += 1,
            Health::Dead => drop(transition::apply(slot, Event::ExchangeFailed, self.now)),
            Health::Hangs => drop(transition::apply(slot, Event::FailOnTimeout, self.now)),
        }
        slot.add_bytes_read(self.rng.below(10_000));
    }

    fn change_health(&mut self) {
        let member = self.rng.below(NAMES.len() as u64) as usize;
        self.health[member] = match self.rng.below(4) {
            0 => Health::Dead,
            1 => Health::Hangs,
            _ => Health::Answers,
        };
    }

    fn administrate(&mut self) {
        let name = NAMES[self.rng.below(NAMES.len() as u64) as usize];
        let flag = [Status::DISABLED, Status::STOPPED, Status::DRAIN][self.rng.below(3) as usize];
        match self.rng.below(3) {
            0 => self.cluster.set(name, flag, Status::default()),
            _ => self.cluster.set(name, Status::default(), OUT.with(Status::DRAIN)),
        }
    }

    /// A child is killed: its requests never come to their end, the parent takes them back.
    fn kill_child(&mut self, child: usize) {
        let (dead, alive) =
            std::mem::take(&mut self.running).into_iter().partition(|request| request.child == child);
        self.running = alive;
        let dead: Vec<Request<'_>> = dead;
        let count = dead.len() as u64;
        dead.into_iter().for_each(std::mem::forget);
        assert_eq!(self.cluster.region.repair(pid(child)).busy, count);
    }

    fn check(&self) {
        for (at, name) in NAMES.iter().enumerate() {
            let running = self.running.iter().filter(|request| request.member.0 as usize == at).count();
            assert_eq!(self.cluster.slot(name).busy(), running as u32, "busy of {name}");
        }
        let turns: i64 = NAMES.iter().map(|name| self.cluster.slot(name).lbstatus()).sum();
        assert_eq!(turns, 0, "what members gain others pay");
    }
}

/// Prints the seed if the test fails while this lives.
struct Seed(u64, Method);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {} and method {:?}", self.0, self.1);
        }
    }
}

#[test]
fn the_books_balance_whatever_happens() {
    for seed in 0..SEEDS {
        let method = [Method::ByRequests, Method::ByBusyness, Method::ByTraffic][seed as usize % 3];
        let named = Seed(seed, method);
        let cluster = cluster(method);
        let lanes: Vec<Lane<'_>> = (0..4).map(|child| cluster.region.claim_lane(pid(child), 1)).collect();
        let mut world = World {
            rng: Rng::seeded(seed),
            now: cluster.now,
            cluster: &cluster,
            lanes: &lanes,
            health: [Health::Answers; NAMES.len()],
            running: Vec::new(),
            answered: 0,
            refused: 0,
        };
        for step in 0..STEPS {
            world.step();
            world.check();
            if step == STEPS / 2 {
                world.kill_child(3);
                world.check();
                world.lanes = &lanes[..3];
            }
        }
        while !world.running.is_empty() {
            world.end_one();
        }
        world.check();
        assert!(world.answered > 1000 && world.refused > 0, "{} {}", world.answered, world.refused);
        drop(named);
    }
}

#[test]
fn shares_follow_the_factors_exactly_while_all_members_serve() {
    let cluster = Cluster::by_requests("A, B factor=2, C factor=3");
    for _ in 0..6000 {
        cluster.request();
    }
    assert_eq!(["A", "B", "C"].map(|name| cluster.slot(name).elected()), [1000, 2000, 3000]);
}

#[test]
fn shares_return_to_the_factors_after_a_member_returns() {
    let mut cluster = Cluster::by_requests("A, B factor=2, C factor=3");
    cluster.kill("B");
    cluster.sequence(1000);
    cluster.revive("B");
    cluster.pass(Duration::from_secs(61));
    let names = ["A", "B", "C"];
    let before = names.map(|name| cluster.slot(name).elected());
    cluster.sequence(6000);
    for (at, expected) in [1000, 2000, 3000].into_iter().enumerate() {
        let share = cluster.slot(names[at]).elected() - before[at];
        assert!(share.abs_diff(expected) <= 2, "{} got {share} of 6000", names[at]);
    }
}

#[test]
fn threads_that_choose_at_the_same_time_lose_no_count() {
    const THREADS: u64 = 4;
    const EACH: u64 = 2000;
    let cluster = Cluster::by_requests("A, B factor=2, C factor=3");
    let lane = cluster.region.claim_lane(1, 1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let chosen = cluster.chooser().choose(BALANCER, None, &Tried::default(), cluster.now);
                    drop(lane.busy(chosen.unwrap().slot));
                }
            });
        }
    });
    let slots = ["A", "B", "C"].map(|name| cluster.slot(name));
    assert_eq!(slots.iter().map(|slot| slot.elected()).sum::<u64>(), THREADS * EACH);
    assert_eq!(slots.iter().map(|slot| slot.lbstatus()).sum::<i64>(), 0);
    assert!(slots.iter().all(|slot| slot.busy() == 0));
    for (slot, factor) in slots.iter().zip([1, 2, 3]) {
        let expected = THREADS * EACH * factor / 6;
        assert!(slot.elected().abs_diff(expected) <= expected / 4, "{} of {expected}", slot.elected());
    }
}
