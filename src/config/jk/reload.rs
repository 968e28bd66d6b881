// SPDX-License-Identifier: Apache-2.0
//! What only the comparison with the configuration in force shows: a workers file that is empty, cut short, or another file
//! is in itself as good as any, and the rules that live by it would be answered 500.

use super::id;
use super::plan::{JkPlan, JkRule, RuleWorker};
use crate::config::finding::Finding;
use crate::config::url::shown;

/// One error for each worker that `before` had and that rules of `after` still name, though it has gone.
pub fn lost_workers(before: &JkPlan, after: &JkPlan) -> Vec<Finding> {
    let sites = after.sites.iter().chain([&after.bare]);
    let mut lost: Vec<(&str, &JkRule)> = Vec::new();
    for rule in sites.flat_map(|site| site.mounts.rules()) {
        let RuleWorker::Unknown(name) = &rule.worker else { continue };
        let is_known = before.worker_named(name).is_some() && !lost.iter().any(|(other, _)| other == name);
        if is_known && !rule.is_exclusion && !rule.is_disabled {
            lost.push((name, rule));
        }
    }
    lost.into_iter().map(|(name, rule)| finding(name, rule)).collect()
}

fn finding(name: &str, rule: &JkRule) -> Finding {
    let (name, pattern) = (shown(name), shown(&rule.pattern));
    let text = format!(
        "rule {pattern} names worker {name}, which was in worker.list until now and is not any more: is the workers file \
         complete? Requests would be answered 500"
    );
    Finding::error(id::LOST_WORKER, &rule.origin, text)
        .cured_by(format!("Write worker.list={name} into the workers file, or remove the rule as well."))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::jk::mounts::JkMounts;
    use crate::config::jk::plan::{JkStatusId, JkTarget, JkWorker, RuleExtensions, RuleSource};
    use crate::config::origin::Origin;

    fn plan(workers: &[&str], rules: &[(&str, &str)]) -> JkPlan {
        let origin = Origin::new("httpd.conf", 3);
        let worker = |name: &&str| JkWorker {
            name: (*name).to_owned(),
            origin: origin.clone(),
            target: JkTarget::Status(JkStatusId(0)),
        };
        let mut plan = JkPlan { workers: workers.iter().map(worker).collect(), ..JkPlan::default() };
        let rule = |&(pattern, name): &(&str, &str)| JkRule {
            origin: origin.clone(),
            source: RuleSource::Directive,
            pattern: pattern.trim_start_matches('!').to_owned(),
            worker: plan.worker_named(name).map_or(RuleWorker::Unknown(name.to_owned()), RuleWorker::Known),
            is_exclusion: pattern.starts_with('!'),
            is_disabled: false,
            extensions: RuleExtensions::default(),
        };
        plan.bare.mounts = Arc::new(JkMounts::new(rules.iter().map(rule).collect()));
        plan
    }

    #[test]
    fn a_worker_that_rules_still_name_must_not_vanish() {
        let before = plan(&["a", "b"], &[]);
        let rules = [("/a/*", "a"), ("/a", "a"), ("/n", "never"), ("!/b", "b")];
        let found = lost_workers(&before, &plan(&[], &rules));
        assert_eq!(found.len(), 1, "{found:?}");
        let text = found[0].to_string();
        assert!(text.contains("/a/*") && text.contains("worker.list=a"), "{text}");
        assert!(lost_workers(&before, &plan(&["a"], &rules)).is_empty());
        assert!(lost_workers(&before, &plan(&[], &[])).is_empty());
        assert!(lost_workers(&JkPlan::default(), &plan(&[], &rules)).is_empty());
    }
}
