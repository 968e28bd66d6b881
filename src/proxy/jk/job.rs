// SPDX-License-Identifier: Apache-2.0
//! What carrying a request in mod_jk's way needs to know, and what it tells.

use std::time::Duration;

use crate::config::jk::plan::{Activation, JkOptions, JkTarget, RuleExtensions};
use crate::config::plan::MemberId;
use crate::proxy::Exchange;
use crate::shared::JkState;

/// Where one request goes.
#[derive(Debug, Clone, Copy)]
pub struct JkJob<'j> {
    /// An AJP worker or a balancer. Requests of a status worker are answered by it.
    pub target: JkTarget,
    /// Those of the rule, or of the variable that named the worker.
    pub extensions: &'j RuleExtensions,
    /// The path as it is sent, in the form [`JkOptions::uri`] asks for, without the query string. Sessions are looked for
    /// in it, too.
    pub uri: &'j [u8],
    pub options: JkOptions,
    pub variables: JkVariables<'j>,
}

/// Variables of the request's environment that change how it is carried.
#[derive(Debug, Clone, Copy, Default)]
pub struct JkVariables<'j> {
    /// `JK_REPLY_TIMEOUT`: wins over rule and worker; `Some(None)` = no limit.
    pub reply_timeout: Option<Option<Duration>>,
    /// `JK_STICKY_IGNORE`
    pub sticky_ignore: bool,
    /// `JK_STATELESS`
    pub stateless: bool,
    /// `JK_ROUTE`
    pub route: Option<&'j [u8]>,
    /// `JK_IGNORE_CL`: the client's Content-Length is not believed and not sent.
    pub ignore_content_length: bool,
    /// `margay-jk-500`: a malformed message is answered 500, as by mod_jk, and not 502.
    pub malformed_is_500: bool,
}

/// What notes say about a member that was tried (`JK_LB_FIRST_…`, `JK_LB_LAST_…`), as it was at the end of that attempt.
#[derive(Debug, Clone, Copy)]
pub struct JkTried<'a> {
    pub member: MemberId,
    pub name: &'a str,
    pub value: u64,
    pub accessed: u64,
    pub sessions: u64,
    pub read: u64,
    pub transferred: u64,
    pub errors: u64,
    pub busy: u32,
    pub activation: Activation,
    pub state: JkState,
}

/// One request under way in the web server, as mod_jk's lines look at it.
///
/// Of [`Exchange`] the following is meant here: `request()` has the values that the indicator variables put in place of the
/// server's own; `tls()` has the certificate with its chain if `ForwardSSLCertChain` says so; `attributes()` gives the
/// names of `JkEnvVar` with their values; a body is [`Known`](crate::wire::ajp::BodyLength::Known) only if the client
/// announced its length.
pub trait JkExchange: Exchange {
    /// The client's port as text (`JK_REMOTE_PORT`, else the number).
    fn remote_port(&self) -> &[u8];

    /// An attempt on a member of a balancer has ended. The first call says who was first, the last one who was last.
    fn tried(&mut self, tried: &JkTried<'_>);

    /// The route value of the request (`JK_WORKER_ROUTE`, `%R`): that of the member that gets it now, or `JK_ROUTE`.
    fn route(&mut self, route: &[u8]);
}
