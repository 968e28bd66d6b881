// SPDX-License-Identifier: Apache-2.0
//! A request of httpd as the core's [`Exchange`].

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::slice;
use std::time::Duration;

use super::runtime::Child;
use super::{ffi, handler, log, outgoing, pool};
use crate::backend::{NotSecure, Transport};
use crate::proxy::Exchange;
use crate::proxy::exchange::{
    BodyError, BodyRead, Chosen, ClientGone, Level, MAX_PIECES, Note, Push, Request, ResponseLine, Tls,
    TunnelRead,
};
use crate::wire::ajp::BodyLength;
use crate::wire::http1::decimal;

/// httpd's number of HTTP/1.1.
const HTTP_1_1: c_int = 1001;

/// The live request of the calling thread. All its methods rest on that.
pub(super) struct HttpdRequest<'r> {
    raw: *mut ffi::request_rec,
    child: &'r Child,
    view: Request<'r>,
    /// Response data between two passes.
    out: *mut ffi::apr_bucket_brigade,
    /// What was read of the request body and is kept. Made when the first byte is read.
    body: *mut ffi::apr_bucket_brigade,
    /// The response headers as they were before a member's response was put there.
    headers_before: *mut ffi::apr_table_t,
    /// Where a body lies that is too large for memory.
    spool: *mut ffi::apr_file_t,
}

impl<'r> HttpdRequest<'r> {
    /// # Safety
    /// `raw` is the live request of the calling thread, and no other code touches it during the calls.
    ///
    /// # Errors
    /// The status with which a request is refused whose body has no framing AJP can carry.
    pub unsafe fn new(raw: *mut ffi::request_rec, child: &'r Child) -> Result<Self, c_int> {
        // SAFETY: the caller vouches for `raw`; text of a request lives as long as its pool, and is not changed while
        // the request is handled.
        unsafe {
            let r = &*raw;
            let connection = &*r.connection;
            let remote_host = ffi::ap_get_remote_host(
                r.connection,
                r.per_dir_config.cast(),
                ffi::REMOTE_HOST as c_int,
                std::ptr::null_mut(),
            );
            let view = Request {
                method: pool::bytes(r.method),
                protocol: pool::bytes(r.protocol),
                query: pool::some_bytes(r.args),
                remote_addr: pool::bytes(r.useragent_ip),
                remote_host: pool::some_bytes(remote_host),
                remote_port: port_of(r.useragent_addr),
                local_addr: pool::bytes(connection.local_ip),
                server_name: pool::bytes(ffi::ap_get_server_name(raw)),
                own_name: pool::bytes((*r.server).server_hostname),
                own_port: ffi::ap_get_server_port(raw),
                server_port: port_of(connection.local_addr),
                is_tls: ffi::margay_is_ssl(raw) != 0,
                user: pool::some_bytes(r.user),
                auth_type: pool::some_bytes(r.ap_auth_type),
                body: if body_was_read(r) { BodyLength::None } else { body_length(r)? },
                is_subrequest: !r.main.is_null(),
                // A stream of HTTP/2 has no socket of its own.
                can_upgrade: connection.master.is_null() && r.proto_num >= HTTP_1_1,
                is_first: connection.keepalives == 0,
            };
            let out = ffi::margay_brigade(raw);
            Ok(Self {
                raw,
                child,
                view,
                out,
                body: std::ptr::null_mut(),
                headers_before: std::ptr::null_mut(),
                spool: std::ptr::null_mut(),
            })
        }
    }

    /// A Range of the client is for the member alone.
    pub fn keep_whole(&self) {
        // SAFETY: the live request.
        unsafe { ffi::margay_out_keep_whole(self.raw) }
    }

    /// The request as httpd knows it.
    pub fn view(&self) -> Request<'r> {
        self.view
    }

    fn raw(&self) -> &ffi::request_rec {
        // SAFETY: see `new`.
        unsafe { &*self.raw }
    }

    fn set_env(&self, name: &'static std::ffi::CStr, value: *const c_char) {
        // SAFETY: the table is the request's; name and value outlive it.
        unsafe { ffi::apr_table_setn(self.raw().subprocess_env, name.as_ptr(), value) }
    }

    fn set_note(&self, name: &'static std::ffi::CStr, value: *const c_char) {
        // SAFETY: as in `set_env`.
        unsafe { ffi::apr_table_setn(self.raw().notes, name.as_ptr(), value) }
    }

    fn text(&self, bytes: &[u8]) -> *mut c_char {
        // SAFETY: the pool is the request's and of this thread.
        unsafe { pool::text(self.raw().pool, &[bytes]) }
    }

    fn read_body(&mut self, want: usize, wait: bool) -> Result<BodyRead, BodyError> {
        if self.body.is_null() {
            // SAFETY: the live request.
            self.body = unsafe { ffi::margay_brigade(self.raw) };
            self.set_note(BODY_READ, c"1".as_ptr());
        }
        let (mut bytes, mut end) = (0, 0);
        // SAFETY: the live request and a brigade of its own.
        let status = unsafe {
            ffi::margay_body_read(self.raw, self.body, want, c_int::from(wait), &raw mut bytes, &raw mut end)
        };
        if status != 0 {
            return Err(BodyError(status));
        }
        Ok(BodyRead { bytes, end: end != 0 })
    }
}

