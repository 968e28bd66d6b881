// SPDX-License-Identifier: Apache-2.0
//! What the lines of mod_jk come to: workers, balancers, status pages, and the rules of each server.
//!
//! AJP workers, alone or in a balancer, are [`Member`](crate::config::plan::Member)s of the plan like those of mod_proxy's
//! lines: they have slots, connection pools and busy counts in common. What only mod_jk knows of them is in
//! [`JkMember`]. How members are chosen and failures are judged differs, so [`JkBalancer`]s are apart from the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::mounts::JkMounts;
use super::path::{self, AboveRoot};
use crate::base::key::Key;
use crate::config::origin::Origin;
use crate::config::plan::{MemberId, SiteId};

/// Index into [`JkPlan::balancers`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct JkBalancerId(pub u32);

/// Index into [`JkPlan::status`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct JkStatusId(pub u32);

/// Index into [`JkPlan::workers`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct JkWorkerId(pub u32);

/// Everything that `Jk…` lines and workers.properties say.
#[derive(Debug, Default)]
pub struct JkPlan {
    /// Is any line of mod_jk there? Without one nothing of it takes part in a request.
    pub is_used: bool,
    /// The workers of `worker.list`, in order: those that rules can name.
    pub workers: Vec<JkWorker>,
    pub balancers: Vec<JkBalancer>,
    pub status: Vec<JkStatus>,
    /// What plan members are in mod_jk's words, by [`MemberId`]; `None` for members of other lines.
    pub members: Vec<Option<JkMember>>,
    /// By [`SiteId`]; ask [`JkPlan::site`].
    pub sites: Vec<JkSite>,
    /// What a virtual host without any line of ours has: the main server's settings, its rules only with
    /// `JkMountCopy All`.
    pub bare: JkSite,
    /// `worker.maintain`: pause between maintenances; zero = none.
    pub maintain: Duration,
    /// `JkWatchdogInterval`: zero = requests do the maintenance.
    pub watchdog: Duration,
    /// `JkWorkersFile` as written, if there is one.
    pub workers_file: Option<String>,
    /// All properties as read, references expanded, in the order the status worker dumps them. Secrets are in it.
    pub properties: Vec<(String, String)>,
    /// Variables of the process, for `$(name)` in mount files that are read again.
    pub environment: HashMap<String, String>,
}

/// A worker that rules can name.
#[derive(Debug, Clone)]
pub struct JkWorker {
    pub name: String,
    pub origin: Origin,
    pub target: JkTarget,
}

/// What a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JkTarget {
    /// `ajp13`, `ajp14`: always tried, whatever its state.
    Ajp(MemberId),
    /// `lb`.
    Balancer(JkBalancerId),
    /// `status`.
    Status(JkStatusId),
}

impl JkTarget {
    /// Text of the note `JK_WORKER_TYPE`.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Ajp(_) => "ajp13",
            Self::Balancer(_) => "lb",
            Self::Status(_) => "status",
        }
    }
}

/// `method` of a balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(u8)]
pub enum JkMethod {
    #[default]
    Request = 0,
    Traffic = 1,
    Busyness = 2,
    Session = 3,
    Next = 4,
}

/// `lock` of a balancer. Both count exactly here; it is kept for the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(u8)]
pub enum JkLock {
    #[default]
    Optimistic = 0,
    Pessimistic = 1,
}

/// `activation` of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(u8)]
pub enum Activation {
    /// `ACT`
    #[default]
    Active = 0,
    /// `DIS`: only requests of its sessions.
    Disabled = 1,
    /// `STP`: none.
    Stopped = 2,
}

/// A worker of type `lb`.
#[derive(Debug, Clone)]
pub struct JkBalancer {
    /// Stable over restarts: made of the name.
    pub key: Key,
    pub name: String,
    pub origin: Origin,
    /// In the order of `balance_workers`.
    pub members: Vec<MemberId>,
    pub sticky: bool,
    /// `sticky_session_force`
    pub sticky_force: bool,
    pub method: JkMethod,
    pub lock: JkLock,
    /// `retries`: rounds over the members.
    pub retries: u32,
    /// `lb_retries`: members tried in one round.
    pub lb_retries: u32,
    /// `retry_interval`: pause between rounds.
    pub retry_interval: Duration,
    /// `recover_time`
    pub recover_time: Duration,
    /// `error_escalation_time`
    pub error_escalation_time: Duration,
    /// `max_reply_timeouts`
    pub max_reply_timeouts: u32,
    /// `session_cookie`
    pub session_cookie: String,
    /// `session_path`, with its `;` in front.
    pub session_path: String,
    /// `set_session_cookie`
    pub set_session_cookie: bool,
    /// `session_cookie_path`; empty: no path.
    pub session_cookie_path: String,
    /// `max_packet_size`: the largest of the members, or as written.
    pub packet_size: usize,
}

