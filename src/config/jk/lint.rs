// SPDX-License-Identifier: Apache-2.0
//! Lines of mod_jk that are correct and probably not meant.

use std::collections::{HashMap, HashSet};

use super::definitions::Definitions;
use super::draft::JkDraft;
use super::id;
use super::pattern;
use super::plan::{JkPlan, JkRule, JkSite, RuleWorker};
use crate::base::text::nearest;
use crate::config::finding::Finding;
use crate::config::plan::{Encoding, Plan, Site, Target};
use crate::config::url::shown;

pub(super) fn check(draft: &JkDraft, definitions: &Definitions, plan: &Plan, findings: &mut Vec<Finding>) {
    unused(definitions, &plan.jk, findings);
    shared_members(&plan.jk, findings);
    for (jk, site) in plan.jk.sites.iter().zip(&plan.sites) {
        for rule in jk.mounts.rules().iter().filter(|rule| !rule.is_disabled) {
            findings.extend(match rule.is_exclusion {
                true => useless_exclusion(jk, rule, &plan.jk),
                false => taken_by_proxy_pass(site, rule).or_else(|| covered(jk, rule, &plan.jk)),
            });
        }
    }
    findings.extend(without_rules(draft, plan));
}

/// Workers that neither `worker.list` nor a balancer names: probably forgotten.
fn unused(definitions: &Definitions, jk: &JkPlan, findings: &mut Vec<Finding>) {
    let mut used: HashSet<&str> = jk.workers.iter().map(|worker| worker.name.as_str()).collect();
    used.extend(jk.members.iter().flatten().map(|member| member.name.as_str()));
    let names = definitions.names();
    let references = names.iter().filter_map(|name| definitions.property(name, "reference"));
    let referred: HashSet<&str> =
        references.filter_map(|property| property.value.strip_prefix("worker.")).collect();
    for name in names.iter().filter(|name| !used.contains(*name) && !referred.contains(*name)) {
        let Some(origin) = definitions.first_line(name) else { continue };
        let text = format!(
            "worker {} is neither in worker.list nor a member of a balancer there: nobody uses it",
            shown(name)
        );
        let missing = used.iter().filter(|word| !definitions.is_defined(word)).copied();
        let cure = match nearest(name, missing) {
            Some(guess) => format!("Was {guess} meant where that is named?"),
            None => format!("Write worker.list={}, or add it to balance_workers.", shown(name)),
        };
        findings.push(Finding::notice(id::UNUSED_WORKER, origin, text).cured_by(cure));
    }
}

/// Each balancer has places of its own for its members.
fn shared_members(jk: &JkPlan, findings: &mut Vec<Finding>) {
    let mut owners: HashMap<&str, &str> = HashMap::new();
    for balancer in &jk.balancers {
        for member in balancer.members.iter().filter_map(|id| jk.member(*id)) {
            let Some(first) = owners.insert(&member.name, &balancer.name) else { continue };
            let text = format!(
                "worker {} is a member of the balancers {} and {}: each counts its requests and marks its errors for itself",
                shown(&member.name),
                shown(first),
                shown(&balancer.name)
            );
            findings.push(Finding::notice(id::SHARED_MEMBER, &balancer.origin, text));
        }
    }
}

/// mod_proxy's rules are asked first.
fn taken_by_proxy_pass(site: &Site, rule: &JkRule) -> Option<Finding> {
    let literal = rule.pattern.bytes().take_while(|byte| !pattern::is_special(byte)).count();
    let start = &rule.pattern.as_bytes()[..literal];
    let order = [Encoding::Encoded, Encoding::Servlet, Encoding::Canonical];
    let (_, mount, _) = order.into_iter().find_map(|encoding| site.mounts.lookup_as(encoding, start))?;
    if mount.target == Target::Exclude || mount.interpolate {
        return None;
    }
    let text = format!(
        "rule {} is never reached: ProxyPass {} ({}) has all of its requests, and is asked first",
        shown(&rule.pattern),
        shown(&mount.path),
        mount.origin
    );
    let cure = format!(
        "Remove one of the two, or write \"ProxyPass {} !\" in front of the other ProxyPass.",
        shown(&mount.path)
    );
    Some(Finding::warning(id::NEVER_REACHED, &rule.origin, text).cured_by(cure))
}

