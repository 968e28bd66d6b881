// SPDX-License-Identifier: Apache-2.0
//! Hands a request of ours to the core, and the core's outcome to httpd.

use std::cell::Cell;
use std::ffi::c_int;

use super::dialect::Dialect;
use super::lifecycle::child;
use super::outside::{self, Stranger};
use super::pass::ServerConf;
use super::request::HttpdRequest;
use super::runtime::Child;
use super::translate::{Route, dir_conf};
use super::{ffi, heartbeats, log, pool};
use crate::config::plan::{SectionId, Via};
use crate::proxy::{HttpRules, Job, Outcome, Scratch, Sections, forward};
use crate::wire::uri::EncodedSlashes;

const OK: c_int = ffi::OK as c_int;
const BAD_REQUEST: c_int = 400;
const FORBIDDEN: c_int = 403;
const INTERNAL_ERROR: c_int = 500;

thread_local! {
    /// Taken while a request runs: a filter may start another request inside it, which then gets buffers of its own.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
    static SECTIONS: Cell<Vec<SectionId>> = const { Cell::new(Vec::new()) };
}

/// Forwards the request, or declines.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn handle(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller vouches for `r` throughout.
    unsafe {
        let adopted = outside::adopt(r);
        if let Err(status) = check_before_routing(r) {
            return status;
        }
        let (child, route, stranger) = match ours(r) {
            Ok(ours) => ours,
            Err(status) => {
                if let Some(adopted) = adopted {
                    adopted.undo(r);
                }
                return status;
            }
        };
        if let Err(status) = check(r, child, &route) {
            return status;
        }
        #[cfg(debug_assertions)]
        panic_on_purpose(r);
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let status = forward_with(r, child, &route, stranger.as_ref(), &mut scratch);
        SCRATCH.set(Some(scratch));
        status
    }
}

/// The child and route of a request that is ours to handle. A name that begins with `proxy:` is not enough: the request
/// must be marked.
unsafe fn ours(r: *mut ffi::request_rec) -> Result<(&'static Child, Route, Option<Stranger>), c_int> {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        outside::is_marked(r)?;
        match Route::of(r) {
            Some(route) => Ok((child().ok_or(INTERNAL_ERROR)?, route, None)),
            None => outside::route(r),
        }
    }
}

/// Lets a test see what a bug would cost: in builds for testing, the variable `margay-panic` makes one.
#[cfg(debug_assertions)]
unsafe fn panic_on_purpose(r: *mut ffi::request_rec) {
    // SAFETY: the caller vouches for `r`.
    let is_asked_for =
        unsafe { !ffi::apr_table_get((*r).subprocess_env, c"margay-panic".as_ptr()).is_null() };
    assert!(!is_asked_for, "on purpose");
}

unsafe fn forward_with(
    r: *mut ffi::request_rec,
    child: &Child,
    route: &Route,
    stranger: Option<&Stranger>,
    scratch: &mut Scratch,
) -> c_int {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        let plan = &*child.runtime.plan;
        let site = plan.site(route.site);
        let way = super::forward::Way::of(r, &site.forward, stranger);
        let mut room = SECTIONS.take();
        let inner = child.runtime.sections(dir_conf(r).sections(), &mut room);
        let slashes = if ffi::margay_keeps_encoded_slashes(r) != 0 {
            EncodedSlashes::Kept
        } else {
            EncodedSlashes::Decoded
        };
        let search = |id, text: &[u8]| child.runtime.search(id, text).is_some();
        let outward = way.as_ref().map(|way| way.outward(&search));
        let job = Job {
            worker: route.worker,
            path: route.path(),
            encoding: route.encoding,
            slashes,
            sections: Sections {
                plan,
                defaults: site.defaults,
                inner,
                forward: (*r).proxyreq == ffi::PROXYREQ_PROXY as c_int,
            },
            timeout: site.timeout,
            source: site.source_address,
            http: HttpRules {
                via: site.via,
                software: if site.via == Via::Full { software() } else { b"" },
                bad_header: site.bad_header,
                outward,
            },
        };
        let mut exchange = match HttpdRequest::new(r, child) {
            Ok(exchange) => exchange,
            Err(status) => return status,
        };
        exchange.keep_whole();
        let world = match stranger {
            None => child.world(),
            Some(stranger) => match stranger.world(child) {
                Some(world) => world,
                None => return INTERNAL_ERROR,
            },
        };
        heartbeats::refresh(r, child, route.worker);
        let outcome = forward(&world, &job, &mut exchange, scratch);
        SECTIONS.set(room);
        match outcome {
            Outcome::Done => OK,
            Outcome::Answer(status) => c_int::from(status),
            Outcome::Client(status) => {
                // What is left of a body that could not be read must not be taken for the next request.
                (*(*r).connection).keepalive = ffi::AP_CONN_CLOSE;
                status
            }
        }
    }
}