fn port_of(address: *const ffi::apr_sockaddr_t) -> u16 {
    // SAFETY: addresses of a connection live as long as it does.
    unsafe { address.as_ref() }.map_or(0, |address| address.port)
}

/// The note of a request whose body has begun to be read.
const BODY_READ: &std::ffi::CStr = c"margay-body-read";

/// Is this a page for a request that failed after its body was read? Its headers are those of that request, but there
/// is no body any more that they could announce.
unsafe fn body_was_read(r: &ffi::request_rec) -> bool {
    // SAFETY: the requests this one came from live longer than it.
    unsafe {
        let mut from = r.prev;
        while let Some(request) = from.as_ref() {
            if !ffi::apr_table_get(request.notes, BODY_READ.as_ptr()).is_null() {
                ffi::apr_table_unset(r.headers_in, c"Content-Length".as_ptr());
                ffi::apr_table_unset(r.headers_in, c"Transfer-Encoding".as_ptr());
                return true;
            }
            from = request.prev;
        }
        false
    }
}

/// The framing of the request body. httpd has refused contradictions; a coding before `chunked` would reach Tomcat
/// undecoded, so it is refused here, before anything is sent.
unsafe fn body_length(r: &ffi::request_rec) -> Result<BodyLength, c_int> {
    const NOT_IMPLEMENTED: c_int = 501;
    const BAD_REQUEST: c_int = 400;
    // SAFETY: tables and text of a live request.
    unsafe {
        let coding = pool::some_bytes(ffi::apr_table_get(r.headers_in, c"Transfer-Encoding".as_ptr()));
        if let Some(coding) = coding {
            return if coding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                Ok(BodyLength::Chunked)
            } else {
                Err(NOT_IMPLEMENTED)
            };
        }
        let length = pool::some_bytes(ffi::apr_table_get(r.headers_in, c"Content-Length".as_ptr()));
        let Some(length) = length else { return Ok(BodyLength::None) };
        let digits = length.trim_ascii();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(BAD_REQUEST);
        }
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        number.map(BodyLength::Known).ok_or(BAD_REQUEST)
    }
}

/// The three digits of a status (200 to 999).
pub(super) fn digits(status: u16) -> [u8; 3] {
    let digit = |divisor: u16| b'0' + u8::try_from(status / divisor % 10).unwrap_or(0);
    [digit(100), digit(10), digit(1)]
}

/// httpd answers 500 for a status it has no phrase for, unless it is given one.
unsafe fn phrase_unknown_to_httpd(pool: *mut ffi::apr_pool_t, status: c_int) -> *const c_char {
    const OK: c_int = 200;
    const INTERNAL_ERROR: c_int = 500;
    // SAFETY: httpd's texts are static, or lie in the pool.
    unsafe {
        // For a status without a phrase, httpd gives the line of 500.
        if status == OK
            || status == INTERNAL_ERROR
            || ffi::ap_get_status_line(status) != ffi::ap_get_status_line(INTERNAL_ERROR)
        {
            return std::ptr::null();
        }
        ffi::ap_get_status_line_ex(pool, status)
    }
}

/// The entries of one of httpd's tables.
struct Entries<'a>(slice::Iter<'a, ffi::apr_table_entry_t>);

