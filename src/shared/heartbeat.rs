// SPDX-License-Identifier: Apache-2.0
//! What back ends last said about themselves (`lbmethod=heartbeat`), by address.

use std::net::IpAddr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use super::health::CheckerSlot;
use super::region::Region;
use crate::base::clock::Moment;
use crate::base::key::Key;
use crate::base::rng::Rng;

/// How many back ends can be remembered.
pub const HEARTBEATS: usize = 1024;

/// One that was silent for this long makes room for another; mod_heartmonitor forgets it then.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// What one back end said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beat {
    /// Threads that wait for a request.
    pub ready: u32,
    /// Threads with a request.
    pub busy: u32,
    pub seen: Moment,
}

/// The place of one back end. Its key stands in two halves; the lower one is written first and never 0 in use.
#[repr(C, align(64))]
#[derive(Debug)]
struct HeartbeatSlot {
    high: AtomicU64,
    low: AtomicU64,
    seen: AtomicU64,
    ready: AtomicU32,
    busy: AtomicU32,
}

/// All of them.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Heartbeats {
    listener: CheckerSlot,
    draws: AtomicU64,
    slots: [HeartbeatSlot; HEARTBEATS],
}

/// Whose heartbeat it is: addresses by value, other names by their letters.
pub fn key_of_host(host: &str) -> Key {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => Key(address.to_ipv6_mapped().to_bits()),
        Ok(IpAddr::V6(address)) => Key(address.to_bits()),
        Err(_) => Key::of(&["heartbeat", host]),
    }
}

fn halves(key: Key) -> (u64, u64) {
    let (high, low) = ((key.0 >> 64) as u64, key.0 as u64);
    // Zero marks a free place, so a lower half of 0 borrows a bit; nobody has both addresses.
    if low == 0 { (high, 1 << 63) } else { (high, low) }
}

impl HeartbeatSlot {
    fn is_of(&self, (high, low): (u64, u64)) -> bool {
        self.low.load(Acquire) == low && self.high.load(Relaxed) == high
    }

    fn seen(&self) -> Moment {
        Moment(self.seen.load(Relaxed))
    }

    fn write(&self, beat: Beat) {
        self.ready.store(beat.ready, Relaxed);
        self.busy.store(beat.busy, Relaxed);
        self.seen.store(beat.seen.0, Relaxed);
    }

    fn clear(&self) {
        self.high.store(0, Relaxed);
        self.low.store(0, Release);
    }
}

impl Heartbeats {
    /// Which process listens.
    pub fn listener(&self) -> &CheckerSlot {
        &self.listener
    }

    /// Notes what a back end said. False if `limit` others are remembered, all of them alive.
    pub fn note(&self, key: Key, beat: Beat, limit: usize, now: Moment) -> bool {
        let key = halves(key);
        let slots = &self.slots[..limit.min(HEARTBEATS)];
        if let Some(slot) = slots.iter().find(|slot| slot.is_of(key)) {
            slot.write(beat);
            return true;
        }
        let is_old = |slot: &&HeartbeatSlot| now.since(slot.seen()) > FORGOTTEN;
        let free = |slot: &&HeartbeatSlot| slot.low.load(Relaxed) == 0;
        if let Some(old) = slots.iter().find(|slot| !free(slot) && is_old(slot)) {
            old.clear();
        }
        for slot in slots.iter().filter(free) {
            if slot.low.compare_exchange(0, key.1, AcqRel, Relaxed).is_ok() {
                slot.write(beat);
                slot.high.store(key.0, Relaxed);
                return true;
            }
        }
        false
    }

    /// Forgets everybody else.
    pub fn keep_only(&self, keys: &[Key]) {
        for slot in self.slots.iter().filter(|slot| slot.low.load(Relaxed) != 0) {
            if !keys.iter().any(|key| slot.is_of(halves(*key))) {
                slot.clear();
            }
        }
    }

    /// What a back end said last.
    pub fn of(&self, key: Key) -> Option<Beat> {
        let slot = self.slots.iter().find(|slot| slot.is_of(halves(key)))?;
        let (ready, busy) = (slot.ready.load(Relaxed), slot.busy.load(Relaxed));
        Some(Beat { ready, busy, seen: slot.seen() })
    }

    /// A number below `bound`, another one each time; 0 for a bound of 0.
    pub fn draw(&self, bound: u64) -> u64 {
        Rng::seeded(self.draws.fetch_add(1, Relaxed)).below(bound)
    }
}

impl Region {
    /// What back ends last said about themselves.
    pub fn heartbeats(&self) -> &Heartbeats {
        &self.layout().heartbeats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_790_000_000_000);

    fn beat(ready: u32, seen: Moment) -> Beat {
        Beat { ready, busy: 1, seen }
    }

    #[test]
    fn addresses_are_the_same_however_they_are_written() {
        assert_eq!(key_of_host("127.0.0.1"), key_of_host("::ffff:127.0.0.1"));
        assert_eq!(key_of_host("[::1]"), key_of_host("0:0:0:0:0:0:0:1"));
        assert_ne!(key_of_host("127.0.0.1"), key_of_host("127.0.0.2"));
        assert_ne!(key_of_host("a.example"), key_of_host("b.example"));
    }

    #[test]
    fn the_last_word_of_each_is_remembered() {
        let region = Region::private().unwrap();
        let beats = region.heartbeats();
        let (a, b) = (key_of_host("10.0.0.1"), key_of_host("2001:db8::"));
        assert_eq!(beats.of(a), None);
        for ready in [5, 7] {
            assert!(beats.note(a, beat(ready, NOW), 10, NOW));
            assert!(beats.note(b, beat(ready + 1, NOW), 10, NOW));
        }
        assert_eq!(beats.of(a), Some(beat(7, NOW)));
        assert_eq!(beats.of(b), Some(beat(8, NOW)));
        beats.keep_only(&[b]);
        assert_eq!((beats.of(a), beats.of(b).is_some()), (None, true));
    }

    #[test]
    fn a_silent_one_makes_room_when_all_places_are_taken() {
        let region = Region::private().unwrap();
        let beats = region.heartbeats();
        let key = |n: u8| key_of_host(&format!("10.0.0.{n}"));
        assert!(beats.note(key(1), beat(1, NOW), 2, NOW));
        assert!(beats.note(key(2), beat(2, NOW.after(Duration::from_secs(20))), 2, NOW));
        assert!(!beats.note(key(3), beat(3, NOW), 2, NOW.after(Duration::from_secs(20))));
        let later = NOW.after(Duration::from_secs(31));
        assert!(beats.note(key(3), beat(3, later), 2, later));
        assert_eq!((beats.of(key(1)), beats.of(key(2)).is_some()), (None, true));
    }

    #[test]
    fn draws_are_spread_over_their_bound() {
        let region = Region::private().unwrap();
        let mut counts = [0; 4];
        for _ in 0..4000 {
            counts[region.heartbeats().draw(4) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        assert_eq!(region.heartbeats().draw(0), 0);
    }
}
