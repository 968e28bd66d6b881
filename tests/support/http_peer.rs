// SPDX-License-Identifier: Apache-2.0
//! A scripted HTTP back end: answers, misbehaves and remembers as the test tells it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// What happens to the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Keep,
    Close,
}

/// What a peer does with one request.
pub type Script = dyn Fn(&mut Conn, &Head) -> io::Result<After> + Send + Sync;

/// The head of a request as it arrived.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// Method, target and version.
    pub line: String,
    pub headers: Vec<(String, String)>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Head {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap_or((line, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Head { line, headers }
    }

    /// All values of a header, with ` | ` between them.
    pub fn get(&self, wanted: &str) -> Option<String> {
        let found = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let values: Vec<_> = found.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(" | "))
    }

    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    pub fn is_chunked(&self) -> bool {
        self.get("Transfer-Encoding").is_some()
    }
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which connection, counted from 1.
    pub connection: usize,
    pub head: Head,
    /// What of the body was read, without its framing.
    pub body: Vec<u8>,
    number: usize,
}

struct State {
    script: Mutex<Arc<Script>>,
    connections: AtomicUsize,
    closed: AtomicUsize,
    numbers: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    open: Mutex<Vec<TcpStream>>,
    told: Mutex<bool>,
    telling: Condvar,
}

/// The back end. Dropping it closes everything.
pub struct Peer {
    state: Arc<State>,
    address: SocketAddr,
    accepting: Mutex<Option<(Arc<AtomicBool>, JoinHandle<()>)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Peer {
    /// A peer that handles every request with `script`.
    pub fn start(script: impl Fn(&mut Conn, &Head) -> io::Result<After> + Send + Sync + 'static) -> Peer {
        Peer::start_on("127.0.0.1", script)
    }

    /// As [`Peer::start`], at another address of loopback.
    pub fn start_on(
        ip: &str,
        script: impl Fn(&mut Conn, &Head) -> io::Result<After> + Send + Sync + 'static,
    ) -> Peer {
        let ip: std::net::IpAddr = ip.parse().expect("an address");
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let address = listener.local_addr().expect("its number");
        let state = Arc::new(State {
            script: Mutex::new(Arc::new(script)),
            connections: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            numbers: AtomicUsize::new(0),
            seen: Mutex::default(),
            open: Mutex::default(),
            told: Mutex::new(false),
            telling: Condvar::new(),
        });
        let accepting = Mutex::new(Some(accept(listener, state.clone())));
        Peer { state, address, accepting }
    }

    /// A peer that reads all bodies and answers 200 with its name.
    pub fn named(name: &'static str) -> Peer {
        Peer::named_on("127.0.0.1", name)
    }

    /// As [`Peer::named`], at another address of loopback.
    pub fn named_on(ip: &str, name: &'static str) -> Peer {
        Peer::start_on(ip, move |conn, head| {
            conn.read_body(head)?;
            conn.answer("200 OK", &[("Content-Type", "text/plain")], name.as_bytes())
        })
    }

    /// A peer that reads the request with its body and sends these bytes.
    pub fn sending(bytes: &'static str, after: After) -> Peer {
        Peer::start(move |conn, head| {
            conn.read_body(head)?;
            conn.send(bytes.as_bytes())?;
            Ok(after)
        })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set_script(&self, script: impl Fn(&mut Conn, &Head) -> io::Result<After> + Send + Sync + 'static) {
        *locked(&self.state.script) = Arc::new(script);
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// How many connections have ended.
    pub fn closed(&self) -> usize {
        self.state.closed.load(Ordering::SeqCst)
    }

    /// The requests so far; one is listed before its script begins.
    pub fn seen(&self) -> Vec<Seen> {
        locked(&self.state.seen).clone()
    }

    pub fn requests(&self) -> usize {
        locked(&self.state.seen).len()
    }

    /// Lets all scripts that wait to be told go on, now and later.
    pub fn tell(&self) {
        *locked(&self.state.told) = true;
        self.state.telling.notify_all();
    }

    /// Closes the port and every connection, as a killed process does.
    pub fn go_down(&self) {
        let Some((stop, thread)) = locked(&self.accepting).take() else { return };
        stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = thread.join();
        self.close_connections();
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

fn accept(listener: TcpListener, state: Arc<State>) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming() {
            if told.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let number = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
            if let Ok(copy) = stream.try_clone() {
                locked(&state.open).push(copy);
            }
            let state = state.clone();
            std::thread::spawn(move || serve(Conn::new(stream, number, state)));
        }
    });
    (stop, thread)
}

fn serve(mut conn: Conn) {
    while let Ok(After::Keep) = conn.serve_one() {}
    let _ = conn.stream.shutdown(Shutdown::Both);
    conn.state.closed.fetch_add(1, Ordering::SeqCst);
}

/// One connection, in the hands of a script.
pub struct Conn {
    stream: TcpStream,
    number: usize,
    state: Arc<State>,
    /// Received and not yet used.
    ahead: Vec<u8>,
    request: usize,
}

impl Conn {
    fn new(stream: TcpStream, number: usize, state: Arc<State>) -> Conn {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(120)));
        Conn { stream, number, state, ahead: Vec::new(), request: 0 }
    }

