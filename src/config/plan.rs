// SPDX-License-Identifier: Apache-2.0
//! The compiled configuration: immutable, shared by reference, no pointers of httpd's.
//!
//! Both dialects end here; after compiling nobody can tell which one a balancer came from, except by its origin.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::agent::AgentPlan;
use super::expression::{Expression, ExpressionId};
use super::forward::ForwardRules;
use super::health::{CheckBasis, Expression as Condition, HealthCheck};
use super::heartbeat::Heartbeat;
use super::jk::JkPlan;
use super::mounts::{self, MountTable};
use super::origin::Origin;
use super::reserve::Reserve;
use super::url::{self, Url};
use crate::base::key::Key;
use crate::base::status::Status;
use crate::wire::http1::BadHeader;

/// Index into [`Plan::sites`]; 0 is the main server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct SiteId(pub u32);

/// Index into [`Plan::sections`]; 0 is the empty section.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct SectionId(pub u32);

/// Index into [`Plan::balancers`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct BalancerId(pub u32);

/// Index into [`Plan::members`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct MemberId(pub u32);

/// Everything the request path needs to know, compiled once per configuration pass.
#[derive(Debug, Default)]
pub struct Plan {
    /// One per server of httpd, the main server first. Inheritance is already worked in.
    pub sites: Vec<Site>,
    /// One per `<Location>`, `<Proxy>`… that holds a directive of ours; 0 is empty.
    pub sections: Vec<Section>,
    pub balancers: Vec<Balancer>,
    /// Members of balancers and plain workers alike.
    pub members: Vec<Member>,
    /// Places for members that may join; their numbers follow those of `members`.
    pub reserve: Vec<Reserve>,
    /// Regular expressions of rules, for the adapter to compile and ask.
    pub expressions: Vec<Expression>,
    /// `ProxyHCTPsize`: threads for health checks; 0 = one check after the other.
    pub check_threads: u32,
    /// Where the messages of `lbmethod=heartbeat` come from.
    pub heartbeat: Heartbeat,
    /// Something is shown by balancer-manager, so that what is checked can change while the server runs.
    pub managed: bool,
    /// What lines of mod_jk say.
    pub jk: JkPlan,
    /// What is said about the agent.
    pub agent: AgentPlan,
}

/// One server (main or `<VirtualHost>`).
#[derive(Debug, Default)]
pub struct Site {
    /// For messages: `main server`, or the virtual host's name.
    pub name: String,
    /// `ProxyPass` rules in order, those of the main server first; first match wins.
    pub mounts: MountTable,
    /// Server-level rules for response headers and the per-directory defaults of this server.
    pub defaults: SectionId,
    /// `ProxyVia`.
    pub via: Via,
    /// `ProxyMaxForwards`; `None` adds no header.
    pub max_forwards: Option<u32>,
    /// `ProxyTimeout`, else `Timeout`: for members that set none themselves.
    pub timeout: Duration,
    /// `ProxyBadHeader`.
    pub bad_header: BadHeader,
    /// `ProxySourceAddress`: the local end of connections to members.
    pub source_address: Option<IpAddr>,
    /// What is forwarded for clients, and through which other proxies back ends are asked.
    pub forward: ForwardRules,
    /// `ProxyStatus`: mod_status shows the balancers.
    pub status: bool,
    /// `BalancerPersist`: the state of the balancers is kept when the server is stopped.
    pub persist: bool,
    /// `BalancerInherit`, `ProxyPassInherit`: for pages that tell; inheritance itself is worked in.
    pub inherits: Inherits,
    /// Balancers this server can name, by lower-case name without the scheme.
    pub balancers: Vec<(String, BalancerId)>,
    /// Plain workers this server can name, its own first.
    pub workers: Vec<MemberId>,
    /// `ProxyHCExpr` of this server, in the order of the file.
    pub conditions: Arc<[Arc<Condition>]>,
}

/// What a server takes over from the main server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inherits {
    pub balancers: bool,
    pub rules: bool,
}

impl Default for Inherits {
    fn default() -> Self {
        Self { balancers: true, rules: true }
    }
}

