// SPDX-License-Identifier: Apache-2.0
//! One model of everything the pages show, taken at one moment.

use std::time::Duration;

use crate::balance::{self, Bindings, ChecksInForce, InForce, METHODS, checks_in_force};
use crate::base::clock::Moment;
use crate::base::status::Status;
use crate::config::Plan;
use crate::config::plan::{Balancer, BalancerId, Flush, Member, MemberId, SiteId, Target, Worker};
use crate::shared::{Reason, Region};

/// Where plan and shared state meet: what every look and every change needs.
#[derive(Clone, Copy, Debug)]
pub struct State<'s> {
    pub plan: &'s Plan,
    pub region: &'s Region,
    pub bindings: &'s Bindings,
    /// The balancers of this server are shown.
    pub site: SiteId,
    /// Threads of one process: what `max` means in stock where it is not written.
    pub threads: u32,
    pub now: Moment,
}

/// A balancer as it is now.
#[derive(Debug, Clone)]
pub struct BalancerView {
    pub id: BalancerId,
    /// Without `balancer://`.
    pub name: String,
    /// A name that differs between servers whose balancers are called the same.
    pub label: String,
    /// What a form must bring along.
    pub nonce: String,
    /// Names of the session in cookies and in URLs.
    pub sticky: Option<(String, String)>,
    pub semicolon_ends: bool,
    pub no_failover: bool,
    /// Seconds; 0 = no waiting.
    pub timeout: u64,
    /// As written, or the members but one.
    pub max_attempts: Option<u32>,
    pub method: &'static str,
    /// Path of the rule that leads here, `/` without one.
    pub path: String,
    /// Room for members: those of the file and `growth`.
    pub max_members: usize,
    /// There is a free place for a member to join.
    pub has_room: bool,
    pub members: Vec<MemberView>,
}

/// A member as it is now.
#[derive(Debug, Clone)]
pub struct MemberView {
    pub id: MemberId,
    pub name: String,
    pub host: String,
    pub port: u16,
    pub route: String,
    pub redirect: String,
    /// × 100.
    pub load_factor: u32,
    pub lbset: u32,
    pub status: Status,
    pub error_time: Option<Moment>,
    pub retries: u16,
    pub lbstatus: i64,
    pub elected: u64,
    pub busy: u32,
    /// Body bytes sent to the member.
    pub sent: u64,
    /// Body bytes received from it.
    pub received: u64,
    /// When and why the status changed last.
    pub changed: (Moment, Reason),
    pub min: u32,
    pub soft_max: u32,
    pub max: u32,
    /// Seconds; 0 = never.
    pub ttl: u64,
    pub timeout: Option<Duration>,
    pub acquire: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    pub ping: Option<Duration>,
    pub receive_buffer: Option<u32>,
    pub io_buffer: Option<u32>,
    /// This and the next two only if written.
    pub keepalive: Option<bool>,
    pub disable_reuse: Option<bool>,
    pub retry: Option<Duration>,
    pub flush: Flush,
    pub check: Option<CheckView>,
}

/// How a member's health is checked, and how far the counts are.
#[derive(Debug, Clone)]
pub struct CheckView {
    pub in_force: ChecksInForce,
    /// Something was said about checks, in the file or by an administrator.
    pub is_mentioned: bool,
    /// Good and failed checks counted so far.
    pub passes: u32,
    pub fails: u32,
}

impl MemberView {
    /// `ajp`, `http`…
    pub fn scheme(&self) -> &str {
        self.name.split(':').next().unwrap_or_default()
    }
}

