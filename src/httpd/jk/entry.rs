// SPDX-License-Identifier: Apache-2.0
//! What the shim calls for mod_jk's dialect: each entry guards against panics and makes one call.
//!
//! All of them are called with httpd's own pointers, which are never null and live during the call.

use std::ffi::c_int;

use super::{handler, request_log, translate};
use crate::httpd::ffi;
use crate::httpd::guard::guard;

const INTERNAL_ERROR: c_int = 500;

/// A request came; its path is decoded.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_jk_translate(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: see the top of the file.
    guard(INTERNAL_ERROR, || unsafe { translate::translate(r) })
}

/// A request came, and nobody has looked for a file yet.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_jk_strip(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: see the top of the file.
    guard(INTERNAL_ERROR, || unsafe { translate::strip(r) })
}

/// A request needs a place in the file system, or none.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_jk_map_to_storage(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: see the top of the file.
    guard(INTERNAL_ERROR, || unsafe { translate::map_to_storage(r) })
}

/// A request is to be answered.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_jk_request(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: see the top of the file.
    guard(INTERNAL_ERROR, || unsafe { handler::handle(r) })
}

/// A request is over.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_jk_log(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: see the top of the file.
    guard((), || unsafe { request_log::log(r) });
    ffi::DECLINED
}
