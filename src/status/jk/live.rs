// SPDX-License-Identifier: Apache-2.0
//! The view of a running server: from the plan, shared memory, and what the adapter knows of the request.

use std::net::IpAddr;

use super::figures::Stamp;
use super::foreign;
use super::model::{
    AjpSettings, AjpView, BalancerSettings, BalancerView, Gone, MapView, MemberSettings, MemberView,
    ServerView, View,
};
use crate::balance::Bindings;
use crate::balance::jk::{InForceText, JkCluster, method_of, millis, text_in_force};
use crate::base::clock::Moment;
use crate::base::text::leading_integer;
use crate::config::Plan;
use crate::config::jk::mounts::JkMounts;
use crate::config::jk::plan::{
    JkBalancerId, JkLock, JkMember, JkRule, JkTarget, JkWorker, JkWorkerId, RuleSource, RuleWorker,
};
use crate::config::plan::{Member, MemberId, SiteId};
use crate::shared::{JkBalancerNumber, JkCounter, JkMemberNumber, JkMemberText, JkState, Reason, Region};

/// One server of httpd with the rules that it has now.
#[derive(Debug, Clone)]
pub struct ServerRules<'s> {
    /// `name`; for a virtual host `name [address:port]`.
    pub label: String,
    pub site: SiteId,
    /// Those read from a mount file again included.
    pub mounts: &'s JkMounts,
}

/// The state of a running server.
#[derive(Clone, Copy)]
pub struct Live<'s> {
    pub plan: &'s Plan,
    pub region: &'s Region,
    pub bindings: &'s Bindings,
    /// Name and port the client asked for, and what the software calls itself.
    pub server: &'s ServerView,
    /// The main server first.
    pub servers: &'s [ServerRules<'s>],
    pub now: Moment,
    /// How far the server's own time is ahead of UTC at a time of Unix, in seconds.
    pub offset: &'s dyn Fn(u64) -> i32,
    /// The addresses of a name.
    pub resolve: &'s dyn Fn(&str) -> Vec<IpAddr>,
}

