// SPDX-License-Identifier: Apache-2.0
//! Lines for httpd's error log.

use std::ffi::c_int;

use super::ffi;
use crate::config::Severity;
use crate::proxy::exchange::Level;

pub(super) const CRITICAL: u32 = ffi::APLOG_CRIT;
pub(super) const ALERT: u32 = ffi::APLOG_ALERT;
pub(super) const ERROR: u32 = ffi::APLOG_ERR;
pub(super) const WARNING: u32 = ffi::APLOG_WARNING;
pub(super) const NOTICE: u32 = ffi::APLOG_NOTICE;

/// Writes a line that belongs to no request.
pub(super) fn server(level: u32, text: &str) {
    // SAFETY: the shim copies `text.len()` bytes and takes a null server for the main error log.
    unsafe {
        ffi::margay_log_server(std::ptr::null_mut(), level as c_int, 0, text.as_ptr().cast(), text.len());
    }
}

/// Writes a line of the main server, if its `LogLevel` asks for it. Without a server httpd takes `warn` for the level.
pub(super) fn main_server(level: u32, text: &str) {
    // SAFETY: as above; httpd sets `ap_server_conf` before it starts children, and it lives as long as they do.
    unsafe {
        ffi::margay_log_server(ffi::ap_server_conf, level as c_int, 0, text.as_ptr().cast(), text.len());
    }
}

/// Writes a line that belongs to a request.
///
/// # Safety
/// `r` is a live request of the calling thread.
pub(super) unsafe fn request(r: *mut ffi::request_rec, level: u32, text: &str) {
    // SAFETY: the caller vouches for `r`; the shim copies `text.len()` bytes.
    unsafe { ffi::margay_log_request(r, level as c_int, 0, text.as_ptr().cast(), text.len()) }
}

/// httpd's number for a level of the core.
pub(super) fn number(level: Level) -> u32 {
    match level {
        Level::Error => ffi::APLOG_ERR,
        Level::Warning => ffi::APLOG_WARNING,
        Level::Notice => ffi::APLOG_NOTICE,
        Level::Info => ffi::APLOG_INFO,
        Level::Debug => ffi::APLOG_DEBUG,
    }
}

/// httpd's number for the severity of a finding.
pub(super) fn of_severity(severity: Severity) -> u32 {
    match severity {
        Severity::Error => ffi::APLOG_ERR,
        Severity::Warning => ffi::APLOG_WARNING,
        Severity::Notice => ffi::APLOG_NOTICE,
    }
}
