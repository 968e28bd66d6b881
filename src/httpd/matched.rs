// SPDX-License-Identifier: Apache-2.0
//! Requests that a rule without a fixed path has matched: a regular expression, or a path with variables.

use std::borrow::Cow;
use std::ffi::{CString, c_int};

use super::runtime::Runtime;
use super::translate::{Route, mark};
use super::{ffi, pool};
use crate::config::expression::{Groups, fill};
use crate::config::interpolation::interpolated;
use crate::config::mounts;
use crate::config::plan::{Encoding, Matching, Mount, SiteId, Target};

const DECLINED: c_int = ffi::DECLINED;

/// Puts the groups into the target and has the request forwarded there.
///
/// # Safety
/// `r` is the live request of this thread; `path` is what the groups were found in.
pub(super) unsafe fn follow(
    r: *mut ffi::request_rec,
    runtime: &Runtime,
    site: SiteId,
    mount: &Mount,
    path: &[u8],
    groups: &Groups,
    variables: &Variables,
) -> c_int {
    let with_variables = mount.interpolate && variables.are_on();
    let path_at = match &mount.target {
        Target::Exclude => return DECLINED,
        Target::Forward(destination) if !with_variables => {
            Some(destination.url.len() - destination.path.len())
        }
        Target::Forward(_) | Target::Named(_) => None,
    };
    let text = match with_variables {
        true => String::from_utf8_lossy(&variables.put_into(mount.target_text())).into_owned().into(),
        false => Cow::Borrowed(mount.target_text()),
    };
    // SAFETY: the caller vouches for `r`; its text lives as long as it does, and its pool is used by this thread only.
    unsafe {
        let mut url = Vec::with_capacity(128);
        let mut encoding = mount.encoding;
        match (encoding, as_received(r, runtime, mount)) {
            (Encoding::AsReceived, Some((raw, groups))) => {
                fill(&text, raw, &groups, &mut url);
                // The expression saw the query string too, which goes its own way.
                url.truncate(url.iter().position(|&byte| byte == b'?').unwrap_or(url.len()));
            }
            (Encoding::AsReceived, None) => {
                encoding = Encoding::Canonical;
                fill(&text, path, groups, &mut url);
            }
            _ => fill(&text, path, groups, &mut url),
        }
        let filename = pool::text((*r).pool, &[b"proxy:", &url]);
        let Some(path_at) = path_at else {
            note_encoding(r, encoding);
            return mark(r, filename, None);
        };
        let Target::Forward(destination) = &mount.target else { return DECLINED };
        let target = pool::bytes(filename).get(b"proxy:".len() + path_at..).unwrap_or_default();
        let begins_path = matches!(target.first(), None | Some(b'/'));
        let target = if target.is_empty() { b"/" } else { target };
        let mut route = Route::new(destination.worker, encoding, site, target);
        route.unknown = !begins_path;
        mark(r, filename, Some(route))
    }
}

/// The back end is found when the URL is looked at; until then the request says how to read its path.
unsafe fn note_encoding(r: *mut ffi::request_rec, encoding: Encoding) {
    let note = match encoding {
        Encoding::Canonical => return,
        Encoding::AsReceived => c"proxy-nocanon",
        Encoding::Encoded | Encoding::Servlet => c"proxy-noencode",
    };
    // SAFETY: the caller vouches for `r`; both texts are static.
    unsafe { ffi::apr_table_setn((*r).notes, note.as_ptr(), c"1".as_ptr()) }
}

/// The variables of a request, for rules that may name some.
pub(super) struct Variables {
    table: *const ffi::apr_table_t,
    on: bool,
}

impl Variables {
    /// `on` is what `ProxyPassInterpolateEnv` says for the request.
    ///
    /// # Safety
    /// `r` is the live request of this thread, and outlives the value.
    pub unsafe fn new(r: *const ffi::request_rec, on: bool) -> Variables {
        // SAFETY: the caller vouches for `r`.
        Variables { table: unsafe { (*r).subprocess_env }, on }
    }

    pub fn are_on(&self) -> bool {
        self.on
    }

    fn put_into(&self, text: &str) -> Vec<u8> {
        interpolated(text, |name| {
            let name = CString::new(name).ok()?;
            // SAFETY: see `new`; nobody changes the table while a rule is looked for.
            unsafe { pool::some_bytes(ffi::apr_table_get(self.table, name.as_ptr())) }
        })
    }

    /// Where the rest of `path` begins, if the rule with its variables applies.
    pub fn rest(&self, mount: &Mount, path: &[u8]) -> Option<usize> {
        if !self.on || mount.matching == Matching::Section {
            return mount.rest(path);
        }
        mounts::matches(&self.put_into(&mount.path), path)
    }
}

/// Puts the variables into the target and has the request forwarded there.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn follow_variables(
    r: *mut ffi::request_rec,
    mount: &Mount,
    rest: &[u8],
    variables: &Variables,
) -> c_int {
    if mount.target == Target::Exclude {
        return DECLINED;
    }
    let url = variables.put_into(mount.target_text());
    // Of a path with variables nobody can tell which part of it the client wrote.
    let encoding = if mount.encoding == Encoding::AsReceived { Encoding::Canonical } else { mount.encoding };
    // SAFETY: the caller vouches for `r`; its pool is used by this thread only.
    unsafe {
        let filename = pool::text((*r).pool, &[b"proxy:", &url, rest]);
        note_encoding(r, encoding);
        mark(r, filename, None)
    }
}

/// The request's path as it came with its query string, and the groups in it, if the expression matches that too.
unsafe fn as_received<'a>(
    r: *const ffi::request_rec,
    runtime: &Runtime,
    mount: &Mount,
) -> Option<(&'a [u8], Groups)> {
    let Matching::Expression(id) = mount.matching else { return None };
    if mount.encoding != Encoding::AsReceived {
        return None;
    }
    // SAFETY: the caller vouches for `r`.
    let raw = unsafe { pool::bytes((*r).unparsed_uri) };
    runtime.search(id, raw).map(|groups| (raw, groups))
}