impl Live<'_> {
    /// Everything as it is now.
    pub fn view(&self) -> View {
        let mut view = View { server: self.server.clone(), ..View::default() };
        view.server.now = self.stamp(self.now);
        view.balancers = self.jk_balancers();
        for (number, worker) in (0u32..).zip(&self.plan.jk.workers) {
            match worker.target {
                JkTarget::Balancer(_) => {}
                JkTarget::Ajp(member) => {
                    if let Some(ajp) = self.ajp(member) {
                        view.ajp.push(AjpView { maps: self.maps(JkWorkerId(number)), ..ajp });
                    }
                }
                JkTarget::Status(_) => view.status.push(worker.name.clone()),
            }
        }
        let taken: Vec<String> = self.plan.jk.workers.iter().map(|worker| worker.name.clone()).collect();
        view.balancers.extend(foreign::balancers(self, &taken));
        view.properties = self.properties();
        view
    }

    /// The workers of type `lb`, in the order of `worker.list`.
    pub fn jk_balancers(&self) -> Vec<BalancerView> {
        let numbered = (0u32..).zip(&self.plan.jk.workers);
        let balancer = |(number, worker): (u32, &JkWorker)| match worker.target {
            JkTarget::Balancer(id) => Some(self.balancer(id, JkWorkerId(number))),
            JkTarget::Ajp(_) | JkTarget::Status(_) => None,
        };
        numbered.filter_map(balancer).collect()
    }

    /// The properties without what must stay secret.
    fn properties(&self) -> Vec<(String, String)> {
        let is_secret = |name: &str| name.ends_with(".secret") || name.ends_with(".secretkey");
        let properties = self.plan.jk.properties.iter();
        properties.filter(|(name, _)| !is_secret(name)).cloned().collect()
    }

    pub(super) fn stamp(&self, moment: Moment) -> Stamp {
        let unix = seconds_of(moment);
        Stamp { unix, offset: (self.offset)(unix) }
    }

    pub(super) fn cluster(&self, id: JkBalancerId) -> JkCluster<'_> {
        JkCluster { plan: self.plan, region: self.region, bindings: self.bindings, id }
    }

    fn balancer(&self, id: JkBalancerId, worker: JkWorkerId) -> BalancerView {
        let cluster = self.cluster(id);
        let slot = cluster.slot();
        let maintenance = self.maintenance(slot.last_maintenance());
        BalancerView {
            name: cluster.balancer().name.clone(),
            settings: self.balancer_settings(id),
            members: cluster
                .ids()
                .iter()
                .filter_map(|member| self.member(&cluster, *member, maintenance))
                .collect(),
            busy: u64::from(cluster.busy()),
            max_busy: u64::from(slot.max_busy()),
            maintenance,
            reset_at: seconds_of(slot.last_reset()),
            maps: self.maps(worker),
            is_foreign: false,
        }
    }

    /// Seconds to the next maintenance at least and at most; both 0 without maintenance.
    fn maintenance(&self, last: Moment) -> (u64, u64) {
        let interval = self.plan.jk.maintain.as_secs();
        if interval == 0 {
            return (0, 0);
        }
        let rest = interval.saturating_sub(self.now.since(last).as_secs());
        (rest, rest + interval)
    }

    pub(super) fn balancer_settings(&self, id: JkBalancerId) -> BalancerSettings {
        use JkBalancerNumber as Number;
        let cluster = self.cluster(id);
        let number = |which| narrow(cluster.number(which));
        let seconds = |which| narrow(cluster.number(which) / 1000);
        BalancerSettings {
            sticky: number(Number::Sticky) != 0,
            sticky_force: number(Number::StickyForce) != 0,
            retries: number(Number::Retries),
            retry_interval: number(Number::RetryInterval),
            recover_time: seconds(Number::RecoverTime),
            error_escalation_time: seconds(Number::ErrorEscalationTime),
            max_reply_timeouts: number(Number::MaxReplyTimeouts),
            method: method_of(cluster.number(Number::Method)),
            lock: if number(Number::Lock) == 1 { JkLock::Pessimistic } else { JkLock::Optimistic },
        }
    }

    fn member(&self, cluster: &JkCluster<'_>, id: MemberId, maintenance: (u64, u64)) -> Option<MemberView> {
        let slot = cluster.member_slot(id);
        let state = slot.state();
        let recover = match state {
            JkState::Error => {
                let rest = cluster.number(JkBalancerNumber::RecoverTime) / 1000;
                // In whole seconds, like the error's age beside it.
                let age = seconds_of(self.now).saturating_sub(seconds_of(slot.last_error()));
                let left = rest.saturating_sub(age);
                let most = left + self.plan.jk.maintain.as_secs();
                (left.max(maintenance.0).min(most), most)
            }
            _ => (0, 0),
        };
        let gone = self.gone(cluster.common_slot(id).gone());
        Some(MemberView {
            ajp: self.ajp(id)?,
            settings: self.member_settings(cluster, id),
            state: if gone.is_some() { JkState::Error } else { state },
            lb_mult: slot.lb_mult(),
            lb_value: slot.lb_value(),
            elected: slot.count(JkCounter::Elected),
            sessions: slot.count(JkCounter::Sessions),
            recover,
            gone,
        })
    }

    /// What the agent said about a member, as long as it counts.
    pub(super) fn gone(&self, said: Option<(Moment, Reason)>) -> Option<Gone> {
        let (since, why) = said.filter(|_| self.region.agent().is_heard(self.now))?;
        Some(Gone { since: self.stamp(since), why: why.words() })
    }

    pub(super) fn member_settings(&self, cluster: &JkCluster<'_>, id: MemberId) -> MemberSettings {
        let slot = cluster.member_slot(id);
        let text = |text: InForceText<'_>| String::from_utf8_lossy(text.as_bytes()).into_owned();
        MemberSettings {
            activation: cluster.activation(id),
            lbfactor: narrow(slot.number(JkMemberNumber::LbFactor)),
            route: text(cluster.route(id)),
            redirect: text(cluster.redirect(id)),
            domain: text(cluster.domain(id)),
            distance: i32::try_from(slot.number(JkMemberNumber::Distance).cast_signed()).unwrap_or(0),
        }
    }

    fn ajp(&self, id: MemberId) -> Option<AjpView> {
        let jk = self.plan.jk.member(id)?;
        let place = self.bindings.member(id);
        let (common, slot) = (self.region.member(place), self.region.jk_member(place));
        let settings = self.ajp_settings(id, jk);
        let count = |counter| slot.count(counter);
        Some(AjpView {
            name: jk.name.clone(),
            kind: "ajp13".into(),
            address: self.address(&settings, self.plan.member(id), jk),
            source: jk.source.map_or_else(|| "undefined".to_owned(), |address| address.to_string()),
            settings,
            state: slot.state(),
            used: count(JkCounter::Used),
            errors: count(JkCounter::Errors),
            client_errors: count(JkCounter::ClientErrors),
            reply_timeouts: count(JkCounter::ReplyTimeouts),
            transferred: count(JkCounter::Transferred),
            read: count(JkCounter::Read),
            busy: u64::from(common.busy()),
            max_busy: count(JkCounter::MaxBusy),
            connected: count(JkCounter::Connected),
            max_connected: count(JkCounter::MaxConnected),
            reset_at: seconds_of(slot.last_reset()),
            error_at: Some(slot.last_error()).filter(|at| at.0 > 0).map(|at| self.stamp(at)),
            maps: Vec::new(),
        })
    }

    pub(super) fn ajp_settings(&self, id: MemberId, jk: &JkMember) -> AjpSettings {
        use JkMemberNumber as Number;
        let slot = self.region.jk_member(self.bindings.member(id));
        let number = |which| narrow(slot.number(which));
        let host = text_in_force(slot, JkMemberText::Host, &jk.host);
        AjpSettings {
            host: String::from_utf8_lossy(host.as_bytes()).into_owned(),
            port: u16::try_from(slot.number(Number::Port)).unwrap_or(0),
            pool_timeout: narrow(slot.number(Number::PoolTimeout) / 1000),
            ping_timeout: number(Number::PingTimeout),
            connect_timeout: number(Number::ConnectTimeout),
            prepost_timeout: number(Number::PrepostTimeout),
            reply_timeout: number(Number::ReplyTimeout),
            retries: number(Number::Retries),
            retry_interval: number(Number::RetryInterval),
            ping_interval: narrow(slot.number(Number::PingInterval) / 1000),
            recovery_options: number(Number::RecoveryOptions),
            busy_limit: number(Number::BusyLimit),
            packet_size: number(Number::MaxPacketSize),
        }
    }

    /// Address and port in the form of mod_jk, which puts no brackets around IPv6 addresses.
    fn address(&self, settings: &AjpSettings, member: &Member, jk: &JkMember) -> String {
        if let Some(path) = &member.socket {
            return path.clone();
        }
        if settings.port == 0 {
            return "invalid".to_owned();
        }
        let bare = settings.host.trim_start_matches('[').trim_end_matches(']');
        let found = bare.parse().map_or_else(|_| (self.resolve)(bare), |address| vec![address]);
        let wanted = found.iter().find(|address| address.is_ipv6() == jk.prefer_ipv6).or(found.first());
        wanted.map_or_else(|| "invalid".to_owned(), |address| format!("{address}:{}", settings.port))
    }

    /// The rules of all servers that lead to a worker, and the exclusions for everybody.
    fn maps(&self, worker: JkWorkerId) -> Vec<MapView> {
        let concerns = |rule: &&JkRule| match &rule.worker {
            RuleWorker::Known(known) => *known == worker,
            RuleWorker::Any => true,
            RuleWorker::Unknown(_) => false,
        };
        let of_server = |server: &ServerRules<'_>| {
            let rules = server.mounts.rules().iter().filter(concerns);
            rules.map(|rule| map(&server.label, rule)).collect::<Vec<_>>()
        };
        self.servers.iter().flat_map(of_server).collect()
    }
}

