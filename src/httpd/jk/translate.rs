// SPDX-License-Identifier: Apache-2.0
//! The rule a request falls under, and what becomes of requests that fall under none.

use std::ffi::c_int;

use super::site::{Here, is_kept_away};
use super::static_file::{self, Alias};
use super::{mounts, state};
use crate::config::jk::path::normalised;
use crate::config::jk::plan::JkFound;
use crate::httpd::{ffi, log, pool};

const DECLINED: c_int = ffi::DECLINED;
const OK: c_int = ffi::OK as c_int;
const BAD_REQUEST: c_int = 400;
const FORBIDDEN: c_int = 403;
const NOT_FOUND: c_int = 404;
const DIRECTORY: &[u8] = b"httpd/unix-directory";

/// Finds the rule for a decoded path.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn translate(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        let Some(here) = Here::of(r) else { return DECLINED };
        if (*r).proxyreq != 0 || is_kept_away(r) || lacks_index(r, &here) {
            return DECLINED;
        }
        match map(r, &here) {
            Mapping::Worker => {
                state::tell_main_request(r, true);
                OK
            }
            Mapping::Refused(status) => status,
            Mapping::Nobody if here.site.auto_alias.is_some() => alias(r, &here),
            Mapping::Nobody => {
                strip_session(r, &here);
                DECLINED
            }
        }
    }
}

/// `JkStripSession`, for a path that no rule maps; never an answer.
///
/// # Safety
/// As [`translate`].
pub(super) unsafe fn strip(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        let Some(here) = Here::of(r) else { return DECLINED };
        let Some(mark) = here.site.strip_session.as_ref().filter(|_| here.site.auto_alias.is_none()) else {
            return DECLINED;
        };
        let path = pool::bytes((*r).uri);
        if (*r).proxyreq == 0
            && static_file::without_session(path, mark.as_bytes()).is_some()
            && !is_kept_away(r)
        {
            let mut room = Vec::new();
            let rules = mounts::of(&here, (*r).request_time);
            if matches!(here.site.find(rules.get(), path, &mut room), Ok(None)) {
                strip_session(r, &here);
            }
        }
        DECLINED
    }
}

/// Finds the rule where somebody else has translated the path. A request for a worker has no file, so httpd need not walk
/// through folders.
///
/// # Safety
/// As [`translate`].
pub(super) unsafe fn map_to_storage(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        let Some(here) = Here::of(r) else { return DECLINED };
        if (*r).proxyreq == 0 && state::worker_noted(r).is_none() {
            if is_kept_away(r) {
                return DECLINED;
            }
            match map(r, &here) {
                Mapping::Worker => state::tell_main_request(r, false),
                Mapping::Refused(status) => return status,
                Mapping::Nobody => strip_session(r, &here),
            }
        }
        if state::worker_noted(r).is_some() { ffi::margay_jk_name_file(r) } else { DECLINED }
    }
}

/// What the rules say.
pub(super) enum Mapping {
    /// The request is marked.
    Worker,
    Nobody,
    Refused(c_int),
}

/// Looks for the rule and marks the request.
///
/// # Safety
/// As [`translate`].
pub(super) unsafe fn map(r: *mut ffi::request_rec, here: &Here) -> Mapping {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        let original = (*r).uri.cast_const();
        if original.is_null() {
            return Mapping::Nobody;
        }
        let rules = mounts::of(here, (*r).request_time);
        let mut room = Vec::new();
        match here.site.find(rules.get(), pool::bytes(original), &mut room) {
            Err(_) => {
                let text = "MGY5101: the path leads above the root, for a servlet container at least";
                log::request(r, log::NOTICE, text);
                Mapping::Refused(BAD_REQUEST)
            }
            Ok(None) => Mapping::Nobody,
            Ok(Some(JkFound { rule, path })) => {
                state::mark_by_rule(r, here.jk, &rules, rule, original);
                state::set_handler(r);
                if path.as_ptr() != original.cast() {
                    (*r).uri = pool::text((*r).pool, &[path]);
                }
                Mapping::Worker
            }
        }
    }
}

/// mod_dir asks for an index file that a folder of a web application does not have: then the folder may be listed.
unsafe fn lacks_index(r: *const ffi::request_rec, here: &Here) -> bool {
    let Some(folder) = &here.site.auto_alias else { return false };
    // SAFETY: the caller vouches for `r` and the request it is a part of; its pool is used by this thread only.
    unsafe {
        let main = (*r).main;
        if main.is_null() || pool::bytes((*main).handler) != DIRECTORY {
            return false;
        }
        let path = static_file::single_slashes(pool::bytes((*r).uri));
        let file = pool::text((*r).pool, &[folder.as_bytes(), &path]);
        path.len() <= 1 || ffi::margay_is_file((*r).pool, file) == 0
    }
}

/// `JkAutoAlias`: files of web applications, but nothing of their private folders, and no archive.
unsafe fn alias(r: *mut ffi::request_rec, here: &Here) -> c_int {
    let Some(folder) = &here.site.auto_alias else { return DECLINED };
    // SAFETY: the caller vouches for `r`; its pool is used by this thread only.
    unsafe {
        let mut room = Vec::new();
        let Ok(path) = normalised(pool::bytes((*r).uri), &mut room) else { return BAD_REQUEST };
        let (name, is_archive) = match static_file::alias(path) {
            Alias::None => return DECLINED,
            Alias::Hidden => return NOT_FOUND,
            Alias::Context { name, is_archive } => (name, is_archive),
        };
        let context = pool::text((*r).pool, &[folder.as_bytes(), b"/", name]);
        if ffi::margay_is_directory((*r).pool, context) == 0 {
            return if is_archive { FORBIDDEN } else { DECLINED };
        }
        (*r).filename = pool::text((*r).pool, &[folder.as_bytes(), path]);
        OK
    }
}

/// `JkStripSession`: the session leaves path and file name.
unsafe fn strip_session(r: *mut ffi::request_rec, here: &Here) {
    let Some(mark) = &here.site.strip_session else { return };
    // SAFETY: the caller vouches for `r`; its pool is used by this thread only.
    unsafe {
        for place in [&raw mut (*r).uri, &raw mut (*r).filename] {
            if let Some(path) = static_file::without_session(pool::bytes(*place), mark.as_bytes()) {
                *place = pool::text((*r).pool, &[&path]);
            }
        }
    }
}
