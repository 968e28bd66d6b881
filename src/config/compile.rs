// SPDX-License-Identifier: Apache-2.0
//! From [`Draft`] to [`Plan`]: inheritance, references, defaults.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::declare::{BalancerDraft, MemberDraft, MountDraft, TargetDraft};
use super::draft::{DirectoryDraft, Draft, ReverseDraft, index};
use super::finding::{Finding, Severity};
use super::forward::KnownAddresses;
use super::health::{self, CheckBasis, Expression, HealthCheck};
use super::inherit::{self, View};
use super::jk;
use super::lint;
use super::mounts::MountTable;
use super::origin::Origin;
use super::plan::{
    Balancer, BalancerId, Destination, Flush, Inherits, Member, MemberId, Mount, Plan, PoolLimits,
    ReverseFrom, ReverseRule, Scheme, Section, SectionId, Site, SiteId, Sticky, Target, Worker, Written,
};
use super::reserve::Newcomers;
use super::setting::{BalancerSettings, FlushMode, MemberSettings};
use super::url;

use crate::base::key::Key;
use crate::base::status::Status;

/// What the configuration alone does not say.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// By [`SiteId`].
    pub sites: Vec<SiteFacts>,
    /// Places where other handlers answer.
    pub handlers: Vec<HandlerPlace>,
    /// Addresses of the names in `NoProxy` and `ProxyBlock`; `None`: nobody looked.
    pub addresses: Option<KnownAddresses>,
    /// Sections that apply to what a forward proxy is asked for, and whether they keep somebody out, in the order of the
    /// file; `None`: nobody looked.
    pub guards: Option<Vec<(SiteId, bool)>>,
    /// Something is shown by balancer-manager.
    pub managed: bool,
    /// Sites that have `SSLProxyEngine On` in them; `None`: nobody looked.
    pub tls_engines: Option<Vec<SiteId>>,
    /// What is in the files of [`Draft::wanted_files`], or why it could not be read.
    pub files: HashMap<String, Result<String, String>>,
    /// `ServerRoot`, without a slash at its end.
    pub server_root: String,
    /// Variables of the process, for `$(name)` in workers.properties.
    pub environment: HashMap<String, String>,
}

/// What httpd knows about a server.
#[derive(Clone, Debug)]
pub struct SiteFacts {
    /// `Timeout`.
    pub timeout: Duration,
    /// Address, port and `ServerName`: the same after each restart, different for each server.
    pub key: String,
}

impl Default for SiteFacts {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), key: String::new() }
    }
}

/// A `<Location>` with a `SetHandler` whose pages a rule might hide.
#[derive(Clone, Debug)]
pub struct HandlerPlace {
    pub site: SiteId,
    /// Argument of the `<Location>`.
    pub path: String,
    /// `balancer-manager`, `server-status`…
    pub handler: String,
    /// Line of the `<Location>`.
    pub origin: Origin,
}

/// The result of [`Draft::compile`].
#[derive(Debug)]
pub struct Outcome {
    /// `None` if any finding is an error.
    pub plan: Option<Plan>,
    /// Everything found while reading and compiling, in that order.
    pub findings: Vec<Finding>,
}

impl Draft {
    /// Makes the plan.
    pub fn compile(&self, facts: &Facts) -> Outcome {
        let mut findings = self.findings.clone();
        let (mut plan, more, newcomers) = Compiler::new(self, facts).run();
        findings.extend(more);
        let of_jk = jk::compile(&self.jk, self.sites.len(), facts, &mut plan);
        plan.add_places(newcomers);
        plan.agent = self.agent.clone();
        // What lacks a refused line would be warned about for the wrong reason.
        let is_wanted = |finding: &Finding| !self.has_errors() || finding.severity == Severity::Error;
        findings.extend(of_jk.into_iter().filter(is_wanted));
        if !self.has_errors() {
            findings.extend(lint::all(self, &plan, facts));
        }
        lint::once_each(&mut findings);
        let refused = findings.iter().any(|finding| finding.severity == Severity::Error);
        Outcome { plan: (!refused).then_some(plan), findings }
    }
}

