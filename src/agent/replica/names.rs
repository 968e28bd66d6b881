// SPDX-License-Identifier: Apache-2.0
//! Names that many sessions have in common are kept once.

use std::collections::HashSet;
use std::sync::Arc;

/// A name or an id. Cloning it copies nothing.
pub type Name = Arc<[u8]>;

/// The names of attributes.
#[derive(Debug, Default)]
pub struct Names {
    known: HashSet<Name>,
    /// How many there were when unused ones were looked for last.
    looked_at: usize,
}

impl Names {
    /// The one that is kept of equal names.
    pub fn of(&mut self, name: &[u8]) -> Name {
        if let Some(known) = self.known.get(name) {
            return Arc::clone(known);
        }
        let name = Name::from(name);
        self.known.insert(Arc::clone(&name));
        name
    }

    /// Puts the one that is kept in the place of an equal one.
    pub fn share(&mut self, name: &mut Name) {
        match self.known.get(name) {
            Some(known) => *name = Arc::clone(known),
            None => drop(self.known.insert(Arc::clone(name))),
        }
    }

    /// Lets go of names that no session has any more; cheap while there are not many new ones.
    pub fn forget_unused(&mut self) {
        if self.known.len() >= 2 * self.looked_at.max(64) {
            self.known.retain(|name| Arc::strong_count(name) > 1);
            self.known.shrink_to_fit();
            self.looked_at = self.known.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_one_and_unused_ones_are_forgotten() {
        let mut names = Names::default();
        let first = names.of(b"cart");
        assert!(Arc::ptr_eq(&first, &names.of(b"cart")));
        let mut other = Name::from(b"cart".as_slice());
        names.share(&mut other);
        assert!(Arc::ptr_eq(&first, &other));
        for number in 0..1000_u32 {
            names.of(&number.to_be_bytes());
        }
        names.forget_unused();
        assert_eq!(names.known.len(), 1);
    }
}
