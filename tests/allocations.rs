// SPDX-License-Identifier: Apache-2.0
//! A warm request takes nothing from the heap: neither a GET nor a POST with a body.

#[path = "support/ajp_peer.rs"]
#[allow(dead_code)]
mod ajp_peer;
#[path = "support/ajp_text.rs"]
#[allow(dead_code)]
mod ajp_text;
#[path = "support/conf.rs"]
mod conf;
#[path = "support/exchange.rs"]
#[allow(dead_code)]
mod exchange;
#[path = "support/http_peer.rs"]
#[allow(dead_code)]
mod http_peer;
#[path = "jk/stage.rs"]
#[allow(dead_code)]
mod jk_stage;
#[path = "support/stage.rs"]
#[allow(dead_code)]
mod stage;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::CStr;
use std::fmt;
use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use ajp_peer::Peer;
use margay::backend::{NotSecure, Transport};
use margay::config::plan::{Encoding, SiteId, Target};
use margay::proxy::exchange::{
    BodyError, BodyRead, Chosen, ClientGone, Level, Note, Push, Request, ResponseLine, Tls, TunnelRead,
};
use margay::proxy::jk::{JkExchange, JkTried};
use margay::proxy::{Exchange, Job, Outcome, Scratch, Sections};
use margay::wire::ajp::BodyLength;
use margay::wire::uri::EncodedSlashes;
use stage::Stage;

struct Counting;

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    TAKEN.with(|taken| taken.set(taken.get() + 1));
}

// SAFETY: hands everything on to the system's allocator; counting touches only a thread's own constant-made cell.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is handed on.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn taken_by(work: impl FnOnce()) -> usize {
    let before = TAKEN.with(Cell::get);
    work();
    TAKEN.with(Cell::get) - before
}

/// A request that borrows all it says and only counts what it gets.
struct Lean<'a> {
    method: &'a [u8],
    headers: &'a [(&'a [u8], &'a [u8])],
    body: &'a [u8],
    read: usize,
    gone: usize,
    received: usize,
    complete: bool,
}

impl<'a> Lean<'a> {
    fn new(method: &'a [u8], headers: &'a [(&'a [u8], &'a [u8])], body: &'a [u8]) -> Lean<'a> {
        Lean { method, headers, body, read: 0, gone: 0, received: 0, complete: false }
    }
}

impl Exchange for Lean<'_> {
    fn request(&self) -> Request<'_> {
        Request {
            method: self.method,
            protocol: b"HTTP/1.1",
            query: Some(b"a=1"),
            remote_addr: b"192.0.2.7",
            remote_host: None,
            remote_port: 40000,
            local_addr: b"192.0.2.1",
            server_name: b"www.example.test",
            own_name: b"www.example.test",
            own_port: 80,
            server_port: 80,
            is_tls: false,
            user: None,
            auth_type: None,
            body: match self.body.len() {
                0 => BodyLength::None,
                length => BodyLength::Known(length as u64),
            },
            is_subrequest: false,
            is_first: true,
            can_upgrade: false,
        }
    }

    fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers.iter().copied()
    }

    fn tls(&self) -> Tls<'_> {
        Tls::default()
    }

    fn attributes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        std::iter::empty()
    }

    fn variable(&self, _: &CStr) -> Option<&[u8]> {
        None
    }

    fn secure(&self, _: OwnedFd, _: &[u8], _: Duration) -> Result<Box<dyn Transport>, NotSecure> {
        Err(NotSecure::Missing)
    }

    fn secure_again(&self, _: &dyn Transport) -> bool {
        false
    }

    fn body_read(&mut self, want: usize) -> Result<BodyRead, BodyError> {
        let bytes = want.min(self.body.len() - self.read).min(1500);
        self.read += bytes;
        Ok(BodyRead { bytes, end: self.read == self.body.len() })
    }

    fn body_read_now(&mut self, want: usize) -> Result<Option<BodyRead>, BodyError> {
        Ok(Some(self.body_read(want)?))
    }

    fn note(&self, _: Note) {}

    fn body_spool(&mut self) -> Result<(), BodyError> {
        Ok(())
    }

    fn body_pieces<'a>(&'a self, limit: usize, into: &mut [IoSlice<'a>]) -> usize {
        let kept = &self.body[self.gone..self.read];
        let pieces = kept[..kept.len().min(limit)].chunks(1500);
        into.iter_mut().zip(pieces).map(|(place, piece)| *place = IoSlice::new(piece)).count()
    }

    fn body_consume(&mut self, n: usize) {
        self.gone += n;
    }

    fn target(&mut self, _: &[&[u8]], _: bool) {}

    fn chosen(&mut self, _: Chosen<'_>) {}

    fn response_line(&mut self, _: ResponseLine<'_>) {}

    fn response_header(&mut self, _: &[u8], _: &[u8]) {}

    fn response_trailer(&mut self, _name: &[u8], _value: &[u8]) {}

    fn answered(&mut self, _: u16, _: Option<u16>) {}

    fn explain(&mut self, _: u16, _: &str) {}

    fn error_reason(&mut self, _: u16, _: &[u8]) {}

    fn error_header(&mut self, _: &[u8], _: &[u8]) {}

    fn send_interim(&mut self) {}

    fn open_tunnel(&mut self) -> Result<(), ClientGone> {
        Err(ClientGone)
    }

    fn tunnel_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn tunnel_read(&mut self, _: &mut [u8]) -> Result<TunnelRead, ClientGone> {
        Err(ClientGone)
    }

    fn tunnel_write(&mut self, _: &[u8]) -> Result<(), ClientGone> {
        Err(ClientGone)
    }

    fn tunnel_end(&mut self) {}

    fn client_timeout(&self) -> Duration {
        Duration::ZERO
    }

    fn write(&mut self, pieces: &[&[u8]], push: Push) -> Result<(), ClientGone> {
        self.received += pieces.iter().map(|piece| piece.len()).sum::<usize>();
        self.complete = push == Push::End;
        Ok(())
    }

    fn cut(&mut self) {}

    fn forget_response(&mut self) {}

    fn own_url(&self, _: &[u8], _: &mut Vec<u8>) {}

    fn log(&self, _: Level, id: &'static str, text: fmt::Arguments<'_>) {
        panic!("{id}: {text}");
    }
}

impl JkExchange for Lean<'_> {
    fn remote_port(&self) -> &[u8] {
        b"40000"
    }

    fn tried(&mut self, tried: &JkTried<'_>) {
        assert_eq!(tried.name, "a");
    }

    fn route(&mut self, route: &[u8]) {
        assert_eq!(route, b"a");
    }
}