/// The plan in the making.
pub(super) struct Compiler<'a> {
    pub draft: &'a Draft,
    facts: &'a Facts,
    /// By site: the text that tells its balancers and workers from those of others.
    keys: Vec<String>,
    pub plan: Plan,
    pub findings: Vec<Finding>,
    /// By site: its balancers by name.
    views: Vec<View>,
    /// By site: ids of its plain workers, in the order of the draft.
    workers: Vec<Vec<MemberId>>,
    /// Balancers that rules name and nobody declared for the site: no page shows them.
    lost: Vec<BalancerId>,
    /// Balancers that members may join, and what these would be like.
    newcomers: Newcomers,
}

impl<'a> Compiler<'a> {
    pub fn new(draft: &'a Draft, facts: &'a Facts) -> Self {
        Self {
            draft,
            facts,
            keys: site_keys(draft, facts),
            plan: Plan::default(),
            findings: Vec::new(),
            views: Vec::new(),
            workers: Vec::new(),
            lost: Vec::new(),
            newcomers: Vec::new(),
        }
    }

    pub fn run(mut self) -> (Plan, Vec<Finding>, Newcomers) {
        self.plan.expressions.clone_from(&self.draft.expressions);
        for site in 0..self.draft.sites.len() {
            let workers = self.draft.sites[site].workers.iter();
            let ids = workers.map(|worker| self.member(site, None, worker)).collect();
            self.workers.push(ids);
            let view = inherit::balancers(&mut self, site);
            self.views.push(view);
        }
        self.plan.heartbeat.clone_from(&self.draft.heartbeat);
        self.plan.check_threads = self.draft.check_threads.unwrap_or(health::DEFAULT_THREADS);
        self.plan.managed = self.facts.managed;
        self.sections();
        for site in 0..self.draft.sites.len() {
            let compiled = self.site(site);
            self.plan.sites.push(compiled);
        }
        (self.plan, self.findings, self.newcomers)
    }

    /// The view of the main server.
    pub fn main_view(&self) -> View {
        self.views.first().cloned().unwrap_or_default()
    }

    fn site(&mut self, site: usize) -> Site {
        let settings = inherit::settings(self.draft, site);
        let mounts = inherit::chain(site)
            .flat_map(|owner| self.draft.sites[owner].mounts.iter().map(move |mount| (owner, mount)))
            .map(|(owner, mount)| self.mount(site, owner, mount))
            .collect();
        let defaults = inherit::defaults(self.draft, site);
        let defaults = self.section(site, &defaults);
        self.plan.sections.push(defaults);
        let mut balancers: Vec<_> = self.views[site].iter().map(|(name, id)| (name.clone(), *id)).collect();
        balancers.retain(|(_, id)| !self.lost.contains(id));
        balancers.sort_by_key(|(_, id)| *id);
        Site {
            name: self.draft.sites[site].name.clone(),
            mounts: MountTable::new(mounts),
            defaults: SectionId(index(self.plan.sections.len() - 1)),
            via: settings.via.unwrap_or_default(),
            max_forwards: settings.max_forwards.flatten(),
            timeout: settings.timeout.unwrap_or(self.site_facts(site).timeout),
            source_address: settings.source_address,
            forward: inherit::forward(self.draft, site, self.facts.addresses.as_ref()),
            status: settings.status.unwrap_or(false),
            // Not inherited, as in stock.
            persist: self.draft.sites[site].settings.persist.unwrap_or(false),
            inherits: Inherits {
                balancers: settings.balancer_inherit.unwrap_or(true),
                rules: settings.pass_inherit.unwrap_or(true),
            },
            bad_header: settings.bad_header.unwrap_or_default(),
            balancers,
            workers: self.workers_of(site),
            conditions: self.conditions(site),
        }
    }

    /// The plain workers a server can name: its own, and the main server's like its balancers.
    fn workers_of(&self, site: usize) -> Vec<MemberId> {
        let inherited = site != 0 && inherit::takes_workers(self.draft, site);
        let outer = self.workers[0].iter().filter(|_| inherited);
        self.workers[site].iter().chain(outer).copied().collect()
    }

