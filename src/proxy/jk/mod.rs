// SPDX-License-Identifier: Apache-2.0
//! Requests carried in mod_jk's way: its order of attempts, its results, its form of the Forward Request.

mod job;

pub use job::{JkExchange, JkJob, JkTried, JkVariables};

use super::attempt::Scratch;
use super::forward::{Outcome, World};

/// Carries a request to a member and the answer back.
pub fn forward_jk<E: JkExchange>(
    world: &World<'_>,
    job: &JkJob<'_>,
    exchange: &mut E,
    scratch: &mut Scratch,
) -> Outcome {
    let _ = (world, job, exchange, scratch);
    Outcome::Answer(503)
}

/// Closes and pings idle connections of this process and tells how many are open; to be called every `worker.maintain`
/// seconds in each process, or with each request: it looks at the time itself. The part that all processes share is
/// [`maintain`](crate::balance::jk::maintain).
pub fn maintain_pools(world: &World<'_>) {
    let _ = world;
}

/// Takes this process's connections out of the numbers that all processes share: to be called once, when it ends.
pub fn forget_connections(world: &World<'_>) {
    let _ = world;
}