const HEADERS: [(&[u8], &[u8]); 4] = [
    (b"Host", b"www.example.test"),
    (b"User-Agent", b"tests"),
    (b"Cookie", b"a=1; JSESSIONID=0123456789ABCDEF.A"),
    (b"X-Own", b"value"),
];

/// What each of several warm requests to a sticky balancer takes from the heap.
fn taken_by_warm_requests(parameters: &str, method: &[u8], body: &[u8]) -> Vec<usize> {
    let answer = |conn: &mut ajp_peer::Conn, head: &ajp_text::Head| {
        conn.read_body(head, 8186)?;
        let headers = [("Content-Type", "text/html"), ("Set-Cookie", "a=1; Path=/back")];
        conn.answer(200, &headers, &[&[b'x'; 5000][..], b"tail"])
    };
    let (a, b) = (Peer::start(answer), Peer::start(answer));
    let taken = taken_by_warm_requests_to(&a.url(), &b.url(), parameters, method, body);
    assert_eq!((a.connections(), a.seen().iter().all(|seen| seen.body == body)), (1, true));
    taken
}

/// The same over HTTP.
fn taken_by_warm_http_requests(chunked: bool, method: &[u8], body: &[u8]) -> Vec<usize> {
    let answer = move |conn: &mut http_peer::Conn, head: &http_peer::Head| {
        conn.read_body(head)?;
        if chunked {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=1; Path=/back\r\n\r\n1388\r\n";
            conn.send(&[head.as_bytes(), &[b'x'; 5000], b"\r\n4\r\ntail\r\n0\r\n\r\n"].concat())?;
            return Ok(http_peer::After::Keep);
        }
        let headers = [("Content-Type", "text/html"), ("Set-Cookie", "a=1; Path=/back")];
        conn.answer("200 OK", &headers, &[b'x'; 5004])
    };
    let (a, b) = (http_peer::Peer::start(answer), http_peer::Peer::start(answer));
    let taken = taken_by_warm_requests_to(&a.url(), &b.url(), "", method, body);
    assert_eq!((a.connections(), a.seen().iter().all(|seen| seen.body == body)), (1, true));
    taken
}

fn taken_by_warm_requests_to(a: &str, b: &str, parameters: &str, method: &[u8], body: &[u8]) -> Vec<usize> {
    let stage = Stage::new(&format!(
        "<Proxy balancer://c>\nBalancerMember {a} route=A {parameters}\nBalancerMember {b} route=B\n</Proxy>\n\
         ProxyPass /app balancer://c/back stickysession=JSESSIONID\nProxyPassReverseCookiePath /back /app"
    ));
    let plan = stage.plan();
    let mount = plan.site(SiteId(0)).mounts.iter().next().expect("one rule");
    let Target::Forward(destination) = &mount.target else { panic!("the rule forwards") };
    let job = Job {
        worker: destination.worker,
        path: b"/back/some thing",
        encoding: Encoding::Canonical,
        slashes: EncodedSlashes::Decoded,
        sections: Sections { plan, defaults: plan.site(SiteId(0)).defaults, inner: &[], forward: false },
        timeout: stage.timeout,
        source: None,
        http: Default::default(),
    };
    let mut scratch = Scratch::default();
    let mut ask = || {
        let mut exchange = Lean::new(method, &HEADERS, body);
        let taken = taken_by(|| assert_eq!(stage.run(&job, &mut exchange, &mut scratch), Outcome::Done));
        assert!(exchange.complete && exchange.received == 5004);
        taken
    };
    ask();
    (0..5).map(|_| ask()).collect()
}

