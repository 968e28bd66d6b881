// SPDX-License-Identifier: Apache-2.0
//! The thread that watches over the checks, and the threads that make them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow};

use super::report::{Report, Subject};
use super::schedule::{Schedule, remaining};
use crate::backend::probe::{self, Answer, HttpAnswer, longest, probe};
use crate::backend::{NotSecure, Pool, Transport};
use crate::balance::{self, Bindings, checks_in_force, health};
use crate::base::clock::{Clock, Moment, SystemClock};
use crate::base::status::Status;
use crate::config::health::{Expression, HealthCheck};
use crate::config::plan::{MemberId, Plan};
use crate::shared::{HealthSlot, Owner, Reason, Region};

/// The server around the checks. Called from threads of this room, also while the server is going down.
pub trait Host: Send + Sync + 'static {
    /// Writes a line of the error log.
    fn report(&self, report: &Report);

    /// Is the condition true of the answer?
    ///
    /// # Errors
    /// Why it cannot be said.
    fn is_true(&self, expression: &Expression, answer: &HttpAnswer) -> Result<bool, String>;

    /// Makes TLS of a socket that is connected to the member, which has to prove that it has this name.
    ///
    /// # Errors
    /// Why there is none.
    fn secure(
        &self,
        member: MemberId,
        socket: OwnedFd,
        name: &[u8],
        limit: Duration,
    ) -> Result<Box<dyn Transport>, NotSecure>;
}

/// What is to be checked.
#[derive(Debug)]
pub struct Checks {
    pub plan: Arc<Plan>,
    pub bindings: Bindings,
    pub region: &'static Region,
    /// This process.
    pub me: Owner,
}

/// The checks of this process.
pub struct Checker {
    work: Arc<dyn Work>,
}

/// A [`Workshop`] whatever its host.
trait Work: Send + Sync {
    fn stop(&self);
}

/// The owner says this often that it is alive.
const BEAT: Duration = Duration::from_secs(1);
/// The others look this often whether they are needed.
const STANDBY: Duration = Duration::from_secs(1);
/// Enough for the resolver and for expressions.
const STACK: usize = 512 << 10;

struct Workshop<H> {
    checks: Checks,
    host: H,
    /// By member. Keeps addresses, never connections.
    pools: Vec<Pool>,
    /// Checks at a time.
    limit: u32,
    under_way: AtomicU32,
    stopped: AtomicBool,
    /// It was said that this process runs checks.
    announced: AtomicBool,
    /// The thread that watches.
    watch: OnceLock<Thread>,
}

impl Checker {
    /// Starts the thread that watches; `None` if there is nothing to check.
    ///
    /// # Errors
    /// The system's refusal of the thread.
    pub fn start<H: Host>(checks: Checks, host: H) -> io::Result<Option<Checker>> {
        if !may_have_work(&checks.plan) {
            return Ok(None);
        }
        let work = Arc::new(Workshop {
            pools: checks.plan.all_members().map(Pool::new).collect(),
            limit: checks.plan.check_threads.max(1),
            checks,
            host,
            under_way: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            watch: OnceLock::new(),
        });
        let own = Arc::clone(&work);
        let thread = without_signals(|| spawn("margay-checks", move || own.watch()))?;
        let _ = work.watch.set(thread);
        Ok(Some(Checker { work }))
    }

    /// Ends the checks of this process without waiting: nothing is started or counted any more, and another process may
    /// take over. Checks under way end with the process.
    pub fn stop(&self) {
        self.work.stop();
    }
}

/// Is there something to check, or can there be while the server runs?
fn may_have_work(plan: &Plan) -> bool {
    let can_change = plan.managed && !plan.balancers.is_empty();
    can_change || plan.members.iter().any(|member| member.health.is_some())
}

/// The server's signals are for its own threads; those of ours inherit the mask of the one that starts them.
pub(super) fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let started = start();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    started
}

pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    let handle = thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work)?;
    Ok(handle.thread().clone())
}

impl<H: Host> Work for Workshop<H> {
    fn stop(&self) {
        self.stopped.store(true, Release);
        self.checks.region.checker().release(self.checks.me);
        self.wake();
    }
}