/// What `ProxyVia Full` says of this server: its name and version, whatever ServerTokens allow.
unsafe fn software<'a>() -> &'a [u8] {
    // SAFETY: httpd's text lives as long as the configuration.
    let banner = unsafe { pool::bytes(ffi::ap_get_server_banner()) };
    banner.split(|byte| *byte == b' ').next().unwrap_or_default()
}

/// What is refused or answered whoever the request is for: also where nobody can be asked.
unsafe fn check_before_routing(r: *mut ffi::request_rec) -> Result<(), c_int> {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        let (Ok(()), Some(child)) = (outside::is_marked(r), child()) else { return Ok(()) };
        let of_server = || {
            let site = Dialect::Proxy.is_ours().then(|| ServerConf::of((*r).server).site)?;
            child.runtime.site(site)
        };
        let Some(site) = Route::of(r).map(|route| route.site).or_else(of_server) else { return Ok(()) };
        let query = pool::bytes((*r).args);
        if let Some(at) = crate::wire::uri::forbidden_at(query) {
            let text =
                format!("MGY3206: byte {at} of the query string is a control character or a blank (AH10406)");
            log::request(r, log::ERROR, &text);
            return Err(FORBIDDEN);
        }
        max_forwards(r, child.runtime.plan.site(site).max_forwards)?;
        if (*r).method_number == ffi::M_TRACE as c_int {
            match ffi::margay_trace_refusal(r) {
                0 => {}
                status => {
                    (*r).proxyreq = ffi::PROXYREQ_NONE as c_int;
                    return Err(status);
                }
            }
        }
        Ok(())
    }
}

/// What is refused or answered before a member is looked for.
unsafe fn check(r: *mut ffi::request_rec, child: &Child, route: &Route) -> Result<(), c_int> {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        if route.unknown {
            let url = pool::string((*r).filename);
            log::request(
                r,
                log::ERROR,
                &format!(
                    "MGY2006: no worker has the URL {}: the ProxyPass target has no slash at its end, so the rest of the \
                     path became part of its name; write the slash (AH01144)",
                    url.trim_start_matches("proxy:")
                ),
            );
            return Err(INTERNAL_ERROR);
        }
        super::forward::add_domain(r, &child.runtime.plan.site(route.site).forward)
    }
}

/// `Max-Forwards` (RFC 9110, 7.6.2): one less for the next, and at zero the answer is ours.
unsafe fn max_forwards(r: *mut ffi::request_rec, default: Option<u32>) -> Result<(), c_int> {
    // SAFETY: the caller vouches for `r`; its tables belong to this thread.
    unsafe {
        let name = c"Max-Forwards";
        let given = pool::some_bytes(ffi::apr_table_get((*r).headers_in, name.as_ptr()));
        let left = match given {
            Some(text) => {
                let text = std::str::from_utf8(text).unwrap_or("-").trim();
                let digits = if text.is_empty() { "0" } else { text.strip_prefix('+').unwrap_or(text) };
                let number =
                    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok());
                let number = number.flatten();
                match number {
                    Some(0) => return Err(answer_locally(r)),
                    Some(number) => number - 1,
                    None => return Err(refuse(r, "Max-Forwards request header could not be parsed")),
                }
            }
            None => match default {
                Some(number) => i64::from(number),
                None => return Ok(()),
            },
        };
        let text = pool::text((*r).pool, &[left.to_string().as_bytes()]);
        ffi::apr_table_setn((*r).headers_in, name.as_ptr(), text);
        Ok(())
    }
}

unsafe fn answer_locally(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        let method = (*r).method_number;
        if method != ffi::M_TRACE as c_int && method != ffi::M_OPTIONS as c_int {
            return refuse(r, "Max-Forwards has reached zero - proxy loop?");
        }
        match ffi::margay_trace_refusal(r) {
            status if status != 0 && method == ffi::M_TRACE as c_int => status,
            _ => ffi::margay_answer_locally(r),
        }
    }
}

unsafe fn refuse(r: *mut ffi::request_rec, why: &str) -> c_int {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        log::request(r, log::ERROR, &format!("MGY3207: {why}"));
        explain(r, 400, why);
    }
    BAD_REQUEST
}

/// Lets the page of an error name its cause.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn explain(r: *mut ffi::request_rec, status: u16, cause: &str) {
    let cause = cause.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // SAFETY: the caller vouches for `r`.
    unsafe {
        let shown = [
            b"The proxy server could not handle the request<p>Reason: <strong>",
            cause.as_bytes(),
            b"</strong></p>",
        ];
        let shown = pool::text((*r).pool, &shown);
        ffi::apr_table_setn((*r).notes, c"error-notes".as_ptr(), shown);
        ffi::apr_table_setn((*r).notes, c"verbose-error-to".as_ptr(), c"*".as_ptr());
        (*r).status_line = pool::text((*r).pool, &[&super::request::digits(status), b" Proxy Error"]);
    }
}
