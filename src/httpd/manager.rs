// SPDX-License-Identifier: Apache-2.0
//! The handler `balancer-manager`: pages for people and programs, and changes while the server runs.

use std::ffi::c_int;
use std::fs::File;
use std::io::{IoSlice, Read};
use std::sync::Arc;
use std::time::Duration;

use super::dialect::Dialect;
use super::lifecycle::child;
use super::pass::ServerConf;
use super::request::HttpdRequest;
use super::runtime::{Child, Runtime};
use super::{ffi, jk, log, pool};
use crate::base::clock::{Clock, SystemClock};
use crate::config::plan::{BalancerId, MemberId};
use crate::proxy::Exchange;
use crate::proxy::exchange::{BodyError, Level, MAX_PIECES, Push};
use crate::shared::{Region, ShortText};
use crate::status::params::LONGEST_FORM;
use crate::status::view::State;
use crate::status::{Applied, Change, Form, Frame, Outcome, Params, html, section, xml};
use crate::wire::ajp::BodyLength;

const OK: c_int = ffi::OK as c_int;
const DECLINED: c_int = ffi::DECLINED;
const BAD_REQUEST: c_int = 400;
const TOO_LARGE: c_int = 413;
const UNAVAILABLE: c_int = 503;
const INTERNAL_ERROR: c_int = 500;

/// Answers requests for the manager, and declines all others.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn handle(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller vouches for `r` throughout.
    unsafe {
        if (*r).handler.is_null() || pool::bytes((*r).handler) != b"balancer-manager" {
            return DECLINED;
        }
        if !Dialect::Proxy.is_ours() {
            return DECLINED;
        }
        let method = (*r).method_number;
        (*r).allowed |= 1 << ffi::M_GET | 1 << ffi::M_POST;
        if method != ffi::M_GET as c_int && method != ffi::M_POST as c_int {
            // httpd answers OPTIONS, and refuses what else there is.
            return DECLINED;
        }
        let Some(child) = child() else { return INTERNAL_ERROR };
        let mut exchange = match HttpdRequest::new(r, child) {
            Ok(exchange) => exchange,
            Err(status) => return status,
        };
        let posted = method == ffi::M_POST as c_int;
        let params = match params(&mut exchange, posted) {
            Ok(params) => params,
            Err(status) => return status,
        };
        let params = if is_from_here(r, &exchange) { params } else { Params::default() };
        let mut visit = Visit { r, child, exchange, params };
        visit.answer(posted)
    }
}

/// Adds the balancers of the server to the page of mod_status (`ProxyStatus On`).
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn status_section(r: *mut ffi::request_rec, lines: bool) -> c_int {
    let Some(child) = child() else { return DECLINED };
    // SAFETY: the caller vouches for `r`.
    let site = unsafe { ServerConf::of((*r).server).site };
    let Some(site) = child.runtime.site(site).filter(|site| child.runtime.plan.site(*site).status) else {
        return DECLINED;
    };
    let state = child.state(site, threads(), SystemClock.now());
    let balancers = state.balancers();
    let agent = section::agent(state.region.agent().seen(), state.now, lines);
    let text = agent + &if lines { section::lines(&balancers) } else { section::html(&balancers) };
    // SAFETY: httpd copies what it cannot send now.
    unsafe { ffi::ap_rwrite(text.as_ptr().cast(), c_int::try_from(text.len()).unwrap_or(0), r) };
    OK
}

/// What came along: of a POST only its body counts, of any other request its query string.
fn params(exchange: &mut HttpdRequest<'_>, posted: bool) -> Result<Params, c_int> {
    let view = exchange.request();
    if !posted {
        return Ok(Params::selection(view.query.unwrap_or_default()));
    }
    if view.body == BodyLength::None {
        return Ok(Params::default());
    }
    let mut form = Vec::new();
    loop {
        let read = exchange.body_read(8192).map_err(|BodyError(status)| status)?;
        take(exchange, &mut form);
        if form.len() > LONGEST_FORM {
            return Err(TOO_LARGE);
        }
        if read.end {
            return Ok(Params::parse(&form));
        }
    }
}

fn take(exchange: &mut HttpdRequest<'_>, form: &mut Vec<u8>) {
    loop {
        let mut pieces = [IoSlice::new(&[]); MAX_PIECES];
        let count = exchange.body_pieces(usize::MAX, &mut pieces);
        let before = form.len();
        pieces[..count].iter().for_each(|piece| form.extend_from_slice(piece));
        let taken = form.len() - before;
        if taken == 0 {
            return;
        }
        exchange.body_consume(taken);
    }
}

