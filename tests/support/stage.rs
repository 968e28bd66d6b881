// SPDX-License-Identifier: Apache-2.0
//! Everything below httpd, put together from configuration text: plan, shared memory, pools, and requests through them.

use std::time::{Duration, Instant};

use margay::backend::Pool;
use margay::balance::Bindings;
use margay::base::clock::{Clock, ManualClock, SystemClock};
use margay::base::status::Status;
use margay::config::Plan;
use margay::config::plan::{BalancerId, Encoding, MemberId, SiteId, Target};
use margay::proxy::{Exchange, Job, Outcome, Scratch, Sections, World, forward};
use margay::shared::{Lane, MemberSlot, Region};
use margay::wire::uri::EncodedSlashes;

use super::conf;

/// One process that serves by one configuration.
pub struct Stage {
    plan: Plan,
    region: &'static Region,
    bindings: Bindings,
    pools: Vec<Pool>,
    lane: Lane<'static>,
    pub clock: ManualClock,
    /// `ProxyTimeout`.
    pub timeout: Duration,
}

impl Stage {
    /// # Panics
    /// With the findings, if the text is refused.
    pub fn new(text: &str) -> Stage {
        let read = conf::read(text);
        let plan = read.plan.unwrap_or_else(|| panic!("{text}\n{:?}", read.findings));
        // Mapped for the life of the program, so that lanes and threads may borrow it.
        let region: &'static Region = Box::leak(Box::new(Region::private().expect("shared memory")));
        let clock = ManualClock::at(SystemClock.now().0);
        let bindings = Bindings::attach(&plan, region, 1, clock.now()).expect("room for all members");
        let pools = plan.members.iter().map(Pool::new).collect();
        let lane = region.claim_lane(std::process::id(), 1);
        Stage { plan, region, bindings, pools, lane, clock, timeout: Duration::from_secs(30) }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The slot of the member with that number, in the order of the text.
    pub fn slot(&self, member: u32) -> &MemberSlot {
        self.region.member(self.bindings.member(MemberId(member)))
    }

    pub fn is_in_error(&self, member: u32) -> bool {
        self.slot(member).status().has(Status::ERROR)
    }

    /// Where a decoded request path leads: the path part for the worker, and who that is.
    pub fn route(&self, path: &[u8]) -> Option<(Vec<u8>, &margay::config::plan::Mount)> {
        let (mount, rest) = self.plan.site(SiteId(0)).mounts.lookup(path)?;
        let Target::Forward(destination) = &mount.target else { return None };
        Some(([destination.path.as_bytes(), &path[rest..]].concat(), mount))
    }

    /// Carries a request of the main server.
    ///
    /// # Panics
    /// If no rule applies to the path.
    pub fn forward<E: Exchange>(&self, path: &str, exchange: &mut E, scratch: &mut Scratch) -> Outcome {
        let (path, mount) = self.route(path.as_bytes()).expect("a rule for the path");
        let Target::Forward(destination) = &mount.target else { unreachable!("routes lead somewhere") };
        let job = Job {
            worker: destination.worker,
            path: &path,
            encoding: Encoding::Canonical,
            slashes: EncodedSlashes::Decoded,
            sections: Sections {
                plan: &self.plan,
                defaults: self.plan.site(SiteId(0)).defaults,
                inner: &[],
                forward: false,
            },
            timeout: self.timeout,
            source: None,
            http: Default::default(),
        };
        self.run(&job, exchange, scratch)
    }

    pub fn run<E: Exchange>(&self, job: &Job<'_>, exchange: &mut E, scratch: &mut Scratch) -> Outcome {
        let world = World {
            plan: &self.plan,
            region: self.region,
            bindings: &self.bindings,
            pools: &self.pools,
            lane: &self.lane,
            clock: &self.clock,
        };
        forward(&world, job, exchange, scratch)
    }

    /// How often the first balancer had nobody for a request.
    pub fn refused(&self) -> u64 {
        self.region.balancer(self.bindings.balancer(BalancerId(0))).refused()
    }

    /// Requests under way at all members.
    pub fn busy(&self) -> u32 {
        (0..self.plan.members.len()).map(|member| self.slot(u32::try_from(member).unwrap()).busy()).sum()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.busy(), 0, "requests counted as busy after the last one");
        }
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// After a minute, naming `what`.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