impl<H: Host> Workshop<H> {
    /// The life of the thread that watches.
    fn watch(self: &Arc<Self>) {
        let Checks { region, me, .. } = &self.checks;
        let mut schedule = None;
        // A newer configuration has processes of its own.
        while !self.is_stopped() && region.generation() <= me.generation {
            let pause = if region.checker().claim(*me, SystemClock.now()) {
                let revision = region.checker().revision();
                let schedule: &mut (u32, Schedule) = schedule.get_or_insert_with(|| (revision, self.begin()));
                if schedule.0 != revision {
                    *schedule = (revision, self.begin());
                }
                let schedule = &mut schedule.1;
                self.start_due(schedule);
                self.pause(schedule)
            } else {
                schedule = None;
                self.announced.store(false, Release);
                STANDBY
            };
            if !pause.is_zero() {
                thread::park_timeout(pause);
            }
        }
        region.checker().release(*me);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Acquire)
    }

    fn wake(&self) {
        if let Some(watch) = self.watch.get() {
            watch.unpark();
        }
    }

    /// Everybody who is checked now.
    fn checked(&self) -> impl Iterator<Item = (MemberId, HealthCheck)> {
        let Checks { plan, bindings, region, .. } = &self.checks;
        let declared = (0..).map(MemberId).take(plan.members.len());
        let all =
            plan.balancers.iter().flat_map(|balancer| balance::members(plan, region, bindings, balancer));
        let joined = all.filter(|id| plan.reserve(*id).is_some());
        declared.chain(joined).filter_map(|id| Some((id, self.check_of(id)?)))
    }

    /// How a member is checked now.
    fn check_of(&self, id: MemberId) -> Option<HealthCheck> {
        let Checks { plan, bindings, region, .. } = &self.checks;
        checks_in_force(plan.member(id), region.check_changes(bindings.member(id)))?.check()
    }

    fn begin(&self) -> Schedule {
        let (start, now) = (Instant::now(), SystemClock.now());
        let mut schedule = Schedule::default();
        let mut members = 0;
        for (id, check) in self.checked() {
            schedule.add(id, start + remaining(self.counts(id).last_began(), check.interval, now));
            members += 1;
        }
        if members > 0 && !self.announced.swap(true, AcqRel) {
            self.host.report(&Report::Begun { members });
        }
        schedule
    }

    fn counts(&self, id: MemberId) -> &'static HealthSlot {
        self.checks.region.health(self.checks.bindings.member(id))
    }

    fn pause(&self, schedule: &Schedule) -> Duration {
        let next = schedule.pause(Instant::now()).unwrap_or(BEAT);
        // A check that ends wakes this thread.
        if self.is_full() { BEAT } else { next.min(BEAT) }
    }

    fn is_full(&self) -> bool {
        self.under_way.load(Acquire) >= self.limit
    }

    fn start_due(self: &Arc<Self>, schedule: &mut Schedule) {
        while !self.is_full() && !self.is_stopped() {
            let now = Instant::now();
            let Some(id) = schedule.take_due(now) else { return };
            let Some(check) = self.check_of(id) else { continue };
            schedule.add(id, now + check.interval);
            self.start_one(id, check);
        }
    }

    fn start_one(self: &Arc<Self>, id: MemberId, check: HealthCheck) {
        let Checks { plan, bindings, region, me } = &self.checks;
        let limit = longest(plan.member(id), &check);
        if region.member(bindings.member(id)).status().has(Status::STOPPED)
            || !self.counts(id).begin(*me, SystemClock.now(), limit)
        {
            return;
        }
        self.under_way.fetch_add(1, AcqRel);
        // Dropped with the closure if the thread cannot be started.
        let turn = Turn { work: Arc::clone(self), id, check };
        if let Err(error) = spawn("margay-check", move || turn.check()) {
            self.host.report(&Report::NoThread { error });
        }
    }

    /// Why the member's answer is not good; `None` if it is.
    fn complaint(&self, id: MemberId, check: &HealthCheck) -> Option<String> {
        let member = self.checks.plan.member(id);
        let limit = probe::limit(member, check);
        let secure = |socket| self.host.secure(id, socket, member.host.as_bytes(), limit);
        let answer = match probe(member, check, &self.pools[id.0 as usize], &secure) {
            Ok(Answer::Connected | Answer::Pong) => return None,
            Ok(Answer::Http(answer)) => answer,
            Err(error) => return Some(error.to_string()),
        };
        let status = answer.status;
        match &check.expression {
            None => (!(200..400).contains(&status)).then(|| format!("it answered {status}")),
            Some(expression) => match self.host.is_true(expression, &answer) {
                Ok(true) => None,
                Ok(false) => {
                    Some(format!("it answered {status}, and hcexpr={} does not hold", expression.name))
                }
                Err(error) => Some(format!("hcexpr={} cannot be evaluated: {error}", expression.name)),
            },
        }
    }
}

/// One check under way; when this is dropped, it is over, however it ended.
struct Turn<H: Host> {
    work: Arc<Workshop<H>>,
    id: MemberId,
    check: HealthCheck,
}

impl<H: Host> Turn<H> {
    fn check(self) {
        let Workshop { checks, host, .. } = &*self.work;
        let check = &self.check;
        let began: Moment = SystemClock.now();
        let complaint = self.work.complaint(self.id, check);
        // Whoever took over has results of its own.
        if self.work.is_stopped() || !checks.region.checker().is_held_by(checks.me) {
            return;
        }
        let slot = checks.region.member(checks.bindings.member(self.id));
        let now: Moment = SystemClock.now();
        let change = health::judged(slot, self.work.counts(self.id), check, complaint.is_none(), now);
        // What the agent said before this check was good is out of date.
        if complaint.is_none() && slot.gone().is_some_and(|(since, _)| since < began) {
            slot.put_back(now, Reason::ChecksPassed);
        }
        let subject = Subject::new(&checks.plan, self.id, check);
        if let Some(report) = Report::of(subject, complaint.as_deref(), change.as_ref()) {
            host.report(&report);
        }
    }
}

impl<H: Host> Drop for Turn<H> {
    fn drop(&mut self) {
        self.work.counts(self.id).end(self.work.checks.me);
        self.work.under_way.fetch_sub(1, AcqRel);
        self.work.wake();
    }
}

#[cfg(test)]
mod tests;