/// Does the request come from a page of this server? Other sites must not be able to make a browser change something.
unsafe fn is_from_here(r: *mut ffi::request_rec, exchange: &HttpdRequest<'_>) -> bool {
    // SAFETY: the caller vouches for `r`; its tables belong to this thread.
    let referer = unsafe { pool::string(ffi::apr_table_get((*r).headers_in, c"Referer".as_ptr())) };
    let name = String::from_utf8_lossy(exchange.request().server_name);
    let is_ours =
        host_of(&referer).is_some_and(|host| host.eq_ignore_ascii_case(name.trim_matches(['[', ']'])));
    if !is_ours {
        let shown = if referer.is_empty() { "none" } else { &referer };
        exchange.log(
            Level::Info,
            "MGY4002",
            format_args!(
                "balancer-manager: the parameters are ignored: Referer ({}) does not name this server ({name}) (AH10187)",
                shown.escape_default()
            ),
        );
    }
    is_ours
}

/// The host of a URL, without user, port and brackets.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("//")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next()?,
        None => host.split(':').next()?,
    };
    Some(host).filter(|host| !host.is_empty())
}

/// One request for the manager.
struct Visit<'r> {
    r: *mut ffi::request_rec,
    child: &'static Child,
    exchange: HttpdRequest<'r>,
    params: Params,
}

impl Visit<'_> {
    fn answer(&mut self, posted: bool) -> c_int {
        let Some(state) = self.state() else { return self.show_nothing() };
        let balancer = self.params.get("b").and_then(|name| state.find_balancer(name));
        let url = self.params.get("w");
        let member = balancer.zip(url).and_then(|(balancer, url)| state.find_member(balancer, url));
        if let Some(balancer) = balancer.filter(|_| posted)
            && let Err(status) = self.change(&state, balancer, member)
        {
            return status;
        }
        let shown = state.balancers();
        if self.params.get("xml").is_some() {
            return self.send(c"text/xml", &xml::page(&shown));
        }
        let chosen = shown.iter().find(|view| Some(view.id) == balancer);
        let form = chosen.map(|view| match view.members.iter().find(|known| Some(known.id) == member) {
            Some(member) => Form::Member(view, member),
            None => Form::Balancer(view),
        });
        let frame = self.frame(&state);
        let page = html::page(&frame, &shown, form);
        // SAFETY: the live request.
        let workers = unsafe { jk::status::section(self.r, self.child) };
        self.send(c"text/html; charset=ISO-8859-1", &html::with_section(page, &workers))
    }

    /// `None` for a server that the plan does not know.
    fn state(&self) -> Option<State<'static>> {
        // SAFETY: the live request.
        let site = unsafe { ServerConf::of((*self.r).server).site };
        let site = self.child.runtime.site(site)?;
        Some(self.child.state(site, threads(), SystemClock.now()))
    }

    fn show_nothing(&mut self) -> c_int {
        if self.params.get("xml").is_some() {
            return self.send(c"text/xml", &xml::page(&[]));
        }
        let frame = self.frame_of(true, true);
        // SAFETY: the live request.
        let workers = unsafe { jk::status::section(self.r, self.child) };
        let page = html::with_section(html::page(&frame, &[], None), &workers);
        self.send(c"text/html; charset=ISO-8859-1", &page)
    }

    /// Makes the change that the form asks for, if it brings the balancer's nonce.
    fn change(&self, state: &State<'_>, balancer: BalancerId, member: Option<MemberId>) -> Result<(), c_int> {
        let change = Change::of(&self.params);
        if change == Change::default() {
            return Ok(());
        }
        let name = &state.plan.balancer(balancer).name;
        let nonce = state.nonce(balancer);
        if nonce.is_empty() || self.params.get("nonce") != Some(nonce.as_str()) {
            self.exchange.log(
                Level::Warning,
                "MGY4003",
                format_args!(
                    "balancer-manager: no change to balancer://{name}: the form did not bring its nonce; load the page anew \
                     (with nonce=None nothing can be changed)"
                ),
            );
            return Ok(());
        }
        let (applied, refused) = match change.apply(state, balancer, member) {
            Outcome::Done(applied) => (applied, None),
            Outcome::NotJoined(applied, why) => (applied, Some(why)),
            Outcome::Busy => {
                self.exchange.log(
                    Level::Error,
                    "MGY4004",
                    format_args!("balancer-manager: another change is being made; try again"),
                );
                return Err(UNAVAILABLE);
            }
        };
        self.tell(name, member.map(|id| state.plan.member(id).name.as_str()), &applied);
        let Some(why) = refused else { return Ok(()) };
        self.exchange.log(
            Level::Error,
            "MGY4005",
            format_args!(
                "balancer-manager: balancer://{name}: failed to add worker {} ({})",
                why.to_string().escape_default(),
                why.stock_id()
            ),
        );
        Err(BAD_REQUEST)
    }

    /// Every change is said in the log.
    fn tell(&self, balancer: &str, member: Option<&str>, applied: &[Applied]) {
        let member = member.map(|name| format!(" member {name}")).unwrap_or_default();
        let user = String::from_utf8_lossy(self.exchange.request().user.unwrap_or(b"-"));
        for change in applied {
            self.exchange.log(
                Level::Notice,
                "MGY4001",
                format_args!(
                    "balancer-manager: balancer://{balancer}{member}: {} by user {}",
                    change.0.escape_default(),
                    user.escape_default()
                ),
            );
        }
    }

    fn frame(&self, state: &State<'_>) -> Frame {
        let inherits = state.plan.site(state.site).inherits;
        let persisted = state.plan.site(state.site).persist;
        let conditions = Arc::clone(&state.plan.site(state.site).conditions);
        Frame { persisted, conditions, ..self.frame_of(inherits.balancers, inherits.rules) }
    }

    fn frame_of(&self, balancers_inherited: bool, rules_inherited: bool) -> Frame {
        // SAFETY: the live request; httpd's texts about itself are static.
        let (path, version, built) = unsafe {
            (
                pool::string((*self.r).uri),
                pool::string(ffi::ap_get_server_description()),
                pool::string(ffi::ap_get_server_built()),
            )
        };
        let mut url = Vec::new();
        self.exchange.own_url(crate::status::escape::path(&path).as_bytes(), &mut url);
        Frame {
            server_name: String::from_utf8_lossy(self.exchange.request().server_name).into_owned(),
            server_version: version,
            server_built: built,
            path,
            url: String::from_utf8_lossy(&url).into_owned(),
            balancers_inherited,
            rules_inherited,
            persisted: false,
            conditions: Arc::default(),
        }
    }

    fn send(&mut self, content_type: &'static std::ffi::CStr, page: &str) -> c_int {
        // SAFETY: the live request; the type is static.
        unsafe {
            ffi::margay_content_type(self.r, content_type.as_ptr());
            ffi::ap_set_content_length(self.r, i64::try_from(page.len()).unwrap_or(0));
        }
        // A client that is gone is noticed by httpd itself.
        let _ = self.exchange.write(&[page.as_bytes()], Push::End);
        OK
    }
}

