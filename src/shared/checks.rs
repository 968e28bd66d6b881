// SPDX-License-Identifier: Apache-2.0
//! What an administrator changed about the health checks of a member, and what the file said then.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::administered::{Administrator, Marks, forget, is_changed, note};
use super::text::{SharedText, ShortText};

/// A value of health checks that can be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum CheckValue {
    Method = 0,
    Interval = 1,
    Passes = 2,
    Fails = 3,
    Uri = 4,
    Condition = 5,
}

/// The changeable values of the checks of one member.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct CheckChanges {
    marks: Marks,
    /// Which values are in force in place of the file's, by [`CheckValue`].
    changed: AtomicU32,
    method: AtomicU32,
    interval_ms: AtomicU32,
    passes: AtomicU32,
    fails: AtomicU32,
    uri: SharedText,
    condition: SharedText,
}

impl CheckChanges {
    /// Notes what the file says about a value; true if it said the same before.
    pub fn is_as_before(&self, value: CheckValue, mark: u64) -> bool {
        self.marks.replace(value as u32, mark) == mark
    }

    /// Is anything in force in place of the file's?
    pub fn are_some(&self) -> bool {
        self.changed.load(Relaxed) != 0
    }

    /// Code of the method, if changed; 0 = no checks.
    pub fn method(&self) -> Option<u32> {
        self.number(CheckValue::Method, &self.method)
    }

    /// `hcinterval` in milliseconds, if changed.
    pub fn interval_ms(&self) -> Option<u32> {
        self.number(CheckValue::Interval, &self.interval_ms)
    }

    /// `hcpasses`, if changed.
    pub fn passes(&self) -> Option<u32> {
        self.number(CheckValue::Passes, &self.passes)
    }

    /// `hcfails`, if changed.
    pub fn fails(&self) -> Option<u32> {
        self.number(CheckValue::Fails, &self.fails)
    }

    /// `hcuri`, if changed; may be empty.
    pub fn uri(&self) -> Option<ShortText> {
        is_changed(&self.changed, CheckValue::Uri as u32).then(|| self.uri.read())
    }

    /// The name in `hcexpr`, if changed; empty = none.
    pub fn condition(&self) -> Option<ShortText> {
        is_changed(&self.changed, CheckValue::Condition as u32).then(|| self.condition.read())
    }

    /// Back to what the file says.
    pub fn follow_file(&self, value: CheckValue) {
        forget(&self.changed, value as u32);
    }

    fn number(&self, value: CheckValue, place: &AtomicU32) -> Option<u32> {
        is_changed(&self.changed, value as u32).then(|| place.load(Relaxed))
    }

    pub(super) fn reset(&self) {
        self.changed.store(0, Relaxed);
    }
}

impl Administrator<'_> {
    /// Changes a number: a code of a method, milliseconds or a count. Texts have a function of their own.
    pub fn set_check_number(&self, changes: &CheckChanges, value: CheckValue, number: u32) {
        let place = match value {
            CheckValue::Method => &changes.method,
            CheckValue::Interval => &changes.interval_ms,
            CheckValue::Passes => &changes.passes,
            CheckValue::Fails => &changes.fails,
            CheckValue::Uri | CheckValue::Condition => return,
        };
        place.store(number, Relaxed);
        note(&changes.changed, value as u32);
    }

    pub fn set_check_uri(&self, changes: &CheckChanges, uri: &ShortText) {
        changes.uri.write(uri);
        note(&changes.changed, CheckValue::Uri as u32);
    }

    /// Empty = no condition.
    pub fn set_check_condition(&self, changes: &CheckChanges, name: &ShortText) {
        changes.condition.write(name);
        note(&changes.changed, CheckValue::Condition as u32);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::key::Key;
    use crate::shared::Region;

    #[test]
    fn a_changed_check_is_in_force_until_the_file_is_followed_again() {
        let region = Region::private().unwrap();
        let slot = region.bind(1, &[Key::of(&["a"])], &[]).unwrap().members[0].slot;
        let changes = region.check_changes(slot);
        assert!(!changes.are_some());
        let administrator = region.administer(Duration::ZERO).unwrap();
        administrator.set_check_number(changes, CheckValue::Method, 0);
        administrator.set_check_number(changes, CheckValue::Interval, 500);
        administrator.set_check_uri(changes, &ShortText::of(b"/up").unwrap());
        assert_eq!((changes.method(), changes.interval_ms(), changes.fails()), (Some(0), Some(500), None));
        assert_eq!(changes.uri().unwrap().as_str(), "/up");
        assert_eq!(changes.condition(), None);
        for value in [CheckValue::Method, CheckValue::Interval, CheckValue::Uri] {
            changes.follow_file(value);
        }
        assert!(!changes.are_some());
    }
}
