// SPDX-License-Identifier: Apache-2.0
//! What changed since the vault wrote last. A session that changed ten times is written once.

use std::collections::{HashMap, VecDeque};

use super::entry::{Kept, Touched};
use super::names::Name;
use super::{Key, Replica};

/// What is to be written about one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write<'a> {
    /// All of it, in place of what was there.
    Whole(&'a Kept),
    /// Everything but the attributes, and those of these names: written, or removed where they are no more.
    Parts {
        kept: &'a Kept,
        attributes: &'a [Name],
    },
    Remove,
}

#[derive(Debug, Clone)]
enum Dirty {
    Whole,
    Parts(Vec<Name>),
}

/// Sessions that changed and are not written yet, the longest waiting first.
#[derive(Debug, Default)]
pub(super) struct Pending {
    dirty: HashMap<Key, Dirty>,
    order: VecDeque<Key>,
}

/// Sessions that are written together.
#[derive(Debug, Default)]
pub struct Changes {
    dirty: Vec<(Key, Dirty)>,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.dirty.is_empty()
    }

    /// How many sessions changed.
    pub fn len(&self) -> usize {
        self.dirty.len()
    }

    pub fn whole(&mut self, key: Key) {
        if self.dirty.insert(key.clone(), Dirty::Whole).is_none() {
            self.order.push_back(key);
        }
    }

    pub fn parts(&mut self, key: Key, touched: Touched) {
        match self.dirty.get_mut(&key) {
            None => {
                self.order.push_back(key.clone());
                self.dirty.insert(key, Dirty::Parts(touched.attributes));
            }
            Some(Dirty::Whole) => {}
            Some(Dirty::Parts(names)) => add(names, touched.attributes),
        }
    }

    /// Takes those that wait longest, until they are so many bytes.
    pub fn take(&mut self, bytes: usize, size: impl Fn(&Key, Option<&[Name]>) -> usize) -> Changes {
        let (mut taken, mut total) = (Changes::default(), 0);
        while total < bytes
            && let Some(key) = self.order.pop_front()
        {
            let Some(dirty) = self.dirty.remove(&key) else { continue };
            total += match &dirty {
                Dirty::Whole => size(&key, None),
                Dirty::Parts(names) => size(&key, Some(names)),
            };
            taken.dirty.push((key, dirty));
        }
        // A flood that is over leaves no empty room behind.
        if self.dirty.capacity() > 16 * self.dirty.len().max(256) {
            self.dirty.shrink_to(self.dirty.len() * 2);
            self.order.shrink_to(self.order.len() * 2);
        }
        taken
    }

    /// Takes back what could not be written.
    pub fn give_back(&mut self, earlier: Changes) {
        for (key, dirty) in earlier.dirty {
            match (dirty, self.dirty.get_mut(&key)) {
                (dirty, None) => {
                    self.order.push_back(key.clone());
                    self.dirty.insert(key, dirty);
                }
                (_, Some(Dirty::Whole)) => {}
                (Dirty::Whole, Some(later)) => *later = Dirty::Whole,
                (Dirty::Parts(names), Some(Dirty::Parts(later))) => add(later, names),
            }
        }
    }
}

fn add(names: &mut Vec<Name>, more: Vec<Name>) {
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.dirty.is_empty()
    }

    /// How many sessions changed.
    pub fn len(&self) -> usize {
        self.dirty.len()
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
}
