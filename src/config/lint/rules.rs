// SPDX-License-Identifier: Apache-2.0
//! Rules whose slashes do not fit, and rules that are never reached.

use crate::config::declare::{MountDraft, TargetDraft};
use crate::config::draft::Draft;
use crate::config::finding::{Finding, id};
use crate::config::plan::{Matching, Mount, Plan, Target};
use crate::config::url::shown;

pub(super) fn check(draft: &Draft, plan: &Plan, findings: &mut Vec<Finding>) {
    let of_sites = draft.sites.iter().flat_map(|site| &site.mounts).map(|mount| (mount, false));
    let of_sections =
        draft.sections.iter().filter_map(|section| section.mount.as_ref()).map(|mount| (mount, true));
    findings.extend(of_sites.chain(of_sections).filter_map(|(mount, inside)| slashes(mount, inside)));
    covered(draft, plan, findings);
}

/// The rest of the request path is appended as it is: a slash too few or too many is the administrator's.
fn slashes(mount: &MountDraft, inside: bool) -> Option<Finding> {
    let target = match &mount.target {
        TargetDraft::Exclude | TargetDraft::Named => return None,
        TargetDraft::Balancer(balancer) => &balancer.path,
        TargetDraft::Worker(_, path) => path,
    };
    if mount.matching != Matching::Prefix || mount.interpolate || !mount.path.starts_with('/') {
        return None;
    }
    let (url, path) = (shown(&mount.url), shown(&mount.path));
    let rule = |path: &str, url: &str| {
        if inside { format!("ProxyPass {url}") } else { format!("ProxyPass {path} {url}") }
    };
    match (mount.path.ends_with('/'), target.ends_with('/')) {
        (true, false) => {
            let result = if target.is_empty() {
                "which is nobody's name and answered 500"
            } else {
                "without a slash between"
            };
            let text = format!(
                "{}: the path ends in a slash and the target does not, so {path}x becomes {url}x, {result}",
                rule(&path, &url)
            );
            let cure = format!("Write {}.", rule(&path, &format!("{url}/")));
            Some(Finding::warning(id::SLASHES, &mount.origin, text).cured_by(cure))
        }
        (false, true) => {
            let text = format!(
                "{}: the target ends in a slash and the path does not, so {path}/x becomes {url}/x with two slashes",
                rule(&path, &url)
            );
            let shorter = shown(mount.url.trim_end_matches('/'));
            let cure = format!("Write {}.", rule(&path, &shorter));
            Some(Finding::notice(id::SLASHES, &mount.origin, text).cured_by(cure))
        }
        _ => None,
    }
}

fn covered(draft: &Draft, plan: &Plan, findings: &mut Vec<Finding>) {
    let inherited = draft.sites.first().map_or(0, |main| main.mounts.len());
    for (place, site) in plan.sites.iter().enumerate() {
        let first_own = if place == 0 { 0 } else { inherited };
        for (rule, mount) in site.mounts.iter().enumerate().skip(first_own) {
            if mount.matching != Matching::Prefix || mount.interpolate {
                continue;
            }
            // A rule that matches another rule's path matches whatever that one does.
            let earlier = site.mounts.lookup_as(mount.encoding, mount.path.as_bytes());
            if let Some((first, winner, rest)) = earlier
                && first < rule
                && !same_result(winner, mount, rest)
            {
                findings.push(never_reached(winner, mount));
            }
        }
    }
}

/// Does the earlier rule send the later one's requests where that one would?
fn same_result(winner: &Mount, mount: &Mount, rest: usize) -> bool {
    match (&winner.target, &mount.target) {
        (Target::Exclude, Target::Exclude) => true,
        (Target::Forward(first), Target::Forward(second)) => {
            let forwarded = format!("{}{}", first.path, &mount.path[rest..]);
            first.worker == second.worker && forwarded == second.path
        }
        _ => false,
    }
}

fn never_reached(winner: &Mount, mount: &Mount) -> Finding {
    let text = format!(
        "ProxyPass {} {} is never reached: ProxyPass {} {} ({}) covers its path and the first match wins",
        shown(&mount.path),
        shown(mount.target_text()),
        shown(&winner.path),
        shown(winner.target_text()),
        winner.origin
    );
    let cure = match winner.path == mount.path {
        true => "Remove one of the two lines.".to_owned(),
        false => format!("Move the line in front of {}.", winner.origin),
    };
    Finding::warning(id::COVERED_RULE, &mount.origin, text).cured_by(cure)
}
