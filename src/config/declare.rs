// SPDX-License-Identifier: Apache-2.0
//! What one server has declared: rules, balancers, workers. Everything is made on first mention.

use super::directive::Directive;
use super::draft::DirectoryDraft;
use super::expression::names_groups;
use super::finding::{Finding, id};
use super::forward::ForwardDraft;
use super::health::HealthNames;
use super::origin::Origin;
use super::plan::{Encoding, Matching};
use super::setting::{BalancerSettings, MemberSettings, SiteSettings};
use super::statement::{Pair, TargetLine};
use super::url::{BalancerUrl, MemberUrl, shown};
use crate::base::text::nearest;

/// One server.
#[derive(Debug, Default)]
pub(crate) struct SiteDraft {
    pub name: String,
    pub settings: SiteSettings,
    pub mounts: Vec<MountDraft>,
    pub balancers: Vec<BalancerDraft>,
    pub workers: Vec<MemberDraft>,
    /// Per-directory values at server level.
    pub defaults: DirectoryDraft,
    pub health: HealthNames,
    pub forward: ForwardDraft,
}

#[derive(Debug, Clone)]
pub(crate) struct MountDraft {
    pub origin: Origin,
    pub path: String,
    pub matching: Matching,
    pub url: String,
    pub target: TargetDraft,
    pub encoding: Encoding,
    pub interpolate: bool,
}

/// Where a rule leads, by name.
#[derive(Debug, Clone)]
pub(crate) enum TargetDraft {
    Exclude,
    Balancer(BalancerUrl),
    /// Index into the workers of the site that wrote the rule, and the path of the target.
    Worker(usize, String),
    /// Found by the finished URL.
    Named,
}

#[derive(Debug)]
pub(crate) struct BalancerDraft {
    pub name: String,
    pub origin: Origin,
    pub settings: BalancerSettings,
    pub members: Vec<MemberDraft>,
}

#[derive(Debug)]
pub(crate) struct MemberDraft {
    pub url: MemberUrl,
    pub origin: Origin,
    pub settings: MemberSettings,
    /// Declared by a rule whose host or port has groups: rules without an expression do not share it.
    pub stands_for_many: bool,
}

impl SiteDraft {
    /// The balancer of this name, made on first mention.
    fn balancer(&mut self, name: &str, origin: &Origin) -> &mut BalancerDraft {
        let known = self.balancers.iter().position(|balancer| balancer.name == name);
        let place = known.unwrap_or_else(|| {
            self.balancers.push(BalancerDraft {
                name: name.to_owned(),
                origin: origin.clone(),
                settings: BalancerSettings::default(),
                members: Vec::new(),
            });
            self.balancers.len() - 1
        });
        &mut self.balancers[place]
    }

    /// Server values are copied when a worker is declared, not later: mod_proxy's rule.
    fn copied(&self) -> MemberSettings {
        MemberSettings {
            timeout: self.settings.timeout,
            io_buffer: self.settings.io_buffer,
            receive_buffer: self.settings.receive_buffer,
            ..MemberSettings::default()
        }
    }

    pub fn add_member(
        &mut self,
        balancer: BalancerUrl,
        url: MemberUrl,
        settings: &MemberSettings,
        pairs: &[Pair],
        origin: &Origin,
    ) -> Vec<Finding> {
        let copied = self.copied();
        let balancer = self.balancer(&balancer.name, origin);
        match longest(&balancer.members, &url) {
            Some(known) => shared(&balancer.members[known], &url, pairs, "BalancerMember", origin),
            None => {
                let mut settings = settings.clone();
                settings.fill_from(&copied);
                let origin = origin.clone();
                balancer.members.push(MemberDraft { url, origin, settings, stands_for_many: false });
                Vec::new()
            }
        }
    }

    /// The worker of this URL, made if missing; true if it was there.
    pub fn worker(&mut self, url: MemberUrl, settings: &MemberSettings, origin: &Origin) -> (usize, bool) {
        match longest(&self.workers, &url) {
            Some(known) => (known, true),
            None => (self.new_worker(url, settings, origin), false),
        }
    }

    fn new_worker(&mut self, url: MemberUrl, settings: &MemberSettings, origin: &Origin) -> usize {
        let mut settings = settings.clone();
        settings.fill_from(&self.copied());
        self.workers.push(MemberDraft { url, origin: origin.clone(), settings, stands_for_many: false });
        self.workers.len() - 1
    }

