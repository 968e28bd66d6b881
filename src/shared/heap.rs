// SPDX-License-Identifier: Apache-2.0
//! The heap of this process, as the C library manages it.

/// Gives memory that was freed back to the system. Takes about a millisecond for each 10 MiB of heap.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time by any thread; only pages that hold nothing are given back.
    unsafe {
        libc::malloc_trim(0);
    }
}