/// What mod_jk's lines say of a member beside what every member has.
///
/// In the [`Member`](crate::config::plan::Member) itself stand: key, host, port, packet size, secret, route, redirect,
/// `timeout` (`socket_timeout`), `connect_timeout` (`socket_connect_timeout`), TCP keep-alive and the pool.
#[derive(Debug, Clone)]
pub struct JkMember {
    /// Name of the worker.
    pub name: String,
    /// Its balancer; `None` for a worker on its own.
    pub balancer: Option<JkBalancerId>,
    /// `host` as written.
    pub host: String,
    pub source: Option<IpAddr>,
    pub prefer_ipv6: bool,
    /// `lbfactor`, at least 1.
    pub lbfactor: u32,
    /// The smaller is the nearer, below 0 too.
    pub distance: i32,
    pub activation: Activation,
    /// Group for failover; empty for none.
    pub domain: String,
    /// `connect_timeout`: CPing after connecting, and how long to wait; `None` = no CPing.
    pub connect_ping: Option<Duration>,
    /// `prepost_timeout`: CPing before each request.
    pub prepost_ping: Option<Duration>,
    /// `ping_timeout`
    pub ping_timeout: Duration,
    /// `connection_ping_interval`: CPing on connections idle this long at maintenance; zero = none.
    pub ping_interval: Duration,
    /// `reply_timeout`: wait for each packet of an answer; `None` = no limit of its own.
    pub reply_timeout: Option<Duration>,
    /// `retries` of the AJP worker, at least 1.
    pub retries: u32,
    /// `retry_interval`
    pub retry_interval: Duration,
    /// `recovery_options`
    pub recovery: Recovery,
    /// `fail_on_status`
    pub fail_on_status: FailOnStatus,
    /// `busy_limit`; 0 = none.
    pub busy_limit: u32,
    /// `connection_pool_size`; `None` = threads of the process.
    pub pool_size: Option<u32>,
    /// `connection_pool_minsize`; `None` = (size + 1) / 2.
    pub pool_min_size: Option<u32>,
    /// `connection_pool_timeout`: idle limit; zero = none.
    pub pool_timeout: Duration,
    /// `connection_acquire_timeout`: wait for a free connection; zero = look once.
    pub acquire_timeout: Duration,
    /// `max_packet_size`
    pub packet_size: usize,
    /// `socket_timeout`; zero = none.
    pub socket_timeout: Duration,
}

/// Bits of `recovery_options`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery(pub u32);

impl Recovery {
    /// Not after the container got the request.
    pub const ABORT_IF_GOT_REQUEST: u32 = 1;
    /// Not after the container sent its headers.
    pub const ABORT_IF_SENT_HEADERS: u32 = 2;
    /// Close the connection to the container when the client's broke.
    pub const CLOSE_IF_CLIENT_ERROR: u32 = 4;
    /// HEAD may be repeated whatever the first two bits say.
    pub const ALWAYS_HEAD: u32 = 8;
    /// GET may be repeated whatever the first two bits say.
    pub const ALWAYS_GET: u32 = 16;

    pub fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
}

/// `fail_on_status`: codes of an answer that count as a failure. Few, so searched in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailOnStatus(pub Vec<i32>);

/// What `fail_on_status` says of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusVerdict {
    Fine,
    /// A negative entry: the request fails over, the member stays.
    FailOver,
    /// The member is marked, too.
    MarkMember,
}

impl FailOnStatus {
    pub fn verdict(&self, status: u16) -> StatusVerdict {
        let status = i32::from(status);
        match self.0.iter().find(|code| code.abs() == status) {
            None => StatusVerdict::Fine,
            Some(code) if *code < 0 => StatusVerdict::FailOver,
            Some(_) => StatusVerdict::MarkMember,
        }
    }
}

/// A worker of type `status`.
#[derive(Debug, Clone)]
pub struct JkStatus {
    pub name: String,
    pub origin: Origin,
    /// `css`
    pub css: Option<String>,
    /// `ns`: prefix of XML elements; empty for none.
    pub namespace: String,
    /// `xmlns`: attribute of the root element; empty for none.
    pub xmlns: String,
    /// `doctype`
    pub doctype: Option<String>,
    /// `prefix` of names in properties output.
    pub prefix: String,
    pub read_only: bool,
    /// `user`: who may use it; empty = everybody.
    pub users: Vec<String>,
    pub user_case_insensitive: bool,
    /// `good`
    pub good: Vec<String>,
    /// `bad`
    pub bad: Vec<String>,
}

