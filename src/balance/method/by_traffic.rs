// SPDX-License-Identifier: Apache-2.0
//! `bytraffic`: the fewest bytes carried, in proportion to the load factor.

use super::Rule;
use crate::shared::MemberSlot;

/// The lowest weighted sum of bytes wins. Both parts are divided on their own and rounded down, as stock does.
pub(in crate::balance) struct ByTraffic;

impl Rule for ByTraffic {
    type Standing = u64;
    const TAKES_TURNS: bool = false;

    fn standing(slot: &MemberSlot, _: i64) -> u64 {
        let factor = u64::from(slot.load_factor());
        (slot.bytes_written() / factor).saturating_add(slot.bytes_read() / factor)
    }

    fn is_better(later: u64, best: u64) -> bool {
        later < best
    }
}
