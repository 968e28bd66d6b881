// SPDX-License-Identifier: Apache-2.0
//! Stable key to slot. Only the parent process changes it, while the configuration is put into force.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::layout::{BalancerSlotId, MemberSlotId};
use super::member::MemberSlot;
use super::region::Region;
use crate::base::key::Key;

/// Whose slot it is. Entry and slot have the same index.
#[repr(C, align(32))]
#[derive(Debug)]
pub(super) struct Entry {
    key: [AtomicU64; 2],
    /// The last generation that named the key.
    generation: AtomicU32,
    used: AtomicU32,
}

/// Slots for the keys of one generation, in the order of the keys.
#[derive(Debug, PartialEq, Eq)]
pub struct Bound {
    pub members: Vec<Place<MemberSlotId>>,
    pub balancers: Vec<Place<BalancerSlotId>>,
}

/// A slot, and whether its key had none before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<Id> {
    pub slot: Id,
    pub is_new: bool,
}

/// The region has no room for all keys. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    /// `members` or `balancers`.
    pub what: &'static str,
    pub capacity: usize,
    /// Keys of the new configuration.
    pub wanted: usize,
    /// Slots of removed ones that older child processes may still use.
    pub retiring: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, capacity, wanted, retiring } = self;
        write!(f, "the shared memory has room for {capacity} {what}, the configuration names {wanted}")?;
        if *retiring > 0 {
            write!(
                f,
                " and {retiring} removed ones are still in use by child processes of an earlier configuration: \
                 try again when those have ended, or do a full restart"
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Full {}

impl Region {
    /// Gives every key its slot: known keys keep theirs with state and counters, whatever their place in the file.
    /// Keys not named any more keep theirs until [`Region::retire`]. For the parent process only.
    ///
    /// # Errors
    /// [`Full`]; then nothing was changed.
    pub fn bind(&self, generation: u32, members: &[Key], balancers: &[Key]) -> Result<Bound, Full> {
        let layout = self.layout();
        let members = assign("members", &layout.member_entries, members)?;
        let balancers = assign("balancers", &layout.balancer_entries, balancers)?;

        for choice in members.iter().filter(|choice| choice.is_new) {
            layout.members[choice.index].reset();
            layout.member_changes[choice.index].reset();
            layout.health[choice.index].reset();
            layout.places[choice.index].reset();
            layout.namings[choice.index].reset();
            layout.check_changes[choice.index].reset();
            layout.jk_members[choice.index].reset();
        }
        for choice in balancers.iter().filter(|choice| choice.is_new) {
            layout.balancers[choice.index].reset();
            layout.balancer_changes[choice.index].reset();
            layout.jk_balancers[choice.index].reset();
        }
        take(&layout.member_entries, &members, generation);
        take(&layout.balancer_entries, &balancers, generation);
        layout.header.generation.store(generation, Release);

        // The arrays have at most 2^16 entries (asserted in the layout).
        Ok(Bound {
            members: members.iter().map(|choice| choice.place(MemberSlotId(choice.index as u16))).collect(),
            balancers: balancers
                .iter()
                .map(|choice| choice.place(BalancerSlotId(choice.index as u16)))
                .collect(),
        })
    }

    /// Frees the slots of keys that the newest configuration does not name, as far as every process of a generation
    /// that named them has ended. `oldest_live` is the oldest generation of which a child may still run. Returns how
    /// many were freed. For the parent process only.
    pub fn retire(&self, oldest_live: u32) -> usize {
        let layout = self.layout();
        let limit = oldest_live.min(self.generation());
        let mut freed = 0;
        for entry in layout.member_entries.iter().chain(&layout.balancer_entries) {
            if entry.is_used() && entry.generation.load(Relaxed) < limit {
                entry.used.store(0, Release);
                freed += 1;
            }
        }
        freed
    }

    /// All members with a slot, removed ones that are still in use included.
    pub fn members(&self) -> impl Iterator<Item = (Key, MemberSlotId, &MemberSlot)> {
        let layout = self.layout();
        layout.member_entries.iter().zip(&layout.members).enumerate().filter_map(|(index, (entry, slot))| {
            entry.key().map(|key| (key, MemberSlotId(index as u16), slot))
        })
    }

    /// The members that the newest configuration names. For the parent process only.
    pub fn current_members(&self) -> HashMap<Key, MemberSlotId> {
        let all = self.members().map(|(key, slot, _)| (key, slot));
        all.filter(|(_, slot)| self.is_current(*slot)).collect()
    }

    /// Does the newest configuration name the member of this slot?
    pub fn is_current(&self, slot: MemberSlotId) -> bool {
        self.layout().member_entries[slot.index()].generation.load(Relaxed) == self.generation()
    }

    /// Gives the slot of a member another key: the next configuration finds it by that one. For the parent process only.
    pub fn rename_member(&self, slot: MemberSlotId, key: Key) {
        let entry = &self.layout().member_entries[slot.index()];
        entry.name(key, entry.generation.load(Relaxed));
    }

    /// The slot of a balancer's key.
    pub fn find_balancer(&self, key: Key) -> Option<BalancerSlotId> {
        let found = self.layout().balancer_entries.iter().position(|entry| entry.key() == Some(key));
        found.map(|index| BalancerSlotId(index as u16))
    }

    /// The slot of a member's key.
    pub fn find_member(&self, key: Key) -> Option<MemberSlotId> {
        self.members().find(|(known, ..)| *known == key).map(|(_, slot, _)| slot)
    }
}

impl Entry {
    fn is_used(&self) -> bool {
        self.used.load(Acquire) != 0
    }

    fn key(&self) -> Option<Key> {
        let [low, high] = &self.key;
        self.is_used().then(|| Key(u128::from(high.load(Relaxed)) << 64 | u128::from(low.load(Relaxed))))
    }

    fn name(&self, key: Key, generation: u32) {
        let [low, high] = &self.key;
        low.store(key.0 as u64, Relaxed);
        high.store((key.0 >> 64) as u64, Relaxed);
        self.generation.store(generation, Relaxed);
        self.used.store(1, Release);
    }
}

struct Choice {
    key: Key,
    index: usize,
    is_new: bool,
}

impl Choice {
    fn place<Id>(&self, slot: Id) -> Place<Id> {
        Place { slot, is_new: self.is_new }
    }
}

/// Chooses without writing, so that a full region stays as it is.
fn assign(what: &'static str, entries: &[Entry], keys: &[Key]) -> Result<Vec<Choice>, Full> {
    let mut known: HashMap<Key, usize> =
        entries.iter().enumerate().filter_map(|(index, entry)| Some((entry.key()?, index))).collect();
    let used = known.len();
    let mut free = entries.iter().enumerate().filter(|(_, entry)| !entry.is_used()).map(|(index, _)| index);
    let mut choices = Vec::with_capacity(keys.len());
    for &key in keys {
        let choice = match known.get(&key) {
            Some(&index) => Choice { key, index, is_new: false },
            None => {
                let index = free.next().ok_or_else(|| full(what, entries, keys, used))?;
                known.insert(key, index);
                Choice { key, index, is_new: true }
            }
        };
        choices.push(choice);
    }
    Ok(choices)
}

fn full(what: &'static str, entries: &[Entry], keys: &[Key], used: usize) -> Full {
    let wanted: std::collections::HashSet<Key> = keys.iter().copied().collect();
    let kept = entries.iter().filter_map(Entry::key).filter(|key| wanted.contains(key)).count();
    Full { what, capacity: entries.len(), wanted: wanted.len(), retiring: used - kept }
}

fn take(entries: &[Entry], choices: &[Choice], generation: u32) {
    for choice in choices {
        entries[choice.index].name(choice.key, generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::MEMBERS;

    fn keys(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| Key::of(&[name])).collect()
    }

    fn bind(region: &Region, generation: u32, names: &[&str]) -> Vec<Place<MemberSlotId>> {
        region.bind(generation, &keys(names), &[]).unwrap().members
    }

    #[test]
    fn reordering_and_adding_members_keeps_their_counters() {
        let region = Region::private().unwrap();
        let first = bind(&region, 1, &["a", "b"]);
        region.member(first[1].slot).add_bytes_read(7);

        let second = bind(&region, 2, &["new", "b", "a"]);
        assert_eq!(second[1], Place { slot: first[1].slot, is_new: false });
        assert_eq!(second[2].slot, first[0].slot);
        assert_eq!(region.member(second[1].slot).bytes_read(), 7);
        assert!(second[0].is_new);
    }

    #[test]
    fn a_removed_member_keeps_its_slot_until_no_older_generation_is_alive() {
        let region = Region::private().unwrap();
        let first = bind(&region, 1, &["a", "b"]);
        region.member(first[1].slot).count_error();
        bind(&region, 2, &["a"]);
        assert_eq!(region.retire(1), 0);
        assert!(!bind(&region, 3, &["a", "b"])[1].is_new);

        bind(&region, 4, &["a"]);
        assert_eq!(region.retire(4), 1);
        assert_eq!(region.find_member(Key::of(&["b"])), None);
        let again = bind(&region, 5, &["a", "b"])[1];
        assert!(again.is_new);
        assert_eq!(region.member(again.slot).errors(), 0);
    }

    #[test]
    fn a_key_named_twice_has_one_slot() {
        let region = Region::private().unwrap();
        let places = bind(&region, 1, &["a", "a"]);
        assert_eq!(places[0].slot, places[1].slot);
        assert_eq!(region.members().count(), 1);
    }

    #[test]
    fn a_full_region_refuses_with_numbers_and_stays_as_it_was() {
        let region = Region::private().unwrap();
        let many: Vec<Key> = (0..MEMBERS).map(|n| Key::of(&[&n.to_string()])).collect();
        region.bind(1, &many, &[]).unwrap();
        let more = keys(&["x", "y"]);
        let error = region.bind(2, &[&many[2..], &more[..], &keys(&["z"])].concat(), &[]).unwrap_err();
        assert_eq!(error, Full { what: "members", capacity: MEMBERS, wanted: MEMBERS + 1, retiring: 2 });
        let numbers = format!("room for {MEMBERS} members, the configuration names {}", MEMBERS + 1);
        assert!(error.to_string().contains(&numbers));
        assert_eq!(region.generation(), 1);
        assert_eq!(region.find_member(more[0]), None);

        let error = region.bind(2, &more, &[]).unwrap_err();
        assert!(error.to_string().contains(&format!("{MEMBERS} removed ones are still in use")));
    }
}