/// What `Jk…` lines say of one server. Inheritance is already worked in.
#[derive(Debug, Default)]
pub struct JkSite {
    /// `JkMount`, `JkUnMount`, `mount` of workers, and the mount file as it was when the configuration was read.
    /// Hosts that have the main server's table share it.
    pub mounts: Arc<JkMounts>,
    /// `JkMountFile`: path and `JkMountFileReload`. Read again while running.
    pub mount_file: Option<JkMountFile>,
    /// `JkAutoAlias`
    pub auto_alias: Option<String>,
    /// `JkStripSession`: the mark that is cut out, like `;jsessionid`; `None` = off.
    pub strip_session: Option<String>,
    pub options: JkOptions,
    pub indicators: JkIndicators,
    /// `JkEnvVar`: name and default.
    pub env_vars: Vec<(String, Option<String>)>,
    /// `JkExtractSSL`
    pub extract_ssl: bool,
    /// Do `JkEnvVar` or the names of TLS variables ask for what httpd gathers for CGI programs, like `HTTP_HOST`?
    pub has_cgi_variables: bool,
    pub log: JkLog,
}

/// `JkMountFile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JkMountFile {
    /// Absolute.
    pub path: String,
    /// `JkMountFileReload`; `None` = never.
    pub reload: Option<Duration>,
}

/// Form of the path that is sent: the last URI option of `JkOptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UriForm {
    /// `ForwardURIProxy`: encoded again from the decoded path.
    #[default]
    Proxy,
    /// `ForwardURICompat`: decoded.
    Compat,
    /// `ForwardURICompatUnparsed`: as received.
    Unparsed,
    /// `ForwardURIEscaped`: encoded by httpd's own function.
    Escaped,
}

/// `JkOptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent options of one directive")]
pub struct JkOptions {
    pub uri: UriForm,
    pub forward_directories: bool,
    pub forward_local_address: bool,
    pub forward_physical_address: bool,
    pub flush_packets: bool,
    pub flush_header: bool,
    pub disable_reuse: bool,
    pub forward_cert_chain: bool,
    pub forward_key_size: bool,
    pub reject_unsafe_uri: bool,
}

impl Default for JkOptions {
    fn default() -> Self {
        Self {
            uri: UriForm::Proxy,
            forward_directories: false,
            forward_local_address: false,
            forward_physical_address: false,
            flush_packets: false,
            flush_header: false,
            disable_reuse: false,
            forward_cert_chain: false,
            forward_key_size: true,
            reject_unsafe_uri: false,
        }
    }
}

/// Names of the environment variables that are read (`Jk…Indicator`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JkIndicators {
    pub worker: String,
    pub request_id: String,
    pub remote_addr: String,
    pub remote_port: String,
    pub remote_host: String,
    pub remote_user: String,
    pub auth_type: String,
    pub local_name: String,
    pub local_addr: String,
    pub local_port: String,
    pub ignore_cl: String,
    pub https: String,
    pub ssl_protocol: String,
    pub certs: String,
    pub cipher: String,
    pub session: String,
    pub key_size: String,
    /// `JkCERTCHAINPrefix`
    pub cert_chain_prefix: String,
}

impl Default for JkIndicators {
    fn default() -> Self {
        Self {
            worker: "JK_WORKER_NAME".into(),
            request_id: "UNIQUE_ID".into(),
            remote_addr: "JK_REMOTE_ADDR".into(),
            remote_port: "JK_REMOTE_PORT".into(),
            remote_host: "JK_REMOTE_HOST".into(),
            remote_user: "JK_REMOTE_USER".into(),
            auth_type: "JK_AUTH_TYPE".into(),
            local_name: "JK_LOCAL_NAME".into(),
            local_addr: "JK_LOCAL_ADDR".into(),
            local_port: "JK_LOCAL_PORT".into(),
            ignore_cl: "JK_IGNORE_CL".into(),
            https: "HTTPS".into(),
            ssl_protocol: "SSL_PROTOCOL".into(),
            certs: "SSL_CLIENT_CERT".into(),
            cipher: "SSL_CIPHER".into(),
            session: "SSL_SESSION_ID".into(),
            key_size: "SSL_CIPHER_USEKEYSIZE".into(),
            cert_chain_prefix: "SSL_CLIENT_CERT_CHAIN_".into(),
        }
    }
}

impl JkIndicators {
    /// Names of the variables about TLS.
    fn tls(&self) -> [&str; 7] {
        [
            &self.https,
            &self.ssl_protocol,
            &self.certs,
            &self.cipher,
            &self.session,
            &self.key_size,
            &self.cert_chain_prefix,
        ]
    }

    /// Is any variable about TLS another than mod_ssl's?
    pub fn has_own_tls(&self) -> bool {
        self.tls() != Self::default().tls()
    }
}

/// How loud a line of the `JkLogFile` must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum JkLogLevel {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
    Emerg,
}

