// SPDX-License-Identifier: Apache-2.0
//! Who belongs to a balancer now: the members of the file, then those that joined while the server runs.

use super::bindings::Bindings;
use crate::config::plan::{Balancer, MemberId, Plan};
use crate::shared::Region;

/// The members of a balancer. Without `growth` that is a walk over the plan; with it, one look at shared memory for each
/// member that joined, and one more. No locks, and an allocation only when this process meets a member for the first time.
pub fn members<'p>(
    plan: &'p Plan,
    region: &'p Region,
    bindings: &'p Bindings,
    balancer: &'p Balancer,
) -> impl Iterator<Item = MemberId> + Clone + use<'p> {
    // Places are taken in their order, so the first free one ends the walk.
    let taken = balancer.places().take_while(move |id| region.place(bindings.member(*id)).is_taken());
    let joined =
        taken.filter(move |id| plan.joined(*id, || region.place(bindings.member(*id)).url()).is_some());
    balancer.members.iter().copied().chain(joined)
}
