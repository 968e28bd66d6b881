// SPDX-License-Identifier: Apache-2.0
//! What the administrator is told about checks.

use std::fmt;
use std::net::SocketAddr;

use crate::base::status::Status;
use crate::config::health::{CheckMethod, HealthCheck};
use crate::config::plan::{Member, MemberId, Plan};
use crate::shared::Change;

/// How much a line matters. mod_proxy_hcheck says everything at `info`, which nobody sees: a member that is taken out is
/// worth a warning, and its return is said where the warning was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    Warning,
    Notice,
    Info,
}

/// One line of the error log.
#[derive(Debug)]
pub enum Report<'a> {
    /// This process runs the checks from now on.
    Begun { members: usize },
    /// No thread could be started for a check.
    NoThread { error: std::io::Error },
    /// A check failed; the member stays as it is.
    Failed { subject: Subject<'a>, cause: &'a str },
    /// The last of `hcfails` checks failed.
    Out { subject: Subject<'a>, cause: &'a str },
    /// The last of `hcpasses` checks was good.
    Back { subject: Subject<'a>, status: Status },
    /// This process listens to heartbeats from now on.
    Listening { address: SocketAddr },
    /// The system refused the address or the multicast group.
    Deaf { address: SocketAddr, error: std::io::Error },
    /// A message is no heartbeat.
    Malformed { from: SocketAddr },
    /// `HeartbeatMaxServers` others are heard already.
    Crowded { from: SocketAddr, limit: usize },
}

/// The member a line is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    member: &'a Member,
    check: &'a HealthCheck,
    balancer: &'a str,
}

impl<'a> Subject<'a> {
    pub(super) fn new(plan: &'a Plan, id: MemberId, check: &'a HealthCheck) -> Subject<'a> {
        let balancer = plan.owner(id).map_or("", |balancer| &balancer.name);
        Subject { member: plan.member(id), check, balancer }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of balancer://{}", self.member.name, self.balancer)
    }
}

impl<'a> Report<'a> {
    /// What there is to say about the result of a check: `cause` of a failed one, and the move it made.
    pub(super) fn of(
        subject: Subject<'a>,
        cause: Option<&'a str>,
        change: Option<&Change>,
    ) -> Option<Report<'a>> {
        match (cause, change) {
            (Some(cause), Some(_)) => Some(Report::Out { subject, cause }),
            (Some(cause), None) => Some(Report::Failed { subject, cause }),
            (None, Some(change)) => Some(Report::Back { subject, status: change.to.status }),
            (None, None) => None,
        }
    }

    pub fn weight(&self) -> Weight {
        match self {
            Report::Out { .. }
            | Report::NoThread { .. }
            | Report::Deaf { .. }
            | Report::Malformed { .. }
            | Report::Crowded { .. } => Weight::Warning,
            Report::Back { .. } => Weight::Notice,
            Report::Begun { .. } | Report::Failed { .. } | Report::Listening { .. } => Weight::Info,
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |check: &HealthCheck| CheckMethod::name(check.method);
        match self {
            Report::Begun { members } => {
                write!(f, "MGY3304: this process runs the health checks, of {members} members")
            }
            Report::Listening { address } => {
                write!(f, "MGY3307: this process listens to heartbeats at {address}")
            }
            Report::Deaf { address, error } => write!(
                f,
                "MGY3308: HeartbeatListen {address}: no heartbeat is heard: {error}; it is tried again every second"
            ),
            Report::Malformed { from } => write!(
                f,
                "MGY3309: a message from {} is no heartbeat (v=, ready= and busy= belong into it) and is not used (AH02086)",
                from.ip()
            ),
            Report::Crowded { from, limit } => write!(
                f,
                "MGY3310: a heartbeat from {} is not used: {limit} others are heard already; write a larger HeartbeatMaxServers",
                from.ip()
            ),
            Report::NoThread { error } => {
                write!(f, "MGY3305: no thread for a health check, which is left out: {error}")
            }
            Report::Failed { subject, cause } => {
                write!(f, "MGY3303: {subject} failed a health check ({}): {cause}", name(subject.check))
            }
            Report::Out { subject, cause } => {
                let HealthCheck { fails, passes, .. } = subject.check;
                write!(
                    f,
                    "MGY3301: {subject} failed its {} ({}): {cause}; it gets no requests until {} (AH03303)",
                    if *fails == 1 { "health check".into() } else { format!("health check {fails} times") },
                    name(subject.check),
                    if *passes == 1 {
                        "a check is good".into()
                    } else {
                        format!("{passes} checks were good")
                    },
                )
            }
            Report::Back { subject, status } => {
                write!(f, "MGY3302: {subject} passed its health check ({})", name(subject.check))?;
                match status.is_usable() {
                    true => f.write_str(" and gets requests again (AH03302)"),
                    false => {
                        write!(f, "; it stays out for other reasons: {} (AH03302)", status.to_string().trim())
                    }
                }
            }
        }
    }
}