fn map(server: &str, rule: &JkRule) -> MapView {
    let extensions = &rule.extensions;
    let written = |name: &str| {
        let found = extensions.written.iter().find(|(known, _)| known == name);
        found.map(|(_, text)| text.clone()).unwrap_or_default()
    };
    let timeout = match extensions.reply_timeout {
        Some(Some(limit)) => i64::try_from(millis(limit)).unwrap_or(i64::MAX),
        _ => Some(written("reply_timeout"))
            .filter(|text| !text.is_empty())
            .map_or(-1, |text| leading_integer(&text).0),
    };
    let disabled = if rule.is_disabled { "Disabled " } else { "" };
    let unmount = if rule.is_exclusion { "Unmount " } else { "" };
    let form = if rule.is_wildcard() { "Wildchar" } else { "Exact" };
    MapView {
        server: server.to_owned(),
        uri: rule.pattern.clone(),
        kind: format!("{disabled}{unmount}{form}"),
        source: match rule.source {
            RuleSource::File => "uriworkermap",
            RuleSource::Directive => "JkMount",
            RuleSource::Worker => "worker definition",
        },
        reply_timeout: timeout,
        sticky_ignore: extensions.sticky_ignore,
        stateless: extensions.stateless,
        fail_on_status: written("fail_on_status"),
        active: written("active"),
        disabled: written("disabled"),
        stopped: written("stopped"),
        use_server_errors: extensions.use_server_errors,
    }
}

pub(super) fn seconds_of(moment: Moment) -> u64 {
    moment.0 / 1000
}

/// Shared numbers are wider than any setting.
pub(super) fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