    fn serve_one(&mut self) -> io::Result<After> {
        let head = Head::parse(&self.read_until(b"\r\n\r\n")?);
        self.request = self.state.numbers.fetch_add(1, Ordering::SeqCst);
        locked(&self.state.seen).push(Seen {
            connection: self.number,
            head: head.clone(),
            body: Vec::new(),
            number: self.request,
        });
        let script = locked(&self.state.script).clone();
        script(self, &head)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut room = [0; 16384];
        match self.stream.read(&mut room)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.ahead.extend_from_slice(&room[..n]);
                Ok(())
            }
        }
    }

    /// Reads up to and with `end`.
    pub fn read_until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|window| window == end) {
                return Ok(self.ahead.drain(..at + end.len()).collect());
            }
            self.fill()?;
        }
    }

    /// Reads this many bytes.
    pub fn read_exact(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < n {
            self.fill()?;
        }
        Ok(self.ahead.drain(..n).collect())
    }

    /// Reads whatever comes next; empty at the end.
    pub fn read_some(&mut self) -> io::Result<Vec<u8>> {
        if self.ahead.is_empty() && self.fill().is_err() {
            return Ok(Vec::new());
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Reads the whole body as its headers frame it, and remembers it.
    pub fn read_body(&mut self, head: &Head) -> io::Result<()> {
        if head.is_chunked() {
            loop {
                let line = self.read_until(b"\r\n")?;
                let digits = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
                let size = usize::from_str_radix(&digits, 16)
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, digits))?;
                let data = self.read_exact(size)?;
                assert_eq!(self.read_exact(2)?, b"\r\n");
                self.note(&data);
                if size == 0 {
                    return Ok(());
                }
            }
        }
        let length = head.get("Content-Length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let data = self.read_exact(length)?;
        self.note(&data);
        Ok(())
    }

    fn note(&self, data: &[u8]) {
        let mut seen = locked(&self.state.seen);
        if let Some(entry) = seen.iter_mut().find(|entry| entry.number == self.request) {
            entry.body.extend_from_slice(data);
        }
    }

    /// What of the body of the present request was read.
    pub fn body(&self) -> Vec<u8> {
        let seen = locked(&self.state.seen);
        seen.iter()
            .find(|entry| entry.number == self.request)
            .map(|entry| entry.body.clone())
            .unwrap_or_default()
    }

    /// Which connection this is, counted from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Reads until the front ends the connection, or nothing comes for so long.
    pub fn wait_for_close(&mut self, limit: Duration) {
        let _ = self.stream.set_read_timeout(Some(limit));
        while self.fill().is_ok() {}
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// A whole response with its length; the connection may be used again.
    pub fn answer(&mut self, status: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<After> {
        let mut text = format!("HTTP/1.1 {status}\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        self.send(&[text.as_bytes(), body].concat())?;
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
}
