// SPDX-License-Identifier: Apache-2.0
//! A scripted AJP back end: answers, misbehaves and remembers as the test tells it.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use super::ajp_text::{self, Head};

/// What happens to the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The next request is awaited.
    Keep,
    /// An ordered end.
    Close,
    /// A reset.
    Reset,
}

/// What a peer does with one request.
pub type Script = dyn Fn(&mut Conn, &Head) -> io::Result<After> + Send + Sync;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which connection, counted from 1.
    pub connection: usize,
    pub head: Head,
    number: usize,
    /// What of the body has arrived so far.
    pub body: Vec<u8>,
    /// Did the front say that the body was over (or send all it had announced)?
    pub body_complete: bool,
}

struct State {
    script: Mutex<Arc<Script>>,
    cpong: Mutex<Vec<u8>>,
    close_on_accept: AtomicBool,
    connections: AtomicUsize,
    closed: AtomicUsize,
    cpings: AtomicUsize,
    numbers: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    record: Mutex<Vec<u8>>,
    open: Mutex<Vec<TcpStream>>,
    told: Mutex<bool>,
    telling: Condvar,
}

/// The back end. Dropping it closes everything.
pub struct Peer {
    state: Arc<State>,
    address: SocketAddr,
    accepting: Mutex<Option<Accepting>>,
}

struct Accepting {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Peer {
    /// A peer that handles every request with `script`.
    pub fn start(script: impl Fn(&mut Conn, &Head) -> io::Result<After> + Send + Sync + 'static) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its number");
        let state = Arc::new(State {
            script: Mutex::new(Arc::new(script)),
            cpong: Mutex::new(ajp_text::CPONG.to_vec()),
            close_on_accept: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            cpings: AtomicUsize::new(0),
            numbers: AtomicUsize::new(0),
            seen: Mutex::default(),
            record: Mutex::default(),
            open: Mutex::default(),
            told: Mutex::new(false),
            telling: Condvar::new(),
        });
        let accepting = Mutex::new(Some(accept(listener, state.clone())));
        Peer { state, address, accepting }
    }

