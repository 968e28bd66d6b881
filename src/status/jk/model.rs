// SPDX-License-Identifier: Apache-2.0
//! What the status worker shows, without saying how: filled from the plan and shared memory, and by tests.

use super::figures::Stamp;
use crate::config::jk::plan::{Activation, JkLock, JkMethod};
use crate::shared::JkState;

/// Everything a page can show.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub server: ServerView,
    /// Workers of type `lb`, in the order of `worker.list`.
    pub balancers: Vec<BalancerView>,
    /// AJP workers that rules can name, in the order of `worker.list`.
    pub ajp: Vec<AjpView>,
    /// Names of the status workers: they can be shown, but there is nothing about them.
    pub status: Vec<String>,
    /// The properties as read, for the dump. Secrets are not in it.
    pub properties: Vec<(String, String)>,
}

/// The server that answers.
#[derive(Debug, Clone, Default)]
pub struct ServerView {
    /// Name the client asked for.
    pub name: String,
    pub port: u16,
    /// As in the header `Server`.
    pub software: String,
    /// What answers for mod_jk.
    pub version: String,
    pub now: Stamp,
}

/// A worker of type `lb`.
#[derive(Debug, Clone, Default)]
pub struct BalancerView {
    pub name: String,
    pub settings: BalancerSettings,
    pub members: Vec<MemberView>,
    pub busy: u64,
    pub max_busy: u64,
    /// Seconds until the next maintenance, at least and at most.
    pub maintenance: (u64, u64),
    pub reset_at: u64,
    pub maps: Vec<MapView>,
    /// Its values can only be read: it is declared by other lines than mod_jk's.
    pub is_foreign: bool,
}

/// What can be changed about a balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BalancerSettings {
    pub sticky: bool,
    pub sticky_force: bool,
    pub retries: u32,
    /// Milliseconds.
    pub retry_interval: u32,
    /// Seconds.
    pub recover_time: u32,
    /// Seconds.
    pub error_escalation_time: u32,
    pub max_reply_timeouts: u32,
    pub method: JkMethod,
    pub lock: JkLock,
}

/// An AJP worker, alone or in a balancer.
#[derive(Debug, Clone, Default)]
pub struct AjpView {
    pub name: String,
    /// `ajp13`, or the scheme of a member that is none of mod_jk's.
    pub kind: String,
    pub settings: AjpSettings,
    /// Address and port that connections are made to.
    pub address: String,
    /// Local address, or `undefined`.
    pub source: String,
    /// State of a worker on its own.
    pub state: JkState,
    pub used: u64,
    pub errors: u64,
    pub client_errors: u64,
    pub reply_timeouts: u64,
    /// Bytes sent to it.
    pub transferred: u64,
    /// Bytes received from it.
    pub read: u64,
    pub busy: u64,
    pub max_busy: u64,
    pub connected: u64,
    pub max_connected: u64,
    pub reset_at: u64,
    pub error_at: Option<Stamp>,
    /// Rules that lead to it; always empty for a member.
    pub maps: Vec<MapView>,
}

/// What can be changed about an AJP worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AjpSettings {
    pub host: String,
    pub port: u16,
    /// Seconds.
    pub pool_timeout: u32,
    /// Milliseconds, this and the next three.
    pub ping_timeout: u32,
    pub connect_timeout: u32,
    pub prepost_timeout: u32,
    pub reply_timeout: u32,
    pub retries: u32,
    /// Milliseconds.
    pub retry_interval: u32,
    /// Seconds.
    pub ping_interval: u32,
    pub recovery_options: u32,
    pub busy_limit: u32,
    pub packet_size: u32,
}

/// A member of a balancer.
#[derive(Debug, Clone, Default)]
pub struct MemberView {
    pub ajp: AjpView,
    pub settings: MemberSettings,
    pub state: JkState,
    pub lb_mult: u64,
    pub lb_value: u64,
    pub elected: u64,
    pub sessions: u64,
    /// Seconds until it is tried again, at least and at most.
    pub recover: (u64, u64),
    /// The agent has it out; then its state is [`JkState::Error`].
    pub gone: Option<Gone>,
}

/// What the agent says about a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    pub since: Stamp,
    /// In the words of a sentence.
    pub why: &'static str,
}

impl Gone {
    /// `its node takes no connection (the agent, 2026-11-22 07:46:41 +0000)`
    pub fn text(self) -> String {
        format!("{} (the agent, {})", self.why, self.since.long())
    }
}

/// What can be changed about a member beside its AJP settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberSettings {
    pub activation: Activation,
    pub lbfactor: u32,
    pub route: String,
    pub redirect: String,
    pub domain: String,
    pub distance: i32,
}

/// A rule that leads to a worker.
#[derive(Debug, Clone, Default)]
pub struct MapView {
    /// `name`, or `name [address:port]`.
    pub server: String,
    pub uri: String,
    /// `Exact`, `Unmount Wildchar`…
    pub kind: String,
    /// `JkMount`, `uriworkermap`, `worker definition`.
    pub source: &'static str,
    /// Milliseconds, -1 = not said.
    pub reply_timeout: i64,
    pub sticky_ignore: bool,
    pub stateless: bool,
    /// This and the next three as written; empty if not.
    pub fail_on_status: String,
    pub active: String,
    pub disabled: String,
    pub stopped: String,
    pub use_server_errors: u16,
}

/// The worker that a request names.
#[derive(Debug, Clone, Copy)]
pub enum Chosen<'a> {
    Balancer(&'a BalancerView),
    Ajp(&'a AjpView),
    Status,
}

impl View {
    pub fn find(&self, name: &str) -> Option<Chosen<'_>> {
        let balancer = self.balancers.iter().find(|balancer| balancer.name == name).map(Chosen::Balancer);
        let ajp = || self.ajp.iter().find(|worker| worker.name == name).map(Chosen::Ajp);
        balancer
            .or_else(ajp)
            .or_else(|| self.status.iter().any(|known| known == name).then_some(Chosen::Status))
    }
}

/// `R` in the words of the pages.
pub fn method_text(method: JkMethod) -> &'static str {
    match method {
        JkMethod::Request => "Request",
        JkMethod::Traffic => "Traffic",
        JkMethod::Busyness => "Busyness",
        JkMethod::Session => "Sessions",
        JkMethod::Next => "Next",
    }
}

pub fn lock_text(lock: JkLock) -> &'static str {
    match lock {
        JkLock::Optimistic => "Optimistic",
        JkLock::Pessimistic => "Pessimistic",
    }
}

pub fn activation_text(activation: Activation) -> &'static str {
    match activation {
        Activation::Active => "ACT",
        Activation::Disabled => "DIS",
        Activation::Stopped => "STP",
    }
}

pub fn true_false(on: bool) -> &'static str {
    if on { "True" } else { "False" }
}
