// SPDX-License-Identifier: Apache-2.0
//! Requests that a regular expression of a rule has matched.

use std::ffi::c_int;

use super::runtime::Runtime;
use super::translate::{Route, mark};
use super::{ffi, pool};
use crate::config::expression::{Groups, fill};
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
) -> c_int {
    let path_at = match &mount.target {
        Target::Exclude => return DECLINED,
        Target::Forward(destination) => Some(destination.url.len() - destination.path.len()),
        Target::Named(_) => None,
    };
    // SAFETY: the caller vouches for `r`; its text lives as long as it does, and its pool is used by this thread only.
    unsafe {
        let mut url = Vec::with_capacity(128);
        let mut encoding = mount.encoding;
        match (encoding, as_received(r, runtime, mount)) {
            (Encoding::AsReceived, Some((raw, groups))) => {
                fill(mount.target_text(), raw, &groups, &mut url);
                // The expression saw the query string too, which goes its own way.
                url.truncate(url.iter().position(|&byte| byte == b'?').unwrap_or(url.len()));
            }
            (Encoding::AsReceived, None) => {
                encoding = Encoding::Canonical;
                fill(mount.target_text(), path, groups, &mut url);
            }
            _ => fill(mount.target_text(), path, groups, &mut url),
        }
        let filename = pool::text((*r).pool, &[b"proxy:", &url]);
        let Some(path_at) = path_at else {
            // The back end is found when the URL is looked at; until then the request says how to read its path.
            let note = match encoding {
                Encoding::Canonical => None,
                Encoding::AsReceived => Some(c"proxy-nocanon"),
                Encoding::Encoded | Encoding::Servlet => Some(c"proxy-noencode"),
            };
            if let Some(note) = note {
                ffi::apr_table_setn((*r).notes, note.as_ptr(), c"1".as_ptr());
            }
            return mark(r, filename, None);
        };
        let Target::Forward(destination) = &mount.target else { return DECLINED };
        let target = &pool::bytes(filename)[b"proxy:".len()..][path_at..];
        let begins_path = matches!(target.first(), None | Some(b'/'));
        let target = if target.is_empty() { b"/" } else { target };
        let mut route = Route::new(destination.worker, encoding, site, target);
        route.unknown = !begins_path;
        mark(r, filename, Some(route))
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
