// SPDX-License-Identifier: Apache-2.0
//! The thread of each process that looks after workers every `JkWatchdogInterval`; without one, requests do it.

use std::ffi::c_void;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::httpd::guard::guard;
use crate::httpd::lifecycle::child;
use crate::httpd::runtime::Child;
use crate::httpd::{ffi, log};
use crate::proxy::jk::{forget_connections, maintain_all};

/// Tells the thread to end.
static ENDED: AtomicBool = AtomicBool::new(false);

/// How often the thread looks whether it is to end.
const STEP: Duration = Duration::from_millis(200);

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
                maintain_all(&child.world());
            }
        }
    });
    if let Err(error) = thread {
        log::server(log::ERROR, &format!("MGY5003: no thread for JkWatchdogInterval: {error}"));
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
