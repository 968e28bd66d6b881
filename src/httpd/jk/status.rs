// SPDX-License-Identifier: Apache-2.0
//! Requests for a status worker: what of httpd its pages need, and their way to the client.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_int};
use std::net::{IpAddr, ToSocketAddrs};

use super::exchange::{JkRequest, say};
use super::mounts::{self, Mounts};
use super::site::Here;
use super::state::Mapped;
use crate::base::clock::{Clock, SystemClock};
use crate::config::jk::plan::JkStatusId;
use crate::httpd::pass::ServerConf;
use crate::httpd::runtime::Child;
use crate::httpd::{ffi, pool};
use crate::proxy::Exchange;
use crate::proxy::exchange::{Level, Push};
use crate::status::jk::model::ServerView;
use crate::status::jk::section;
use crate::status::jk::{Desk, Evidence, Live, Page, Query, ServerRules, Visit, answer as answer_visit};

const OK: c_int = ffi::OK as c_int;
/// What scripts that look for the version of mod_jk find.
const VERSION: &str = concat!("mod_jk/1.2.50 Margay/", env!("CARGO_PKG_VERSION"));

/// Answers with the page, or what a command came to.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn answer(r: *mut ffi::request_rec, child: &Child, here: &Here, id: JkStatusId) -> c_int {
    // SAFETY: the caller vouches for `r` throughout.
    unsafe {
        let mut request = match JkRequest::new(r, child, *here) {
            Ok(request) => request,
            Err(status) => return status,
        };
        // The body means nothing, and the connection may be used again.
        let discarded = ffi::margay_discard_body(r);
        if discarded != OK {
            return discarded;
        }
        let style = here.jk.status_worker(id);
        let (page, notes) = page(r, child, here, &request, style);
        let user = String::from_utf8_lossy(request.request().user.unwrap_or(b"-")).into_owned();
        for note in notes {
            let text = format_args!("status worker {}: {note} by user {}", style.name, user.escape_default());
            say(r, here, Level::Notice, "MGY4111", text);
        }
        if page.is_forged {
            let text = format_args!(
                "status worker {}: nothing was changed: the browser of user {} says that another site made the request",
                style.name,
                user.escape_default()
            );
            say(r, here, Level::Warning, "MGY4112", text);
        }
        send(r, &mut request, &page)
    }
}

unsafe fn page(
    r: *mut ffi::request_rec,
    child: &Child,
    here: &Here,
    request: &JkRequest<'_>,
    style: &crate::config::jk::plan::JkStatus,
) -> (Page, Vec<String>) {
    let view = request.request();
    // SAFETY: the caller vouches for `r`; httpd's text about itself is static.
    let (path, software) = unsafe {
        let path = Mapped::of(r).map_or_else(|| pool::bytes((*r).uri), |mapped| mapped.original(r));
        let path = String::from_utf8_lossy(path).into_owned();
        (path, pool::string(ffi::ap_get_server_description()))
    };
    let server = ServerView {
        name: String::from_utf8_lossy(view.server_name).into_owned(),
        port: view.server_port,
        software,
        version: VERSION.to_owned(),
        ..ServerView::default()
    };
    // SAFETY: as above.
    let rules = unsafe { Rules::of_all(r, here) };
    let servers = rules.servers();
    let names = RefCell::new(HashMap::new());
    let resolve =
        |name: &str| names.borrow_mut().entry(name.to_owned()).or_insert_with(|| resolved(name)).clone();
    let world = child.world();
    let live = Live {
        plan: world.plan,
        region: world.region,
        bindings: world.bindings,
        server: &server,
        servers: &servers,
        now: SystemClock.now(),
        offset: &offset,
        resolve: &resolve,
    };
    let user = view.user.map(String::from_utf8_lossy);
    let query = Query::parse(view.query.unwrap_or_default());
    // SAFETY: as above.
    let headers = unsafe { Headers::of(r) };
    let visit =
        Visit { query: &query, path: &path, style, user: user.as_deref(), evidence: headers.evidence() };
    let mut desk = Desk::new(live);
    let page = answer_visit(&visit, &mut desk);
    (page, desk.notes)
}

/// What the page of balancer-manager says of the balancers of workers.properties; empty without any.
///
/// # Safety
/// `r` is the live request of this thread.
pub(in crate::httpd) unsafe fn section(r: *mut ffi::request_rec, child: &Child) -> String {
    // SAFETY: the caller vouches for `r`.
    let (here, now) = unsafe { (Here::of(r), (*r).request_time) };
    let Some(here) = here else { return String::new() };
    let (server, mounts, world) = (ServerView::default(), mounts::of(&here, now), child.world());
    let live = Live {
        plan: world.plan,
        region: world.region,
        bindings: world.bindings,
        server: &server,
        servers: &[],
        now: SystemClock.now(),
        offset: &offset,
        resolve: &|_| Vec::new(),
    };
    section::html(&live, mounts.get())
}

/// The rules of all servers of httpd, held as long as the page is made.
struct Rules(Vec<(String, Here, Mounts)>);

