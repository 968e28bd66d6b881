// SPDX-License-Identifier: Apache-2.0
//! The bytes all bodies consist of, in both directions.
//!
//! The period is prime and divides no packet or buffer size in use, so a chunk that is lost, doubled or moved is seen.

use std::sync::LazyLock;

/// The largest body any case uses.
pub const LARGEST: usize = 1024 * 1024;

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| (0..LARGEST).map(|i| b'a' + (i % 23) as u8).collect());

/// The first `len` bytes of the pattern; `len` is at most [`LARGEST`].
pub fn of_len(len: usize) -> &'static [u8] {
    &PATTERN[..len]
}

/// The bytes that belong at `at..at + len`, or `None` beyond the largest body.
pub fn piece(at: usize, len: usize) -> Option<&'static [u8]> {
    PATTERN.get(at..at.checked_add(len)?)
}

/// The size of the answer to a path, the same for every server of the benchmark.
pub fn reply_len(path: &str) -> Option<usize> {
    match path {
        "/1k" => Some(1024),
        "/64k" => Some(64 * 1024),
        "/1m" => Some(LARGEST),
        _ => None,
    }
}