    fn site_facts(&self, site: usize) -> SiteFacts {
        self.facts.sites.get(site).cloned().unwrap_or_default()
    }

    fn sections(&mut self) {
        for draft in &self.draft.sections {
            let site = draft.site.0 as usize;
            let mut section = match site < self.draft.sites.len() {
                true => self.section(site, &draft.says),
                false => Section::default(),
            };
            section.origin.clone_from(&draft.origin);
            section.mount = draft.mount.as_ref().map(|mount| self.mount(site, site, mount));
            self.plan.sections.push(section);
        }
    }

    fn section(&self, site: usize, says: &DirectoryDraft) -> Section {
        Section {
            origin: None,
            mount: None,
            reverse: says.reverse.iter().map(|rule| self.reverse(site, rule)).collect(),
            cookie_path: says.cookie_path.clone(),
            cookie_domain: says.cookie_domain.clone(),
            preserve_host: says.preserve_host,
            interpolate: says.interpolate,
            add_headers: says.add_headers,
            pass_continue: says.pass_continue,
            error_override: says.error_override.clone(),
        }
    }

    fn reverse(&self, site: usize, rule: &ReverseDraft) -> ReverseRule {
        let internal = ReverseFrom::of(rule.url.clone(), |name| self.views[site].get(name).copied());
        ReverseRule {
            origin: rule.origin.clone(),
            public: rule.public.clone(),
            internal,
            has_variables: rule.interpolate && (rule.url.contains("${") || rule.public.contains("${")),
        }
    }

    /// A rule that `owner` wrote, as `site` sees it.
    fn mount(&mut self, site: usize, owner: usize, mount: &MountDraft) -> Mount {
        let target = match &mount.target {
            TargetDraft::Exclude => Target::Exclude,
            TargetDraft::Named => Target::Named(mount.url.clone()),
            TargetDraft::Balancer(balancer) => {
                let id = match self.views[site].get(&balancer.name) {
                    Some(id) => *id,
                    None => self.lost_balancer(site, &balancer.name, &mount.origin),
                };
                forward(mount, Worker::Balancer(id), &balancer.path)
            }
            TargetDraft::Worker(worker, path) => {
                forward(mount, Worker::Member(self.workers[owner][*worker]), path)
            }
        };
        Mount {
            origin: mount.origin.clone(),
            path: mount.path.clone(),
            matching: mount.matching,
            target,
            encoding: mount.encoding,
            interpolate: mount.interpolate,
        }
    }

    /// With both Inherit switches off a virtual host still has the main server's rules, but not its balancers.
    fn lost_balancer(&mut self, site: usize, name: &str, origin: &Origin) -> BalancerId {
        let empty = BalancerDraft {
            name: name.to_owned(),
            origin: origin.clone(),
            settings: BalancerSettings::default(),
            members: Vec::new(),
        };
        let id = self.balancer(site, &empty, &empty.settings, Vec::new());
        self.lost.push(id);
        self.views[site].insert(name.to_owned(), id);
        id
    }

    /// Adds a balancer.
    pub fn balancer(
        &mut self,
        site: usize,
        draft: &BalancerDraft,
        settings: &BalancerSettings,
        members: Vec<MemberId>,
    ) -> BalancerId {
        let settings = settings.clone();
        let sticky = settings.sticky.filter(|name| !name.cookie.is_empty()).map(|name| Sticky {
            cookie: name.cookie,
            path: name.path,
            separator: settings.separator.unwrap_or(Some(b'.')),
            semicolon_ends: settings.semicolon_ends.unwrap_or(false),
            origin: name.origin.unwrap_or_else(|| draft.origin.clone()),
        });
        self.plan.balancers.push(Balancer {
            key: Key::of(&["balancer", &self.keys[site], &draft.name]),
            name: draft.name.clone(),
            origin: draft.origin.clone(),
            members,
            method: settings.method.unwrap_or_default(),
            sticky,
            no_failover: settings.no_failover.unwrap_or(false),
            wait: settings.wait,
            max_attempts: settings.max_attempts,
            fail_on_status: settings.fail_on_status.unwrap_or_default(),
            fail_on_timeout: settings.fail_on_timeout.unwrap_or(false),
            force_recovery: settings.force_recovery.unwrap_or(true),
            nonce: settings.nonce,
            growth: settings.growth.unwrap_or(0),
            places: 0..0,
        });
        let id = BalancerId(index(self.plan.balancers.len() - 1));
        if settings.growth.is_some_and(|growth| growth > 0) {
            let template = self.newcomer(site, draft);
            self.newcomers.push((id, Arc::new(template)));
        }
        id
    }