/// `ProxyVia`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Via {
    #[default]
    Off,
    On,
    Full,
    Block,
}

/// What a per-directory section says. Unset values fall back to the section outside it.
#[derive(Debug, Default)]
pub struct Section {
    pub origin: Option<Origin>,
    /// The section's `ProxyPass`, if it has one.
    pub mount: Option<Mount>,
    pub reverse: Vec<ReverseRule>,
    pub cookie_path: Vec<CookieRule>,
    pub cookie_domain: Vec<CookieRule>,
    /// `ProxyPreserveHost`.
    pub preserve_host: Option<bool>,
    /// `ProxyPassInterpolateEnv`.
    pub interpolate: Option<bool>,
    /// `ProxyAddHeaders`.
    pub add_headers: Option<bool>,
    /// `Proxy100Continue`.
    pub pass_continue: Option<bool>,
    /// `ProxyErrorOverride`.
    pub error_override: Option<ErrorOverride>,
}

/// `ProxyErrorOverride`: which of a member's error pages give way to the server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorOverride {
    Off,
    /// All from 400 on.
    All,
    Codes(Vec<u16>),
}

impl ErrorOverride {
    pub fn covers(&self, status: u16) -> bool {
        match self {
            Self::Off => false,
            Self::All => (400..600).contains(&status),
            Self::Codes(codes) => codes.contains(&status),
        }
    }
}

/// `ProxyPassReverse`: how response headers that name a member are turned back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseRule {
    pub origin: Origin,
    /// What the client is to see: the path of the front end.
    pub public: String,
    /// What the member says.
    pub internal: ReverseFrom,
    /// Variables of the request are put into both, if [`Section::interpolate`] says so.
    pub has_variables: bool,
}

/// The left side of a [`ReverseRule`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReverseFrom {
    /// `balancer://name/path`: any member's URL, then `path` (empty for none or `/`).
    Balancer { id: BalancerId, path: String },
    /// `/path`: scheme and host of an absolute value are skipped.
    Path(String),
    /// Any other text: prefix of the whole value, letter case ignored.
    Prefix(String),
}

impl ReverseFrom {
    /// What a URL of a rule stands for; `known` finds balancers by name.
    pub fn of(url: String, known: impl Fn(&str) -> Option<BalancerId>) -> ReverseFrom {
        let balancer = match url::parse(&url) {
            Ok(Url::Balancer(balancer)) => known(&balancer.name).map(|id| (id, balancer.path)),
            _ => None,
        };
        match balancer {
            Some((id, path)) => {
                let path = if path == "/" { String::new() } else { path };
                ReverseFrom::Balancer { id, path }
            }
            None if url.starts_with('/') => ReverseFrom::Path(url),
            None => ReverseFrom::Prefix(url),
        }
    }
}

/// `ProxyPassReverseCookiePath`, `ProxyPassReverseCookieDomain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieRule {
    pub origin: Origin,
    pub internal: String,
    pub public: String,
    /// As [`ReverseRule::has_variables`].
    pub has_variables: bool,
}

/// One `ProxyPass` rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub origin: Origin,
    /// The path as written (a run of slashes in it matches any run). For a section: the section's argument. For a
    /// regular expression: its text.
    pub path: String,
    pub matching: Matching,
    pub target: Target,
    pub encoding: Encoding,
    /// `interpolate`: variables of the request are put into path and target, if [`Section::interpolate`] says so.
    pub interpolate: bool,
}

impl Mount {
    /// Does the rule apply to this path (in the form its encoding asks for), and where does the rest begin?
    /// For the mount of a section; those of a server are found by [`MountTable::lookup`]. A regular expression has no rest.
    pub fn rest(&self, path: &[u8]) -> Option<usize> {
        match self.matching {
            Matching::Prefix => mounts::matches(self.path.as_bytes(), path),
            Matching::Section => Some(0),
            Matching::Expression(_) => None,
        }
    }

    /// The target as written: a URL or `!`.
    pub fn target_text(&self) -> &str {
        match &self.target {
            Target::Exclude => "!",
            Target::Forward(destination) => &destination.url,
            Target::Named(url) => url,
        }
    }
}

