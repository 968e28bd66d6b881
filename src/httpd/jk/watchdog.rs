// SPDX-License-Identifier: Apache-2.0
//! Maintenance every `worker.maintain` seconds: by requests, or by a thread of each process (`JkWatchdogInterval`).

use std::ffi::c_void;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use super::site::Here;
use crate::balance::jk::maintain;
use crate::base::clock::{Clock, SystemClock};
use crate::httpd::guard::guard;
use crate::httpd::lifecycle::child;
use crate::httpd::runtime::Child;
use crate::httpd::{ffi, log};
use crate::proxy::jk::{forget_connections, maintain_pools};

/// When this process looks next, in milliseconds since 1970; requests compare it and go on.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Tells the thread to end.
static ENDED: AtomicBool = AtomicBool::new(false);

/// How often the thread looks whether it is to end.
const STEP: Duration = Duration::from_millis(200);

/// Called with each request: without a watchdog, one of them does the work when its time has come.
pub(super) fn look_after(child: &Child, here: &Here) {
    if here.jk.watchdog.is_zero() && !here.jk.maintain.is_zero() {
        let now = SystemClock.now().0;
        let due = NEXT.load(Relaxed);
        let pause = u64::try_from(here.jk.maintain.as_millis()).unwrap_or(u64::MAX);
        // The part all processes share has its own clock; ours may run a little ahead of it.
        let next = now.saturating_add((pause / 4).clamp(1, 1000));
        if now >= due && NEXT.compare_exchange(due, next, Relaxed, Relaxed).is_ok() {
            work(child);
        }
    }
}

fn work(child: &Child) {
    let world = child.world();
    maintain(world.plan, world.region, world.bindings, SystemClock.now());
    maintain_pools(&world);
}

/// Starts the thread of this process, if there is to be one.
pub(in crate::httpd) fn start(child: &'static Child) {
    let jk = &child.runtime.plan.jk;
    if !jk.is_used || jk.watchdog.is_zero() || jk.maintain.is_zero() {
        return;
    }
    let interval = jk.watchdog;
    let thread = std::thread::Builder::new().name("jk watchdog".to_owned()).spawn(move || {
        let mut slept = Duration::ZERO;
        while !ENDED.load(Relaxed) {
            std::thread::sleep(STEP.min(interval));
            slept += STEP;
            if slept >= interval {
                slept = Duration::ZERO;
                work(child);
            }
        }
    });
    if let Err(error) = thread {
        log::server(log::ERROR, &format!("MGY4003: no thread for JkWatchdogInterval: {error}"));
    }
}

/// The process ends.
pub(in crate::httpd) unsafe extern "C" fn end(_: *mut c_void) -> ffi::apr_status_t {
    ENDED.store(true, Relaxed);
    guard((), || {
        if let Some(child) = child() {
            forget_connections(&child.world());
        }
    });
    0
}
