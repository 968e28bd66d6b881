// SPDX-License-Identifier: Apache-2.0
//! Short texts in shared memory: written seldom, read by every request, never torn.
//!
//! There are two copies. A writer fills the one nobody reads, then turns the version; a reader that sees another version
//! after reading than before reads again. A writer that is killed half way leaves the copy in use as it was.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

const WORDS: usize = 8;

/// The longest text, in bytes: what mod_proxy allows for routes and session names.
pub const LONGEST: usize = 8 * WORDS - 1;

/// A text of at most [`LONGEST`] bytes that all processes see.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct SharedText {
    /// The copy in use is `version % 2`.
    version: AtomicU32,
    /// The first byte of a copy is the length of the text behind it.
    copies: [[AtomicU64; WORDS]; 2],
}

/// A text that was read: a copy of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShortText {
    bytes: [u8; 8 * WORDS],
}

impl Default for ShortText {
    fn default() -> Self {
        Self { bytes: [0; 8 * WORDS] }
    }
}

impl ShortText {
    /// `None` if the text is too long.
    pub fn of(text: &[u8]) -> Option<ShortText> {
        let length = u8::try_from(text.len()).ok().filter(|&length| usize::from(length) <= LONGEST)?;
        let mut short = ShortText::default();
        short.bytes[0] = length;
        short.bytes[1..=text.len()].copy_from_slice(text);
        Some(short)
    }

    pub fn as_bytes(&self) -> &[u8] {
        let length = usize::from(self.bytes[0]).min(LONGEST);
        &self.bytes[1..=length]
    }

    /// The text, empty if it is no UTF-8.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl SharedText {
    /// What the text is now. No locks, no allocation.
    pub fn read(&self) -> ShortText {
        loop {
            let version = self.version.load(Acquire);
            let mut short = ShortText::default();
            for (part, word) in short.bytes.chunks_exact_mut(8).zip(self.copy(version)) {
                part.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
            }
            fence(Acquire);
            if self.version.load(Relaxed) == version {
                return short;
            }
        }
    }

    /// Replaces the text. One writer at a time: see [`super::Region::administer`].
    pub(super) fn write(&self, text: &ShortText) {
        let version = self.version.load(Acquire);
        // A reader that sees a word of the copy about to be written also sees the version turned before.
        fence(Release);
        for (part, word) in text.bytes.chunks_exact(8).zip(self.copy(version.wrapping_add(1))) {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(part);
            word.store(u64::from_ne_bytes(bytes), Relaxed);
        }
        self.version.store(version.wrapping_add(1), Release);
    }

    fn copy(&self, version: u32) -> &[AtomicU64; WORDS] {
        &self.copies[usize::from(version % 2 == 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn empty() -> SharedText {
        SharedText { version: AtomicU32::new(0), copies: [const { [const { AtomicU64::new(0) }; WORDS] }; 2] }
    }

    #[test]
    fn a_text_is_read_as_it_was_written() {
        let text = empty();
        assert_eq!(text.read().as_bytes(), b"");
        for written in ["A", "", "tomcat-2", &"x".repeat(LONGEST)] {
            text.write(&ShortText::of(written.as_bytes()).unwrap());
            assert_eq!(text.read().as_str(), written);
        }
        assert_eq!(ShortText::of(&[b'x'; LONGEST + 1]), None);
    }

    #[test]
    fn a_reader_never_sees_parts_of_two_texts() {
        let (text, done) = (empty(), AtomicBool::new(false));
        text.write(&ShortText::of(&[b'a'; LONGEST]).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 0..20_000u32 {
                    let letter = b'a' + (turn % 26) as u8;
                    text.write(&ShortText::of(&vec![letter; 1 + (turn as usize * 7) % LONGEST]).unwrap());
                }
                done.store(true, Relaxed);
            });
            while !done.load(Relaxed) {
                let seen = text.read();
                let bytes = seen.as_bytes();
                assert!(!bytes.is_empty() && bytes.iter().all(|byte| *byte == bytes[0]), "{seen:?}");
            }
        });
    }

    #[test]
    fn a_writer_that_is_killed_half_way_leaves_the_text_as_it_was() {
        let text = empty();
        text.write(&ShortText::of(b"whole").unwrap());
        text.copy(text.version.load(Relaxed) + 1)[0].store(u64::MAX, Relaxed);
        assert_eq!(text.read().as_str(), "whole");
    }
}
