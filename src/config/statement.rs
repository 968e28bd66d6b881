// SPDX-License-Identifier: Apache-2.0
//! One line of the configuration, understood but not yet connected to the others.

use super::forward::ForwardLine;
use super::health::Expression;
use super::heartbeat::HeartbeatLine;
use super::plan::{Encoding, ErrorOverride};
use super::setting::{BalancerSettings, MemberSettings, SiteSettings};
use super::url::{BalancerUrl, MemberUrl, shown};
use crate::base::text::nearest;

/// A `key=value` word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub key: String,
    pub value: String,
}

impl Pair {
    /// The word for a message.
    pub fn shown(&self) -> String {
        format!("{}={}", shown(&self.key), self.shown_value())
    }

    /// The value for a message. Messages end up in logs, so secrets and nonces are not shown, even if the name is misspelt.
    pub fn shown_value(&self) -> String {
        if self.is_secret() { "...".to_owned() } else { shown(&self.value) }
    }

    pub fn is_secret(&self) -> bool {
        nearest(&self.key, ["secret", "requiredsecret", "nonce"]).is_some()
    }
}

/// What a line says.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    /// A path leads to a target.
    Mount(MountLine),
    /// A balancer has a member.
    Member {
        balancer: BalancerUrl,
        member: MemberUrl,
        settings: Box<MemberSettings>,
        /// As written, to name what is ignored when the worker exists already.
        pairs: Vec<Pair>,
    },
    /// A balancer or plain worker has settings.
    Set {
        /// As written, for the message when it is not there.
        url: String,
        target: TargetLine,
        /// Inside a section the target is made when missing.
        create: bool,
    },
    /// `ProxyPassReverse`; the path is the section's argument if it is missing.
    Reverse { public: Option<String>, url: String, interpolate: bool },
    /// `ProxyPassReverseCookiePath`.
    CookiePath { internal: String, public: String, interpolate: bool },
    /// `ProxyPassReverseCookieDomain`.
    CookieDomain { internal: String, public: String, interpolate: bool },
    /// `ProxyPassInterpolateEnv`.
    Interpolate(bool),
    /// `ProxyPreserveHost`.
    PreserveHost(bool),
    /// `ProxyAddHeaders`.
    AddHeaders(bool),
    /// `Proxy100Continue`.
    PassContinue(bool),
    /// `ProxyErrorOverride`.
    ErrorOverride(ErrorOverride),
    /// A value of the server.
    Site(SiteSettings),
    /// `ProxyHCTemplate`.
    HealthTemplate { name: String, settings: Box<MemberSettings> },
    /// `ProxyHCExpr`.
    HealthExpression(Expression),
    /// `ProxyHCTPsize`.
    CheckThreads(u32),
    /// `HeartbeatListen`, `HeartbeatStorage`, `HeartbeatMaxServers`.
    Heartbeat(HeartbeatLine),
    /// Other proxies, and hosts that are not asked.
    Forward(ForwardLine),
    /// A line that changes nothing.
    Nothing,
}

/// `ProxyPass`.
#[derive(Clone, Debug)]
pub(crate) struct MountLine {
    /// `None`: the section's argument.
    pub path: Option<String>,
    /// The target as written.
    pub url: String,
    /// `None`: `!`, or a back end that only the groups of the expression name.
    pub target: Option<TargetLine>,
    pub encoding: Encoding,
    pub pairs: Vec<Pair>,
    /// `ProxyPassMatch`, `ProxyPass ~`.
    pub is_expression: bool,
    pub interpolate: bool,
    /// Groups of the expression or variables are part of the back end's name.
    pub is_named: bool,
}

/// A target with what the same line sets on it.
#[derive(Clone, Debug)]
pub(crate) enum TargetLine {
    Balancer(BalancerUrl, Box<BalancerSettings>),
    Member(MemberUrl, Box<MemberSettings>),
}
