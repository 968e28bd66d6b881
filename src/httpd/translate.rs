// SPDX-License-Identifier: Apache-2.0
//! The rule a request belongs to: that of the innermost `<Location>` with one, else the server's, first match.

use std::ffi::{c_char, c_int};
use std::ptr;

use super::lifecycle::child;
use super::matched::Variables;
use super::pass::{DirConf, ServerConf};
use super::runtime::Runtime;
use super::{ffi, matched, pool};
use crate::config::expression::Groups;
use crate::config::mounts::{Found, MountTable};
use crate::config::plan::{Destination, Encoding, Matching, Mount, SiteId, Target, Worker};
use crate::wire::uri::ServletPath;

const DECLINED: c_int = ffi::DECLINED;
const OK: c_int = ffi::OK as c_int;
const DONE: c_int = ffi::DONE;

/// What translation found out, kept in the request until it is handled.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Route {
    pub worker: Worker,
    pub encoding: Encoding,
    pub site: SiteId,
    path: *const u8,
    length: usize,
    /// The file name that translation gave to the request.
    filename: *const c_char,
    /// The target names no known worker; the request is answered 500.
    pub unknown: bool,
}

impl Route {
    /// A route that no rule made. `path` lies in memory of the request.
    pub fn new(worker: Worker, encoding: Encoding, site: SiteId, path: &[u8]) -> Route {
        Route {
            worker,
            encoding,
            site,
            path: path.as_ptr(),
            length: path.len(),
            filename: ptr::null(),
            unknown: false,
        }
    }

    /// Path part for the worker.
    ///
    /// # Safety
    /// The request the route was made for lives for `'a`.
    pub unsafe fn path<'a>(&self) -> &'a [u8] {
        // SAFETY: `forward_to` wrote `length` bytes into the request's pool, and nobody changes them.
        unsafe { std::slice::from_raw_parts(self.path, self.length) }
    }

    /// The route of a request, if translation made one and nobody has named another target since.
    ///
    /// # Safety
    /// `r` is a live request.
    pub unsafe fn of(r: *const ffi::request_rec) -> Option<Route> {
        // SAFETY: only `forward_to` sets our value of a request.
        unsafe {
            let route: *const Route =
                ffi::ap_get_module_config((*r).request_config, &raw const ffi::margay_module).cast();
            let route = route.as_ref().copied()?;
            let filename = (*r).filename.cast_const();
            (filename == route.filename || pool::bytes(filename) == pool::bytes(route.filename))
                .then_some(route)
        }
    }
}

/// The sections of a request that hold lines of ours, outermost first.
///
/// # Safety
/// `r` is a live request.
pub(super) unsafe fn dir_conf(r: *const ffi::request_rec) -> DirConf {
    // SAFETY: httpd keeps our value for every request, or none.
    unsafe {
        let conf: *const DirConf =
            ffi::ap_get_module_config((*r).per_dir_config, &raw const ffi::margay_module).cast();
        conf.as_ref().copied().unwrap_or(DirConf::EMPTY)
    }
}

/// The rules a request may fall under.
struct Rules<'a> {
    runtime: &'a Runtime,
    site: SiteId,
    mounts: &'a MountTable,
    /// That of the innermost section with one.
    section: Option<&'a Mount>,
    variables: Variables,
}

/// What a rule without a fixed path says to a request.
#[expect(
    clippy::large_enum_variant,
    reason = "it lies on the stack for one look-up; a box would be an allocation"
)]
enum Match {
    Groups(Groups),
    /// Where the rest of the path begins.
    Rest(usize),
}

