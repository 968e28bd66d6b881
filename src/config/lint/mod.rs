// SPDX-License-Identifier: Apache-2.0
//! Lines that are correct and probably not meant.

mod balancers;
mod forward;
mod handlers;
mod rules;
mod secure;

use std::collections::HashSet;

use super::compile::Facts;
use super::draft::Draft;
use super::finding::Finding;
use super::plan::Plan;

/// All findings about a plan.
pub(super) fn all(draft: &Draft, plan: &Plan, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    balancers::check(draft, plan, &mut findings);
    rules::check(draft, plan, &mut findings);
    handlers::check(draft, plan, facts, &mut findings);
    secure::check(plan, facts, &mut findings);
    forward::check(draft, plan, facts, &mut findings);
    findings
}

/// Removes repetitions: an inherited line is seen by every server.
pub(super) fn once_each(findings: &mut Vec<Finding>) {
    let mut seen = HashSet::new();
    findings.retain(|finding| seen.insert((finding.id, finding.origin.clone(), finding.text.clone())));
}