    /// A peer that reads all bodies and answers 200 with its name.
    pub fn named(name: &'static str) -> Peer {
        Peer::start(move |conn, head| {
            conn.read_body(head, 8186)?;
            conn.answer(200, &[("Content-Type", "text/plain")], &[name.as_bytes()])
        })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `ajp://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("ajp://{}", self.address)
    }

    /// Replaces the script for requests from now on.
    pub fn set_script(&self, script: impl Fn(&mut Conn, &Head) -> io::Result<After> + Send + Sync + 'static) {
        *locked(&self.state.script) = Arc::new(script);
    }

    /// Whether a CPing gets its CPong.
    pub fn answer_cping(&self, yes: bool) {
        self.answer_cping_with(if yes { &ajp_text::CPONG } else { b"" });
    }

    /// What a CPing gets in place of its CPong.
    pub fn answer_cping_with(&self, bytes: &[u8]) {
        *locked(&self.state.cpong) = bytes.to_vec();
    }

    /// Whether connections are closed before anything is read.
    pub fn close_on_accept(&self, yes: bool) {
        self.state.close_on_accept.store(yes, Ordering::SeqCst);
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// How many connections have ended.
    pub fn closed(&self) -> usize {
        self.state.closed.load(Ordering::SeqCst)
    }

    pub fn cpings(&self) -> usize {
        self.state.cpings.load(Ordering::SeqCst)
    }

    /// The requests so far; one is listed before its script begins.
    pub fn seen(&self) -> Vec<Seen> {
        locked(&self.state.seen).clone()
    }

    /// How many requests have arrived.
    pub fn requests(&self) -> usize {
        locked(&self.state.seen).len()
    }

    /// Forgets requests and recorded bytes.
    pub fn forget(&self) {
        locked(&self.state.seen).clear();
        locked(&self.state.record).clear();
    }

    /// All bytes received so far.
    pub fn record(&self) -> Vec<u8> {
        locked(&self.state.record).clone()
    }

    /// Lets all scripts that wait to be told go on, now and later.
    pub fn tell(&self) {
        *locked(&self.state.told) = true;
        self.state.telling.notify_all();
    }

    /// Closes the port and every connection, as a killed process does.
    pub fn go_down(&self) {
        let Some(accepting) = locked(&self.accepting).take() else { return };
        accepting.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = accepting.thread.join();
        self.close_connections();
    }

    /// Listens again on the same port.
    pub fn come_back(&self) {
        let mut accepting = locked(&self.accepting);
        if accepting.is_none() {
            let listener = TcpListener::bind(self.address).expect("the port we had");
            *accepting = Some(accept(listener, self.state.clone()));
        }
    }

    /// Closes the connections that are open, as a Tomcat does with idle ones.
    pub fn close_connections(&self) {
        for stream in locked(&self.state.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.tell();
        self.go_down();
    }
}

fn accept(listener: TcpListener, state: Arc<State>) -> Accepting {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming() {
            if told.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let number = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
            if state.close_on_accept.load(Ordering::SeqCst) {
                state.closed.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            if let Ok(copy) = stream.try_clone() {
                locked(&state.open).push(copy);
            }
            let state = state.clone();
            std::thread::spawn(move || serve(Conn::new(stream, number, state)));
        }
    });
    Accepting { stop, thread }
}

fn serve(mut conn: Conn) {
    let after = loop {
        match conn.serve_one() {
            Ok(After::Keep) => {}
            Ok(after) => break after,
            Err(_) => break After::Close,
        }
    };
    if after == After::Reset {
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        let _ = nix::sys::socket::setsockopt(&conn.stream, nix::sys::socket::sockopt::Linger, &linger);
    } else {
        let _ = conn.stream.shutdown(Shutdown::Both);
    }
    let fd = conn.stream.as_raw_fd();
    // The registry holds a copy of the socket; only when both are gone does the kernel send the reset.
    let number = conn.stream.peer_addr().ok();
    locked(&conn.state.open).retain(|open| open.as_raw_fd() != fd && open.peer_addr().ok() != number);
    conn.state.closed.fetch_add(1, Ordering::SeqCst);
}

/// One connection, in the hands of a script.
pub struct Conn {
    stream: TcpStream,
    number: usize,
    state: Arc<State>,
    body: Vec<u8>,
    body_complete: bool,
    first_body_read: bool,
    request: usize,
}

impl Conn {
    fn new(stream: TcpStream, number: usize, state: Arc<State>) -> Conn {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(120)));
        Conn {
            stream,
            number,
            state,
            body: Vec::new(),
            body_complete: false,
            first_body_read: false,
            request: 0,
        }
    }

    fn serve_one(&mut self) -> io::Result<After> {
        let packet = self.read_packet()?;
        if packet == ajp_text::CPING {
            self.state.cpings.fetch_add(1, Ordering::SeqCst);
            let answer = locked(&self.state.cpong).clone();
            self.send(&answer)?;
            return Ok(After::Keep);
        }
        let head = ajp_text::parse_head(&packet)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no Forward Request"))?;
        self.body.clear();
        self.first_body_read = false;
        self.body_complete = !head.is_streamed() && head.content_length().unwrap_or(0) == 0;
        self.list(&head);
        let script = locked(&self.state.script).clone();
        script(self, &head)
    }

    fn list(&mut self, head: &Head) {
        self.request = self.state.numbers.fetch_add(1, Ordering::SeqCst);
        locked(&self.state.seen).push(Seen {
            connection: self.number,
            head: head.clone(),
            number: self.request,
            body: Vec::new(),
            body_complete: self.body_complete,
        });
    }

    /// Reads one packet and records it.
    pub fn read_packet(&mut self) -> io::Result<Vec<u8>> {
        let packet = ajp_text::read_packet(&mut self.stream)?;
        locked(&self.state.record).extend_from_slice(&packet);
        Ok(packet)
    }

    /// Reads the body packet that comes without being asked for, if there is one.
    pub fn read_first_body(&mut self, head: &Head) -> io::Result<()> {
        if !self.first_body_read && !head.is_streamed() && head.content_length().unwrap_or(0) > 0 {
            self.first_body_read = true;
            self.read_body_packet(head)?;
        }
        Ok(())
    }

    fn read_body_packet(&mut self, head: &Head) -> io::Result<()> {
        let packet = self.read_packet()?;
        let data = packet.get(6..).unwrap_or_default();
        self.body.extend_from_slice(data);
        let all = head.content_length().filter(|_| !head.is_streamed());
        self.body_complete = data.is_empty() || all == Some(self.body.len());
        let mut seen = locked(&self.state.seen);
        if let Some(entry) = seen.iter_mut().find(|entry| entry.number == self.request) {
            entry.body.extend_from_slice(data);
            entry.body_complete = self.body_complete;
        }
        Ok(())
    }

    /// Reads the whole body as a servlet container does, asking for up to `size` bytes at a time.
    pub fn read_body(&mut self, head: &Head, size: u16) -> io::Result<()> {
        self.read_first_body(head)?;
        while !self.body_complete {
            self.send(&ajp_text::ask_packet(size))?;
            self.read_body_packet(head)?;
        }
        Ok(())
    }

    /// What of the body has been read.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends every byte in a segment of its own.
    pub fn send_split(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            self.stream.write_all(&[*byte])?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// A whole response; the connection may be used again.
    pub fn answer(&mut self, status: u16, headers: &[(&str, &str)], chunks: &[&[u8]]) -> io::Result<After> {
        let length: usize = chunks.iter().map(|chunk| chunk.len()).sum();
        let length = length.to_string();
        let mut all = headers.to_vec();
        all.push(("Content-Length", &length));
        let mut bytes = ajp_text::headers_packet(status, &all);
        for part in chunks.iter().flat_map(|chunk| chunk.chunks(8184)) {
            bytes.extend_from_slice(&ajp_text::chunk_packet(part));
        }
        bytes.extend_from_slice(&ajp_text::end_packet(true));
        self.send(&bytes)?;
        Ok(After::Keep)
    }

    /// Tells the front that nothing more will come, keeping the other direction.
    pub fn finish_sending(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Waits until the test calls [`Peer::tell`].
    pub fn wait_until_told(&self) {
        let mut told = locked(&self.state.told);
        while !*told {
            told = self.state.telling.wait(told).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Waits until the other end closes, at most `limit`; false if it did not.
    pub fn wait_for_close(&mut self, limit: Duration) -> bool {
        let _ = self.stream.set_read_timeout(Some(limit));
        let closed = loop {
            match self.read_packet() {
                Ok(_) => {}
                Err(error) => {
                    break !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                }
            }
        };
        let _ = self.stream.set_read_timeout(Some(Duration::from_secs(120)));
        closed
    }
}