impl State<'_> {
    /// The balancers of the server, in the order of the plan.
    pub fn balancers(&self) -> Vec<BalancerView> {
        let Some(site) = self.plan.sites.get(self.site.0 as usize) else { return Vec::new() };
        site.balancers.iter().map(|(_, id)| self.balancer(*id)).collect()
    }

    /// The members of a balancer, those that joined while the server runs included.
    pub(super) fn members(&self, id: BalancerId) -> Vec<MemberId> {
        balance::members(self.plan, self.region, self.bindings, self.plan.balancer(id)).collect()
    }

    /// The place that the next member to join gets. A child of an older configuration gives none that the newest one has
    /// not: nobody would find the member there.
    pub(super) fn free_place(&self, id: BalancerId) -> Option<MemberId> {
        let mut places = self.plan.balancer(id).places();
        places.find(|id| {
            let slot = self.bindings.member(*id);
            !self.region.place(slot).is_taken() && self.region.is_current(slot)
        })
    }

    /// The values of a balancer that count now.
    pub(super) fn in_force(&self, id: BalancerId) -> InForce<'_> {
        InForce::new(self.plan.balancer(id), self.region.balancer_changes(self.bindings.balancer(id)))
    }

    pub(super) fn balancer(&self, id: BalancerId) -> BalancerView {
        let balancer = self.plan.balancer(id);
        let in_force = self.in_force(id);
        let sticky = in_force.sticky();
        let members = self.members(id);
        let others = u32::try_from(members.len().saturating_sub(1)).unwrap_or(u32::MAX);
        BalancerView {
            id,
            name: balancer.name.clone(),
            label: label(balancer),
            nonce: self.nonce(id),
            semicolon_ends: sticky.is_some_and(|sticky| sticky.semicolon_ends()),
            sticky: sticky.map(|sticky| (sticky.cookie().to_owned(), sticky.path().to_owned())),
            no_failover: in_force.no_failover(),
            timeout: in_force.wait().map_or(0, |wait| wait.as_secs()),
            max_attempts: in_force.max_attempts().or((others > 0).then_some(others)),
            method: METHODS
                .iter()
                .find(|(method, _)| *method == in_force.method())
                .map_or("", |(_, name)| name),
            path: self.path_to(id),
            max_members: balancer.members.len() + balancer.growth as usize,
            has_room: self.free_place(id).is_some(),
            members: members.into_iter().map(|id| self.member(id)).collect(),
        }
    }

    /// What a form must bring along; empty (which nothing matches) for `nonce=None`.
    pub fn nonce(&self, id: BalancerId) -> String {
        match &self.plan.balancer(id).nonce {
            Some(written) if written.eq_ignore_ascii_case("none") => String::new(),
            Some(written) => written.clone(),
            None => self.region.balancer_changes(self.bindings.balancer(id)).nonce().as_str().to_owned(),
        }
    }

    fn path_to(&self, id: BalancerId) -> String {
        let mounts = &self.plan.site(self.site).mounts;
        let leads_here = |target: &Target| match target {
            Target::Forward(to) => to.worker == Worker::Balancer(id),
            Target::Exclude | Target::Named(_) => false,
        };
        let first = mounts.iter().find(|mount| leads_here(&mount.target));
        first.map_or_else(|| "/".to_owned(), |mount| mount.path.clone())
    }

    fn member(&self, id: MemberId) -> MemberView {
        let member = self.plan.member(id);
        let place = self.bindings.member(id);
        let (slot, changes) = (self.region.member(place), self.region.member_changes(place));
        let state = slot.state();
        // Taken out of the error state only to be tried, and not proven alive since: that is not "Ok".
        let status = if state.is_unproven() { state.status.with(Status::ERROR) } else { state.status };
        let is_gone = slot.is_gone() && self.region.agent().is_heard(self.now);
        let status = if is_gone { status.with(Status::GONE) } else { status };
        let text = |changed: Option<crate::shared::ShortText>, planned: &String| {
            changed.map_or_else(|| planned.clone(), |text| text.as_str().to_owned())
        };
        let (min, soft_max, max) = self.pool_limits(member);
        let age = state.error_age(self.now);
        MemberView {
            id,
            name: member.name.clone(),
            host: member.host.clone(),
            port: member.port,
            route: text(changes.route(), &member.route),
            redirect: text(changes.redirect(), &member.redirect),
            load_factor: slot.load_factor(),
            lbset: slot.lbset(),
            status,
            error_time: age.map(|age| before(self.now, age)),
            retries: state.retries,
            lbstatus: slot.lbstatus(),
            elected: slot.elected(),
            busy: slot.busy(),
            sent: slot.bytes_written(),
            received: slot.bytes_read(),
            changed: slot.last_change(),
            max,
            soft_max,
            min,
            ttl: member.pool.ttl.map_or(0, |ttl| ttl.as_secs()),
            timeout: member.timeout,
            acquire: member.pool.acquire,
            connect_timeout: member.connect_timeout,
            ping: member.ping,
            receive_buffer: member.written.receive_buffer,
            io_buffer: member.written.io_buffer,
            keepalive: member.written.tcp_keepalive.then_some(member.tcp_keepalive),
            disable_reuse: member.written.reuse.then_some(!member.pool.reuse),
            retry: member.written.retry.then_some(member.retry),
            flush: member.flush,
            check: self.check(id),
        }
    }

    fn check(&self, id: MemberId) -> Option<CheckView> {
        let (member, place) = (self.plan.member(id), self.bindings.member(id));
        let (changes, counts) = (self.region.check_changes(place), self.region.health(place));
        let written = member.check_basis.as_ref().is_some_and(|basis| basis.written);
        Some(CheckView {
            in_force: checks_in_force(member, changes)?,
            is_mentioned: written || changes.are_some(),
            passes: counts.passes(),
            fails: counts.failures(),
        })
    }

    /// `min`, `smax` and `max` as stock shows them: all 0 where a process has one thread.
    fn pool_limits(&self, member: &Member) -> (u32, u32, u32) {
        if self.threads <= 1 {
            return (0, 0, 0);
        }
        let max = if member.pool.max == 0 { self.threads } else { member.pool.max };
        (member.pool.min, member.pool.soft_max.unwrap_or(max).min(max), max)
    }

    /// The member that a URL means: the longest name it begins with, letter case of the host aside.
    pub fn find_member(&self, balancer: BalancerId, url: &str) -> Option<MemberId> {
        let host_end =
            url.find("://").map_or(0, |at| url[at + 3..].find('/').map_or(url.len(), |end| at + 3 + end));
        let url = url[..host_end].to_ascii_lowercase() + &url[host_end..];
        let begins = |id: &&MemberId| is_begin(&self.plan.member(**id).name, &url);
        let members = self.members(balancer);
        members.iter().filter(begins).max_by_key(|id| self.plan.member(**id).name.len()).copied()
    }

    /// A balancer of the server by its name, in any letter case.
    pub fn find_balancer(&self, name: &str) -> Option<BalancerId> {
        let site = self.plan.sites.get(self.site.0 as usize)?;
        site.balancers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, id)| *id)
    }

    pub(super) fn member_plan(&self, id: MemberId) -> &Member {
        self.plan.member(id)
    }
}

/// Is `name` the beginning of `url`, and all of its host and port?
fn is_begin(name: &str, url: &str) -> bool {
    let has_path = name.find("://").is_some_and(|at| name[at + 3..].contains('/'));
    url.strip_prefix(name).is_some_and(|rest| has_path || rest.is_empty() || rest.starts_with('/'))
}

fn before(now: Moment, age: Duration) -> Moment {
    Moment(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
}

fn label(balancer: &Balancer) -> String {
    let name: String =
        balancer.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("p{:08x}_{name}", balancer.key.0 as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_meant_by_every_url_that_begins_with_all_of_its_name() {
        assert!(is_begin("ajp://h:1", "ajp://h:1/x"));
        assert!(!is_begin("ajp://h:1", "ajp://h:18"));
        assert!(is_begin("ajp://h:1/ctx", "ajp://h:1/ctx/more"));
    }
}
