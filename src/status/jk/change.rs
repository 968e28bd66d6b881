// SPDX-License-Identifier: Apache-2.0
//! Putting changes into force: in shared memory, so that all processes see them at once and a graceful restart keeps them.

use std::time::Duration;

use super::answer::{Action, Refusal, State};
use super::live::Live;
use super::model::{AjpSettings, BalancerSettings, MemberSettings, View};
use super::setting::{Setting, WorkerChange};
use crate::balance::jk::{JkCluster, recover, reset_balancer};
use crate::config::jk::plan::{JkBalancerId, JkTarget};
use crate::config::plan::MemberId;
use crate::shared::{
    Administrator, JkBalancerNumber, JkCounter, JkMemberNumber, JkMemberSlot, JkMemberText, Reason, ShortText,
};

/// How long a change waits for one that another process is making.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running server that can be changed.
pub struct Desk<'s> {
    pub live: Live<'s>,
    /// What was changed, each in a sentence for the log.
    pub notes: Vec<String>,
}

impl<'s> Desk<'s> {
    pub fn new(live: Live<'s>) -> Self {
        Self { live, notes: Vec::new() }
    }

    fn note(&mut self, what: &str, owner: &str, old: &str, new: &str) {
        self.notes.push(format!("{what} of {owner} is now \"{new}\" (was \"{old}\")"));
    }

    fn balancer(&self, name: &str) -> Option<JkBalancerId> {
        let workers = self.live.plan.jk.workers.iter();
        workers.filter(|worker| worker.name == name).find_map(|worker| match worker.target {
            JkTarget::Balancer(id) => Some(id),
            _ => None,
        })
    }

    fn member(&self, balancer: &str, name: &str) -> Option<(JkBalancerId, MemberId)> {
        let id = self.balancer(balancer)?;
        let members = &self.live.plan.jk.balancer(id).members;
        let is_meant =
            |member: &&MemberId| self.live.plan.jk.member(**member).is_some_and(|jk| jk.name == name);
        members.iter().find(is_meant).map(|member| (id, *member))
    }

    fn worker(&self, name: &str) -> Option<MemberId> {
        let workers = self.live.plan.jk.workers.iter();
        workers.filter(|worker| worker.name == name).find_map(|worker| match worker.target {
            JkTarget::Ajp(id) => Some(id),
            _ => None,
        })
    }

    fn slot(&self, id: MemberId) -> &'s JkMemberSlot {
        self.live.region.jk_member(self.live.bindings.member(id))
    }

    fn set_balancer(&mut self, administrator: &Administrator<'_>, id: JkBalancerId, new: &BalancerSettings) {
        let live = self.live;
        let cluster = live.cluster(id);
        let name = format!("balancer {}", cluster.balancer().name);
        let old = live.balancer_settings(id);
        for ((what, which, old), (_, _, new)) in numbers(&old).into_iter().zip(numbers(new)) {
            if old != new {
                administrator.set_jk_balancer_number(cluster.slot(), which, new);
                self.note(what, &name, &old.to_string(), &new.to_string());
            }
        }
    }

    /// `balancer` is that of the member.
    fn set_worker(
        &mut self,
        administrator: &Administrator<'_>,
        id: MemberId,
        balancer: Option<JkBalancerId>,
        change: &WorkerChange,
    ) -> Result<(), Refusal> {
        let Some(jk) = self.live.plan.jk.member(id) else { return Err(Refusal::UpdateFailed) };
        let moves = change.changed.iter().any(|setting| matches!(setting, Setting::Host | Setting::Port));
        let failure = if moves { self.unreachable(&jk.name, &change.ajp) } else { None };
        let owner = format!("worker {}", jk.name);
        let slot = self.slot(id);
        for &setting in &change.changed {
            if failure.is_some() && matches!(setting, Setting::Host | Setting::Port) {
                continue;
            }
            let old = self.old_text(id, setting, balancer);
            put(administrator, slot, setting, change);
            self.note(setting.label(), &owner, &old, &setting.shown(&change.ajp, &change.member));
        }
        if let Some(cluster) = balancer.map(|id| self.live.cluster(id)) {
            after(&cluster, &change.changed);
        }
        failure.map_or(Ok(()), Err)
    }

    fn old_text(&self, id: MemberId, setting: Setting, balancer: Option<JkBalancerId>) -> String {
        let Some(jk) = self.live.plan.jk.member(id) else { return String::new() };
        let ajp = self.live.ajp_settings(id, jk);
        let member = balancer.map(|balancer| self.live.member_settings(&self.live.cluster(balancer), id));
        setting.shown(&ajp, &member.unwrap_or_default())
    }

    /// A complaint if the new host has no address. Port 0 is never connected to.
    fn unreachable(&self, name: &str, new: &AjpSettings) -> Option<Refusal> {
        let bare = new.host.trim_start_matches('[').trim_end_matches(']');
        let is_address = bare.parse::<std::net::IpAddr>().is_ok();
        if new.port == 0 && !bare.is_empty()
            || is_address
            || !bare.is_empty() && !(self.live.resolve)(bare).is_empty()
        {
            return None;
        }
        Some(Refusal::PartlyFailed(format!(
            "could not resolve address '{}:{}' for sub worker '{name}'.",
            new.host, new.port
        )))
    }
}

/// What follows from changed values of a member.
fn after(cluster: &JkCluster<'_>, changed: &[Setting]) {
    if changed.contains(&Setting::LbFactor) {
        cluster.share_out();
    }
    if changed.contains(&Setting::Activation) {
        cluster.begin_values_anew();
    }
}

