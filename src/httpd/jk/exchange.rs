// SPDX-License-Identifier: Apache-2.0
//! A request of httpd as mod_jk's lines look at it: variables of its environment take the place of what httpd knows.

use std::ffi::{CStr, c_int};
use std::fmt;
use std::io::{IoSlice, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use super::notes::Notes;
use super::site::{Here, variable};
use super::{log, tls};
use crate::backend::{NotSecure, Transport};
use crate::config::jk::plan::JkLogLevel;
use crate::httpd::request::HttpdRequest;
use crate::httpd::runtime::Child;
use crate::httpd::{ffi, log as error_log, pool};
use crate::proxy::Exchange;
use crate::proxy::exchange::{
    BodyError, BodyRead, Chosen, ClientGone, Level, Note, Push, Request, ResponseLine, Tls, TunnelRead,
};
use crate::proxy::jk::{JkExchange, JkTried};

/// The live request of the calling thread.
pub(super) struct JkRequest<'r> {
    inner: HttpdRequest<'r>,
    raw: *mut ffi::request_rec,
    here: Here,
    view: Request<'r>,
    remote_port: &'r [u8],
    tls: Tls<'r>,
    notes: Notes,
}

/// A value that a variable may replace; an empty one replaces it by nothing.
fn replaced<'a>(variable: Option<&'a [u8]>, own: Option<&'a [u8]>) -> Option<&'a [u8]> {
    match variable {
        Some(b"") => None,
        Some(value) => Some(value),
        None => own,
    }
}

/// A port; what begins with no digit is 0.
fn number(text: &[u8]) -> u16 {
    let text = text.trim_ascii_start();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

impl<'r> JkRequest<'r> {
    /// # Safety
    /// As [`HttpdRequest::new`].
    ///
    /// # Errors
    /// As [`HttpdRequest::new`].
    pub unsafe fn new(raw: *mut ffi::request_rec, child: &'r Child, here: Here) -> Result<Self, c_int> {
        // SAFETY: the caller vouches for `raw`; text of a request and its connection lives as long as the request.
        unsafe {
            let inner = HttpdRequest::new(raw, child)?;
            let mut view = inner.view();
            let names = &here.site.indicators;
            let options = &here.site.options;
            let of = |name: &str| variable(raw, name);
            view.server_port = view.own_port;
            if options.forward_physical_address {
                let connection = &*(*raw).connection;
                view.remote_addr = pool::bytes(connection.client_ip);
                view.remote_port = connection.client_addr.as_ref().map_or(0, |address| address.port);
            }
            view.remote_addr = replaced(of(&names.remote_addr), Some(view.remote_addr)).unwrap_or_default();
            view.remote_host = replaced(of(&names.remote_host), view.remote_host);
            view.user = replaced(of(&names.remote_user), view.user);
            view.auth_type = replaced(of(&names.auth_type), view.auth_type);
            view.local_addr = of(&names.local_addr).unwrap_or(view.local_addr);
            view.server_name = of(&names.local_name).unwrap_or(view.server_name);
            view.server_port = of(&names.local_port).map_or(view.server_port, number);
            let remote_port = match of(&names.remote_port) {
                Some(text) => text,
                None => digits(raw, view.remote_port),
            };
            if here.site.has_cgi_variables {
                // As in mod_jk: after the variables above, before those about TLS.
                ffi::margay_jk_cgi_variables(raw);
            }
            let says_tls = here.site.extract_ssl
                && of(&names.https).is_some_and(|value| value.eq_ignore_ascii_case(b"on"));
            view.is_tls = says_tls;
            let tls = if says_tls { tls::of(raw, here.site) } else { Tls::default() };
            let notes = Notes::default();
            Ok(JkRequest { inner, raw, here, view, remote_port, tls, notes })
        }
    }
}

unsafe fn digits<'r>(raw: *mut ffi::request_rec, number: u16) -> &'r [u8] {
    let mut text = [0u8; 5];
    let mut rest = &mut text[..];
    let room = rest.len();
    let _ = write!(rest, "{number}");
    let length = room - rest.len();
    // SAFETY: the caller vouches for `raw`.
    unsafe { pool::bytes(pool::text((*raw).pool, &[&text[..length]])) }
}

impl Exchange for JkRequest<'_> {
    fn request(&self) -> Request<'_> {
        self.view
    }

    fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.inner.headers()
    }

    fn tls(&self) -> Tls<'_> {
        self.tls
    }

    fn attributes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.here.site.env_vars.iter().filter_map(|(name, default)| {
            // SAFETY: the live request, whose environment nobody changes while it is looked at.
            let value = unsafe { variable(self.raw, name) };
            Some((name.as_bytes(), value.or(default.as_deref().map(str::as_bytes))?))
        })
    }

    fn variable(&self, name: &CStr) -> Option<&[u8]> {
        self.inner.variable(name)
    }

    fn secure(&self, socket: OwnedFd, name: &[u8], limit: Duration) -> Result<Box<dyn Transport>, NotSecure> {
        self.inner.secure(socket, name, limit)
    }

    fn secure_again(&self, transport: &dyn Transport) -> bool {
        self.inner.secure_again(transport)
    }

    fn body_read(&mut self, want: usize) -> Result<BodyRead, BodyError> {
        self.inner.body_read(want)
    }

    fn body_read_now(&mut self, want: usize) -> Result<Option<BodyRead>, BodyError> {
        self.inner.body_read_now(want)
    }

    fn body_spool(&mut self) -> Result<(), BodyError> {
        self.inner.body_spool()
    }

    fn body_pieces<'a>(&'a self, limit: usize, into: &mut [IoSlice<'a>]) -> usize {
        self.inner.body_pieces(limit, into)
    }

    fn body_consume(&mut self, n: usize) {
        self.inner.body_consume(n);
    }

    // The path stays what it is: no URL of a member stands for it.
    fn target(&mut self, _url: &[&[u8]], _with_query: bool) {}

    fn note(&self, note: Note) {
        self.inner.note(note);
    }

    fn chosen(&mut self, chosen: Chosen<'_>) {
        self.inner.chosen(chosen);
    }

    fn response_line(&mut self, line: ResponseLine<'_>) {
        self.inner.response_line(line);
    }

    fn response_header(&mut self, name: &[u8], value: &[u8]) {
        self.inner.response_header(name, value);
    }

    fn response_trailer(&mut self, name: &[u8], value: &[u8]) {
        self.inner.response_trailer(name, value);
    }

    fn error_reason(&mut self, _status: u16, _reason: &[u8]) {
        // The server's own page has the server's own words.
    }

    fn error_header(&mut self, name: &[u8], value: &[u8]) {
        self.inner.error_header(name, value);
    }

    fn send_interim(&mut self) {
        self.inner.send_interim();
    }

    fn open_tunnel(&mut self) -> Result<(), ClientGone> {
        self.inner.open_tunnel()
    }

    fn tunnel_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.tunnel_fd()
    }

    fn tunnel_read(&mut self, into: &mut [u8]) -> Result<TunnelRead, ClientGone> {
        self.inner.tunnel_read(into)
    }

    fn tunnel_write(&mut self, data: &[u8]) -> Result<(), ClientGone> {
        self.inner.tunnel_write(data)
    }

    fn tunnel_end(&mut self) {
        self.inner.tunnel_end();
    }

    fn client_timeout(&self) -> Duration {
        self.inner.client_timeout()
    }

    fn write(&mut self, pieces: &[&[u8]], push: Push) -> Result<(), ClientGone> {
        self.inner.write(pieces, push)
    }

    fn cut(&mut self) {
        self.inner.cut();
    }

    fn forget_response(&mut self) {
        self.inner.forget_response();
    }

    fn own_url(&self, path: &[u8], out: &mut Vec<u8>) {
        self.inner.own_url(path, out);
    }

    fn answered(&mut self, _status: u16, _source_port: Option<u16>) {
        // Variables that mod_jk does not know.
    }

    fn explain(&mut self, _status: u16, _cause: &str) {
        // mod_jk's pages give no reasons.
    }

    fn log(&self, level: Level, id: &'static str, text: fmt::Arguments<'_>) {
        // SAFETY: the live request.
        unsafe { say(self.raw, &self.here, level, id, text) }
    }
}