/// How a rule's path is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Matching {
    /// As a prefix, see [`mounts::matches`].
    #[default]
    Prefix,
    /// The section's own pattern has matched already (`<LocationMatch>`); the whole request path is the rest.
    Section,
    /// As a regular expression that is searched in the path; the whole path is the rest unless the target names groups.
    Expression(ExpressionId),
}

/// How the request path is written for the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Decoded and encoded anew.
    #[default]
    Canonical,
    /// `nocanon`: as the client sent it.
    AsReceived,
    /// `mapping=encoded`: matched before decoding.
    Encoded,
    /// `mapping=servlet`: matched the way a servlet container normalises.
    Servlet,
}

/// Where a rule leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `!`: not forwarded, and no later rule is asked.
    Exclude,
    Forward(Destination),
    /// The back end itself is put together from groups of the expression: it is found by the finished URL.
    Named(String),
}

/// The target of a forwarding rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The target as written, for messages and for `r->filename`.
    pub url: String,
    pub worker: Worker,
    /// Path part of the target; the rest of the request path is appended as it is.
    pub path: String,
    /// True for `balancer://c` and `ajp://h` without a path: a rest that does not start with a slash would become
    /// part of the name, which no worker has. Such a request is answered 500.
    pub open_authority: bool,
}

/// Who gets what a rule forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worker {
    Balancer(BalancerId),
    /// A plain worker: one member, always tried, never in the error state.
    Member(MemberId),
}

/// Balancing method (`lbmethod=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Method {
    #[default]
    ByRequests,
    ByTraffic,
    ByBusyness,
    Heartbeat,
}

/// One balancer as one server sees it. A virtual host that inherited it and names it with settings of its own has a
/// balancer of its own with the same members; one that never names it shares the main server's.
#[derive(Debug)]
pub struct Balancer {
    pub key: Key,
    /// Lower-case name without `balancer://`.
    pub name: String,
    pub origin: Origin,
    /// In the order of the file.
    pub members: Vec<MemberId>,
    pub method: Method,
    pub sticky: Option<Sticky>,
    /// `nofailover`: a session whose member is down is refused instead of moved.
    pub no_failover: bool,
    /// `timeout`: how long a request waits for a usable member.
    pub wait: Option<Duration>,
    /// `maxattempts`; `None` = members - 1.
    pub max_attempts: Option<u32>,
    /// `failonstatus`: codes that put the member into the error state.
    pub fail_on_status: Vec<u16>,
    /// `failontimeout`.
    pub fail_on_timeout: bool,
    /// `forcerecovery`: when all members are in the error state, try them all again.
    pub force_recovery: bool,
    /// `nonce` of balancer-manager: `None` = random, `Some("None")` as written.
    pub nonce: Option<String>,
    /// `growth`: spare places for members added while running.
    pub growth: u32,
    /// Numbers of these places, as [`MemberId`]s.
    pub places: Range<u32>,
}

/// `stickysession` and its companions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    pub cookie: String,
    /// Empty: the URL is not looked at.
    pub path: String,
    /// `stickysessionsep`; `None` = the whole value is the route.
    pub separator: Option<u8>,
    /// `scolonpathdelim`: a `;` ends a session value in the URL.
    pub semicolon_ends: bool,
    /// Where the name was set, for the notice about letter case.
    pub origin: Origin,
}

/// Protocol of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Ajp,
    Http,
    /// HTTP whose requests may become WebSocket tunnels.
    Ws,
    /// HTTP over TLS.
    Https,
    /// [`Scheme::Ws`] over TLS.
    Wss,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ajp => "ajp",
            Self::Http => "http",
            Self::Ws => "ws",
            Self::Https => "https",
            Self::Wss => "wss",
        }
    }

    /// The scheme of this name in lower case, if members may have it.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ajp, Self::Http, Self::Ws, Self::Https, Self::Wss]
            .into_iter()
            .find(|known| known.name() == name)
    }

    /// Do bytes go out encrypted?
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Wss)
    }

    /// The port of a URL that names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Ajp => 8009,
            Self::Http | Self::Ws => 80,
            Self::Https | Self::Wss => 443,
        }
    }
}

