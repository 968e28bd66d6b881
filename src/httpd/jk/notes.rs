// SPDX-License-Identifier: Apache-2.0
//! Notes for `LogFormat %{…}n`: the worker, how long it took, and the members of a balancer that were tried.

use std::ffi::{CStr, c_char};
use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

use crate::config::jk::plan::Activation;
use crate::httpd::{ffi, pool};
use crate::proxy::jk::JkTried;

/// Name, and what it tells, for the first member tried and the last.
type Names = [&'static CStr; 10];

const FIRST: Names = [
    c"JK_LB_FIRST_NAME",
    c"JK_LB_FIRST_VALUE",
    c"JK_LB_FIRST_ACCESSED",
    c"JK_LB_FIRST_SESSIONS",
    c"JK_LB_FIRST_READ",
    c"JK_LB_FIRST_TRANSFERRED",
    c"JK_LB_FIRST_ERRORS",
    c"JK_LB_FIRST_BUSY",
    c"JK_LB_FIRST_ACTIVATION",
    c"JK_LB_FIRST_STATE",
];

const LAST: Names = [
    c"JK_LB_LAST_NAME",
    c"JK_LB_LAST_VALUE",
    c"JK_LB_LAST_ACCESSED",
    c"JK_LB_LAST_SESSIONS",
    c"JK_LB_LAST_READ",
    c"JK_LB_LAST_TRANSFERRED",
    c"JK_LB_LAST_ERRORS",
    c"JK_LB_LAST_BUSY",
    c"JK_LB_LAST_ACTIVATION",
    c"JK_LB_LAST_STATE",
];

/// What was noted so far.
#[derive(Debug, Default)]
pub(super) struct Notes {
    has_first: bool,
    has_route: bool,
}

impl Notes {
    /// An attempt on a member has ended.
    ///
    /// # Safety
    /// `r` is the live request of this thread.
    pub unsafe fn tried(&mut self, r: *mut ffi::request_rec, tried: &JkTried<'_>) {
        let is_first = !std::mem::replace(&mut self.has_first, true);
        // SAFETY: the caller vouches for `r`.
        unsafe { note_all(r, is_first, tried) }
    }

    /// The route of the member that gets the request. The first one stays, as with mod_jk.
    ///
    /// # Safety
    /// As [`Notes::tried`].
    pub unsafe fn route(&mut self, r: *mut ffi::request_rec, route: &[u8]) {
        if !self.has_route {
            self.has_route = true;
            // SAFETY: the caller vouches for `r`; the text lies in its pool.
            unsafe {
                ffi::apr_table_setn((*r).notes, c"JK_WORKER_ROUTE".as_ptr(), pool::text((*r).pool, &[route]))
            }
        }
    }
}

unsafe fn note_all(r: *mut ffi::request_rec, is_first: bool, tried: &JkTried<'_>) {
    let activation = match tried.activation {
        Activation::Active => "ACT",
        Activation::Disabled => "DIS",
        Activation::Stopped => "STP",
    };
    let values: [&dyn Display; 10] = [
        &tried.name,
        &tried.value,
        &tried.accessed,
        &tried.sessions,
        &tried.read,
        &tried.transferred,
        &tried.errors,
        &tried.busy,
        &activation,
        &tried.state.name(),
    ];
    // SAFETY: the caller vouches for `r`; the text is shared by both notes.
    unsafe {
        for ((first, last), value) in FIRST.iter().zip(LAST).zip(values) {
            let text = text_of(r, value);
            if is_first {
                ffi::apr_table_setn((*r).notes, first.as_ptr(), text);
            }
            ffi::apr_table_setn((*r).notes, last.as_ptr(), text);
        }
    }
}

/// `JK_REQUEST_DURATION`: seconds and microseconds.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn note_duration(r: *mut ffi::request_rec, duration: Duration) {
    let (seconds, rest) = (duration.as_secs(), duration.subsec_micros());
    // SAFETY: the caller vouches for `r`.
    unsafe { note(r, c"JK_REQUEST_DURATION", format_args!("{seconds}.{rest:06}")) }
}

/// Sets a note.
///
/// # Safety
/// As [`note_duration`].
pub(super) unsafe fn note(r: *mut ffi::request_rec, name: &'static CStr, value: impl Display) {
    // SAFETY: the caller vouches for `r`; the text lies in its pool.
    unsafe { ffi::apr_table_setn((*r).notes, name.as_ptr(), text_of(r, &value)) }
}

/// A value as text in the request's pool. Names of workers and numbers are short; what is longer is cut.
unsafe fn text_of(r: *mut ffi::request_rec, value: &dyn Display) -> *mut c_char {
    let mut room = [0u8; 128];
    let mut rest = &mut room[..];
    let whole = rest.len();
    let _ = write!(rest, "{value}");
    let length = whole - rest.len();
    // SAFETY: the caller vouches for `r`.
    unsafe { pool::text((*r).pool, &[&room[..length]]) }
}
