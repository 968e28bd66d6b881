// SPDX-License-Identifier: Apache-2.0
//! Finds, among thousands of patterns, the first one that fits a path, without looking at each.
//!
//! A pattern without `*` and `?` is found by the hash of the whole path. Others are found by their literal beginning: one
//! pass over the path yields the hashes of all its beginnings. Where many patterns begin alike (`/*.do`, `/*.jsp`), their
//! literal ends tell them apart in the same way, and after that the longest literal in their middle (`/*/shop/*`). Hashes
//! only narrow the choice: what they find is compared in full.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::pattern;

/// Patterns by their place in the order of precedence.
#[derive(Debug, Default)]
pub(super) struct Index {
    exact: Table<Vec<u32>>,
    /// By literal beginning.
    wild: Level,
}

/// Where a choice is this small, one after the other is tried.
const FEW: usize = 8;

/// What the patterns of a level are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Beginning,
    End,
    Middle,
}

/// Patterns, told apart by one part of theirs.
#[derive(Debug, Default)]
struct Level {
    nodes: Table<Node>,
    /// Lengths of the parts, ascending.
    lengths: Vec<usize>,
}

#[derive(Debug)]
struct Node {
    /// The lowest place below: a path that has a better rule already need not come here.
    least: u32,
    choice: Choice,
}

#[derive(Debug)]
enum Choice {
    /// In order of precedence.
    Few(Vec<u32>),
    ByEnd(Level),
    ByMiddle(Level),
}

impl Index {
    /// `patterns`: place and pattern, in order of precedence.
    pub fn new(patterns: &[(u32, &str)]) -> Self {
        let mut exact: Table<Vec<u32>> = Table::default();
        let mut wild = Vec::new();
        for &(place, pattern) in patterns {
            if pattern.bytes().any(|byte| pattern::is_special(&byte)) {
                wild.push((place, pattern.as_bytes()));
            } else {
                exact.entry(hash(pattern.as_bytes())).or_default().push(place);
            }
        }
        Self { exact, wild: Level::new(&wild, Part::Beginning) }
    }

    /// The lowest place whose pattern `fits` says fits; it is asked about few. Nothing at or above `best` is wanted.
    pub fn first(&self, path: &[u8], fits: &impl Fn(u32) -> bool) -> Option<u32> {
        let mut best = u32::MAX;
        let mut hash = Rolling::default();
        let mut lengths = self.wild.lengths.iter().copied().peekable();
        for length in 0..=path.len() {
            if lengths.next_if_eq(&length).is_some() {
                self.wild.look(hash, path, fits, &mut best);
            }
            if let Some(byte) = path.get(length) {
                hash.add(*byte);
            }
        }
        if let Some(places) = self.exact.get(&hash.value()) {
            few(places, fits, &mut best);
        }
        (best != u32::MAX).then_some(best)
    }
}

fn few(places: &[u32], fits: &impl Fn(u32) -> bool, best: &mut u32) {
    if let Some(place) = places.iter().take_while(|place| **place < *best).find(|place| fits(**place)) {
        *best = *place;
    }
}

impl Level {
    fn new(patterns: &[(u32, &[u8])], part: Part) -> Self {
        let mut groups: Table<Vec<(u32, &[u8])>> = Table::default();
        let mut lengths = Vec::new();
        for &(place, pattern) in patterns {
            let literal = part.of(pattern);
            lengths.push(literal.len());
            let hash = if part == Part::End { backwards(literal) } else { hash(literal) };
            groups.entry(hash).or_default().push((place, pattern));
        }
        lengths.sort_unstable();
        lengths.dedup();
        let nodes = groups.into_iter().map(|(hash, group)| (hash, Node::new(&group, part))).collect();
        Self { nodes, lengths }
    }

    fn look(&self, hash: Rolling, path: &[u8], fits: &impl Fn(u32) -> bool, best: &mut u32) {
        if let Some(node) = self.nodes.get(&hash.value())
            && node.least < *best
        {
            node.look(path, fits, best);
        }
    }

    fn look_at_ends(&self, path: &[u8], fits: &impl Fn(u32) -> bool, best: &mut u32) {
        let mut hash = Rolling::default();
        let mut done = 0;
        for &length in self.lengths.iter().take_while(|length| **length <= path.len()) {
            let (from, to) = (path.len() - length, path.len() - done);
            path[from..to].iter().rev().for_each(|byte| hash.add(*byte));
            done = length;
            self.look(hash, path, fits, best);
        }
    }

    fn look_inside(&self, path: &[u8], fits: &impl Fn(u32) -> bool, best: &mut u32) {
        for &length in self.lengths.iter().take_while(|length| **length <= path.len()) {
            if length == 0 {
                self.look(Rolling::default(), path, fits, best);
                continue;
            }
            for window in path.windows(length) {
                let mut hash = Rolling::default();
                window.iter().for_each(|byte| hash.add(*byte));
                self.look(hash, path, fits, best);
            }
        }
    }
}

impl Node {
    /// `patterns` are alike in `part`.
    fn new(patterns: &[(u32, &[u8])], part: Part) -> Self {
        let least = patterns.first().map_or(u32::MAX, |(place, _)| *place);
        let choice = match part {
            Part::Beginning if patterns.len() > FEW => Choice::ByEnd(Level::new(patterns, Part::End)),
            Part::End if patterns.len() > FEW => Choice::ByMiddle(Level::new(patterns, Part::Middle)),
            _ => Choice::Few(patterns.iter().map(|(place, _)| *place).collect()),
        };
        Self { least, choice }
    }

    fn look(&self, path: &[u8], fits: &impl Fn(u32) -> bool, best: &mut u32) {
        match &self.choice {
            Choice::Few(places) => few(places, fits, best),
            Choice::ByEnd(level) => level.look_at_ends(path, fits, best),
            Choice::ByMiddle(level) => level.look_inside(path, fits, best),
        }
    }
}

impl Part {
    /// The part of a pattern that has at least one special byte.
    fn of(self, pattern: &[u8]) -> &[u8] {
        let first = pattern.iter().position(pattern::is_special).unwrap_or(pattern.len());
        let after_last = pattern.iter().rposition(pattern::is_special).map_or(0, |at| at + 1);
        match self {
            Self::Beginning => &pattern[..first],
            Self::End => &pattern[after_last..],
            Self::Middle => {
                let middle = pattern.get(first..after_last).unwrap_or_default();
                middle.split(pattern::is_special).max_by_key(|literal| literal.len()).unwrap_or_default()
            }
        }
    }
}

/// The hash of a text that grows (FNV-1a, 64 bits).
#[derive(Clone, Copy)]
struct Rolling(u64);

impl Default for Rolling {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Rolling {
    fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn value(self) -> u64 {
        self.0
    }
}

fn hash(text: &[u8]) -> u64 {
    let mut hash = Rolling::default();
    text.iter().for_each(|byte| hash.add(*byte));
    hash.value()
}

fn backwards(text: &[u8]) -> u64 {
    let mut hash = Rolling::default();
    text.iter().rev().for_each(|byte| hash.add(*byte));
    hash.value()
}

/// By a hash that is none of a client's choosing: patterns are the administrator's, and a path only asks.
type Table<T> = HashMap<u64, T, BuildHasherDefault<Hashed>>;

/// Takes a hash for what it is.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        // The table looks at the lowest and the highest bits; short texts that differ in a digit differ in few of both.
        let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
