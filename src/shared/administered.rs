// SPDX-License-Identifier: Apache-2.0
//! What an administrator changed while the server runs, and what the file said then.
//!
//! Every value has a mark of what the configuration said about it last. When the configuration is read again, a value
//! whose mark is the same stays as it is in force; one that is written differently now follows the file.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use super::region::Region;
use super::text::{SharedText, ShortText};

/// A value of a member that can be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum MemberValue {
    LoadFactor = 0,
    Lbset = 1,
    Status = 2,
    Route = 3,
    Redirect = 4,
    /// Whether the member is checked: no value of its own, but what checks found out ends with them.
    Health = 5,
}

/// A value of a balancer that can be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum BalancerValue {
    Method = 0,
    Wait = 1,
    MaxAttempts = 2,
    NoFailover = 3,
    Sticky = 4,
}

/// Marks of what the file said, by value.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct Marks([AtomicU64; 8]);

impl Marks {
    /// Notes what the file says now, and tells what it said before.
    pub(super) fn replace(&self, value: u32, mark: u64) -> u64 {
        self.0[value as usize].swap(mark, Relaxed)
    }
}

/// The changeable values of one member that its slot has no place for.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct MemberChanges {
    marks: Marks,
    /// Which texts are in force in place of the file's, by [`MemberValue`].
    changed: AtomicU32,
    route: SharedText,
    redirect: SharedText,
}

impl MemberChanges {
    /// Notes what the file says about a value; true if it said the same before.
    pub fn is_as_before(&self, value: MemberValue, mark: u64) -> bool {
        self.marks.replace(value as u32, mark) == mark
    }

    /// The route in place of the file's, if an administrator gave one.
    pub fn route(&self) -> Option<ShortText> {
        is_changed(&self.changed, MemberValue::Route as u32).then(|| self.route.read())
    }

    /// The redirect in place of the file's, if an administrator gave one.
    pub fn redirect(&self) -> Option<ShortText> {
        is_changed(&self.changed, MemberValue::Redirect as u32).then(|| self.redirect.read())
    }

    /// Back to what the file says.
    pub fn follow_file(&self, value: MemberValue) {
        forget(&self.changed, value as u32);
    }

    pub(super) fn reset(&self) {
        self.changed.store(0, Relaxed);
    }
}

/// The changeable values of one balancer.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct BalancerChanges {
    marks: Marks,
    /// Which values are in force in place of the file's, by [`BalancerValue`].
    changed: AtomicU32,
    method: AtomicU32,
    wait_seconds: AtomicU32,
    max_attempts: AtomicU32,
    no_failover: AtomicU32,
    cookie: SharedText,
    path: SharedText,
    /// What a form must bring along to be believed; empty until one was made.
    nonce: SharedText,
}

impl BalancerChanges {
    /// Notes what the file says about a value; true if it said the same before.
    pub fn is_as_before(&self, value: BalancerValue, mark: u64) -> bool {
        self.marks.replace(value as u32, mark) == mark
    }

    /// True if anything is in force in place of the file's: one look for the request path.
    pub fn are_some(&self) -> bool {
        self.changed.load(Acquire) != 0
    }

    /// Code of the method, if changed.
    pub fn method(&self) -> Option<u32> {
        self.number(BalancerValue::Method, &self.method)
    }

    /// `timeout` in seconds, if changed; 0 = no waiting.
    pub fn wait_seconds(&self) -> Option<u32> {
        self.number(BalancerValue::Wait, &self.wait_seconds)
    }

    /// `maxattempts`, if changed.
    pub fn max_attempts(&self) -> Option<u32> {
        self.number(BalancerValue::MaxAttempts, &self.max_attempts)
    }

    /// `nofailover`, if changed.
    pub fn no_failover(&self) -> Option<bool> {
        self.number(BalancerValue::NoFailover, &self.no_failover).map(|value| value != 0)
    }

    /// Names of the session in cookies and in URLs, if changed; both empty = not sticky.
    pub fn sticky(&self) -> Option<(ShortText, ShortText)> {
        is_changed(&self.changed, BalancerValue::Sticky as u32)
            .then(|| (self.cookie.read(), self.path.read()))
    }

    pub fn nonce(&self) -> ShortText {
        self.nonce.read()
    }

    /// Back to what the file says.
    pub fn follow_file(&self, value: BalancerValue) {
        forget(&self.changed, value as u32);
    }

    fn number(&self, value: BalancerValue, place: &AtomicU32) -> Option<u32> {
        is_changed(&self.changed, value as u32).then(|| place.load(Relaxed))
    }

    pub(super) fn reset(&self) {
        self.changed.store(0, Relaxed);
        self.nonce.write(&ShortText::default());
    }
}

