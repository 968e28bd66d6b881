// SPDX-License-Identifier: Apache-2.0
//! From the lines of mod_jk to [`JkPlan`]: which workers there are, and what each server has of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::definitions::{Definitions, Worker, nowhere, read_file, too_long, unreadable};
use super::draft::{JkDraft, JkSiteDraft, RuleDraft, absolute};
use super::member::Owner;
use super::mount_file::{RuleLine, read_mount_file};
use super::mounts::JkMounts;
use super::plan::{
    JkBalancerId, JkIndicators, JkLog, JkMountFile, JkOptions, JkRule, JkSite, JkTarget, JkWorker, RuleSource,
};
use super::properties::words;
use super::{balancer, id, lint, member};
use crate::base::text::{leading_integer, nearest, quoted};
use crate::config::compile::Facts;
use crate::config::directive::Directive;
use crate::config::draft::index;
use crate::config::finding::{Finding, Severity};
use crate::config::origin::Origin;
use crate::config::plan::{MemberId, Plan};
use crate::config::url::shown;

/// The worker there is when nobody says anything.
const DEFAULT_WORKER: &str = "ajp13";
const DEFAULT_RELOAD: Duration = Duration::from_secs(60);

/// Adds what the lines of mod_jk say to `plan`, whose sites are compiled.
pub(in crate::config) fn compile(
    draft: &JkDraft,
    sites: usize,
    facts: &Facts,
    plan: &mut Plan,
) -> Vec<Finding> {
    if !draft.is_used {
        return Vec::new();
    }
    plan.jk.is_used = true;
    plan.jk.watchdog = draft.watchdog.unwrap_or_default();
    plan.jk.workers_file = draft.workers_file.as_ref().map(|(file, _)| file.clone());
    plan.jk.environment.clone_from(&facts.environment);
    let definitions = Definitions::read(draft, facts);
    if definitions.findings.iter().any(|finding| finding.id == id::UNREADABLE) {
        // Everything else would be about workers that nobody could read.
        return definitions.findings;
    }
    let mut compiler = Compiler { draft, facts, plan, findings: Vec::new() };
    compiler.workers(&definitions);
    compiler.plan.jk.properties = definitions.all();
    let mounts = compiler.rules_of_workers(&definitions);
    compiler.sites(sites, &mounts);
    let mut findings = definitions.findings.clone();
    findings.append(&mut compiler.findings);
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        // A worker that cannot be made is no worker that is not in the list.
        findings.retain(|finding| finding.id != id::UNKNOWN_WORKER);
    } else {
        lint::check(draft, &definitions, plan, &mut findings);
    }
    findings.sort_by(|a, b| (&a.origin.file, a.origin.line).cmp(&(&b.origin.file, b.origin.line)));
    findings
}

struct Compiler<'a> {
    draft: &'a JkDraft,
    facts: &'a Facts,
    plan: &'a mut Plan,
    findings: Vec<Finding>,
}