    pub fn rule_target(
        &mut self,
        target: TargetLine,
        pairs: &[Pair],
        is_named: bool,
        is_expression: bool,
        origin: &Origin,
    ) -> (TargetDraft, Vec<Finding>) {
        match target {
            TargetLine::Balancer(url, settings) => {
                self.balancer(&url.name, origin).settings.replace_by(&settings);
                (TargetDraft::Balancer(url), Vec::new())
            }
            TargetLine::Member(url, mut settings) => {
                let path = url.path.clone();
                if names_groups(&path) || is_named {
                    // mod_proxy's default for a worker that stands for many URLs.
                    settings.reuse.get_or_insert(false);
                }
                let known = match is_expression {
                    true => covering(&self.workers, &url, |_| true),
                    false => longest(&self.workers, &url),
                };
                let worker = known.unwrap_or_else(|| self.new_worker(url.clone(), &settings, origin));
                let known = known.is_some();
                self.workers[worker].stands_for_many |= is_named && !known;
                let findings = match known && !pairs.is_empty() {
                    true => shared(&self.workers[worker], &url, pairs, "ProxyPass", origin),
                    false => Vec::new(),
                };
                (TargetDraft::Worker(worker, path), findings)
            }
        }
    }

    pub fn set(
        &mut self,
        text: &str,
        target: TargetLine,
        create: bool,
        directive: Directive,
        origin: &Origin,
    ) -> Result<(), Finding> {
        match target {
            TargetLine::Balancer(url, settings) => {
                let known = self.balancers.iter().any(|balancer| balancer.name == url.name);
                if !known && !create {
                    return Err(self.no_balancer(text, &url, origin));
                }
                self.balancer(&url.name, origin).settings.replace_by(&settings);
            }
            TargetLine::Member(url, settings) => {
                if !create && longest(&self.workers, &url).is_none() {
                    return Err(self.no_worker(text, &url, directive, origin));
                }
                let (worker, known) = self.worker(url, &settings, origin);
                if known {
                    let letters = joined(&self.workers[worker].settings.status, &settings.status);
                    self.workers[worker].settings.replace_by(&settings);
                    self.workers[worker].settings.status = letters;
                }
            }
        }
        Ok(())
    }

    fn no_balancer(&self, text: &str, url: &BalancerUrl, origin: &Origin) -> Finding {
        let message = format!("ProxySet can not find '{}' Balancer.", shown(text));
        let finding = Finding::error(id::UNKNOWN_TARGET, origin, message);
        let known = self.balancers.iter().map(|balancer| balancer.name.as_str());
        match nearest(&url.name, known) {
            Some(name) => finding.cured_by(format!("Did you mean balancer://{name}?")),
            None => finding.cured_by(
                "Write the line behind the first line of this server that names the balancer, or into <Proxy balancer://name>.",
            ),
        }
    }

    fn no_worker(&self, text: &str, url: &MemberUrl, directive: Directive, origin: &Origin) -> Finding {
        let message = format!("{} can not find '{}' Worker.", directive.name(), shown(text));
        let owner = self.balancers.iter().find(|balancer| longest(&balancer.members, url).is_some());
        Finding::error(id::UNKNOWN_TARGET, origin, message).cured_by(match owner {
            Some(balancer) => format!(
                "It is a member of balancer://{}: write the parameters at the end of its BalancerMember line.",
                balancer.name
            ),
            None => "Write the line behind the ProxyPass that names the worker, or into <Proxy url>.".into(),
        })
    }
}

/// The known worker whose name covers most of the URL.
fn longest(workers: &[MemberDraft], url: &MemberUrl) -> Option<usize> {
    covering(workers, url, |worker| !worker.stands_for_many || worker.url == *url)
}

fn covering(
    workers: &[MemberDraft],
    url: &MemberUrl,
    may_share: impl Fn(&MemberDraft) -> bool,
) -> Option<usize> {
    let covering =
        workers.iter().enumerate().filter(|(_, worker)| worker.url.covers(url) && may_share(worker));
    covering.max_by_key(|(index, worker)| (worker.url.name.len(), usize::MAX - index)).map(|(index, _)| index)
}

fn shared(
    known: &MemberDraft,
    url: &MemberUrl,
    pairs: &[Pair],
    directive: &str,
    origin: &Origin,
) -> Vec<Finding> {
    let ignored: Vec<_> = pairs.iter().map(Pair::shown).collect();
    let ignored =
        if ignored.is_empty() { String::new() } else { format!(", and ignores {}", ignored.join(" ")) };
    let text = format!(
        "{directive} {} shares the worker {} of {} instead of creating its own{ignored}",
        shown(&url.name),
        shown(&known.url.name),
        known.origin
    );
    let cure = match known.url.name == url.name {
        true => "Write the parameters on the first line.",
        false => "Write the line with the longer URL first, if two workers are meant.",
    };
    vec![Finding::warning(id::SHARED_WORKER, origin, text).cured_by(cure)]
}

/// Status letters of two lines: the later ones act on what the earlier ones left.
fn joined(earlier: &Option<String>, later: &Option<String>) -> Option<String> {
    match (earlier, later) {
        (Some(earlier), Some(later)) => Some(format!("{earlier}{later}")),
        (earlier, later) => earlier.clone().or_else(|| later.clone()),
    }
}
