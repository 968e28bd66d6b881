// SPDX-License-Identifier: Apache-2.0
//! What httpd calls: each entry wraps its arguments, guards against panics and makes one call.
//!
//! All of them are called by the shim with httpd's own pointers, which are never null and live during the call; that is
//! what every `unsafe` here rests on.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;

use super::guard::guard;
use super::pass::{self, DirConf, ServerConf};
use super::{companion, ffi, forward, handler, lifecycle, manager, pool, translate};
use crate::config::Finding;

const INTERNAL_ERROR: c_int = 500;
const BUG: &std::ffi::CStr = c"a bug in Margay: see the error log";

unsafe fn refusal(pool: *mut ffi::apr_pool_t, result: Result<(), Finding>) -> *const c_char {
    match result {
        Ok(()) => ptr::null(),
        // SAFETY: the pool is the configuration's.
        Err(finding) => unsafe { pool::text(pool, &[finding.to_string().as_bytes()]) },
    }
}

/// A line of the configuration.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_directive(
    cmd: *mut ffi::cmd_parms,
    dir: *mut c_void,
    id: c_uint,
    args: *const c_char,
) -> *const c_char {
    // SAFETY: see the top of the file.
    guard(BUG.as_ptr(), || unsafe { refusal((*cmd).pool, pass::directive(cmd, dir.cast(), id, args)) })
}

/// The opening line of a `<Proxy>` or `<ProxyMatch>` section.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_proxy_section(
    cmd: *mut ffi::cmd_parms,
    dir: *mut c_void,
    args: *const c_char,
    is_expression: c_int,
) -> *const c_char {
    // SAFETY: see the top of the file.
    guard(BUG.as_ptr(), || unsafe {
        refusal((*cmd).pool, pass::proxy_section(cmd, dir.cast(), args, is_expression != 0))
    })
}

/// A `<Proxy>` line that is wrong before its words are looked at; a text if the line is to be refused.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_bad_section(cmd: *mut ffi::cmd_parms, text: *const c_char) -> *const c_char {
    // SAFETY: see the top of the file.
    guard(BUG.as_ptr(), || unsafe { refusal((*cmd).pool, pass::bad_section(cmd, text)) })
}

/// The value of a server.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_create_server(
    pool: *mut ffi::apr_pool_t,
    server: *mut ffi::server_rec,
) -> *mut c_void {
    // SAFETY: see the top of the file.
    guard(ptr::null_mut(), || unsafe { pass::create_server(pool, server).cast() })
}

/// The value of a virtual host that has lines of its own: inheritance is the plan's business.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_merge_server(
    _pool: *mut ffi::apr_pool_t,
    _base: *mut c_void,
    add: *mut c_void,
) -> *mut c_void {
    add
}

/// The value of a section.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_create_dir(pool: *mut ffi::apr_pool_t, _path: *mut c_char) -> *mut c_void {
    // SAFETY: see the top of the file.
    guard(ptr::null_mut(), || unsafe { pool::value(pool, DirConf::EMPTY).cast() })
}

/// The merged value of two sections; called several times for each request.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_merge_dir(
    pool: *mut ffi::apr_pool_t,
    base: *mut c_void,
    add: *mut c_void,
) -> *mut c_void {
    let (base, add): (*mut DirConf, *mut DirConf) = (base.cast(), add.cast());
    // SAFETY: see the top of the file; both are values of ours.
    guard(base.cast(), || unsafe { DirConf::merged(pool, base, add).cast() })
}

/// The configuration was read.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_check_config(
    _pconf: *mut ffi::apr_pool_t,
    _plog: *mut ffi::apr_pool_t,
    _ptemp: *mut ffi::apr_pool_t,
    server: *mut ffi::server_rec,
) -> c_int {
    // SAFETY: see the top of the file.
    guard(INTERNAL_ERROR, || unsafe { lifecycle::check_config(server) })
}

/// Children will be started for this configuration.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_post_config(
    _pconf: *mut ffi::apr_pool_t,
    _plog: *mut ffi::apr_pool_t,
    _ptemp: *mut ffi::apr_pool_t,
    server: *mut ffi::server_rec,
) -> c_int {
    // SAFETY: see the top of the file.
    guard(INTERNAL_ERROR, || unsafe { lifecycle::post_config(server) })
}

/// This process is a child now.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_child_init(pool: *mut ffi::apr_pool_t, _server: *mut ffi::server_rec) {
    // SAFETY: see the top of the file.
    guard((), || unsafe { lifecycle::child_init(pool) });
}

/// A child started or ended; told to the parent.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_child_status(
    _server: *mut ffi::server_rec,
    pid: ffi::pid_t,
    _generation: ffi::ap_generation_t,
    _slot: c_int,
    state: ffi::mpm_child_status,
) {
    // A child whose slot was lost still runs; its end is told later.
    if state == ffi::MPM_CHILD_EXITED {
        guard((), || lifecycle::child_ended(u32::try_from(pid).unwrap_or(0)));
    }
}

/// The companion ended; told to the parent.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_companion_end(pid: std::ffi::c_long, status: c_int) {
    guard((), || companion::ended(i32::try_from(pid).unwrap_or(0), status));
}

/// Time to look whether the companion hangs; told to the parent.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_monitor() {
    guard((), companion::look);
}

/// A request came that may be for another server.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_foreign(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: see the top of the file.
    guard(0, || unsafe { c_int::from(forward::takes_foreign(r)) })
}

/// A request came; its path is still encoded.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_pre_translate(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: see the top of the file.
    guard(INTERNAL_ERROR, || unsafe { translate::pre_translate(r) })
}

/// A request came; its path is decoded.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_translate(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: see the top of the file.
    guard(INTERNAL_ERROR, || unsafe { translate::translate(r) })
}

/// A request is to be answered.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_request(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: see the top of the file.
    guard(INTERNAL_ERROR, || unsafe {
        match manager::handle(r) {
            ffi::DECLINED => handler::handle(r),
            status => status,
        }
    })
}

/// mod_status makes its page.
#[unsafe(no_mangle)]
unsafe extern "C" fn margay_on_status_section(r: *mut ffi::request_rec, lines: c_int) -> c_int {
    // SAFETY: see the top of the file.
    guard(ffi::DECLINED, || unsafe { manager::status_section(r, lines != 0) })
}

/// Keeps the layouts that C and Rust share from drifting apart unnoticed.
const _: () = {
    assert!(size_of::<ServerConf>() == 16);
    assert!(size_of::<DirConf>() == 16);
};