impl Compiler<'_> {
    fn workers(&mut self, definitions: &Definitions) {
        self.plan.jk.members = vec![None; self.plan.members.len()];
        self.plan.jk.maintain = maintain(definitions);
        let nowhere = match &self.draft.workers_file {
            Some((_, origin)) => origin.clone(),
            None => nowhere(),
        };
        let listed = definitions.global("worker.list");
        let origin = listed.map_or(&nowhere, |list| &list.origin);
        let names = listed.map_or(DEFAULT_WORKER, |list| &list.value);
        let mut seen = HashSet::new();
        for name in words(names) {
            if seen.insert(name) {
                self.listed(definitions, name, origin, listed.map(|list| list.value.as_str()));
            }
        }
    }

    /// A worker of `worker.list`.
    fn listed(&mut self, definitions: &Definitions, name: &str, origin: &Origin, list: Option<&str>) {
        self.findings.extend(too_long("Worker name", name, origin));
        let mut worker = Worker::new(definitions, name, origin);
        if let Some(list) = list.filter(|_| !definitions.is_defined(name)) {
            worker.findings.push(undefined(definitions, name, ("worker.list", list), origin));
        }
        let target = match worker.text("type").unwrap_or("ajp13") {
            "ajp13" | "ajp14" => Some(JkTarget::Ajp(self.member(&mut worker, None))),
            "lb" => self.balancer(&mut worker),
            "status" => {
                let status = balancer::status(&mut worker);
                self.plan.jk.status.push(status);
                Some(JkTarget::Status(super::plan::JkStatusId(index(self.plan.jk.status.len() - 1))))
            }
            kind => {
                let kind = kind.to_owned();
                worker.findings.push(unknown_type(&worker, &kind));
                None
            }
        };
        let origin = worker.origin().clone();
        self.findings.append(&mut worker.findings);
        if let Some(target) = target {
            self.plan.jk.workers.push(JkWorker { name: name.to_owned(), origin, target });
        }
    }

    fn member(&mut self, worker: &mut Worker, owner: Option<Owner>) -> MemberId {
        if let Some(property) = worker.get("type").filter(|kind| kind.value == "ajp14") {
            let text = format!(
                "{}=ajp14 is taken as ajp13, which Tomcat speaks too; no login takes place",
                shown(&property.name)
            );
            worker.findings.push(Finding::notice(id::AJP14, &property.origin, text));
        }
        let (common, member) = member::read(worker, owner);
        self.plan.members.push(common);
        self.plan.jk.members.push(Some(member));
        MemberId(index(self.plan.members.len() - 1))
    }

    fn balancer(&mut self, worker: &mut Worker) -> Option<JkTarget> {
        let mut balancer = balancer::read(worker);
        let listed = worker.get("balance_workers").or(worker.get("balanced_workers"));
        let Some(list) = listed else {
            worker.findings.push(without_members(worker));
            return None;
        };
        let secret = worker.text("secret");
        let id = JkBalancerId(index(self.plan.jk.balancers.len()));
        for name in words(&list.value) {
            let mut member = Worker::new(worker.definitions, name, &list.origin);
            self.findings.extend(too_long("Worker name", name, &list.origin));
            if !member.definitions.is_defined(name) {
                member.findings.push(undefined(
                    member.definitions,
                    name,
                    (&list.name, &list.value),
                    &list.origin,
                ));
            }
            match member.text("type").unwrap_or("ajp13") {
                "ajp13" | "ajp14" => {
                    let owner = Owner { id, name: worker.name, secret };
                    balancer.members.push(self.member(&mut member, Some(owner)));
                }
                kind => {
                    let finding = not_a_member(&member, kind, worker.name);
                    member.findings.push(finding);
                }
            }
            self.findings.append(&mut member.findings);
        }
        self.duplicate_routes(&balancer.name, &balancer.members);
        let largest = balancer.members.iter().map(|id| self.plan.member(*id).packet_size).max();
        let asked = worker.count("max_packet_size").map_or(0, |size| member::packet_size(Some(size)));
        balancer.packet_size = largest.unwrap_or(0).max(asked);
        self.plan.jk.balancers.push(balancer);
        Some(JkTarget::Balancer(id))
    }

    fn duplicate_routes(&mut self, balancer: &str, members: &[MemberId]) {
        let mut owners: HashMap<&str, MemberId> = HashMap::new();
        let mut findings = Vec::new();
        for &id in members {
            let member = self.plan.member(id);
            let Some(first) = owners.insert(&member.route, id) else { continue };
            let names =
                [first, id].map(|id| self.plan.jk.member(id).map_or("", |member| member.name.as_str()));
            let text = format!(
                "balancer {}: Balanced workers {} ({}) and {} share the same route {}: no session would find the second one",
                shown(balancer),
                shown(names[0]),
                self.plan.member(first).origin,
                shown(names[1]),
                shown(&member.route)
            );
            let cure = match names[0] == names[1] {
                true => format!("Name {} once in balance_workers.", shown(names[0])),
                false => "Give each member its own route, the jvmRoute of its Tomcat.".to_owned(),
            };
            findings.push(Finding::error(id::DUPLICATE_ROUTE, &member.origin, text).cured_by(cure));
        }
        self.findings.append(&mut findings);
    }

    /// `mount` of the workers in `worker.list`.
    fn rules_of_workers(&mut self, definitions: &Definitions) -> Vec<JkRule> {
        let mut rules = Vec::new();
        for worker in &self.plan.jk.workers {
            let Some(mount) = definitions.property(&worker.name, "mount") else { continue };
            for pattern in words(&mount.value) {
                let line = RuleLine {
                    key: pattern,
                    worker: &worker.name,
                    origin: &mount.origin,
                    source: RuleSource::Worker,
                };
                match line.rules(&self.plan.jk, &mut self.findings) {
                    Ok(made) => rules.extend(made),
                    Err(finding) => self.findings.push(finding),
                }
            }
        }
        rules
    }

    fn sites(&mut self, count: usize, of_workers: &[JkRule]) {
        let main = self.draft.site(0);
        let table = Arc::new(self.mounts(&main, of_workers));
        for site in 0..count {
            let compiled = match site {
                0 => self.site(&main, table.clone()),
                _ => self.virtual_host(&main, self.draft.site(site), &table),
            };
            self.plan.jk.sites.push(compiled);
        }
        self.plan.jk.bare = self.virtual_host(&main, JkSiteDraft::default(), &table);
    }

    fn virtual_host(&mut self, main: &JkSiteDraft, own: JkSiteDraft, table: &Arc<JkMounts>) -> JkSite {
        let (site, has_main_table) = inherited(main, own, self.draft.copy_all);
        let mounts = if has_main_table { table.clone() } else { Arc::new(self.mounts(&site, &[])) };
        self.site(&site, mounts)
    }

    fn mounts(&mut self, own: &JkSiteDraft, of_workers: &[JkRule]) -> JkMounts {
        let mut rules = Vec::new();
        if let Some((file, origin)) = &own.mount_file {
            let path = absolute(file, &self.facts.server_root);
            match read_file(self.facts, &path) {
                Ok(text) => {
                    let (made, findings) = read_mount_file(text, &path, &self.plan.jk);
                    rules.extend(made);
                    self.findings.extend(findings);
                }
                Err(why) => self.findings.push(unreadable("JkMountFile", "mount", &path, why, origin)),
            }
        }
        for RuleDraft { key, worker, origin } in &own.rules {
            let line = RuleLine { key, worker, origin, source: RuleSource::Directive };
            match line.rules(&self.plan.jk, &mut self.findings) {
                Ok(made) => rules.extend(made),
                Err(finding) => self.findings.push(finding),
            }
        }
        rules.extend(of_workers.iter().cloned());
        JkMounts::new(rules)
    }

    fn site(&self, own: &JkSiteDraft, mounts: Arc<JkMounts>) -> JkSite {
        let mount_file = own.mount_file.as_ref().map(|(file, _)| JkMountFile {
            path: absolute(file, &self.facts.server_root),
            reload: own.reload.unwrap_or(Some(DEFAULT_RELOAD)),
        });
        let mut options = JkOptions::default();
        own.options.apply(&mut options);
        let log = JkLog::default();
        let indicators = indicators(&own.indicators);
        let extract_ssl = own.extract_ssl.unwrap_or(true);
        JkSite {
            mounts,
            mount_file,
            auto_alias: own.auto_alias.as_deref().map(|folder| absolute(folder, &self.facts.server_root)),
            strip_session: own.strip_session.clone().flatten(),
            options,
            has_cgi_variables: !own.env_vars.is_empty() || extract_ssl && indicators.has_own_tls(),
            indicators,
            env_vars: own.env_vars.clone(),
            extract_ssl,
            log: JkLog {
                file: own.log_file.clone(),
                level: own.log_level.unwrap_or(log.level),
                stamp: own.stamp.clone().unwrap_or(log.stamp),
                request_format: own.request_format.clone(),
            },
        }
    }
}