/// The settings of a balancer as shared memory has them.
fn numbers(settings: &BalancerSettings) -> [(&'static str, JkBalancerNumber, u64); 9] {
    use JkBalancerNumber as Number;
    let BalancerSettings { retries, retry_interval, recover_time, error_escalation_time, .. } = *settings;
    [
        ("retries", Number::Retries, u64::from(retries)),
        ("retry_interval", Number::RetryInterval, u64::from(retry_interval)),
        ("recover_time in ms", Number::RecoverTime, u64::from(recover_time) * 1000),
        ("error_escalation_time in ms", Number::ErrorEscalationTime, u64::from(error_escalation_time) * 1000),
        ("max_reply_timeouts", Number::MaxReplyTimeouts, u64::from(settings.max_reply_timeouts)),
        ("sticky_session", Number::Sticky, u64::from(settings.sticky)),
        ("sticky_session_force", Number::StickyForce, u64::from(settings.sticky_force)),
        ("method", Number::Method, settings.method as u64),
        ("lock", Number::Lock, settings.lock as u64),
    ]
}

fn put(administrator: &Administrator<'_>, slot: &JkMemberSlot, setting: Setting, change: &WorkerChange) {
    use JkMemberNumber as Number;
    let (ajp, member): (&AjpSettings, &MemberSettings) = (&change.ajp, &change.member);
    let text = |which, text: &str| {
        // Longer texts do not come this far.
        let text = ShortText::of(text.as_bytes()).unwrap_or_default();
        administrator.set_jk_member_text(slot, which, &text);
    };
    let (which, value) = match setting {
        Setting::Route => return text(JkMemberText::Route, &member.route),
        Setting::Redirect => return text(JkMemberText::Redirect, &member.redirect),
        Setting::Domain => return text(JkMemberText::Domain, &member.domain),
        Setting::Host => return text(JkMemberText::Host, &ajp.host),
        Setting::Activation => (Number::Activation, member.activation as u32),
        Setting::LbFactor => (Number::LbFactor, member.lbfactor),
        Setting::Distance => {
            let distance = i64::from(member.distance).cast_unsigned();
            return administrator.set_jk_member_number(slot, Number::Distance, distance);
        }
        Setting::Port => (Number::Port, u32::from(ajp.port)),
        Setting::PoolTimeout => {
            return administrator.set_jk_member_number(
                slot,
                Number::PoolTimeout,
                u64::from(ajp.pool_timeout) * 1000,
            );
        }
        Setting::PingInterval => {
            return administrator.set_jk_member_number(
                slot,
                Number::PingInterval,
                u64::from(ajp.ping_interval) * 1000,
            );
        }
        Setting::PingTimeout => (Number::PingTimeout, ajp.ping_timeout),
        Setting::ConnectTimeout => (Number::ConnectTimeout, ajp.connect_timeout),
        Setting::PrepostTimeout => (Number::PrepostTimeout, ajp.prepost_timeout),
        Setting::ReplyTimeout => (Number::ReplyTimeout, ajp.reply_timeout),
        Setting::Retries => (Number::Retries, ajp.retries),
        Setting::RetryInterval => (Number::RetryInterval, ajp.retry_interval),
        Setting::RecoveryOptions => (Number::RecoveryOptions, ajp.recovery_options),
        Setting::BusyLimit => (Number::BusyLimit, ajp.busy_limit),
        Setting::PacketSize => (Number::MaxPacketSize, ajp.packet_size),
    };
    administrator.set_jk_member_number(slot, which, u64::from(value));
}

impl State for Desk<'_> {
    fn view(&self) -> View {
        self.live.view()
    }

    fn act(&mut self, action: &Action<'_>) -> Result<(), Refusal> {
        let region = self.live.region;
        let administrator = region.administer(PATIENCE).ok_or(Refusal::Busy)?;
        let now = self.live.now;
        match action {
            Action::SetBalancer { balancer, settings } => {
                let id = self.balancer(balancer).ok_or(Refusal::UpdateFailed)?;
                self.set_balancer(&administrator, id, settings);
            }
            Action::SetMember { balancer, member, change } => {
                let (id, member) = self.member(balancer, member).ok_or(Refusal::UpdateFailed)?;
                self.set_worker(&administrator, member, Some(id), change)?;
            }
            Action::SetAjp { worker, change } => {
                let id = self.worker(worker).ok_or(Refusal::UpdateFailed)?;
                self.set_worker(&administrator, id, None, change)?;
            }
            Action::ResetBalancer { balancer } => {
                let id = self.balancer(balancer).ok_or(Refusal::ResetFailed)?;
                reset_balancer(&self.live.cluster(id), now);
                self.notes.push(format!("balancer {balancer} and its members count anew"));
            }
            Action::ResetMember { balancer, member } => {
                let (_, id) = self.member(balancer, member).ok_or(Refusal::ResetFailed)?;
                self.slot(id).reset_counters(now);
                self.notes.push(format!("member {member} of balancer {balancer} counts anew"));
            }
            Action::ResetAjp { worker } => {
                let id = self.worker(worker).ok_or(Refusal::ResetFailed)?;
                self.slot(id).reset_counters(now);
                // As in mod_jk, where only members of a balancer begin with the connections that are open.
                self.slot(id).set_count(JkCounter::MaxConnected, 0);
                self.notes.push(format!("worker {worker} counts anew"));
            }
            Action::Recover { balancer, member } => {
                let (id, member_id) = self.member(balancer, member).ok_or(Refusal::RecoverFailed)?;
                let cluster = self.live.cluster(id);
                // The agent takes it out again if it finds it gone still.
                let was_out = cluster.common_slot(member_id).put_back(now, Reason::Admin);
                if !recover(&cluster, member_id) && !was_out {
                    return Err(Refusal::RecoverFailed);
                }
                self.notes.push(format!("member {member} of balancer {balancer} is tried again"));
            }
        }
        Ok(())
    }
}
