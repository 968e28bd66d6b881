// SPDX-License-Identifier: Apache-2.0
//! Requests that others marked for a back end: mod_rewrite's `[P]`, and `SetHandler "proxy:URL"`.

use std::ffi::{CStr, c_int};

use once_cell::sync::OnceCell;

use super::dialect::Dialect;
use super::lifecycle::child;
use super::pass::ServerConf;
use super::runtime::Child;
use super::translate::Route;
use super::{ffi, log, pool};
use crate::backend::Pool;
use crate::balance::Bindings;
use crate::base::clock::{Clock, SystemClock};
use crate::config::Plan;
use crate::config::outside::{self, Recipient, Unreachable};
use crate::config::plan::{Encoding, MemberId, Worker};
use crate::proxy::World;
use crate::shared::{Lane, Region};

const DECLINED: c_int = ffi::DECLINED;
const BAD_REQUEST: c_int = 400;
const INTERNAL_ERROR: c_int = 500;
const MARK: &[u8] = b"proxy:";

/// A back end that no line declares, for one request.
#[derive(Debug)]
pub(super) struct Stranger {
    plan: Box<Plan>,
    /// Only another proxy can reach it.
    pub only_remote: bool,
    pools: [Pool; 1],
}

impl Stranger {
    pub fn new(plan: Box<Plan>) -> Stranger {
        let pools = [Pool::new(plan.member(MemberId(0)))];
        Stranger { plan, only_remote: false, pools }
    }

    /// The world as it is for this back end: nobody else, and nothing to remember.
    pub fn world<'w>(&'w self, child: &'w Child) -> Option<World<'w>> {
        let own = Own::get(&self.plan)?;
        Some(World {
            plan: &self.plan,
            region: own.region,
            bindings: &own.bindings,
            pools: &self.pools,
            lane: &own.lane,
            ..child.world()
        })
    }
}

/// Counters that all strangers of this process share and nobody looks at.
#[derive(Debug)]
struct Own {
    region: &'static Region,
    bindings: Bindings,
    lane: Lane<'static>,
}

impl Own {
    fn get(plan: &Plan) -> Option<&'static Own> {
        static OWN: OnceCell<Own> = OnceCell::new();
        OWN.get_or_try_init(|| {
            let region: &'static Region = Box::leak(Box::new(Region::private().map_err(|_| ())?));
            let bindings = Bindings::attach(plan, region, 0, SystemClock.now()).map_err(|_| ())?;
            Ok::<Own, ()>(Own { region, bindings, lane: region.claim_lane(std::process::id(), 0) })
        })
        .ok()
    }
}

/// The route of a request that others marked, and its back end if no line declares it.
///
/// # Safety
/// `r` is the live request of this thread, marked as going to a back end, with a file name that begins with `proxy:`.
pub(super) unsafe fn route(
    r: *mut ffi::request_rec,
) -> Result<(&'static Child, Route, Option<Stranger>), c_int> {
    if !Dialect::Proxy.is_ours() {
        return Err(DECLINED);
    }
    // SAFETY: the caller vouches for `r`; text of a request lives as long as it does.
    unsafe {
        let child = child().ok_or(INTERNAL_ERROR)?;
        let site = child.runtime.site(ServerConf::of((*r).server).site).ok_or(INTERNAL_ERROR)?;
        let plan = &child.runtime.plan;
        let url = pool::bytes((*r).filename).get(MARK.len()..).unwrap_or_default();
        if (*r).proxyreq == ffi::PROXYREQ_PROXY as c_int {
            return super::forward::route(r, child, site, url);
        }
        // Of the two only the handler stands in a file as it is.
        let handler = pool::bytes((*r).handler);
        let of_file = handler.starts_with(MARK) && pool::bytes((*r).filename).starts_with(handler);
        let found =
            outside::find(plan, plan.site(site), url, of_file).map_err(|why| unreachable_url(r, &why))?;
        let (worker, stranger) = match found.recipient {
            Recipient::Known(worker) => (worker, None),
            Recipient::Stranger(plan) => (Worker::Member(MemberId(0)), Some(Stranger::new(plan))),
        };
        let path = &url[found.path_at..];
        // Flag NE of mod_rewrite: the path is not to be touched, and the query string has been appended to it.
        let is_noted = |note: &CStr| !ffi::apr_table_get((*r).notes, note.as_ptr()).is_null();
        let (path, encoding) = if is_noted(c"proxy-nocanon") {
            (path.split(|&byte| byte == b'?').next().unwrap_or_default(), Encoding::AsReceived)
        } else if is_noted(c"proxy-noencode") {
            (path, Encoding::Encoded)
        } else {
            (path, Encoding::Canonical)
        };
        let path = if path.is_empty() { b"/" } else { path };
        Ok((child, Route::new(worker, encoding, site, path), stranger))
    }
}

pub(super) unsafe fn unreachable_url(r: *mut ffi::request_rec, why: &Unreachable) -> c_int {
    let (status, text) = match why {
        Unreachable::Nobody(text) => (INTERNAL_ERROR, format!("MGY2007: nobody answers: {text} (AH01144)")),
        Unreachable::NoUrl(text) => {
            (BAD_REQUEST, format!("MGY2007: the URL cannot be used: {text} (AH00867)"))
        }
    };
    // SAFETY: the caller vouches for `r`.
    unsafe { log::request(r, log::ERROR, &text) };
    status
}

/// `SetHandler "proxy:URL"`: marks the request; its file name becomes the URL, followed by the path it was mapped to.
/// What was there before, so that a refusal can put it back.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn adopt(r: *mut ffi::request_rec) -> Option<Adopted> {
    if !Dialect::Proxy.is_ours() {
        return None;
    }
    // SAFETY: the caller vouches for `r`.
    unsafe {
        if (*r).proxyreq != ffi::PROXYREQ_NONE as c_int || (*r).filename.is_null() {
            return None;
        }
        let handler = pool::bytes((*r).handler);
        let by_type = pool::bytes((*r).content_type).starts_with(MARK);
        let file = pool::bytes((*r).filename);
        // httpd takes a type for a handler where none is set; a type may come from a script or a back end.
        if !handler.starts_with(MARK) || by_type || file.starts_with(MARK) {
            return None;
        }
        let adopted = Adopted { filename: (*r).filename };
        (*r).filename = pool::text((*r).pool, &[handler, file]);
        (*r).proxyreq = ffi::PROXYREQ_REVERSE as c_int;
        Some(adopted)
    }
}

/// What [`adopt`] changed.
pub(super) struct Adopted {
    filename: *mut std::ffi::c_char,
}

impl Adopted {
    /// # Safety
    /// `r` is the request that was adopted.
    pub unsafe fn undo(self, r: *mut ffi::request_rec) {
        // SAFETY: the caller vouches for `r`.
        unsafe {
            (*r).filename = self.filename;
            (*r).proxyreq = ffi::PROXYREQ_NONE as c_int;
        }
    }
}

/// True for a request that somebody else marked and named.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn is_marked(r: *const ffi::request_rec) -> Result<(), c_int> {
    // SAFETY: the caller vouches for `r`.
    let marked = unsafe {
        [ffi::PROXYREQ_REVERSE, ffi::PROXYREQ_PROXY].contains(&((*r).proxyreq as u32))
            && pool::bytes((*r).filename).starts_with(MARK)
    };
    if marked { Ok(()) } else { Err(DECLINED) }
}
