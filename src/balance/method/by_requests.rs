// SPDX-License-Identifier: Apache-2.0
//! `byrequests`: requests are shared out by load factor.

use super::Rule;
use crate::shared::MemberSlot;

/// The highest turn counter wins.
pub(in crate::balance) struct ByRequests;

impl Rule for ByRequests {
    type Standing = i64;
    const TAKES_TURNS: bool = true;

    fn standing(_: &MemberSlot, turn: i64) -> i64 {
        turn
    }

    fn is_better(later: i64, best: i64) -> bool {
        later > best
    }
}