impl Rules {
    unsafe fn of_all(r: *mut ffi::request_rec, here: &Here) -> Rules {
        let mut all = Vec::new();
        // SAFETY: httpd's list of servers lives as long as the process; the first is the main server.
        unsafe {
            let now = (*r).request_time;
            let mut server = ffi::ap_server_conf;
            while !server.is_null() {
                if let Some(there) = of_server(server, here) {
                    let mounts = mounts::of(&there, now);
                    all.push((label(server), there, mounts));
                }
                server = (*server).next;
            }
        }
        Rules(all)
    }

    fn servers(&self) -> Vec<ServerRules<'_>> {
        let rules = self.0.iter().map(|(label, here, mounts)| ServerRules {
            label: label.clone(),
            site: here.id,
            mounts: mounts.get(),
        });
        rules.collect()
    }
}

unsafe fn of_server(server: *const ffi::server_rec, here: &Here) -> Option<Here> {
    // SAFETY: a server of httpd's list.
    let (id, is_virtual) = unsafe { (ServerConf::of(server.cast_mut()).site, (*server).is_virtual != 0) };
    let is_main = id.0 != 0 || !is_virtual;
    let id = crate::httpd::lifecycle::child()?.runtime.site(id)?;
    Some(Here { jk: here.jk, site: here.jk.site(id, is_main), id, is_main })
}

/// `name`, for a virtual host with its first address: `name [address:port]`.
unsafe fn label(server: *const ffi::server_rec) -> String {
    // SAFETY: a server of httpd's list.
    unsafe {
        let name = pool::string((*server).server_hostname);
        let Some(address) = (*server).addrs.as_ref().filter(|_| (*server).is_virtual != 0) else {
            return name;
        };
        let host = pool::string(address.virthost);
        match address.host_port {
            0 => format!("{name} [{host}]"),
            port => format!("{name} [{host}:{port}]"),
        }
    }
}

fn resolved(name: &str) -> Vec<IpAddr> {
    (name, 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect()).unwrap_or_default()
}

/// How far the server's time is ahead of UTC, in seconds.
fn offset(unix: u64) -> i32 {
    let mut room = [0u8; 16];
    let unix = i64::try_from(unix).unwrap_or(0);
    // SAFETY: there is as much room as is told, and the format is a C string.
    let length =
        unsafe { ffi::margay_local_time(room.as_mut_ptr().cast(), room.len(), c"%z".as_ptr(), unix) };
    seconds_of_zone(&room[..length.min(room.len())])
}

/// `+0530` in seconds.
fn seconds_of_zone(zone: &[u8]) -> i32 {
    let Ok(zone) = std::str::from_utf8(zone) else { return 0 };
    let number: i32 = zone.trim_end_matches('\0').parse().unwrap_or(0);
    number / 100 * 3600 + number % 100 * 60
}

/// Headers that say who made a request.
struct Headers([Option<String>; 7]);

impl Headers {
    unsafe fn of(r: *const ffi::request_rec) -> Headers {
        const NAMES: [&CStr; 7] = [
            c"Sec-Fetch-Site",
            c"Origin",
            c"Referer",
            c"Host",
            c"X-Forwarded-Host",
            c"User-Agent",
            c"Accept-Language",
        ];
        // SAFETY: the caller vouches for `r`, whose table is this thread's.
        Headers(NAMES.map(|name| unsafe {
            let value = pool::some_bytes(ffi::apr_table_get((*r).headers_in, name.as_ptr()))?;
            Some(String::from_utf8_lossy(value).into_owned())
        }))
    }

    fn evidence(&self) -> Evidence<'_> {
        let [fetch_site, origin, referer, host, forwarded_host, user_agent, accept_language] =
            self.0.each_ref().map(Option::as_deref);
        Evidence { fetch_site, origin, referer, host, forwarded_host, user_agent, accept_language }
    }
}

unsafe fn send(r: *mut ffi::request_rec, request: &mut JkRequest<'_>, page: &Page) -> c_int {
    // SAFETY: the caller vouches for `r`; all texts are static or copied.
    unsafe {
        let content_type = pool::text((*r).pool, &[page.content_type.as_bytes()]);
        ffi::margay_content_type(r, content_type);
        ffi::apr_table_setn((*r).headers_out, c"Cache-Control".as_ptr(), c"no-cache".as_ptr());
        ffi::apr_table_setn((*r).headers_out, c"Pragma".as_ptr(), c"no-cache".as_ptr());
        ffi::ap_set_content_length(r, i64::try_from(page.body.len()).unwrap_or(0));
    }
    // A client that is gone is noticed by httpd itself.
    let _ = request.write(&[page.body.as_bytes()], Push::End);
    OK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_zones_are_read_with_their_sign() {
        for (zone, seconds) in [("+0000", 0), ("+0530", 19_800), ("-0330", -12_600), ("", 0), ("CET", 0)] {
            assert_eq!(seconds_of_zone(zone.as_bytes()), seconds, "{zone}");
        }
    }
}