pub(super) fn is_changed(changed: &AtomicU32, value: u32) -> bool {
    changed.load(Acquire) & 1 << value != 0
}

pub(super) fn note(changed: &AtomicU32, value: u32) {
    changed.fetch_or(1 << value, Release);
}

pub(super) fn forget(changed: &AtomicU32, value: u32) {
    changed.fetch_and(!(1 << value), Release);
}

/// The right to change values, held by one thread of all processes.
#[derive(Debug)]
pub struct Administrator<'r> {
    word: &'r AtomicU32,
}

impl Region {
    /// Waits for the right to change values, at most `patience`. One that a dead process held is taken over.
    pub fn administer(&self, patience: Duration) -> Option<Administrator<'_>> {
        let word = &self.layout().header.administrator;
        let me = std::process::id();
        let start = Instant::now();
        loop {
            let holder = word.load(Relaxed);
            if (holder == 0 || !is_alive(holder))
                && word.compare_exchange(holder, me, Acquire, Relaxed).is_ok()
            {
                return Some(Administrator { word });
            }
            if start.elapsed() >= patience {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// No rights over a process prove that it is there.
fn is_alive(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: signal 0 is sent to nobody; the call only asks.
    unsafe { libc::kill(pid, 0) == 0 || *libc::__errno_location() == libc::EPERM }
}

impl Administrator<'_> {
    pub fn set_route(&self, changes: &MemberChanges, text: &ShortText) {
        changes.route.write(text);
        note(&changes.changed, MemberValue::Route as u32);
    }

    pub fn set_redirect(&self, changes: &MemberChanges, text: &ShortText) {
        changes.redirect.write(text);
        note(&changes.changed, MemberValue::Redirect as u32);
    }

    pub fn set_method(&self, changes: &BalancerChanges, code: u32) {
        changes.method.store(code, Relaxed);
        note(&changes.changed, BalancerValue::Method as u32);
    }

    pub fn set_wait_seconds(&self, changes: &BalancerChanges, seconds: u32) {
        changes.wait_seconds.store(seconds, Relaxed);
        note(&changes.changed, BalancerValue::Wait as u32);
    }

    pub fn set_max_attempts(&self, changes: &BalancerChanges, attempts: u32) {
        changes.max_attempts.store(attempts, Relaxed);
        note(&changes.changed, BalancerValue::MaxAttempts as u32);
    }

    pub fn set_no_failover(&self, changes: &BalancerChanges, on: bool) {
        changes.no_failover.store(u32::from(on), Relaxed);
        note(&changes.changed, BalancerValue::NoFailover as u32);
    }

    /// Both empty switches stickiness off.
    pub fn set_sticky(&self, changes: &BalancerChanges, cookie: &ShortText, path: &ShortText) {
        changes.cookie.write(cookie);
        changes.path.write(path);
        note(&changes.changed, BalancerValue::Sticky as u32);
    }

    pub fn set_nonce(&self, changes: &BalancerChanges, nonce: &ShortText) {
        changes.nonce.write(nonce);
    }
}

impl Drop for Administrator<'_> {
    fn drop(&mut self) {
        self.word.store(0, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn only_one_may_change_values_at_a_time() {
        let region = Region::private().unwrap();
        let first = region.administer(LONG).unwrap();
        assert!(region.administer(Duration::ZERO).is_none());
        drop(first);
        assert!(region.administer(Duration::ZERO).is_some());
    }

    #[test]
    fn the_right_of_a_process_that_is_gone_is_taken_over() {
        let region = Region::private().unwrap();
        region.layout().header.administrator.store(0x7fff_fff0, Relaxed);
        assert!(region.administer(Duration::ZERO).is_some());
    }

    #[test]
    fn a_change_is_in_force_until_the_file_is_followed_again() {
        let region = Region::private().unwrap();
        let layout = region.layout();
        let (member, balancer) = (&layout.member_changes[3], &layout.balancer_changes[3]);
        assert_eq!((member.route(), balancer.max_attempts(), balancer.are_some()), (None, None, false));
        let administrator = region.administer(LONG).unwrap();
        administrator.set_route(member, &ShortText::of(b"B").unwrap());
        administrator.set_max_attempts(balancer, 0);
        assert_eq!(member.route().unwrap().as_str(), "B");
        assert_eq!((member.redirect(), balancer.max_attempts(), balancer.are_some()), (None, Some(0), true));
        member.follow_file(MemberValue::Route);
        balancer.follow_file(BalancerValue::MaxAttempts);
        assert_eq!((member.route(), balancer.max_attempts(), balancer.are_some()), (None, None, false));
    }
}
