// SPDX-License-Identifier: Apache-2.0
//! A forward proxy: requests for URLs of other servers, and the ways through other proxies.

use std::ffi::{CString, c_int};
use std::net::{IpAddr, ToSocketAddrs};

use super::lifecycle::child;
use super::outside::{Stranger, unreachable_url};
use super::pass::ServerConf;
use super::runtime::Child;
use super::translate::Route;
use super::{ffi, log, pool};
use crate::config::expression::ExpressionId;
use crate::config::forward::{Direct, ForwardRules};
use crate::config::outside::{self, Recipient};
use crate::config::plan::{Encoding, MemberId, SiteId, Worker};
use crate::proxy::Outward;

const INTERNAL_ERROR: c_int = 500;
const MOVED_PERMANENTLY: c_int = 301;
const MARK: &[u8] = b"proxy:";

/// Does the server of a request forward what is meant for others?
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn takes_foreign(r: *const ffi::request_rec) -> bool {
    let Some(child) = child() else { return false };
    // SAFETY: the caller vouches for `r`.
    let site = unsafe { child.runtime.site(ServerConf::of((*r).server).site) };
    site.is_some_and(|site| child.runtime.plan.site(site).forward.requests)
}

/// The route of a request for another server.
///
/// # Safety
/// `r` is the live request of this thread; `url` is text of it.
pub(super) unsafe fn route(
    r: *mut ffi::request_rec,
    child: &'static Child,
    site: SiteId,
    url: &[u8],
) -> Result<(&'static Child, Route, Option<Stranger>), c_int> {
    let plan = &child.runtime.plan;
    // SAFETY: the caller vouches for `r`.
    unsafe {
        // Whoever is sent on to another name is told so whether that can be asked for or not.
        add_domain(r, &plan.site(site).forward)?;
        if (*r).method_number == ffi::M_CONNECT as c_int {
            return Err(nobody(r, "CONNECT is the work of mod_proxy_connect, which Margay does not replace"));
        }
        let foreign =
            outside::find_foreign(plan, plan.site(site), url).map_err(|why| unreachable_url(r, &why))?;
        let (worker, mut stranger) = match foreign.found.recipient {
            Recipient::Known(worker) => (worker, None),
            Recipient::Stranger(plan) => (Worker::Member(MemberId(0)), Some(Stranger::new(plan))),
        };
        if let Some(stranger) = &mut stranger {
            stranger.only_remote = foreign.only_remote;
        }
        if foreign.only_remote && !leads_through_another(r, child, &plan.site(site).forward, url) {
            return Err(nobody(
                r,
                "ftp:// is the work of mod_proxy_ftp, which Margay does not replace; a proxy named by ProxyRemote \
                 for ftp can be asked for it",
            ));
        }
        // The client wrote the path for the other server: nothing in it is changed.
        let path = without_query(&url[foreign.found.path_at..]);
        let path = if path.is_empty() { b"/" } else { path };
        Ok((child, Route::new(worker, Encoding::AsReceived, site, path), stranger))
    }
}

fn without_query(url: &[u8]) -> &[u8] {
    url.split(|byte| *byte == b'?').next().unwrap_or_default()
}

/// Nobody here speaks the protocol: the reason for the log and the page.
unsafe fn nobody(r: *mut ffi::request_rec, why: &str) -> c_int {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        log::request(r, log::WARNING, &format!("MGY2008: nobody forwards this request: {why} (AH01144)"));
        ffi::apr_table_setn((*r).notes, c"error-notes".as_ptr(), pool::text((*r).pool, &[why.as_bytes()]));
    }
    INTERNAL_ERROR
}

unsafe fn leads_through_another(
    r: *const ffi::request_rec,
    child: &Child,
    rules: &ForwardRules,
    url: &[u8],
) -> bool {
    let search = |id, text: &[u8]| child.runtime.search(id, text).is_some();
    // SAFETY: the caller vouches for `r`.
    let is_direct = unsafe { is_direct(r, rules) };
    !is_direct && rules.remotes.iter().any(|remote| remote.takes(scheme_of(url), url, search))
}

fn scheme_of(url: &[u8]) -> &[u8] {
    url.split(|byte| *byte == b':').next().unwrap_or_default()
}

/// How one request gets to its back end, where the server says anything about it.
pub(super) struct Way<'s> {
    rules: &'s ForwardRules,
    scheme: &'s [u8],
    direct: bool,
    agent: &'s [u8],
    only_remote: Option<&'s [u8]>,
}

impl<'s> Way<'s> {
    /// # Safety
    /// `r` is the live request of this thread and outlives the value.
    pub unsafe fn of(
        r: *const ffi::request_rec,
        rules: &'s ForwardRules,
        stranger: Option<&Stranger>,
    ) -> Option<Way<'s>> {
        if rules.is_plain() {
            return None;
        }
        // SAFETY: the caller vouches for `r`; the banner lives as long as the configuration.
        unsafe {
            let url = pool::bytes((*r).filename).strip_prefix(MARK).unwrap_or_default();
            Some(Way {
                rules,
                scheme: scheme_of(url),
                direct: is_direct(r, rules),
                agent: pool::bytes(ffi::ap_get_server_banner()),
                only_remote: stranger
                    .is_some_and(|stranger| stranger.only_remote)
                    .then(|| without_query(url)),
            })
        }
    }

    pub fn outward<'j>(&'j self, search: &'j dyn Fn(ExpressionId, &[u8]) -> bool) -> Outward<'j> {
        Outward {
            rules: self.rules,
            scheme: self.scheme,
            direct: self.direct,
            search,
            agent: self.agent,
            only_remote: self.only_remote,
        }
    }
}

/// Does `NoProxy` name the host the client asked for?
unsafe fn is_direct(r: *const ffi::request_rec, rules: &ForwardRules) -> bool {
    if rules.remotes.is_empty() || rules.direct.is_empty() {
        return false;
    }
    // SAFETY: the caller vouches for `r`.
    let host = unsafe { pool::some_bytes(ffi::margay_forward_host(r)) };
    let Some(host) = host.and_then(|host| std::str::from_utf8(host).ok()) else { return false };
    rules.direct.iter().any(|direct: &Direct| direct.covers(host, addresses))
}

/// All addresses of a name; none if it has none.
pub(super) fn addresses(name: &str) -> Vec<IpAddr> {
    (name, 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect()).unwrap_or_default()
}

/// `ProxyDomain`: whoever asks for a host without a domain is sent to the one with it.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn add_domain(r: *mut ffi::request_rec, rules: &ForwardRules) -> Result<(), c_int> {
    let Some(domain) = &rules.domain else { return Ok(()) };
    let Ok(text) = CString::new(domain.as_str()) else { return Ok(()) };
    // SAFETY: the caller vouches for `r`; the shim's answer lies in its pool.
    unsafe {
        let url = ffi::margay_forward_with_domain(r, text.as_ptr());
        if url.is_null() {
            return Ok(());
        }
        ffi::apr_table_setn((*r).headers_out, c"Location".as_ptr(), url);
    }
    Err(MOVED_PERMANENTLY)
}
