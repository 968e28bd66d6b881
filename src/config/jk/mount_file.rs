// SPDX-License-Identifier: Apache-2.0
//! uriworkermap.properties, and the two sides of a rule wherever it is written.

use super::extensions::{NamedWorker, read_worker};
use super::id;
use super::plan::{JkPlan, JkRule, RuleSource, RuleWorker};
use super::properties::{Properties, Repetition};
use crate::base::text::{nearest, quoted};
use crate::config::finding::Finding;
use crate::config::origin::Origin;
use crate::config::url::shown;

/// Reads the text of a mount file; `path` is for messages. A bad rule costs only itself, so there are no errors among
/// the findings, only warnings.
pub fn read_mount_file(text: &str, path: &str, plan: &JkPlan) -> (Vec<JkRule>, Vec<Finding>) {
    let mut properties = Properties::new(&plan.environment, |_| Repetition::Replaces);
    properties.read(text, path);
    let mut findings = std::mem::take(&mut properties.findings);
    let mut rules = Vec::new();
    for property in properties.iter() {
        let line = RuleLine {
            key: &property.name,
            worker: &property.value,
            origin: &property.origin,
            source: RuleSource::File,
        };
        match line.rules(plan, &mut findings) {
            Ok(made) => rules.extend(made),
            Err(finding) => findings.push(finding),
        }
    }
    (rules, findings)
}

/// One rule as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuleLine<'a> {
    /// The pattern with `-` and `!` in front.
    pub key: &'a str,
    /// The worker with its extensions.
    pub worker: &'a str,
    pub origin: &'a Origin,
    pub source: RuleSource,
}

impl RuleLine<'_> {
    /// The rule, or the two that `X|Y` stands for.
    pub fn rules(self, plan: &JkPlan, findings: &mut Vec<Finding>) -> Result<Vec<JkRule>, Finding> {
        let (is_disabled, pattern) = flag(self.key, '-');
        let (is_exclusion, pattern) = flag(pattern, '!');
        let patterns = self.patterns(pattern);
        let (patterns, bad): (Vec<_>, Vec<_>) =
            patterns.into_iter().partition(|pattern| pattern.starts_with('/'));
        if patterns.is_empty() {
            return Err(self.bad_pattern(pattern));
        }
        findings.extend(bad.iter().map(|pattern| self.bad_pattern(pattern)));
        let NamedWorker { mut worker, extensions, findings: more } =
            read_worker(self.worker, plan, self.origin);
        findings.extend(more);
        if is_exclusion && worker == RuleWorker::Unknown("*".to_owned()) {
            worker = RuleWorker::Any;
        }
        if let RuleWorker::Unknown(name) = &worker {
            findings.push(self.unknown_worker(name, is_exclusion, plan));
        }
        let rule = |pattern| JkRule {
            origin: self.origin.clone(),
            source: self.source,
            pattern,
            worker: worker.clone(),
            is_exclusion,
            is_disabled,
            extensions: extensions.clone(),
        };
        Ok(patterns.into_iter().map(rule).collect())
    }

    /// `X|Y` is X and XY, but not in `mount` of a worker.
    fn patterns(self, pattern: &str) -> Vec<String> {
        match pattern.split_once('|') {
            Some((first, more)) if self.source != RuleSource::Worker => {
                vec![first.to_owned(), format!("{first}{more}")]
            }
            _ => vec![pattern.to_owned()],
        }
    }

    fn bad_pattern(self, pattern: &str) -> Finding {
        let text = format!("rule {} is ignored: a pattern begins with /", quoted(self.key));
        Finding::warning(id::BAD_RULE, self.origin, text).cured_by(match pattern.starts_with('*') {
            true => format!("Write /{}, which is for all folders: * stands for slashes too.", shown(pattern)),
            false => format!("Write /{}.", shown(pattern.trim_start_matches(['-', '!']))),
        })
    }

    fn unknown_worker(self, name: &str, is_exclusion: bool, plan: &JkPlan) -> Finding {
        let consequence = match is_exclusion {
            true => "it excludes nothing",
            false => "its requests are answered 500",
        };
        let text = format!(
            "rule {} names worker {}, which is not in worker.list: {consequence}",
            shown(self.key),
            quoted(name)
        );
        let known = plan.workers.iter().map(|worker| worker.name.as_str());
        let of_balancer = plan.members.iter().flatten().find(|member| member.name == name);
        Finding::warning(id::UNKNOWN_WORKER, self.origin, text).cured_by(
            match (nearest(name, known), of_balancer) {
                (_, _) if name.contains([',', ' ']) => {
                    "A rule has one worker: name a balancer (type=lb) of these.".to_owned()
                }
                (_, Some(_)) => format!(
                    "It is the member of a balancer: name the balancer here, or write worker.list={} too.",
                    shown(name)
                ),
                (Some(guess), _) => format!("Did you mean {guess}?"),
                (None, _) => format!("Write worker.list={} into the workers file.", shown(name)),
            },
        )
    }
}

fn flag(text: &str, mark: char) -> (bool, &str) {
    match text.strip_prefix(mark) {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}