impl Rules<'static> {
    /// # Safety
    /// `r` is the live request of this thread.
    unsafe fn of(r: *const ffi::request_rec) -> Option<Self> {
        let runtime = &child()?.runtime;
        // SAFETY: the caller vouches for `r`.
        let (site, sections) = unsafe { (ServerConf::of((*r).server).site, dir_conf(r).sections()) };
        let site = runtime.site(site)?;
        let mounts = &runtime.plan.site(site).mounts;
        let mut room = Vec::new();
        let sections = runtime.sections(sections, &mut room);
        let section = sections.iter().rev().find_map(|id| runtime.plan.section(*id).mount.as_ref());
        if mounts.is_empty() && section.is_none() {
            return None;
        }
        let of_sections = sections.iter().rev().find_map(|id| runtime.plan.section(*id).interpolate);
        let default = runtime.plan.section(runtime.plan.site(site).defaults).interpolate;
        // SAFETY: the caller vouches for `r`; the rules are looked up and forgotten while it lives.
        let variables = unsafe { Variables::new(r, of_sections.or(default).unwrap_or(false)) };
        Some(Self { runtime, site, mounts, section, variables })
    }

    fn has(&self, encoding: Encoding) -> bool {
        self.mounts.has(encoding) || self.section.is_some_and(|mount| mount.encoding == encoding)
    }

    /// The rule for a path in the form of an encoding. `subject` is what expressions are searched in.
    fn lookup(&self, encoding: Encoding, path: &[u8], subject: &[u8]) -> Option<Found<'static, Match>> {
        let search = |mount: &Mount| match mount.matching {
            Matching::Expression(id) => self.runtime.search(id, subject).map(Match::Groups),
            _ if mount.interpolate => self.variables.rest(mount, path).map(Match::Rest),
            _ => None,
        };
        let is_decoded = |encoding| matches!(encoding, Encoding::Canonical | Encoding::AsReceived);
        let section = self
            .section
            .filter(|mount| mount.encoding == encoding || is_decoded(mount.encoding) && is_decoded(encoding));
        let of_section = section.and_then(|mount| match mount.matching {
            Matching::Expression(_) => search(mount).map(|found| Found::Asked(mount, found)),
            _ if mount.interpolate => search(mount).map(|found| Found::Asked(mount, found)),
            _ => mount.rest(path).map(|rest| Found::Prefix(mount, rest)),
        });
        of_section.or_else(|| self.mounts.find(encoding, path, search))
    }

    /// Forwards the request by a rule.
    unsafe fn follow(&self, r: *mut ffi::request_rec, path: &[u8], found: Found<'_, Match>) -> c_int {
        // SAFETY: the caller vouches for `r`.
        unsafe {
            match found {
                Found::Prefix(mount, rest) => follow(r, self.site, mount, path, rest),
                Found::Asked(mount, Match::Groups(groups)) => {
                    matched::follow(r, self.runtime, self.site, mount, path, &groups, &self.variables)
                }
                Found::Asked(mount, Match::Rest(rest)) if self.variables.are_on() => {
                    matched::follow_variables(r, mount, &path[rest..], &self.variables)
                }
                Found::Asked(mount, Match::Rest(rest)) => follow(r, self.site, mount, path, rest),
            }
        }
    }
}

/// Rules with `mapping=`, before httpd decodes the path. `DONE` keeps it from doing so: what the rule was compared with
/// stays the path, and `%2F` and `%00` are no errors there.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn pre_translate(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        if (*r).proxyreq == ffi::PROXYREQ_PROXY as c_int {
            // A URL of another server stays as it came.
            return DONE;
        }
        if !child().is_some_and(|child| child.runtime.maps_encoded_paths()) {
            return DECLINED;
        }
        let Some(rules) = Rules::of(r) else { return DECLINED };
        let (encoded, servlet) = (rules.has(Encoding::Encoded), rules.has(Encoding::Servlet));
        if !(encoded || servlet) || (*r).proxyreq != 0 || !takes_part(r) {
            return DECLINED;
        }
        let path = pool::bytes((*r).uri);
        if encoded && let Some(found) = rules.lookup(Encoding::Encoded, path, path) {
            return done(rules.follow(r, path, found));
        }
        if servlet
            && let Some(clean) = ServletPath::of(path)
            && let Some(found) = rules.lookup(Encoding::Servlet, clean.path(), path)
        {
            let (mount, rest, is_asked) = match found {
                Found::Prefix(mount, rest) => (mount, rest, false),
                Found::Asked(mount, Match::Rest(rest)) => (mount, rest, rules.variables.are_on()),
                found => return done(rules.follow(r, path, found)),
            };
            let rest = clean.rest(rest);
            let status = match &mount.target {
                _ if is_asked => matched::follow_variables(r, mount, &rest, &rules.variables),
                Target::Forward(to) => forward_to(r, rules.site, to, &rest, Encoding::Servlet),
                _ => DECLINED,
            };
            if status == OK {
                // Sections are matched by what the container will see.
                (*r).uri = pool::text((*r).pool, &[clean.path()]);
            }
            return done(status);
        }
        DECLINED
    }
}