/// What a virtual host has of the main server, and whether it has the very table of that one: then the `mount` lines of
/// workers count for it too.
fn inherited(main: &JkSiteDraft, own: JkSiteDraft, copy_all: bool) -> (JkSiteDraft, bool) {
    let mut site = own;
    let copies = site.copy.unwrap_or(copy_all);
    let has_rules = !site.rules.is_empty() || site.mount_file.is_some();
    if copies {
        site.copy_rules(main);
        site.mount_file = site.mount_file.or_else(|| main.mount_file.clone());
        site.auto_alias = site.auto_alias.or_else(|| main.auto_alias.clone());
    }
    site.options = site.options.over(main.options);
    let has_main_table = copies && !has_rules;
    if has_main_table {
        // These two are the table's.
        site.options = site.options.with_reject_unsafe_of(main.options);
        site.reload = main.reload;
    }
    site.reload = site.reload.or(main.reload);
    site.strip_session = site.strip_session.or_else(|| main.strip_session.clone());
    site.log_file = site.log_file.or_else(|| main.log_file.clone());
    site.log_level = site.log_level.or(main.log_level);
    site.stamp = site.stamp.or_else(|| main.stamp.clone());
    site.request_format = site.request_format.or_else(|| main.request_format.clone());
    site.extract_ssl = site.extract_ssl.or(main.extract_ssl);
    // The last one of a name counts.
    site.indicators = main.indicators.iter().cloned().chain(site.indicators).collect();
    for (name, default) in &main.env_vars {
        if !site.env_vars.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) {
            site.env_vars.push((name.clone(), default.clone()));
        }
    }
    (site, has_main_table)
}

