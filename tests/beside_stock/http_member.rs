// SPDX-License-Identifier: Apache-2.0
//! HTTP members that do what a case says, and what they saw.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::cases;
use crate::support::http_peer::{After, Conn, Head, Peer};

const NAMES: [&str; 5] = ["A", "B", "C", "D", "E"];

/// One request as a member got it.
#[derive(Clone)]
struct Entry {
    member: &'static str,
    connection: usize,
    head: Head,
    /// `None` if the member left it alone.
    body: Option<(Vec<u8>, bool)>,
}

/// What members are to answer now, and what they saw.
#[derive(Default)]
struct Book {
    answers: Vec<String>,
    given: usize,
    /// Requests that a member has not done with.
    at_work: usize,
    seen: Vec<Entry>,
}

/// The members of one front.
pub struct Members {
    peers: Vec<Peer>,
    book: Arc<Mutex<Book>>,
    /// Where member E listens too.
    socket: PathBuf,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Members {
    pub fn start(name: &str) -> Members {
        let book = Arc::<Mutex<Book>>::default();
        let peers: Vec<Peer> = NAMES.iter().map(|name| member(name, book.clone())).collect();
        // Not below the source tree: the name of a socket may have 107 letters only.
        let socket = std::env::temp_dir().join(format!("margay-{name}-{}.socket", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        listen_too(&socket, peers[4].port());
        Members { peers, book, socket }
    }

    /// Replaces `{A}` by the URL of that member, and so on.
    pub fn placed(&self, text: &str) -> String {
        let mut text = text.replace("{E.socket}", &self.socket.display().to_string());
        for (name, peer) in NAMES.iter().zip(&self.peers) {
            text = text.replace(&format!("{{{name}}}"), &peer.url());
            text = text.replace(&format!("{{{name}.port}}"), &peer.port().to_string());
        }
        text
    }

    /// A name in place of the socket's path.
    pub fn named(&self, line: &str) -> String {
        line.replace(&self.socket.display().to_string(), "E.socket")
    }

    /// Names in place of numbers of ports.
    pub fn names(&self) -> impl Iterator<Item = (String, &'static str)> {
        const PORTS: [&str; 5] = ["A.port", "B.port", "C.port", "D.port", "E.port"];
        self.peers.iter().zip(PORTS).map(|(peer, name)| (peer.port().to_string(), name))
    }

    /// What is to be answered from now on, one after another; the last again and again.
    pub fn answer(&self, answers: Vec<String>) {
        let mut book = locked(&self.book);
        (book.answers, book.given) = (answers, 0);
    }

    /// Waits a little until the members have done with all requests: a connection that one closes behind its answer is
    /// closed then, and stock does not meet it half open.
    pub fn rest(&self) {
        let start = Instant::now();
        while locked(&self.book).at_work > 0 && start.elapsed() < Duration::from_millis(100) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn forget(&self) {
        locked(&self.book).seen.clear();
    }

    pub fn lines(&self) -> Vec<String> {
        let mut connections = HashMap::new();
        let seen = locked(&self.book).seen.clone();
        seen.iter()
            .enumerate()
            .flat_map(|(order, entry)| {
                let before = connections.insert(entry.member, entry.connection);
                entry.lines(&format!("member {order} {}", entry.member), before)
            })
            .collect()
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Entry {
    fn lines(&self, who: &str, before: Option<usize>) -> Vec<String> {
        let mut lines = vec![format!("{who}: {}", self.head.line.escape_debug())];
        let headers = self.head.headers.iter();
        lines.extend(headers.map(|(name, value)| format!("{who} header: {name}: {}", value.escape_debug())));
        let order: Vec<&str> = self.head.headers.iter().map(|(name, _)| name.as_str()).collect();
        lines.push(format!("{who} order of headers: {}", order.join(", ")));
        match &self.body {
            None => {}
            Some((body, complete)) => {
                lines.push(format!("{who} body: {} complete={complete}", shown(body)));
            }
        }
        if let Some(before) = before {
            let which = if before == self.connection { "same" } else { "another" };
            lines.push(format!("{who}: {which} connection"));
        }
        lines
    }
}

/// A short text as it is, a long one as its length and sum.
pub fn shown(bytes: &[u8]) -> String {
    let sum = || bytes.iter().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    match bytes.len() {
        0..2000 => format!("{:?}", String::from_utf8_lossy(bytes)),
        length => format!("{length} bytes, sum {}", sum()),
    }
}

/// Carries what comes over a socket of the file system to the member's port.
fn listen_too(socket: &PathBuf, port: u16) {
    let listener = UnixListener::bind(socket).expect("a socket");
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o777)).expect("for every user");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(member) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return };
            let (mut from, mut to) =
                (stream.try_clone().expect("a copy"), member.try_clone().expect("a copy"));
            std::thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
            std::thread::spawn(move || {
                let (mut from, mut to) = (member, stream);
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
        }
    });
}

fn member(name: &'static str, book: Arc<Mutex<Book>>) -> Peer {
    Peer::start(move |conn, head| {
        locked(&book).at_work += 1;
        let after = serve(conn, head, name, &book);
        if !matches!(after, Ok(After::Keep)) {
            conn.finish_sending();
        }
        locked(&book).at_work -= 1;
        after
    })
}

fn serve(conn: &mut Conn, head: &Head, name: &'static str, book: &Mutex<Book>) -> io::Result<After> {
    let (number, wish) = {
        let mut book = locked(book);
        let at = book.given.min(book.answers.len().saturating_sub(1));
        book.given += 1;
        let asked = || head.get("X-Answer").unwrap_or_else(|| "200".to_owned());
        let wish = book.answers.get(at).cloned().unwrap_or_else(asked);
        book.seen.push(Entry { member: name, connection: conn.number(), head: head.clone(), body: None });
        (book.seen.len() - 1, wish)
    };
    let mut parts: Vec<&str> = wish.split(" | ").collect();
    if parts.iter().any(|part| part.strip_prefix("only ").is_some_and(|only| only != name)) {
        parts = vec!["200"];
    }
    if parts.contains(&"unread") {
        return act(conn, head, name, &parts);
    }
    if head.get("Expect").is_some() {
        conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let read = conn.read_body(head);
    if let Some(entry) = locked(book).seen.get_mut(number) {
        entry.body = Some((conn.body(), read.is_ok()));
    }
    read?;
    act(conn, head, name, &parts)
}

fn act(conn: &mut Conn, head: &Head, name: &str, parts: &[&str]) -> io::Result<After> {
    match parts[0] {
        "close" => return Ok(After::Close),
        "silent" => {
            conn.wait_for_close(Duration::from_secs(20));
            return Ok(After::Close);
        }
        raw if raw.starts_with("HTTP/") || raw.starts_with("raw ") => {
            conn.send(&cases::unescaped(raw.strip_prefix("raw ").unwrap_or(raw)))?;
        }
        _ => conn.send(&answer(head, name, parts))?,
    }
    for part in parts {
        if let Some(more) = part.strip_prefix("then ") {
            // A piece of its own, as far as the kernel allows.
            std::thread::sleep(Duration::from_millis(60));
            conn.send(&cases::unescaped(more))?;
        }
    }
    if parts.contains(&"echo") {
        loop {
            let data = conn.read_some()?;
            if data.is_empty() {
                return Ok(After::Close);
            }
            conn.send(&data)?;
        }
    }
    if parts.contains(&"hang") {
        conn.wait_for_close(Duration::from_secs(20));
        return Ok(After::Close);
    }
    let ends = parts.iter().any(|part| ["close", "cut", "unread"].contains(part))
        || says_length(parts) && head.method() != "HEAD";
    Ok(if ends { After::Close } else { After::Keep })
}

/// A length that a case gives may be wrong: the connection tells then.
fn says_length(parts: &[&str]) -> bool {
    let is_length = |part: &&str| {
        ["content-length:", "transfer-encoding:"]
            .iter()
            .any(|name| part.to_ascii_lowercase().starts_with(name))
    };
    parts[1..].iter().any(is_length)
}

/// `404 Gone Fishing | Name: value | body text`, with `empty` for no body and `chunked` for chunks in place of a length.
fn answer(head: &Head, name: &str, parts: &[&str]) -> Vec<u8> {
    let status = parts[0];
    let status = if status.contains(' ') { status.to_owned() } else { format!("{status} OK") };
    let body = parts[1..].iter().find_map(|part| part.strip_prefix("body "));
    let bodiless = status.starts_with("204") || status.starts_with("304");
    let body = match body {
        Some(text) => cases::bytes(text),
        None if bodiless || parts.contains(&"empty") => Vec::new(),
        None => name.as_bytes().to_vec(),
    };
    let mut text = format!("HTTP/1.1 {status}\r\n");
    let headers = parts[1..]
        .iter()
        .filter(|part| !part.starts_with("body ") && !part.starts_with("then ") && part.contains(": "));
    for header in headers {
        text.push_str(&format!("{header}\r\n"));
    }
    let chunked = parts.contains(&"chunked");
    if chunked {
        text.push_str("Transfer-Encoding: chunked\r\n");
    } else if !bodiless && !says_length(parts) {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    let mut bytes = format!("{text}\r\n").into_bytes();
    match () {
        _ if bodiless || head.method() == "HEAD" => {}
        _ if chunked => bytes.extend(cases::chunks(&body)),
        _ => bytes.extend(body),
    }
    bytes
}
