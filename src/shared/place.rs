// SPDX-License-Identifier: Apache-2.0
//! Places for members that an administrator adds while the server runs: the URL of who took one.
//!
//! The parent gives a balancer its places with each configuration. A place is taken once and never given back by a child:
//! its text is written first and published second, so whoever sees that it is taken can read whose it is.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::administered::Administrator;

const WORDS: usize = 32;

/// The longest URL of an added member, in bytes: as mod_proxy.
pub const LONGEST_URL: usize = 8 * WORDS - 1;

/// The place of one member that may be added.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct MemberPlace {
    /// Length of the URL; 0 = free.
    length: AtomicU32,
    url: [AtomicU64; WORDS],
}

impl MemberPlace {
    /// Has a member been added here? One look, for the request path.
    pub fn is_taken(&self) -> bool {
        self.length.load(Acquire) != 0
    }

    /// The URL of the member that was added here.
    pub fn url(&self) -> Option<String> {
        let length = usize::try_from(self.length.load(Acquire)).unwrap_or(0).min(LONGEST_URL);
        let words = self.url.iter().take(length.div_ceil(8));
        let mut bytes: Vec<u8> = words.flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
        bytes.truncate(length);
        String::from_utf8(bytes).ok().filter(|url| !url.is_empty())
    }

    pub(super) fn reset(&self) {
        self.length.store(0, Release);
    }
}

impl Administrator<'_> {
    /// Takes a free place. False if it is taken, or the URL is empty or longer than [`LONGEST_URL`].
    pub fn take_place(&self, place: &MemberPlace, url: &str) -> bool {
        let length = u32::try_from(url.len()).unwrap_or(u32::MAX);
        if place.is_taken() || url.is_empty() || url.len() > LONGEST_URL {
            return false;
        }
        for (word, part) in place.url.iter().zip(url.as_bytes().chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..part.len()].copy_from_slice(part);
            word.store(u64::from_ne_bytes(bytes), Relaxed);
        }
        place.length.store(length, Release);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::key::Key;
    use crate::shared::Region;

    #[test]
    fn a_place_is_taken_once() {
        let region = Region::private().unwrap();
        let slot = region.bind(1, &[Key::of(&["a"])], &[]).unwrap().members[0].slot;
        let (place, administrator) = (region.place(slot), region.administer(Duration::ZERO).unwrap());
        assert_eq!((place.is_taken(), place.url()), (false, None));
        assert!(!administrator.take_place(place, ""));
        assert!(!administrator.take_place(place, &"x".repeat(LONGEST_URL + 1)));
        let longest = "x".repeat(LONGEST_URL);
        assert!(administrator.take_place(place, &longest));
        assert_eq!(place.url(), Some(longest));
        assert!(!administrator.take_place(place, "ajp://other"));
    }

    #[test]
    fn urls_of_every_length_come_back() {
        for length in 1..40 {
            let region = Region::private().unwrap();
            let slot = region.bind(1, &[Key::of(&["a"])], &[]).unwrap().members[0].slot;
            let url = "abcdefghijklmnopqrstuvwxyz0123456789-+/:"[..length].to_owned();
            assert!(region.administer(Duration::ZERO).unwrap().take_place(region.place(slot), &url));
            assert_eq!(region.place(slot).url(), Some(url));
        }
    }
}