    /// Adds a member of a balancer, or a plain worker.
    pub fn member(&mut self, site: usize, balancer: Option<&str>, draft: &MemberDraft) -> MemberId {
        let member = self.made(site, balancer, draft);
        self.plan.members.push(member);
        MemberId(index(self.plan.members.len() - 1))
    }

    fn made(&mut self, site: usize, balancer: Option<&str>, draft: &MemberDraft) -> Member {
        let (url, settings) = (&draft.url, &draft.settings);
        let key = match balancer {
            Some(balancer) => Key::of(&["member", &self.keys[site], balancer, &url.name]),
            None => Key::of(&["worker", &self.keys[site], &url.name]),
        };
        let start = if balancer.is_some() { Status::default() } else { Status::IGNORE_ERRORS };
        let letters = settings.status.as_deref().unwrap_or_default();
        let io_buffer = settings.io_buffer.or(inherit::settings(self.draft, site).io_buffer);
        let health = balancer.and_then(|_| self.health(site, draft));
        let check_basis = balancer.map(|_| Arc::new(self.check_basis(site, draft)));
        Member {
            key,
            name: url.name.clone(),
            origin: draft.origin.clone(),
            scheme: url.scheme,
            host: url.host.clone(),
            port: url.port,
            socket: url.socket.clone(),
            path: if balancer.is_some() { url.path.clone() } else { String::new() },
            route: settings.route.clone().unwrap_or_default(),
            redirect: settings.redirect.clone().unwrap_or_default(),
            load_factor: settings.load_factor.unwrap_or(100),
            lbset: settings.lbset.unwrap_or(0),
            status: start.apply_letters(letters).unwrap_or(start).without(Status::INIT),
            retry: settings.retry.unwrap_or(Duration::from_secs(60)),
            timeout: settings.timeout,
            connect_timeout: settings.connect_timeout,
            ping: settings.ping,
            pool: self.pool(settings),
            tcp_keepalive: settings.tcp_keepalive.unwrap_or(false),
            address_ttl: settings.address_ttl.flatten(),
            packet_size: packet_size(io_buffer),
            receive_buffer: settings.receive_buffer.unwrap_or(0) as usize,
            flush: flush(settings),
            secret: settings.secret.clone().unwrap_or_default(),
            health,
            check_basis,
            response_field_size: field_size(settings.response_field_size),
            upgrade: upgrade_of(url.scheme, settings.upgrade.as_deref()),
            written: Written {
                retry: settings.retry.is_some(),
                tcp_keepalive: settings.tcp_keepalive.is_some(),
                reuse: settings.reuse.is_some(),
                io_buffer: settings.io_buffer,
                receive_buffer: settings.receive_buffer,
            },
        }
    }

    /// What a member would be like that joins a balancer: as stock, disabled, and with nothing of what other lines say.
    fn newcomer(&mut self, site: usize, balancer: &BalancerDraft) -> Member {
        let settings = MemberSettings { status: Some("D".to_owned()), ..MemberSettings::default() };
        let draft = MemberDraft {
            url: url::nowhere(),
            origin: balancer.origin.clone(),
            settings,
            stands_for_many: false,
        };
        self.made(site, Some(&balancer.name), &draft)
    }

