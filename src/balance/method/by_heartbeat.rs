// SPDX-License-Identifier: Apache-2.0
//! `heartbeat`: chance, weighted by the free threads that members say they have.
//!
//! As in stock, lbsets, spares, standbys and load factors play no part.

use std::time::Duration;

use crate::balance::candidate::{Candidate, Tried};
use crate::base::clock::Moment;
use crate::base::status::Status;
use crate::shared::{Heartbeats, key_of_host};

/// A member that was silent for this long gets nothing.
const SILENT: Duration = Duration::from_secs(10);

/// A member that has nothing to do has probably just started, and gets a part of what it could take.
const NEW_SHARE: u32 = 4;

/// Chooses among members that can serve and were heard of.
pub(in crate::balance) fn choose<'p>(
    candidates: impl Iterator<Item = Candidate<'p>> + Clone,
    beats: &Heartbeats,
    tried: &Tried,
    now: Moment,
) -> Option<Candidate<'p>> {
    let places = |candidate: &Candidate| u64::from(places(candidate, beats, tried, now));
    let all: u64 = candidates.clone().map(|candidate| places(&candidate)).sum();
    let mut pick = beats.draw(all);
    let mut last = None;
    for candidate in candidates {
        let own = places(&candidate);
        if own > pick {
            return Some(candidate);
        }
        pick -= own;
        // Another process may note less meanwhile, and the last one with room is the answer then.
        last = (own > 0).then_some(candidate).or(last);
    }
    last
}

/// How many more requests a member can take by its own word.
fn places(candidate: &Candidate, beats: &Heartbeats, tried: &Tried, now: Moment) -> u32 {
    let status = candidate.refreshed(now);
    if tried.leaves_out(candidate) || !status.is_usable() || status.has(Status::DRAIN) {
        return 0;
    }
    match beats.of(key_of_host(&candidate.member.host)) {
        Some(beat) if now.since(beat.seen) >= SILENT => 0,
        Some(beat) if beat.busy == 0 => beat.ready.div_ceil(NEW_SHARE),
        Some(beat) => beat.ready,
        None => 0,
    }
}