/// `JkLogFile` and its companions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JkLog {
    /// As written: a path (relative to ServerRoot), or `|` and a program. `None`: no line of mod_jk named one.
    pub file: Option<String>,
    pub level: JkLogLevel,
    /// `JkLogStampFormat`: strftime, with `%Q` and `%q`.
    pub stamp: String,
    /// `JkRequestLogFormat`; `None`: no line per request.
    pub request_format: Option<String>,
}

impl Default for JkLog {
    fn default() -> Self {
        Self {
            file: None,
            level: JkLogLevel::Info,
            stamp: "[%a %b %d %H:%M:%S.%Q %Y] ".into(),
            request_format: None,
        }
    }
}

/// Where a rule was said; the order is that of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleSource {
    /// `JkMountFile`.
    File,
    /// `JkMount`, `JkUnMount`.
    Directive,
    /// `mount` of a worker.
    Worker,
}

/// Who a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleWorker {
    Known(JkWorkerId),
    /// Nobody of `worker.list`: what it matches is answered 500.
    Unknown(String),
    /// `*`, of an exclusion: every worker.
    Any,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct JkRule {
    pub origin: Origin,
    pub source: RuleSource,
    /// Without `!` and `-`; one of the two that `X|Y` stands for.
    pub pattern: String,
    pub worker: RuleWorker,
    /// `!`, `JkUnMount`.
    pub is_exclusion: bool,
    /// `-`
    pub is_disabled: bool,
    pub extensions: RuleExtensions,
}

impl JkRule {
    /// Has the pattern `*` or `?` in it?
    pub fn is_wildcard(&self) -> bool {
        self.pattern.contains(['*', '?'])
    }
}

/// What follows the worker's name, separated by `;`. The default changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleExtensions {
    /// `reply_timeout`: in place of the worker's; `Some(None)` = no limit.
    pub reply_timeout: Option<Option<Duration>>,
    pub sticky_ignore: bool,
    pub stateless: bool,
    /// Activation of members for this rule; the last entry of a member counts.
    pub activation: Vec<(MemberId, Activation)>,
    /// In place of the worker's.
    pub fail_on_status: Option<FailOnStatus>,
    /// For this status and above the server's own error page; 0 = off.
    pub use_server_errors: u16,
    pub session_cookie: Option<String>,
    /// With its `;` in front.
    pub session_path: Option<String>,
    pub set_session_cookie: Option<bool>,
    pub session_cookie_path: Option<String>,
    /// `active`, `disabled`, `stopped`, `fail_on_status`, `reply_timeout` as written, for the pages.
    pub written: Vec<(String, String)>,
}

impl Activation {
    /// As extensions of rules write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Stopped => "stopped",
        }
    }
}

impl JkSite {
    /// The rule of `mounts` (the site's own, or those with the mount file read again) for a request's decoded path.
    /// Where normalising changes the path, the result is in `room`.
    ///
    /// # Errors
    /// The path leads above the root: 400.
    pub fn find<'a>(
        &self,
        mounts: &'a JkMounts,
        path: &'a [u8],
        room: &'a mut Vec<u8>,
    ) -> Result<Option<JkFound<'a>>, AboveRoot> {
        let path = path::normalised(path, room)?;
        if self.options.reject_unsafe_uri && path.iter().any(|byte| matches!(byte, b'%' | b'\\')) {
            return Ok(None);
        }
        Ok(mounts.find(path).map(|rule| JkFound { rule, path }))
    }
}

/// A rule and the path it was found for.
#[derive(Debug, Clone, Copy)]
pub struct JkFound<'a> {
    pub rule: &'a JkRule,
    /// Normalised: what later phases of the request see. What is sent is made of the original.
    pub path: &'a [u8],
}

impl JkPlan {
    /// What a server has. `is_main`: a virtual host without any line of ours has the id of the main server, but not
    /// its rules.
    pub fn site(&self, id: SiteId, is_main: bool) -> &JkSite {
        match self.sites.get(id.0 as usize) {
            Some(site) if is_main || id.0 != 0 => site,
            _ => &self.bare,
        }
    }

    pub fn balancer(&self, id: JkBalancerId) -> &JkBalancer {
        &self.balancers[id.0 as usize]
    }

    pub fn status_worker(&self, id: JkStatusId) -> &JkStatus {
        &self.status[id.0 as usize]
    }

    pub fn worker(&self, id: JkWorkerId) -> &JkWorker {
        &self.workers[id.0 as usize]
    }

    /// The worker of this name, if rules can name it.
    pub fn worker_named(&self, name: &str) -> Option<JkWorkerId> {
        let at = self.workers.iter().position(|worker| worker.name == name)?;
        u32::try_from(at).ok().map(JkWorkerId)
    }

    /// What mod_jk's lines say of a member; `None` if other lines declared it.
    pub fn member(&self, id: MemberId) -> Option<&JkMember> {
        self.members.get(id.0 as usize)?.as_ref()
    }
}
