// SPDX-License-Identifier: Apache-2.0
//! Which places in shared memory a new configuration has for members that join while the server runs.
//!
//! A place has a number of its balancer, and its key is made of both. Numbers only grow: a place that was taken keeps its
//! member over graceful restarts, as long as the balancer is there and its `growth` leaves room. A member that the file
//! names now takes its slot with it, so that its counters go on, and gives the place back.

use std::collections::HashMap;
use std::ops::Range;

use crate::base::key::Key;
use crate::config::plan::{Balancer, Plan};
use crate::shared::{BalancerSlotId, MemberSlotId, Region};

/// Keys of all places of a plan, in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub keys: Vec<Key>,
    /// By balancer of the plan: the number after the highest that was ever given.
    ends: Vec<u32>,
    /// Slots that were given another key, with the one they had.
    renamed: Vec<(MemberSlotId, Key)>,
    /// Balancer and URL of members that joined and for whom there is no room any more.
    pub left_out: Vec<(String, String)>,
}

impl Places {
    /// Finds the places. For the parent process only.
    pub fn find(plan: &Plan, region: &Region) -> Places {
        let mut places = Places::default();
        let known = region.current_members();
        for balancer in &plan.balancers {
            let given = region.find_balancer(balancer.key).map_or(0, |slot| region.balancer(slot).places());
            let numbers = places.numbers(plan, balancer, region, &known, given);
            places.ends.push(numbers.iter().map(|number| number + 1).max().unwrap_or(0).max(given));
            places.keys.extend(numbers.into_iter().map(|number| key(balancer, number)));
        }
        places
    }

    /// The numbers for one balancer: of members that stay, then free ones.
    fn numbers(
        &mut self,
        plan: &Plan,
        balancer: &Balancer,
        region: &Region,
        known: &HashMap<Key, MemberSlotId>,
        given: u32,
    ) -> Vec<u32> {
        let (mut taken, mut free) = (Vec::new(), Vec::new());
        for number in 0..given {
            let key = key(balancer, number);
            let Some(&slot) = known.get(&key) else { continue };
            match region.place(slot).url().map(|url| declared(plan, balancer, &url)) {
                None => free.push(number),
                Some(None) => taken.push(number),
                Some(Some(named)) => {
                    if !known.contains_key(&named) {
                        region.rename_member(slot, named);
                        self.renamed.push((slot, key));
                    }
                }
            }
        }
        let last = taken.last().copied();
        free.retain(|number| last.is_none_or(|last| *number > last));
        let Range { start, end } = balancer.places;
        let count = end.saturating_sub(start) as usize;
        let url = |number: &u32| region.place(*known.get(&key(balancer, *number))?).url();
        let left_out = taken.iter().skip(count).filter_map(url);
        self.left_out.extend(left_out.map(|url| (balancer.name.clone(), url)));
        taken.into_iter().chain(free).chain(given..).take(count).collect()
    }

    /// The configuration is in force.
    pub fn keep(&self, region: &Region, balancers: &[BalancerSlotId]) {
        for (slot, end) in balancers.iter().zip(&self.ends) {
            region.balancer(*slot).set_places(*end);
        }
    }

    /// The configuration is not put into force after all.
    pub fn undo(&self, region: &Region) {
        for (slot, key) in &self.renamed {
            region.rename_member(*slot, *key);
        }
    }
}

fn key(balancer: &Balancer, number: u32) -> Key {
    Key::of(&["place", &format!("{:?}", balancer.key), &number.to_string()])
}

/// The key of the member of the file that has this name.
fn declared(plan: &Plan, balancer: &Balancer, name: &str) -> Option<Key> {
    let mut members = balancer.members.iter().map(|id| plan.member(*id));
    members.find(|member| member.name == name).map(|member| member.key)
}