/// One worker: a back end URL with its settings.
#[derive(Debug, Clone)]
pub struct Member {
    /// Stable over restarts: made of the balancer's and the member's name.
    pub key: Key,
    /// Canonical URL: lower-case scheme and host, no default port (`ajp://127.0.0.1:8010`).
    pub name: String,
    pub origin: Origin,
    pub scheme: Scheme,
    /// Lower case, without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// UNIX socket to connect to in place of host and port.
    pub socket: Option<String>,
    /// Path part of the URL, in front of the forwarded path; often empty. Always empty for a plain worker, whose rules
    /// carry the whole path.
    pub path: String,
    pub route: String,
    pub redirect: String,
    /// `loadfactor` × 100.
    pub load_factor: u32,
    pub lbset: u32,
    /// Flags at start, without `Status::INIT`.
    pub status: Status,
    /// How long the member rests in the error state.
    pub retry: Duration,
    /// `timeout`: per send or receive. `None` = the server's `ProxyTimeout`, else `Timeout`.
    pub timeout: Option<Duration>,
    /// `connectiontimeout`; `None` = as `timeout`.
    pub connect_timeout: Option<Duration>,
    /// `ping`: CPing before each request, and how long to wait for the CPong.
    pub ping: Option<Duration>,
    pub pool: PoolLimits,
    /// `keepalive`: TCP keep-alive.
    pub tcp_keepalive: bool,
    /// `addressttl`: `None` = resolve once; zero = resolve for each connection, no reuse.
    pub address_ttl: Option<Duration>,
    /// AJP packet size in bytes, 8192 to 65536, a multiple of 1024.
    pub packet_size: usize,
    /// `receivebuffersize`; 0 = the system's.
    pub receive_buffer: usize,
    pub flush: Flush,
    pub secret: String,
    /// How the member's health is checked. Never for a plain worker.
    pub health: Option<HealthCheck>,
    /// What the check of a balancer's member is made of when an administrator changes it.
    pub check_basis: Option<Arc<CheckBasis>>,
    /// `responsefieldsize`: longest line of the head of an HTTP answer, in bytes.
    pub response_field_size: usize,
    /// `upgrade`: the protocols an HTTP member may switch to, as written; empty for none.
    pub upgrade: String,
    pub written: Written,
}

/// Settings of a member that pages show only if they were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    pub retry: bool,
    pub tcp_keepalive: bool,
    pub reuse: bool,
    /// `iobuffersize` as written.
    pub io_buffer: Option<u32>,
    /// `receivebuffersize` as written.
    pub receive_buffer: Option<u32>,
}

/// `flushpackets`, `flushwait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flush {
    /// Data goes out when buffers fill or the response ends.
    #[default]
    Off,
    /// After each chunk.
    On,
    /// When nothing more arrives for this long.
    Auto(Duration),
}

/// How many connections a process keeps to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// `max`; 0 = as many as the process has threads.
    pub max: u32,
    /// `smax`: idle connections above this number may be closed after `ttl`.
    pub soft_max: Option<u32>,
    pub min: u32,
    /// `ttl`: idle connections older than this are not used again.
    pub ttl: Option<Duration>,
    /// `acquire`: wait for a free connection; `None` = for ever.
    pub acquire: Option<Duration>,
    /// `disablereuse`.
    pub reuse: bool,
}

impl Plan {
    pub fn site(&self, id: SiteId) -> &Site {
        &self.sites[id.0 as usize]
    }

    pub fn section(&self, id: SectionId) -> &Section {
        &self.sections[id.0 as usize]
    }

    pub fn balancer(&self, id: BalancerId) -> &Balancer {
        &self.balancers[id.0 as usize]
    }

    /// A member; for a place that nobody took, what a member there would be like.
    pub fn member(&self, id: MemberId) -> &Member {
        match self.members.get(id.0 as usize) {
            Some(member) => member,
            None => self.reserve[id.0 as usize - self.members.len()].member(),
        }
    }
}
