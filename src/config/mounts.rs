// SPDX-License-Identifier: Apache-2.0
//! Which rule a request path belongs to: first match in file order, at a cost that does not grow with the number of rules.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::plan::{Encoding, Matching, Mount};

/// The ordered `ProxyPass` rules of a server with an index over their paths.
#[derive(Debug, Default)]
pub struct MountTable {
    mounts: Vec<Mount>,
    /// Rules matched against the decoded path.
    decoded: Index,
    /// Rules with `mapping=encoded`.
    encoded: Index,
    /// Rules with `mapping=servlet`.
    servlet: Index,
}

impl MountTable {
    pub fn new(mounts: Vec<Mount>) -> Self {
        let mut table = Self::default();
        for (rule, mount) in mounts.iter().enumerate() {
            let index = table.index_mut(mount.encoding);
            if mount.interpolate || matches!(mount.matching, Matching::Expression(_)) {
                index.asked.push(rule);
            } else {
                index.add(&mount.path, rule);
            }
        }
        table.mounts = mounts;
        table
    }

    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter()
    }

    pub fn len(&self) -> usize {
        self.mounts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.mounts.is_empty()
    }

    /// The first prefix rule for a decoded path, and where the rest of the path begins. Rules with `mapping=` are not asked.
    pub fn lookup(&self, decoded_path: &[u8]) -> Option<(&Mount, usize)> {
        self.lookup_as(Encoding::Canonical, decoded_path).map(|(_, mount, rest)| (mount, rest))
    }

    /// The first prefix rule whose paths are compared with this form of the request path, its place in the order, and where
    /// the rest begins. `Canonical` and `AsReceived` are one kind: both are compared with the decoded path.
    pub fn lookup_as(&self, encoding: Encoding, path: &[u8]) -> Option<(usize, &Mount, usize)> {
        let (rule, rest) = self.index(encoding).find(path, &self.mounts)?;
        Some((rule, &self.mounts[rule], rest))
    }

    /// The first rule for this form of the request path. `search` asks a rule whose path is not fixed: a regular expression,
    /// or one with variables; only those in front of the first prefix that matches are asked.
    pub fn find<G>(
        &self,
        encoding: Encoding,
        path: &[u8],
        mut search: impl FnMut(&Mount) -> Option<G>,
    ) -> Option<Found<'_, G>> {
        let index = self.index(encoding);
        let prefix = index.find(path, &self.mounts);
        let end = prefix.map_or(usize::MAX, |(rule, _)| rule);
        for &rule in index.asked.iter().take_while(|rule| **rule < end) {
            if let Some(found) = search(&self.mounts[rule]) {
                return Some(Found::Asked(&self.mounts[rule], found));
            }
        }
        prefix.map(|(rule, rest)| Found::Prefix(&self.mounts[rule], rest))
    }

    /// Are there rules compared with this form of the request path?
    pub fn has(&self, encoding: Encoding) -> bool {
        let index = self.index(encoding);
        !(index.rules.is_empty() && index.asked.is_empty())
    }

    fn index(&self, encoding: Encoding) -> &Index {
        match encoding {
            Encoding::Canonical | Encoding::AsReceived => &self.decoded,
            Encoding::Encoded => &self.encoded,
            Encoding::Servlet => &self.servlet,
        }
    }

    fn index_mut(&mut self, encoding: Encoding) -> &mut Index {
        match encoding {
            Encoding::Canonical | Encoding::AsReceived => &mut self.decoded,
            Encoding::Encoded => &mut self.encoded,
            Encoding::Servlet => &mut self.servlet,
        }
    }
}