/// Threads of one process.
fn threads() -> u32 {
    let mut threads: c_int = 0;
    // SAFETY: a plain question with room for the answer.
    unsafe { ffi::ap_mpm_query(ffi::AP_MPMQ_MAX_THREADS as c_int, &raw mut threads) };
    u32::try_from(threads).unwrap_or(0)
}

/// Gives every balancer that has none its nonce: random for each start, the same after graceful restarts.
pub(super) fn give_nonces(runtime: &Runtime, region: &Region) {
    let Some(administrator) = region.administer(Duration::from_secs(2)) else { return };
    for index in 0..runtime.plan.balancers.len() {
        let id = BalancerId(u32::try_from(index).unwrap_or(u32::MAX));
        let changes = region.balancer_changes(runtime.balancer_slot(id));
        if changes.nonce().as_bytes().is_empty() {
            match random_nonce() {
                Ok(nonce) => administrator.set_nonce(changes, &nonce),
                Err(error) => {
                    return log::server(
                        log::ERROR,
                        &format!(
                            "MGY0907: no random numbers, so balancer-manager can change nothing: {error}"
                        ),
                    );
                }
            }
        }
    }
}

fn random_nonce() -> std::io::Result<ShortText> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let digits = bytes.map(|byte| format!("{byte:02x}")).concat();
    let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(ShortText::of(groups.join("-").as_bytes()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_referer_is_found() {
        for (url, host) in [
            ("https://www.example:99/x", Some("www.example")),
            ("http://www.example", Some("www.example")),
            ("//www.example/", Some("www.example")),
            ("http://user@www.example/", Some("www.example")),
            ("http://[::1]:80/", Some("::1")),
            ("http://other/?//www.example/", Some("other")),
            ("http://other#@www.example", Some("other")),
            ("www.example", None),
            ("http:///x", None),
            ("", None),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    #[test]
    fn nonces_look_like_those_of_stock_and_differ() {
        let (one, two) = (random_nonce().unwrap(), random_nonce().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.as_str().len(), 36);
    }
}
