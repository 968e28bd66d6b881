// SPDX-License-Identifier: Apache-2.0
//! Changes of one session that overtook each other. A node sends by several connections, and a receiver that was away for a moment
//! reads all that waited in one before it looks at the next: without the times an old value would stand over a new one.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::wire::cluster::{Delta, Identity};

/// For how long times are kept, in milliseconds of the sender's clock.
const KEPT_FOR: i64 = 60_000;
/// Above so many, old ones are looked for.
const MANY: usize = 64;

/// When a node changed what, by its own clock: those of two nodes say nothing about each other.
#[derive(Debug)]
pub(super) struct Order {
    /// The hash of its identity.
    sender: u64,
    /// By the hash of the name. Most requests change one attribute.
    times: Vec<(u64, i64)>,
}

impl Order {
    pub(super) fn new(sender: Identity) -> Order {
        Order { sender: hash(&sender), times: Vec::new() }
    }

    /// Takes out of a change what a later one did already.
    pub(super) fn filter(&mut self, sender: Identity, time: i64, delta: &mut Delta) {
        if self.sender != hash(&sender) {
            *self = Order::new(sender);
        }
        delta.actions.retain(|action| {
            let name = hash(&action.name.as_slice());
            match self.times.iter_mut().find(|(known, _)| *known == name) {
                Some((_, last)) if *last > time => false,
                Some((_, last)) => {
                    *last = time;
                    true
                }
                None => {
                    self.times.reserve_exact(1);
                    self.times.push((name, time));
                    true
                }
            }
        });
        if self.times.len() > MANY {
            self.times.retain(|(_, last)| time - *last < KEPT_FOR);
        }
    }
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