/// A rule that applies to a request path.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'t, G> {
    /// A prefix, and where the rest of the path begins.
    Prefix(&'t Mount, usize),
    /// A rule that was asked, and its answer.
    Asked(&'t Mount, G),
}

/// The prefix rule of `ProxyPass`: a run of slashes in `rule` matches any run of one or more in `path`; a rule that does
/// not end in a slash matches up to a slash or the end. Returns where the rest of `path` begins.
pub fn matches(rule: &[u8], path: &[u8]) -> Option<usize> {
    let (mut at, mut rule_at) = (0, 0);
    while rule_at < rule.len() {
        if path.get(at) != Some(&rule[rule_at]) {
            return None;
        }
        if rule[rule_at] == b'/' {
            rule_at = past_slashes(rule, rule_at);
            at = past_slashes(path, at);
        } else {
            rule_at += 1;
            at += 1;
        }
    }
    let complete = rule.last()? == &b'/' || path.get(at).is_none_or(|next| *next == b'/');
    complete.then_some(at)
}

fn past_slashes(text: &[u8], from: usize) -> usize {
    text[from..].iter().position(|byte| *byte != b'/').map_or(text.len(), |count| from + count)
}

/// Hash of a rule's path with runs of slashes made one → first rule of that path.
///
/// Every rule is a prefix that ends at or just behind a slash run, so a path has two candidates per segment whatever the
/// number of rules. Equal hashes of different paths are told apart by comparing.
#[derive(Debug, Default)]
struct Index {
    rules: HashMap<u64, Vec<usize>, BuildHasherDefault<AlreadyHashed>>,
    /// Length of the longest path with its slash runs made one.
    longest: usize,
    /// Rules whose path is not fixed, in order.
    asked: Vec<usize>,
}

impl Index {
    fn add(&mut self, path: &str, rule: usize) {
        let mut hash = Fnv::default();
        let mut length = 0;
        for (at, byte) in path.bytes().enumerate() {
            if byte != b'/' || at == 0 || path.as_bytes()[at - 1] != b'/' {
                hash.add(byte);
                length += 1;
            }
        }
        self.longest = self.longest.max(length);
        self.rules.entry(hash.0).or_default().push(rule);
    }

    fn find(&self, path: &[u8], mounts: &[Mount]) -> Option<(usize, usize)> {
        if self.rules.is_empty() {
            return None;
        }
        let mut best = None;
        let mut hash = Fnv::default();
        let (mut at, mut length) = (0, 0);
        while at < path.len() && length <= self.longest {
            if path[at] == b'/' {
                self.candidate(hash, path, mounts, &mut best);
                at = past_slashes(path, at);
                hash.add(b'/');
                self.candidate(hash, path, mounts, &mut best);
            } else {
                hash.add(path[at]);
                at += 1;
            }
            length += 1;
        }
        self.candidate(hash, path, mounts, &mut best);
        best
    }

    fn candidate(&self, hash: Fnv, path: &[u8], mounts: &[Mount], best: &mut Option<(usize, usize)>) {
        for rule in self.rules.get(&hash.0).into_iter().flatten() {
            if best.is_some_and(|(first, _)| first <= *rule) {
                return;
            }
            if let Some(rest) = matches(mounts[*rule].path.as_bytes(), path) {
                *best = Some((*rule, rest));
                return;
            }
        }
    }
}

/// FNV-1a, because it can be extended byte by byte along the path.
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

/// Passes a finished hash through.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;
    use crate::config::expression::ExpressionId;
    use crate::config::plan::Target;
    use proptest::prelude::*;

    fn table(paths: &[String]) -> MountTable {
        MountTable::new(paths.iter().cloned().map(mount).collect())
    }

    fn mount(path: String) -> Mount {
        Mount {
            origin: Origin::new("t", 1),
            path,
            matching: Matching::Prefix,
            target: Target::Exclude,
            encoding: Encoding::Canonical,
            interpolate: false,
        }
    }

    #[test]
    fn rests_are_those_of_mod_proxy() {
        for (rule, path, rest) in [
            ("/app", "/app", Some("")),
            ("/app", "/app/", Some("/")),
            ("/app", "/app/x", Some("/x")),
            ("/app", "//app//x", Some("//x")),
            ("/app", "/appx", None),
            ("/app", "/APP/x", None),
            ("/app", "/app;p=1", None),
            ("/app/", "/app", None),
            ("/app/", "/app/x", Some("x")),
            ("/app/", "/app///x", Some("x")),
            ("/a//b", "/a/b", Some("")),
            ("/", "/", Some("")),
            ("/", "//x", Some("x")),
            ("", "/x", None),
            ("x", "/x", None),
        ] {
            let table = table(&[rule.to_owned()]);
            let found = table.lookup(path.as_bytes()).map(|(_, at)| &path[at..]);
            assert_eq!(found, rest, "{rule} {path}");
        }
    }

    #[test]
    fn the_first_rule_in_the_file_wins() {
        let table = table(&["/a/b".into(), "/".into(), "/a".into(), "/a/b".into()]);
        assert_eq!(table.lookup_as(Encoding::Canonical, b"/a/b/c").unwrap().0, 0);
        assert_eq!(table.lookup_as(Encoding::Canonical, b"/a").unwrap().0, 1);
        assert!(!table.has(Encoding::Servlet));
    }

    fn path() -> impl Strategy<Value = String> {
        "(/{1,3}(a|b|ab|c;x)?){0,5}(/|a)?"
    }

    #[test]
    fn only_expressions_in_front_of_the_first_prefix_are_asked() {
        let mut mounts: Vec<Mount> = ["/a", "", "/a/b", "", ""].map(str::to_owned).map(mount).into();
        for (rule, id) in [(1, 10), (3, 11), (4, 12)] {
            mounts[rule].matching = Matching::Expression(ExpressionId(id));
        }
        let table = MountTable::new(mounts);
        for (path, matching, expected, asked) in [
            ("/a/b", 10, Found::Prefix(&table.mounts[0], 2), &[][..]),
            ("/x", 11, Found::Asked(&table.mounts[3], ()), &[10, 11][..]),
        ] {
            let mut seen = Vec::new();
            let found = table.find(Encoding::Canonical, path.as_bytes(), |mount| {
                let Matching::Expression(id) = mount.matching else { return None };
                seen.push(id.0);
                (id.0 == matching).then_some(())
            });
            assert_eq!(found, Some(expected), "{path}");
            assert_eq!(seen, asked, "{path}");
        }
        assert!(table.find(Encoding::Canonical, b"/x", |_| None::<()>).is_none());
        assert!(table.has(Encoding::AsReceived) && !table.has(Encoding::Encoded));
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_walk_over_all_rules_finds(
            rules in prop::collection::vec(path(), 0..30),
            request in path(),
        ) {
            let table = table(&rules);
            let walked = rules
                .iter()
                .enumerate()
                .find_map(|(rule, path)| Some((rule, matches(path.as_bytes(), request.as_bytes())?)));
            let found = table
                .lookup_as(Encoding::AsReceived, request.as_bytes())
                .map(|(rule, _, rest)| (rule, rest));
            prop_assert_eq!(found, walked);
        }
    }
}
