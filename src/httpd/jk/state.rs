// SPDX-License-Identifier: Apache-2.0
//! What mod_jk's dialect keeps of a request between its hooks.

use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;

use super::mounts::Mounts;
use crate::config::jk::mounts::JkMounts;
use crate::config::jk::plan::{JkPlan, JkRule, JkTarget, RuleExtensions, RuleWorker};
use crate::httpd::{ffi, pool};

const NAME: &CStr = c"JK_WORKER_NAME";
const HANDLER: &CStr = c"jakarta-servlet";

/// The rule a request fell under, in the request's pool.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Mapped {
    /// `None`: nobody of `worker.list`.
    pub target: Option<JkTarget>,
    extensions: *const RuleExtensions,
    /// The decoded path before it was normalised: what is sent is made of it. Null: that of the request when it is handled.
    original: *const c_char,
}

impl Mapped {
    /// # Safety
    /// The request the value was made for lives for `'a`.
    pub unsafe fn extensions<'a>(&self) -> &'a RuleExtensions {
        // SAFETY: the rule lives in the plan, which stays as long as the process, or in rules the request holds on to.
        unsafe { &*self.extensions }
    }

    /// The path to be sent.
    ///
    /// # Safety
    /// `r` is the live request the value was made for.
    pub unsafe fn original<'a>(&self, r: *const ffi::request_rec) -> &'a [u8] {
        // SAFETY: text in the request's pool that nobody changes.
        unsafe { pool::bytes(if self.original.is_null() { (*r).uri } else { self.original }) }
    }

    /// What was kept of a request.
    ///
    /// # Safety
    /// `r` is a live request.
    pub unsafe fn of(r: *const ffi::request_rec) -> Option<Mapped> {
        // SAFETY: only `keep` sets the state of a request.
        unsafe { ffi::margay_jk_state(r).cast::<Mapped>().as_ref().copied() }
    }
}

/// Marks a request as one for a worker, by a rule of `mounts`; `original` is the path it had.
///
/// # Safety
/// `r` is the live request of this thread; `original` lies in its pool.
pub(super) unsafe fn mark_by_rule(
    r: *mut ffi::request_rec,
    jk: &'static JkPlan,
    mounts: &Mounts,
    rule: &JkRule,
    original: *const c_char,
) {
    let name = match &rule.worker {
        RuleWorker::Known(id) => jk.worker(*id).name.as_str(),
        RuleWorker::Unknown(name) => name,
        RuleWorker::Any => "*",
    };
    // SAFETY: the caller vouches for `r`.
    unsafe {
        if let Mounts::Renewed(rules) = mounts {
            hold(r, rules);
        }
        mark(r, target_of(jk, &rule.worker), name, &raw const rule.extensions, original);
    }
}

/// Who a name stands for.
pub(super) fn target_of(jk: &JkPlan, worker: &RuleWorker) -> Option<JkTarget> {
    match worker {
        RuleWorker::Known(id) => Some(jk.worker(*id).target),
        _ => None,
    }
}

/// Sets the note and keeps what the handler needs.
///
/// # Safety
/// As [`mark_by_rule`]; the extensions live as long as the request.
pub(super) unsafe fn mark(
    r: *mut ffi::request_rec,
    target: Option<JkTarget>,
    name: &str,
    extensions: *const RuleExtensions,
    original: *const c_char,
) {
    // SAFETY: the caller vouches for `r`; texts and the value lie in its pool.
    unsafe {
        let name = pool::text((*r).pool, &[name.as_bytes()]);
        ffi::apr_table_setn((*r).notes, NAME.as_ptr(), name);
        let kept = pool::value((*r).pool, Mapped { target, extensions, original });
        ffi::margay_jk_set_state(r, kept.cast());
    }
}

/// A request that others ask for a part of theirs, like mod_dir for an index file: they are for the worker, too. With
/// `and_handler` it is to answer them unless somebody else does.
///
/// # Safety
/// `r` is the live request of this thread, just marked.
pub(super) unsafe fn tell_main_request(r: *mut ffi::request_rec, and_handler: bool) {
    // SAFETY: the caller vouches for `r`; the request it is a part of lives longer, and its pool is the same thread's.
    unsafe {
        let main = (*r).main;
        let Some(kept) = Mapped::of(r).filter(|_| !main.is_null()) else { return };
        if and_handler {
            (*main).handler = HANDLER.as_ptr();
        }
        let name = pool::bytes(ffi::apr_table_get((*r).notes, NAME.as_ptr()));
        ffi::apr_table_setn((*main).notes, NAME.as_ptr(), pool::text((*main).pool, &[name]));
        let kept = pool::value((*main).pool, Mapped { original: std::ptr::null(), ..kept });
        ffi::margay_jk_set_state(main, kept.cast());
    }
}

/// Was a worker named for this request?
///
/// # Safety
/// `r` is a live request.
pub(super) unsafe fn worker_noted<'a>(r: *const ffi::request_rec) -> Option<&'a [u8]> {
    // SAFETY: the caller vouches for `r`.
    unsafe { pool::some_bytes(ffi::apr_table_get((*r).notes, NAME.as_ptr())) }
}

/// Makes mod_jk's handler the request's.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn set_handler(r: *mut ffi::request_rec) {
    // SAFETY: the caller vouches for `r`; the text is static.
    unsafe { (*r).handler = HANDLER.as_ptr() }
}

/// Keeps rules that were read again as long as the request, even if they are replaced meanwhile. A request that is a part
/// of another ends before that one, which may have been told: the rules stay as long as the outermost.
unsafe fn hold(r: *mut ffi::request_rec, rules: &Arc<JkMounts>) {
    let kept = Arc::into_raw(Arc::clone(rules)).cast_mut().cast::<c_void>();
    // SAFETY: the caller vouches for `r` and those it is a part of; `release` takes exactly this pointer.
    unsafe {
        let mut outermost = r;
        while !(*outermost).main.is_null() {
            outermost = (*outermost).main;
        }
        pool::at_end((*outermost).pool, kept, release);
    }
}

unsafe extern "C" fn release(rules: *mut c_void) -> ffi::apr_status_t {
    // SAFETY: `hold` made the pointer, and the pool calls this once.
    drop(unsafe { Arc::from_raw(rules.cast::<JkMounts>().cast_const()) });
    0
}
