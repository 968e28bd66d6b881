// SPDX-License-Identifier: Apache-2.0
//! What changed since the vault wrote last. A session that changed ten times is written once.

use std::collections::HashMap;

use super::entry::{Kept, Touched};
use super::{Key, Replica};

/// What is to be written about one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write<'a> {
    /// All of it, in place of what was there.
    Whole(&'a Kept),
    /// Everything but the attributes, and those of these names: written, or removed where they are no more.
    Parts {
        kept: &'a Kept,
        attributes: &'a [Vec<u8>],
    },
    Remove,
}

#[derive(Debug, Clone)]
enum Dirty {
    Whole,
    Parts(Vec<Vec<u8>>),
}

/// Sessions that changed.
#[derive(Debug, Default)]
pub struct Changes {
    dirty: HashMap<Key, Dirty>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.dirty.is_empty()
    }

    /// How many sessions changed.
    pub fn len(&self) -> usize {
        self.dirty.len()
    }

    pub(super) fn whole(&mut self, key: Key) {
        self.dirty.insert(key, Dirty::Whole);
    }

    pub(super) fn parts(&mut self, key: Key, touched: Touched) {
        match self.dirty.entry(key).or_insert_with(|| Dirty::Parts(Vec::new())) {
            Dirty::Whole => {}
            Dirty::Parts(names) => {
                for name in touched.attributes {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
    }

    /// Gives what is to be written, by the sessions as they are now.
    pub fn for_each(&self, replica: &Replica, mut write: impl FnMut(&Key, Write<'_>)) {
        for (key, dirty) in &self.dirty {
            match (replica.get(key), dirty) {
                (None, _) => write(key, Write::Remove),
                (Some(kept), Dirty::Whole) => write(key, Write::Whole(kept)),
                (Some(kept), Dirty::Parts(attributes)) => write(key, Write::Parts { kept, attributes }),
            }
        }
    }

    /// Takes back what could not be written.
    pub fn merge(&mut self, earlier: Changes) {
        for (key, dirty) in earlier.dirty {
            match dirty {
                Dirty::Whole => self.whole(key),
                Dirty::Parts(attributes) => self.parts(key, Touched { attributes, rest: true }),
            }
        }
    }
}
