// SPDX-License-Identifier: Apache-2.0
//! Messages that come twice: after a failed acknowledgement, or to a member that is known under two ids.

use std::collections::{HashSet, VecDeque};

/// How many messages are remembered.
const REMEMBERED: usize = 1 << 14;

/// The ids of the last messages.
#[derive(Debug, Default)]
pub struct Duplicates {
    known: HashSet<[u8; 16]>,
    order: VecDeque<[u8; 16]>,
}

impl Duplicates {
    /// True the first time.
    pub fn is_new(&mut self, unique_id: [u8; 16]) -> bool {
        if !self.known.insert(unique_id) {
            return false;
        }
        self.order.push_back(unique_id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_new_once_until_it_is_forgotten() {
        let mut duplicates = Duplicates::default();
        let id = |number: usize| (number as u128).to_be_bytes();
        assert!(duplicates.is_new(id(0)));
        assert!(!duplicates.is_new(id(0)));
        for number in 1..=REMEMBERED {
            assert!(duplicates.is_new(id(number)));
        }
        assert!(duplicates.is_new(id(0)));
    }
}