fn indicators(said: &[(Directive, String)]) -> JkIndicators {
    use Directive as D;
    let mut all = JkIndicators::default();
    for (directive, name) in said {
        let place = match directive {
            D::JkWorkerIndicator => &mut all.worker,
            D::JkRequestIdIndicator => &mut all.request_id,
            D::JkRemoteAddrIndicator => &mut all.remote_addr,
            D::JkRemotePortIndicator => &mut all.remote_port,
            D::JkRemoteHostIndicator => &mut all.remote_host,
            D::JkRemoteUserIndicator => &mut all.remote_user,
            D::JkAuthTypeIndicator => &mut all.auth_type,
            D::JkLocalNameIndicator => &mut all.local_name,
            D::JkLocalAddrIndicator => &mut all.local_addr,
            D::JkLocalPortIndicator => &mut all.local_port,
            D::JkIgnoreCLIndicator => &mut all.ignore_cl,
            D::JkHTTPSIndicator => &mut all.https,
            D::JkSSLPROTOCOLIndicator => &mut all.ssl_protocol,
            D::JkCERTSIndicator => &mut all.certs,
            D::JkCIPHERIndicator => &mut all.cipher,
            D::JkSESSIONIndicator => &mut all.session,
            D::JkKEYSIZEIndicator => &mut all.key_size,
            D::JkCERTCHAINPrefix => &mut all.cert_chain_prefix,
            _ => continue,
        };
        place.clone_from(name);
    }
    all
}

/// `worker.maintain`; 0 or less is none.
fn maintain(definitions: &Definitions) -> Duration {
    let seconds =
        definitions.global("worker.maintain").map_or(60, |property| leading_integer(&property.value).0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// `list`: name and value of the property that names the worker.
fn undefined(definitions: &Definitions, name: &str, list: (&str, &str), origin: &Origin) -> Finding {
    let text = format!(
        "{} names {}, which has no properties: it becomes an ajp13 worker at localhost:8009",
        shown(list.0),
        quoted(name)
    );
    let others = definitions.names().into_iter().filter(|other| words(list.1).all(|word| word != *other));
    let cure = match nearest(name, others) {
        Some(guess) => format!("Did you mean {guess}?"),
        None => format!("Write worker.{0}.host=… and worker.{0}.port=….", shown(name)),
    };
    Finding::warning(id::UNDEFINED_WORKER, origin, text).cured_by(cure)
}

fn unknown_type(worker: &Worker, kind: &str) -> Finding {
    const TYPES: [&str; 4] = ["ajp13", "lb", "status", "ajp14"];
    let origin = worker.get("type").map_or(worker.origin(), |property| &property.origin);
    let text = format!("Unknown worker type {} for worker {}", quoted(kind), shown(worker.name));
    let meant = match kind.to_ascii_lowercase().as_str() {
        "balancer" | "loadbalancer" | "cluster" => Some("lb"),
        "ajp" | "ajp12" => Some("ajp13"),
        "jkstatus" | "manager" => Some("status"),
        "lb" => Some("lb"),
        other => nearest(other, TYPES),
    };
    Finding::error(id::UNKNOWN_TYPE, origin, text).cured_by(match meant {
        Some(meant) => format!("Did you mean {meant}?"),
        None => "Write ajp13, lb or status.".to_owned(),
    })
}

fn without_members(worker: &Worker) -> Finding {
    let text = format!("balancer {} has no members", shown(worker.name));
    Finding::error(id::NO_MEMBERS, worker.origin(), text).cured_by(format!(
        "Write worker.{}.balance_workers=… with the names of its workers.",
        shown(worker.name)
    ))
}

fn not_a_member(member: &Worker, kind: &str, balancer: &str) -> Finding {
    let origin = member.get("type").map_or(member.origin(), |property| &property.origin);
    let text = format!(
        "worker {} of type {} cannot be a member of balancer {}",
        shown(member.name),
        quoted(kind),
        shown(balancer)
    );
    Finding::error(id::NOT_A_MEMBER, origin, text)
        .cured_by("Members are of type ajp13; name those in balance_workers.")
}
