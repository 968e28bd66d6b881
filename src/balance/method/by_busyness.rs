// SPDX-License-Identifier: Apache-2.0
//! `bybusyness`: the fewest requests under way; equals take turns by load factor.

use super::Rule;
use crate::shared::MemberSlot;

/// The lowest busy count wins, then the highest turn counter.
pub(in crate::balance) struct ByBusyness;

impl Rule for ByBusyness {
    type Standing = (u32, i64);
    const TAKES_TURNS: bool = true;

    fn standing(slot: &MemberSlot, turn: i64) -> (u32, i64) {
        (slot.busy(), turn)
    }

    fn is_better(later: (u32, i64), best: (u32, i64)) -> bool {
        later.0 < best.0 || (later.0 == best.0 && later.1 > best.1)
    }
}
