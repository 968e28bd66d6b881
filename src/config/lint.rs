// SPDX-License-Identifier: Apache-2.0
//! Lines that are correct and probably not meant.

use super::compile::Facts;
use super::draft::Draft;
use super::finding::Finding;
use super::plan::Plan;

/// All findings about a plan.
pub(super) fn all(_draft: &Draft, _plan: &Plan, _facts: &Facts) -> Vec<Finding> {
    Vec::new()
}

/// Removes repetitions: an inherited line is seen by every server.
pub(super) fn once_each(findings: &mut Vec<Finding>) {
    let mut seen = std::collections::HashSet::new();
    findings.retain(|finding| seen.insert((finding.id, finding.origin.clone(), finding.text.clone())));
}