const fn done(status: c_int) -> c_int {
    if status == OK { DONE } else { status }
}

/// Finds the rule for a decoded path.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn translate(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        if (*r).proxyreq != 0 {
            // Somebody has decided already.
            return OK;
        }
        let Some(rules) = Rules::of(r) else { return DECLINED };
        if !takes_part(r) {
            return DECLINED;
        }
        let path = pool::bytes((*r).uri);
        match rules.lookup(Encoding::Canonical, path, path) {
            Some(found) => rules.follow(r, path, found),
            None => DECLINED,
        }
    }
}

/// `OPTIONS *` and whatever the administrator keeps out by the variable `no-proxy` is never forwarded.
unsafe fn takes_part(r: *const ffi::request_rec) -> bool {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        pool::bytes((*r).uri).first() == Some(&b'/')
            && ffi::apr_table_get((*r).subprocess_env, c"no-proxy".as_ptr()).is_null()
    }
}

unsafe fn follow(r: *mut ffi::request_rec, site: SiteId, mount: &Mount, path: &[u8], rest: usize) -> c_int {
    let Target::Forward(destination) = &mount.target else { return DECLINED };
    // SAFETY: the caller vouches for `r`.
    unsafe {
        if mount.encoding == Encoding::AsReceived {
            if let Some(raw) = raw_rest(r, mount, rest) {
                return forward_to(r, site, destination, raw, Encoding::AsReceived);
            }
            return forward_to(r, site, destination, &path[rest..], Encoding::Canonical);
        }
        forward_to(r, site, destination, &path[rest..], mount.encoding)
    }
}

/// The rest of the path as the client sent it, if the rule covers as much of that as of the decoded path.
unsafe fn raw_rest<'a>(r: *const ffi::request_rec, mount: &Mount, rest: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller vouches for `r`.
    let raw = unsafe { pool::bytes((*r).unparsed_uri) };
    let raw = raw.split(|&byte| byte == b'?').next().unwrap_or_default();
    (raw.first() == Some(&b'/') && mount.rest(raw) == Some(rest)).then(|| &raw[rest..])
}

unsafe fn forward_to(
    r: *mut ffi::request_rec,
    site: SiteId,
    destination: &Destination,
    rest: &[u8],
    encoding: Encoding,
) -> c_int {
    let url = destination.url.as_bytes();
    let target_path = destination.path.as_bytes();
    // SAFETY: the caller vouches for `r`; its pool is used by this thread only.
    unsafe {
        // Like mod_proxy: what goes on as it came has its query string in its name too.
        let query = pool::some_bytes((*r).args).filter(|_| encoding == Encoding::AsReceived);
        let [mark_of_query, query] = query.map_or([&b""[..], b""], |query| [b"?", query]);
        let parts: [&[u8]; 5] = [b"proxy:", url, rest, mark_of_query, query];
        let filename = pool::text((*r).pool, &parts);
        let length = target_path.len() + rest.len();
        let path = if length == 0 {
            (c"/".as_ptr(), 1)
        } else if url.ends_with(target_path) {
            (filename.add(b"proxy:".len() + url.len() - target_path.len()).cast_const(), length)
        } else {
            (pool::text((*r).pool, &[target_path, rest]).cast_const(), length)
        };
        let route = Route {
            worker: destination.worker,
            encoding,
            site,
            path: path.0.cast(),
            length: path.1,
            filename: filename.cast_const(),
            unknown: destination.open_authority && !matches!(rest.first(), None | Some(b'/')),
        };
        mark(r, filename, Some(route))
    }
}

/// Says that the request goes to a back end, and by which route if it is known.
///
/// # Safety
/// `r` is the live request of this thread; `filename` and the path of the route lie in its pool.
pub(super) unsafe fn mark(r: *mut ffi::request_rec, filename: *mut c_char, route: Option<Route>) -> c_int {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        if let Some(route) = route {
            let route = pool::value((*r).pool, Route { filename, ..route });
            ffi::ap_set_module_config((*r).request_config, &raw const ffi::margay_module, route.cast());
        }
        (*r).filename = filename;
        (*r).handler = c"proxy-server".as_ptr();
        (*r).proxyreq = ffi::PROXYREQ_REVERSE as c_int;
        OK
    }
}
