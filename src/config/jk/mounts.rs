// SPDX-License-Identifier: Apache-2.0
//! The rules of one server in the order of precedence, and the one that a path falls under.

use std::cmp::Reverse;

use super::index::Index;
use super::pattern;
use super::plan::{JkRule, RuleSource, RuleWorker};

/// Longer paths fall under no rule.
pub const LONGEST_PATH: usize = 4095;

/// Rules, sorted: more slashes first, then the longer pattern, then by source, then as they were written.
#[derive(Debug, Default)]
pub struct JkMounts {
    rules: Vec<JkRule>,
    /// Rules that lead to a worker.
    leading: Index,
    exclusions: Index,
}

impl JkMounts {
    /// `rules` in the order they were written.
    pub fn new(mut rules: Vec<JkRule>) -> Self {
        rules.sort_by_cached_key(|rule| {
            let slashes = rule.pattern.bytes().filter(|byte| *byte == b'/').count();
            (Reverse(slashes), Reverse(rule.pattern.len()), rule.source)
        });
        let index = |wanted: fn(&JkRule) -> bool| {
            let numbered = (0u32..).zip(&rules).filter(|(_, rule)| wanted(rule));
            Index::new(&numbered.map(|(place, rule)| (place, rule.pattern.as_str())).collect::<Vec<_>>())
        };
        let leading = index(|rule| !rule.is_disabled && !rule.is_exclusion);
        let exclusions = index(|rule| !rule.is_disabled && rule.is_exclusion);
        Self { leading, exclusions, rules }
    }

    /// All rules in the order of precedence.
    pub fn rules(&self) -> &[JkRule] {
        &self.rules
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rule for a normalised path: the first that fits, unless an exclusion for its worker fits too. There is no
    /// second choice. Nothing is allocated, and few rules are looked at.
    pub fn find(&self, path: &[u8]) -> Option<&JkRule> {
        if path.first() != Some(&b'/') || path.len() > LONGEST_PATH {
            return None;
        }
        let found = self.leading(path)?;
        let excludes = |place: u32| {
            let exclusion = &self.rules[place as usize];
            let concerns = exclusion.worker == RuleWorker::Any || exclusion.worker == found.worker;
            concerns && self.fits(place, path)
        };
        self.exclusions.first(path, &excludes).is_none().then_some(found)
    }

    /// The first rule that fits, whatever exclusions say.
    pub(super) fn leading(&self, path: &[u8]) -> Option<&JkRule> {
        let place = self.leading.first(path, &|place| self.fits(place, path))?;
        Some(&self.rules[place as usize])
    }

    fn fits(&self, place: u32, path: &[u8]) -> bool {
        pattern::matches(self.rules[place as usize].pattern.as_bytes(), path)
    }

    /// The same rules, with `rules_of_file` in place of those that came from the mount file.
    pub fn with_file(&self, rules_of_file: Vec<JkRule>) -> Self {
        let others = self.rules.iter().filter(|rule| rule.source != RuleSource::File).cloned();
        Self::new(rules_of_file.into_iter().chain(others).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::jk::plan::{JkWorkerId, RuleExtensions};
    use crate::config::origin::Origin;
    use proptest::prelude::*;

    fn rule(line: &str, number: u32) -> JkRule {
        let (flags, rest) = line.split_at(line.find('/').unwrap());
        let (pattern, worker) = rest.split_once('=').unwrap();
        JkRule {
            origin: Origin::new("rules", number),
            source: if flags.contains('f') { RuleSource::File } else { RuleSource::Directive },
            pattern: pattern.to_owned(),
            worker: match worker.parse() {
                Ok(number) => RuleWorker::Known(JkWorkerId(number)),
                Err(_) if worker == "*" => RuleWorker::Any,
                Err(_) => RuleWorker::Unknown(worker.to_owned()),
            },
            is_exclusion: flags.contains('!'),
            is_disabled: flags.contains('-'),
            extensions: RuleExtensions::default(),
        }
    }

    fn mounts(lines: &[&str]) -> JkMounts {
        JkMounts::new((1..).zip(lines).map(|(number, line)| rule(line, number)).collect())
    }

    fn line_for(mounts: &JkMounts, path: &str) -> Option<u32> {
        mounts.find(path.as_bytes()).map(|rule| rule.origin.line)
    }

    #[test]
    fn slashes_then_length_then_source_then_order_decide() {
        let mounts =
            mounts(&["/a/*=1", "/a/*.jsp=3", "/a/b/*.jsp=4", "/*.do=8", "/t/b=1", "/t/*=2", "f/t/?=3"]);
        for (path, line) in [
            ("/a/b/c/x.jsp", Some(3)),
            ("/a/x.do", Some(1)),
            ("/q/x.do", Some(4)),
            ("/t/b", Some(7)),
            ("/t/bb", Some(6)),
            ("/a", None),
            ("a/b", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(line_for(&mounts, path), line, "{path}");
        }
    }

    #[test]
    fn an_exclusion_counts_for_its_worker_and_leaves_no_second_choice() {
        let mounts =
            mounts(&["/a/*=1", "/a/*.jsp=3", "!/a/static/*=1", "!/a/all/*=*", "-!/a/on/*=1", "-/off=1"]);
        for (path, line) in [
            ("/a/static/x", None),
            ("/a/static/x.jsp", Some(2)),
            ("/a/all/x.jsp", None),
            ("/a/on/x", Some(1)),
            ("/off", None),
        ] {
            assert_eq!(line_for(&mounts, path), line, "{path}");
        }
    }

    #[test]
    fn a_file_read_again_replaces_the_rules_of_the_file() {
        let before = mounts(&["f/x=1", "/y=2", "f/z=3"]);
        let after = before.with_file(vec![rule("f/y=4", 9)]);
        assert_eq!(after.rules().len(), 2);
        assert_eq!((line_for(&after, "/x"), line_for(&after, "/y")), (None, Some(9)));
    }

    #[test]
    fn paths_that_are_too_long_fall_under_no_rule() {
        let mounts = mounts(&["/*=1"]);
        let path = format!("/{}", "x".repeat(LONGEST_PATH));
        assert_eq!(line_for(&mounts, &path), None);
        assert_eq!(line_for(&mounts, &path[..LONGEST_PATH]), Some(1));
    }

    /// The algorithm as it is written: one rule after the other.
    fn walk<'m>(mounts: &'m JkMounts, path: &[u8]) -> Option<&'m JkRule> {
        let fits = |rule: &&JkRule| !rule.is_disabled && pattern::matches(rule.pattern.as_bytes(), path);
        let found = mounts.rules().iter().filter(fits).find(|rule| !rule.is_exclusion)?;
        let excluded = mounts
            .rules()
            .iter()
            .filter(fits)
            .any(|rule| rule.is_exclusion && [&RuleWorker::Any, &found.worker].contains(&&rule.worker));
        (!excluded).then_some(found)
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_walk_through_the_list_finds(
            lines in prop::collection::vec("[f!-]{0,2}/([ab]{0,2}[*?/]{0,2}){0,3}(\\.[ab])?=[123n*]", 0..60),
            paths in prop::collection::vec("/([ab]{0,2}/?){0,4}(\\.[ab])?", 1..12),
        ) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let mounts = mounts(&lines);
            for path in paths {
                let walked = walk(&mounts, path.as_bytes()).map(|rule| rule.origin.line);
                prop_assert_eq!(line_for(&mounts, &path), walked, "{}", path);
            }
        }
    }
}