/// A pattern that matches another one's text matches whatever that one does, as a `*` fits a `*` only.
fn covered(site: &JkSite, rule: &JkRule, jk: &JkPlan) -> Option<Finding> {
    let winner = site.mounts.leading(rule.pattern.as_bytes())?;
    if std::ptr::eq(winner, rule) || winner.pattern.contains('?') || same_result(winner, rule) {
        return None;
    }
    let text = format!(
        "rule {} for {} is never reached: {} for {} ({}) has all of its requests, and comes first",
        shown(&rule.pattern),
        name(&rule.worker, jk),
        shown(&winner.pattern),
        name(&winner.worker, jk),
        winner.origin
    );
    let cure = "Remove one of the two. The rule with more slashes comes first, then the longer one, then the mount file's, then the one written first.";
    Some(Finding::warning(id::NEVER_REACHED, &rule.origin, text).cured_by(cure))
}

fn same_result(winner: &JkRule, rule: &JkRule) -> bool {
    winner.worker == rule.worker && winner.extensions == rule.extensions
}

/// An exclusion for another worker than the one that has the requests.
fn useless_exclusion(site: &JkSite, exclusion: &JkRule, jk: &JkPlan) -> Option<Finding> {
    if exclusion.worker == RuleWorker::Any || exclusion.pattern.contains('?') {
        return None;
    }
    let winner = site.mounts.leading(exclusion.pattern.as_bytes())?;
    if winner.worker == exclusion.worker || has_part(site, exclusion) {
        return None;
    }
    let text = format!(
        "exclusion {} for {} excludes nothing there: {} for {} ({}) has these requests, and an exclusion is for one worker",
        shown(&exclusion.pattern),
        name(&exclusion.worker, jk),
        shown(&winner.pattern),
        name(&winner.worker, jk),
        winner.origin
    );
    let cure = format!("Write {} or * as its worker.", name(&winner.worker, jk));
    Some(Finding::warning(id::NEVER_REACHED, &exclusion.origin, text).cured_by(cure))
}

/// Does a rule for the exclusion's worker have a part of the excluded paths?
fn has_part(site: &JkSite, exclusion: &JkRule) -> bool {
    let covers = |rule: &JkRule| pattern::matches(exclusion.pattern.as_bytes(), rule.pattern.as_bytes());
    let of_worker =
        |rule: &JkRule| !rule.is_disabled && !rule.is_exclusion && rule.worker == exclusion.worker;
    site.mounts.rules().iter().any(|rule| of_worker(rule) && covers(rule))
}

fn name(worker: &RuleWorker, jk: &JkPlan) -> String {
    match worker {
        RuleWorker::Known(id) => shown(&jk.worker(*id).name),
        RuleWorker::Unknown(name) => shown(name),
        RuleWorker::Any => "*".to_owned(),
    }
}

/// Rules of the main server are not those of virtual hosts, unlike everything else.
fn without_rules(draft: &JkDraft, plan: &Plan) -> Vec<Finding> {
    let main = draft.site(0);
    let Some(first) = main.rules.first() else { return Vec::new() };
    if draft.copy_all {
        return Vec::new();
    }
    let lonely = (1..plan.sites.len()).filter(|site| {
        let own = draft.site(*site);
        own.has_lines && own.copy.is_none() && own.rules.is_empty() && own.mount_file.is_none()
    });
    lonely
        .map(|site| {
            let text = format!(
                "{} has lines of mod_jk, but none of the main server's {} rules",
                shown(&plan.sites[site].name),
                main.rules.len()
            );
            Finding::notice(id::NO_RULES, &first.origin, text).cured_by(
                "Write JkMountCopy On into the virtual host, or JkMountCopy All here, if it is to have them.",
            )
        })
        .collect()
}
