// SPDX-License-Identifier: Apache-2.0
//! What mod_jk's lines say about the server of a request.

use crate::config::jk::plan::{JkPlan, JkSite};
use crate::config::plan::SiteId;
use crate::httpd::lifecycle::child;
use crate::httpd::pass::ServerConf;
use crate::httpd::{ffi, pool};

/// The server of a request, while lines of mod_jk are in force. All of it lives as long as the process.
#[derive(Clone, Copy)]
pub(super) struct Here {
    pub jk: &'static JkPlan,
    pub site: &'static JkSite,
    pub id: SiteId,
    /// A virtual host without any line of ours has the main server's number, but not its rules.
    pub is_main: bool,
}

impl Here {
    /// `None`: nothing of mod_jk takes part in this request.
    ///
    /// # Safety
    /// `r` is a live request.
    pub unsafe fn of(r: *const ffi::request_rec) -> Option<Here> {
        let runtime = &child()?.runtime;
        let jk = &runtime.plan.jk;
        if !jk.is_used {
            return None;
        }
        // SAFETY: the caller vouches for `r`, whose server lives longer.
        let (id, is_virtual) = unsafe { (ServerConf::of((*r).server).site, (*(*r).server).is_virtual != 0) };
        let is_main = id != SiteId(0) || !is_virtual;
        let id = runtime.site(id)?;
        Some(Here { jk, site: jk.site(id, is_main), id, is_main })
    }
}

/// Is the request kept away from mod_jk by the variable `no-jk`?
///
/// # Safety
/// `r` is a live request.
pub(super) unsafe fn is_kept_away(r: *const ffi::request_rec) -> bool {
    // SAFETY: the caller vouches for `r`.
    unsafe { !ffi::apr_table_get((*r).subprocess_env, c"no-jk".as_ptr()).is_null() }
}

/// A variable of the request's environment.
///
/// # Safety
/// `r` is a live request, and its environment is not changed for `'a`.
pub(super) unsafe fn variable<'a>(r: *const ffi::request_rec, name: &str) -> Option<&'a [u8]> {
    const ROOM: usize = 96;
    let mut room = [0u8; ROOM];
    let long;
    let name = if name.len() < ROOM {
        room[..name.len()].copy_from_slice(name.as_bytes());
        std::ffi::CStr::from_bytes_until_nul(&room).ok()?
    } else {
        long = std::ffi::CString::new(name).ok()?;
        &*long
    };
    // SAFETY: the caller vouches for `r`; text of its tables lives as long as it does.
    unsafe { pool::some_bytes(ffi::apr_table_get((*r).subprocess_env, name.as_ptr())) }
}