impl JkExchange for JkRequest<'_> {
    fn remote_port(&self) -> &[u8] {
        self.remote_port
    }

    fn tried(&mut self, tried: &JkTried<'_>) {
        // SAFETY: the live request.
        unsafe { self.notes.tried(self.raw, tried) }
    }

    fn route(&mut self, route: &[u8]) {
        // SAFETY: the live request.
        unsafe { self.notes.route(self.raw, route) }
    }
}

/// Says something about a request in the server's `JkLogFile`, and what is wrong in httpd's error log too.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn say(
    r: *mut ffi::request_rec,
    here: &Here,
    level: Level,
    id: &'static str,
    text: fmt::Arguments<'_>,
) {
    let jk_level = match level {
        Level::Error => JkLogLevel::Error,
        Level::Warning => JkLogLevel::Warn,
        Level::Notice | Level::Info => JkLogLevel::Info,
        Level::Debug => JkLogLevel::Debug,
    };
    let logs = log::of_child();
    let site = logs.and_then(|logs| logs.site(here.id));
    let has_file = site.is_some_and(|site| site.has_file());
    if let Some(site) = site.filter(|site| site.has_file() && site.is_enabled(jk_level)) {
        // SAFETY: the caller vouches for `r`.
        let request = unsafe { variable(r, &here.site.indicators.request_id) };
        site.write(jk_level, id, &text.to_string(), request);
    }
    if !has_file || level == Level::Error {
        let number = error_log::number(level);
        // SAFETY: the caller vouches for `r`.
        unsafe {
            if ffi::margay_log_enabled(r, number as c_int) != 0 {
                error_log::request(r, number, &format!("{id}: {text}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_replaces_some_values_by_nothing() {
        assert_eq!(replaced(Some(b""), Some(b"own")), None);
        assert_eq!(replaced(Some(b"x"), Some(b"own")), Some(&b"x"[..]));
        assert_eq!(replaced(None, Some(b"own")), Some(&b"own"[..]));
        assert_eq!([number(b" 8443 "), number(b"x"), number(b""), number(b"99999")], [8443, 0, 0, 0]);
    }
}
