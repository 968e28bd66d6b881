// SPDX-License-Identifier: Apache-2.0
//! The balancing methods: by what members are compared, and what a choice does to their counters.

mod by_busyness;
pub(super) mod by_heartbeat;
mod by_requests;
mod by_traffic;

pub(super) use by_busyness::ByBusyness;
pub(super) use by_requests::ByRequests;
pub(super) use by_traffic::ByTraffic;

use super::candidate::Candidate;
use crate::shared::MemberSlot;

/// One balancing method.
pub(super) trait Rule {
    /// What members are compared by.
    type Standing: Copy;
    /// Whether members gain their factor when compared, and the chosen one pays the sum.
    const TAKES_TURNS: bool;

    /// A member's standing. `turn` is its turn counter after its gain; 0 without turns.
    fn standing(slot: &MemberSlot, turn: i64) -> Self::Standing;

    /// Is a member that comes later in the file better than the best so far? Equal is not better.
    fn is_better(later: Self::Standing, best: Self::Standing) -> bool;
}

/// The comparison of one choice.
pub(super) struct Contest<'p, R: Rule> {
    best: Option<(Candidate<'p>, R::Standing)>,
    sum: i64,
}

impl<'p, R: Rule> Contest<'p, R> {
    pub fn new() -> Self {
        Self { best: None, sum: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.best.is_none()
    }

    pub fn compare(&mut self, candidate: Candidate<'p>) {
        let mut turn = 0;
        if R::TAKES_TURNS {
            let factor = i64::from(candidate.slot.load_factor());
            turn = candidate.slot.add_lbstatus(factor);
            self.sum += factor;
        }
        let standing = R::standing(candidate.slot, turn);
        if self.best.is_none_or(|(_, best)| R::is_better(standing, best)) {
            self.best = Some((candidate, standing));
        }
    }

    /// The chosen member, which has paid for its turn.
    pub fn winner(self) -> Option<Candidate<'p>> {
        let (candidate, _) = self.best?;
        if R::TAKES_TURNS {
            candidate.slot.add_lbstatus(-self.sum);
        }
        Some(candidate)
    }
}
