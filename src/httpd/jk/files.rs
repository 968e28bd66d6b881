// SPDX-License-Identifier: Apache-2.0
//! Files that lines of mod_jk name: read when the configuration is checked, so that `-t` shows what is wrong in them.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::path::PathBuf;

use super::mounts::Stamps;
use crate::config::{Draft, Facts};
use crate::httpd::{ffi, pool};

/// Reads what the draft wants, and notes when each file was last changed.
///
/// # Safety
/// `pool` is live, in the parent's only thread.
pub(in crate::httpd) unsafe fn read(draft: &Draft, facts: &mut Facts, pool: *mut ffi::apr_pool_t) -> Stamps {
    // SAFETY: the caller vouches for the pool.
    let root = unsafe { below_root(pool, "") };
    facts.server_root = root.to_string_lossy().trim_end_matches('/').to_owned();
    facts.environment = environment();
    let mut stamps = Stamps::new();
    for path in draft.wanted_files(&facts.server_root) {
        let changed = fs::metadata(&path).and_then(|found| found.modified());
        let text = fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if let Ok(changed) = changed {
            stamps.push((path.clone(), changed));
        }
        facts.files.insert(path, text.map_err(|error| error.to_string()));
    }
    stamps
}

fn environment() -> HashMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// A path, below ServerRoot unless it begins with a slash.
///
/// # Safety
/// As [`read`].
pub(super) unsafe fn below_root(pool: *mut ffi::apr_pool_t, path: &str) -> PathBuf {
    let Ok(text) = CString::new(path) else { return PathBuf::from(path) };
    // SAFETY: the caller vouches for the pool; httpd's answer lies in it.
    let absolute = unsafe { pool::some_bytes(ffi::ap_server_root_relative(pool, text.as_ptr())) };
    absolute
        .map_or_else(|| PathBuf::from(path), |path| PathBuf::from(String::from_utf8_lossy(path).into_owned()))
}