    fn conditions(&self, site: usize) -> Arc<[Arc<Expression>]> {
        self.draft.sites[site].health.expressions.clone().into()
    }

    fn check_basis(&self, site: usize, draft: &MemberDraft) -> CheckBasis {
        let server = inherit::settings(self.draft, site);
        let timeout = server.timeout.unwrap_or(self.site_facts(site).timeout);
        CheckBasis {
            settings: HealthCheck::asked(&draft.settings, timeout, server.source_address),
            written: draft.settings.hc_method.is_some(),
            conditions: self.conditions(site),
        }
    }

    fn health(&mut self, site: usize, draft: &MemberDraft) -> Option<HealthCheck> {
        let server = inherit::settings(self.draft, site);
        let timeout = server.timeout.unwrap_or(self.site_facts(site).timeout);
        HealthCheck::of(&draft.settings, timeout, server.source_address)
    }

    fn pool(&self, settings: &MemberSettings) -> PoolLimits {
        PoolLimits {
            max: settings.max.unwrap_or(0),
            soft_max: settings.soft_max,
            min: settings.min.unwrap_or(0),
            ttl: settings.ttl,
            acquire: settings.acquire,
            // An address that is looked up for each connection may not be kept in one.
            reuse: settings.reuse.unwrap_or(true) && settings.address_ttl.flatten() != Some(Duration::ZERO),
        }
    }
}

/// Two servers with one key would share the state of their balancers: the later one's is numbered.
fn site_keys(draft: &Draft, facts: &Facts) -> Vec<String> {
    let mut seen: HashMap<&str, u32> = HashMap::new();
    let named = draft.sites.iter().enumerate().map(|(site, known)| {
        facts
            .sites
            .get(site)
            .map(|facts| facts.key.as_str())
            .filter(|key| !key.is_empty())
            .unwrap_or(&known.name)
    });
    named
        .map(|key| {
            let count = seen.entry(key).or_default();
            *count += 1;
            if *count == 1 { key.to_owned() } else { format!("{key}\n{count}") }
        })
        .collect()
}

fn forward(mount: &MountDraft, worker: Worker, path: &str) -> Target {
    Target::Forward(Destination {
        url: mount.url.clone(),
        worker,
        path: path.to_owned(),
        open_authority: path.is_empty(),
    })
}

fn flush(settings: &MemberSettings) -> Flush {
    match settings.flush {
        None | Some(FlushMode::Off) => Flush::Off,
        Some(FlushMode::On) => Flush::On,
        Some(FlushMode::Auto) => Flush::Auto(settings.flush_wait.unwrap_or(Duration::from_millis(10))),
    }
}

/// Bytes of the longest line in the head of an HTTP answer; 0 is the default.
fn field_size(asked: Option<u32>) -> usize {
    const DEFAULT: usize = 8192;
    match asked {
        None | Some(0) => DEFAULT,
        Some(size) => size as usize,
    }
}

/// The protocols a member may switch to.
pub(super) fn upgrade_of(scheme: Scheme, written: Option<&str>) -> String {
    match (written, scheme) {
        (Some(protocols), _) if !protocols.is_empty() => protocols.to_owned(),
        (_, Scheme::Ws | Scheme::Wss) => "WebSocket".to_owned(),
        _ => String::new(),
    }
}

/// Bytes of an AJP packet: at least 8192, at most 65536, rounded up to a multiple of 1024.
fn packet_size(io_buffer: Option<u32>) -> usize {
    const LEAST: usize = 8192;
    const MOST: usize = 65536;
    (io_buffer.unwrap_or(0) as usize).clamp(LEAST, MOST).next_multiple_of(1024)
}

/// Names of balancers to their ids.
pub(super) type Names = HashMap<String, BalancerId>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_sizes_are_clamped_and_rounded_up() {
        let sizes =
            [(None, 8192), (Some(512), 8192), (Some(8193), 9216), (Some(65535), 65536), (Some(99999), 65536)];
        for (asked, given) in sizes {
            assert_eq!(packet_size(asked), given);
        }
    }
}