/// What each of several warm requests in mod_jk's way takes from the heap.
fn taken_by_warm_jk_requests(pings: bool, method: &[u8], body: &[u8]) -> Vec<usize> {
    let answer = |conn: &mut ajp_peer::Conn, head: &ajp_text::Head| {
        conn.read_body(head, 8186)?;
        conn.answer(200, &[("Content-Type", "text/html")], &[&[b'x'; 5000][..], b"tail"])
    };
    let (a, b) = (Peer::start(answer), Peer::start(answer));
    let stage = jk_stage::Stage::balanced(&[&a, &b], |plan| {
        let member = jk_stage::jk(plan, 0);
        member.prepost_ping = pings.then_some(Duration::from_secs(30));
        member.reply_timeout = Some(Duration::from_secs(60));
        plan.jk.balancers[0].set_session_cookie = true;
        plan.jk.balancers[0].session_path = ";other".into();
    });
    let extensions = Default::default();
    let job = margay::proxy::jk::JkJob {
        target: margay::config::jk::plan::JkTarget::Balancer(margay::config::jk::plan::JkBalancerId(0)),
        extensions: &extensions,
        uri: b"/back/some%20thing;x=1",
        options: Default::default(),
        variables: Default::default(),
    };
    let headers = HEADERS.map(|(name, value)| match name {
        // Of no member, and of a domain that nobody has: all that can be asked for is looked at.
        b"Cookie" => (name, &b"a=1; JSESSIONID=1.none; JSESSIONID=0123456789ABCDEF.a"[..]),
        _ => (name, value),
    });
    let mut scratch = Scratch::default();
    let mut ask = || {
        let mut exchange = Lean::new(method, &headers, body);
        let taken = taken_by(|| {
            let outcome = margay::proxy::jk::forward_jk(&stage.world(), &job, &mut exchange, &mut scratch);
            assert_eq!(outcome, Outcome::Done);
        });
        assert!(exchange.complete && exchange.received == 5004);
        taken
    };
    ask();
    let taken = (0..5).map(|_| ask()).collect();
    assert_eq!((a.connections(), b.connections()), (1, 0));
    taken
}

#[test]
fn warm_requests_in_mod_jks_way_allocate_nothing() {
    for pings in [false, true] {
        assert_eq!(taken_by_warm_jk_requests(pings, b"GET", b""), [0; 5]);
        assert_eq!(taken_by_warm_jk_requests(pings, b"POST", &[b'b'; 4096]), [0; 5]);
        assert_eq!(taken_by_warm_jk_requests(pings, b"PUT", &[b'b'; 40_000]), [0; 5]);
    }
}

#[test]
fn counting_sees_an_allocation() {
    assert!(taken_by(|| drop(std::hint::black_box(vec![1u8]))) > 0);
}

#[test]
fn a_warm_get_allocates_nothing() {
    assert_eq!(taken_by_warm_requests("", b"GET", b""), [0; 5]);
}

#[test]
fn a_warm_get_after_a_ping_allocates_nothing() {
    assert_eq!(taken_by_warm_requests("ping=30", b"GET", b""), [0; 5]);
}

#[test]
fn a_warm_post_of_4_kib_allocates_nothing() {
    assert_eq!(taken_by_warm_requests("max=4 flushpackets=on", b"POST", &[b'b'; 4096]), [0; 5]);
}

#[test]
fn a_warm_upload_of_several_packets_allocates_nothing() {
    assert_eq!(taken_by_warm_requests("", b"PUT", &[b'b'; 40_000]), [0; 5]);
}

#[test]
fn warm_requests_over_http_allocate_nothing() {
    for chunked in [false, true] {
        assert_eq!(taken_by_warm_http_requests(chunked, b"GET", b""), [0; 5]);
        assert_eq!(taken_by_warm_http_requests(chunked, b"POST", &[b'b'; 4096]), [0; 5]);
        assert_eq!(taken_by_warm_http_requests(chunked, b"PUT", &[b'b'; 40_000]), [0; 5]);
    }
}

#[test]
fn finding_a_rule_of_mod_jk_allocates_nothing() {
    let rules = (0..500).map(|at| format!("JkMount /app{at}|/* ajp13\nJkMount /*.do{at} ajp13\n"));
    let read = conf::read(&format!("{}JkUnMount /app7/static/* *", rules.collect::<String>()));
    let plan = read.plan.expect("a usable configuration");
    let site = &plan.jk.sites[0];
    let mut room = Vec::with_capacity(100);
    let paths: [&[u8]; 5] =
        [b"/app7/x", b"/app7/static/x", b"/q/x.do9", b"/none", b"/app7;jsessionid=1/../app8/x"];
    for path in paths {
        let taken = taken_by(|| {
            site.find(&site.mounts, path, &mut room).expect("not above the root");
        });
        assert_eq!(taken, 0, "{}", String::from_utf8_lossy(path));
    }
}
