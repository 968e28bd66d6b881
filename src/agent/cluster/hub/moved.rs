// SPDX-License-Identifier: Apache-2.0
//! Memory that nobody needs any more.

use crate::shared::heap;

/// So many bytes make it worth looking for what can be given back.
const MUCH: usize = 8 << 20;

/// Seconds without messages before memory is given back.
const GIVEN_BACK_AFTER: u32 = 3;

/// Bytes of messages that came and went.
#[derive(Debug, Default)]
pub(super) struct Moved {
    bytes: usize,
    lately: usize,
    /// Seconds without messages.
    calm: u32,
}

impl Moved {
    pub fn add(&mut self, bytes: usize) {
        self.lately = self.lately.saturating_add(bytes);
    }

    /// Call it once a second. What takes long is done in a second in which nothing came: nobody shall wait for it.
    pub fn make_room(&mut self) {
        let lately = std::mem::take(&mut self.lately);
        self.bytes = self.bytes.saturating_add(lately);
        let is_calm = lately == 0;
        if is_calm && self.bytes >= MUCH {
            self.calm += 1;
            if self.calm == GIVEN_BACK_AFTER {
                *self = Moved::default();
                heap::give_back();
            }
        } else {
            self.calm = 0;
        }
    }
}