impl<'a> Entries<'a> {
    /// # Safety
    /// The table lives for `'a` and is not changed meanwhile.
    unsafe fn of(table: *const ffi::apr_table_t) -> Self {
        // SAFETY: a table begins with the array of its entries; apr.h offers the same view as `apr_table_elts`.
        unsafe {
            let array = &*table.cast::<ffi::apr_array_header_t>();
            let count = usize::try_from(array.nelts).unwrap_or(0);
            if count == 0 {
                return Self([].iter());
            }
            Self(slice::from_raw_parts(array.elts.cast::<ffi::apr_table_entry_t>(), count).iter())
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.0.next()?;
        // SAFETY: keys and values of a table are C strings that live as long as it does.
        Some(unsafe { (pool::bytes(entry.key), pool::bytes(entry.val)) })
    }
}

impl Exchange for HttpdRequest<'_> {
    fn request(&self) -> Request<'_> {
        self.view
    }

    fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        // SAFETY: the request's own table, which only this thread changes, and not while it is borrowed.
        unsafe { Entries::of(self.raw().headers_in) }
    }

    fn tls(&self) -> Tls<'_> {
        // SAFETY: the shim's answer lies in the request's pool.
        let variable = |name: &'static std::ffi::CStr| unsafe {
            pool::some_bytes(ffi::margay_ssl_variable(self.raw, name.as_ptr()))
        };
        let bits = variable(c"SSL_CIPHER_USEKEYSIZE");
        Tls {
            certificate: variable(c"SSL_CLIENT_CERT"),
            cipher: variable(c"SSL_CIPHER"),
            session: variable(c"SSL_SESSION_ID"),
            key_size: bits.and_then(|bits| std::str::from_utf8(bits).ok()?.parse().ok()),
            protocol: variable(c"SSL_PROTOCOL"),
        }
    }

    fn attributes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        // SAFETY: as in `headers`.
        let all = unsafe { Entries::of(self.raw().subprocess_env) };
        all.filter_map(|(name, value)| name.strip_prefix(b"AJP_").map(|name| (name, value)))
            .filter(|(name, _)| !name.is_empty())
    }

    fn variable(&self, name: &CStr) -> Option<&[u8]> {
        // SAFETY: the request's own table; its text lives as long as the request.
        unsafe { pool::some_bytes(ffi::apr_table_get(self.raw().subprocess_env, name.as_ptr())) }
    }

    fn secure(&self, socket: OwnedFd, name: &[u8], limit: Duration) -> Result<Box<dyn Transport>, NotSecure> {
        // SAFETY: the live request.
        unsafe { outgoing::open(self.raw, socket, name, limit) }
    }

    fn secure_again(&self, transport: &dyn Transport) -> bool {
        // SAFETY: the live request.
        unsafe { outgoing::bind(self.raw, transport) }
    }

    fn body_read(&mut self, want: usize) -> Result<BodyRead, BodyError> {
        self.read_body(want, true)
    }

    fn body_read_now(&mut self, want: usize) -> Result<Option<BodyRead>, BodyError> {
        let read = self.read_body(want, false)?;
        Ok(Some(read).filter(|read| read.bytes > 0 || read.end))
    }

    fn note(&self, note: Note) {
        match note {
            Note::TimedOut => self.set_note(c"proxy_timedout", c"1".as_ptr()),
            Note::Replaced => self.set_note(c"proxy-error-override", c"1".as_ptr()),
        }
    }

    fn body_spool(&mut self) -> Result<(), BodyError> {
        if self.body.is_null() {
            return Ok(());
        }
        // SAFETY: the live request, a brigade of its own, and a file that lies in the request's pool.
        let status = unsafe { ffi::margay_body_spool(self.raw, self.body, &raw mut self.spool) };
        if status == 0 {
            return Ok(());
        }
        let why = std::io::Error::from_raw_os_error(status);
        let text =
            format!("MGY2009: the request body could not be kept in a temporary file: {why} (AH01090)");
        // SAFETY: the live request.
        unsafe { log::request(self.raw, log::ERROR, &text) };
        Err(BodyError(500))
    }

    fn body_pieces<'a>(&'a self, limit: usize, into: &mut [IoSlice<'a>]) -> usize {
        if self.body.is_null() {
            return 0;
        }
        let empty = ffi::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let mut few = [empty; MAX_PIECES];
        let mut many = Vec::new();
        let pieces: &mut [ffi::iovec] = if into.len() <= few.len() {
            &mut few[..into.len()]
        } else {
            many.resize(into.len(), empty);
            &mut many
        };
        let max = c_int::try_from(pieces.len()).unwrap_or(c_int::MAX);
        // SAFETY: room for `max` pieces; the brigade is ours.
        let count = unsafe { ffi::margay_body_pieces(self.body, pieces.as_mut_ptr(), max, limit) };
        let count = usize::try_from(count).unwrap_or(0);
        for (place, piece) in into.iter_mut().zip(&pieces[..count]) {
            // SAFETY: the bucket keeps these bytes until it is consumed, which needs `&mut self`.
            *place = IoSlice::new(unsafe { slice::from_raw_parts(piece.iov_base.cast(), piece.iov_len) });
        }
        count
    }

    fn body_consume(&mut self, n: usize) {
        if !self.body.is_null() {
            // SAFETY: the brigade is ours.
            unsafe { ffi::margay_body_consume(self.body, n) }
        }
    }

    fn target(&mut self, url: &[&[u8]], with_query: bool) {
        let mut pieces: [&[u8]; 6] = [b""; 6];
        let parts = [&b"proxy:"[..]].into_iter().chain(url.iter().copied());
        let query = self.view.query.filter(|_| with_query);
        let query = query.map_or([&b""[..], b""], |query| [b"?", query]);
        for (place, part) in pieces.iter_mut().zip(parts.chain(query)) {
            *place = part;
        }
        // SAFETY: the live request and its pool.
        unsafe { (*self.raw).filename = pool::text(self.raw().pool, &pieces) }
    }

    fn chosen(&mut self, chosen: Chosen<'_>) {
        let (name, mut route) = self.child.member_words(chosen.member);
        if let Some(changed) = self.child.changed_route(chosen.member) {
            route = self.text(changed.as_bytes());
        }
        self.set_env(c"BALANCER_NAME", self.child.balancer_word(chosen.balancer));
        self.set_env(c"BALANCER_WORKER_NAME", name);
        self.set_env(c"BALANCER_WORKER_ROUTE", route);
        if let (Some(name), Some(route)) = (chosen.session_name, chosen.session_route) {
            let route: *const c_char = self.text(route);
            let known = self.child.session_word(chosen.balancer, name);
            let name = known.unwrap_or_else(|| self.text(name.as_bytes()));
            self.set_env(c"BALANCER_SESSION_STICKY", name);
            self.set_note(c"session-sticky", name);
            self.set_env(c"BALANCER_SESSION_ROUTE", route);
            self.set_note(c"session-route", route);
        }
        if chosen.route_changed {
            self.set_env(c"BALANCER_ROUTE_CHANGED", c"1".as_ptr());
        } else {
            // An earlier try may have set it.
            // SAFETY: the request's own table.
            unsafe { ffi::apr_table_unset(self.raw().subprocess_env, c"BALANCER_ROUTE_CHANGED".as_ptr()) }
        }
    }

    fn response_line(&mut self, line: ResponseLine<'_>) {
        self.forget_response();
        let reason = line.reason.map(|reason| {
            // SAFETY: the pool is the request's.
            unsafe { pool::text(self.raw().pool, &[&digits(line.status), b" ", reason]) }
        });
        // SAFETY: the live request. Cookies that other modules set stay; everything else is the member's to say.
        unsafe {
            let r = &mut *self.raw;
            self.headers_before = r.headers_out;
            r.headers_out = ffi::apr_table_make(r.pool, 12);
            for (name, value) in Entries::of(self.headers_before) {
                if name.eq_ignore_ascii_case(b"Set-Cookie") {
                    let value = pool::text(r.pool, &[value]);
                    ffi::apr_table_addn(r.headers_out, c"Set-Cookie".as_ptr(), value);
                }
            }
            r.status = c_int::from(line.status);
            r.status_line = match reason {
                Some(reason) => reason,
                None => phrase_unknown_to_httpd(r.pool, r.status),
            };
            if let Some(length) = line.content_length.and_then(|length| i64::try_from(length).ok()) {
                ffi::ap_set_content_length(self.raw, length);
            }
        }
    }

    fn response_header(&mut self, name: &[u8], value: &[u8]) {
        let value = self.text(value);
        // SAFETY: the live request; name and value lie in its pool.
        unsafe {
            if name.eq_ignore_ascii_case(b"Content-Type") {
                ffi::margay_content_type(self.raw, value);
            } else {
                let name = self.text(name);
                ffi::apr_table_addn(self.raw().headers_out, name, value);
            }
        }
    }

    fn response_trailer(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.text(name), self.text(value));
        // SAFETY: the request's own table; both lie in its pool.
        unsafe { ffi::apr_table_addn(self.raw().trailers_out, name, value) }
    }

    fn answered(&mut self, status: u16, source_port: Option<u16>) {
        self.set_note(c"proxy-status", self.text(&digits(status)));
        if let Some(port) = source_port {
            self.set_note(c"proxy-source-port", self.text(decimal(port.into(), &mut [0; 20])));
        }
    }

    fn explain(&mut self, status: u16, cause: &str) {
        // SAFETY: the live request.
        unsafe { handler::explain(self.raw, status, cause) }
    }

    fn error_reason(&mut self, status: u16, reason: &[u8]) {
        // SAFETY: the live request and its pool.
        unsafe { (*self.raw).status_line = pool::text(self.raw().pool, &[&digits(status), b" ", reason]) }
    }

    fn error_header(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.text(name), self.text(value));
        // SAFETY: the request's own table; both lie in its pool.
        unsafe { ffi::apr_table_addn(self.raw().err_headers_out, name, value) }
    }

    fn send_interim(&mut self) {
        // SAFETY: the live request.
        unsafe { ffi::margay_interim(self.raw) }
        self.forget_response();
    }

    fn open_tunnel(&mut self) -> Result<(), ClientGone> {
        // SAFETY: the live request.
        let gone = unsafe { ffi::margay_tunnel_open(self.raw) };
        if gone != 0 { Err(ClientGone) } else { Ok(()) }
    }

    fn tunnel_fd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the live request; its socket stays open until its connection ends, which is after the request.
        unsafe {
            let fd = ffi::margay_tunnel_fd(self.raw);
            (fd >= 0).then(|| BorrowedFd::borrow_raw(fd))
        }
    }

    fn tunnel_read(&mut self, into: &mut [u8]) -> Result<TunnelRead, ClientGone> {
        let mut got = 0;
        // SAFETY: the live request, and room for as many bytes as it is told.
        let answer =
            unsafe { ffi::margay_tunnel_read(self.raw, into.as_mut_ptr().cast(), into.len(), &raw mut got) };
        match u32::try_from(answer) {
            Ok(ffi::MARGAY_TUNNEL_DATA) => Ok(TunnelRead::Data(got)),
            Ok(ffi::MARGAY_TUNNEL_NOTHING) => Ok(TunnelRead::Nothing),
            Ok(ffi::MARGAY_TUNNEL_END) => Ok(TunnelRead::End),
            _ => Err(ClientGone),
        }
    }

    fn tunnel_write(&mut self, data: &[u8]) -> Result<(), ClientGone> {
        // SAFETY: the live request; the data outlives the pass, which sends all of it.
        let failed =
            unsafe { ffi::margay_tunnel_write(self.raw, self.out, data.as_ptr().cast(), data.len()) };
        if failed != 0 { Err(ClientGone) } else { Ok(()) }
    }

    fn tunnel_end(&mut self) {
        // SAFETY: the live request.
        unsafe { ffi::margay_tunnel_end(self.raw, self.out) }
    }

    fn client_timeout(&self) -> Duration {
        // SAFETY: the live request.
        let microseconds = unsafe { ffi::margay_client_timeout(self.raw) };
        Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
    }

    fn write(&mut self, pieces: &[&[u8]], push: Push) -> Result<(), ClientGone> {
        let flags = match push {
            Push::Buffer => 0,
            Push::Flush => ffi::MARGAY_FLUSH,
            Push::End => ffi::MARGAY_END,
        };
        // SAFETY: the pieces outlive the pass, in which httpd copies what it cannot send now.
        let failed = unsafe {
            for piece in pieces {
                ffi::margay_out_add(self.raw, self.out, piece.as_ptr().cast(), piece.len());
            }
            ffi::margay_out_pass(self.raw, self.out, flags as c_int)
        };
        if failed != 0 { Err(ClientGone) } else { Ok(()) }
    }

    fn cut(&mut self) {
        // SAFETY: the live request.
        unsafe { ffi::margay_out_cut(self.raw, self.out) }
    }

    fn forget_response(&mut self) {
        if self.headers_before.is_null() {
            return;
        }
        // SAFETY: the live request; the table is its own from before.
        unsafe {
            let r = &mut *self.raw;
            r.headers_out = self.headers_before;
            r.status = 200;
            r.status_line = std::ptr::null();
            r.content_type = std::ptr::null();
            r.clength = 0;
        }
        self.headers_before = std::ptr::null_mut();
    }

    fn own_url(&self, path: &[u8], out: &mut Vec<u8>) {
        let path = self.text(path);
        // SAFETY: the live request; httpd's answer lies in its pool.
        let url = unsafe {
            let url = ffi::ap_construct_url(self.raw().pool, path, self.raw);
            pool::bytes(url)
        };
        out.extend_from_slice(url);
    }

    fn log(&self, level: Level, id: &'static str, text: fmt::Arguments<'_>) {
        let number = log::number(level);
        // SAFETY: the live request.
        unsafe {
            if ffi::margay_log_enabled(self.raw, number as c_int) != 0 {
                log::request(self.raw, number, &format!("{id}: {text}"));
            }
        }
    }
}
