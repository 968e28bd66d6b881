// SPDX-License-Identifier: Apache-2.0
//! Two servers with one configuration, the members they share, and what is seen of a case from all sides.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::cases::{self, Case, Request, Site, Step, Table};
use crate::support::ajp_peer::{After, Conn, Peer};
use crate::support::ajp_text::{self, Head};
use crate::support::client::{Client, Response};
use crate::support::httpd::{Front, Httpd};
use crate::support::{PATIENCE, scratch_dir, source_dir, wait_until};

const MODULES: [&str; 17] = [
    "setenvif",
    "env",
    "headers",
    "alias",
    "rewrite",
    "filter",
    "deflate",
    "authn_core",
    "authn_file",
    "authz_user",
    "authz_host",
    "auth_basic",
    "dir",
    "include",
    "expires",
    "remoteip",
    "access_compat",
];

/// One process: the order of members and the number of connections do not depend on who takes a request.
const ONE_PROCESS: &str = "StartServers 1\nServerLimit 1\nThreadsPerChild 16\nMaxRequestWorkers 16\n\
    MinSpareThreads 1\nMaxSpareThreads 16";

const MEMBERS: [&str; 5] = ["A", "B", "C", "D", "E"];

/// Where nobody listens: a case has up to three dead members.
const DEAD: [(&str, &str); 3] =
    [("{X}", "ajp://127.0.0.1:1"), ("{Y}", "ajp://127.0.0.1:2"), ("{Z}", "ajp://127.0.0.1:3")];

/// What the members saw, in the order of arrival.
type Seen = Arc<Mutex<Vec<(&'static str, Head, Vec<u8>, bool)>>>;

pub struct Stage {
    stock: Httpd,
    margay: Httpd,
    peers: Vec<Peer>,
    seen: Seen,
}

impl Stage {
    #[allow(dead_code)] // of the two programs that have this file, one compares with mod_proxy
    pub fn start(name: &str, table: &Table) -> Stage {
        Stage::start_beside(Front::Stock, name, table)
    }

    /// `stock` is what Margay is compared with.
    pub fn start_beside(stock: Front, name: &str, table: &Table) -> Stage {
        let seen = Seen::default();
        let peers: Vec<Peer> = MEMBERS.iter().map(|name| member(name, seen.clone())).collect();
        let start = |front| {
            let mut builder = Httpd::builder(&format!("beside-{name}-{front:?}")).front(front);
            builder = MODULES.iter().fold(builder, |builder, module| builder.module(module));
            let port = builder.port();
            let files = scratch_dir(&format!("beside-{name}-files"));
            let fill = |line: &String| {
                let line = placed(line, &peers).replace("{PORT}", &port.to_string());
                line.replace("{FILES}", &files.display().to_string())
            };
            for (name, lines) in &table.files {
                let lines: Vec<String> = lines.iter().map(fill).collect();
                std::fs::create_dir_all(files.join(name).parent().expect("a folder")).expect("a folder");
                std::fs::write(files.join(name), lines.join("\n") + "\n").expect("a file of the table");
                // Both servers are to see the same file.
                let file = std::fs::File::options().append(true).open(files.join(name)).expect("the file");
                let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
                file.set_modified(long_ago).expect("a file of ours");
            }
            builder = builder.mpm_lines(ONE_PROCESS).line("LimitRequestFieldSize 65536\nLogLevel crit");
            builder = builder.line("ServerName main.test");
            builder = table.main.iter().fold(builder, |builder, line| builder.line(fill(line)));
            for site in &table.sites {
                builder = builder.line(format!("<VirtualHost 127.0.0.1:{port}>\nServerName {}", site.host()));
                builder = site.lines.iter().fold(builder, |builder, line| builder.line(fill(line)));
                builder = builder.line("</VirtualHost>");
            }
            builder.start()
        };
        let stock = start(stock);
        let margay = start(Front::chosen());
        Stage { stock, margay, peers, seen }
    }

    /// What was seen of a case beside stock's modules, and with Margay.
    pub fn play(&self, site: &Site, case: &Case) -> (Vec<String>, Vec<String>) {
        (self.play_on(&self.stock, site, case), self.play_on(&self.margay, site, case))
    }

    fn play_on(&self, httpd: &Httpd, site: &Site, case: &Case) -> Vec<String> {
        locked(&self.seen).clear();
        let logged = httpd.access_log().lines().count();
        let mut client = Client::new(httpd.address()).limit(Duration::from_secs(10));
        let mut lines = Vec::new();
        let (mut answers, mut client_ports) = (0, Vec::new());
        for step in &case.steps {
            let (bytes, methods) = self.step(site, step);
            for part in bytes {
                client.send_raw(&part).expect("the server listens");
                client_ports.extend(client.local_port());
                for method in &methods {
                    let response = client.read_response(method);
                    answers += usize::from(response.is_ok());
                    lines.extend(response_lines(response));
                }
            }
        }
        client.close();
        let what = format!("the access log of {:?} about {}", httpd.front(), case.name);
        // A line counts when its end is there.
        wait_until(&what, PATIENCE, || httpd.access_log().matches('\n').count() >= logged + answers);
        lines.extend(httpd.access_log().lines().skip(logged).map(|line| format!("log: {line}")));
        for (order, (member, head, body, complete)) in locked(&self.seen).iter().enumerate() {
            lines.extend(head_lines(&format!("member {order} {member}"), head, body, *complete));
        }
        let ports = [(httpd.address().port(), "FRONT")]
            .into_iter()
            .chain(client_ports.into_iter().map(|port| (port, "CLIENT")));
        let ports: Vec<(String, &str)> = ports.map(|(port, name)| (port.to_string(), name)).collect();
        lines.iter().map(|line| with_names(line, &ports)).collect()
    }

    /// Bytes to send one after another, and the methods of the responses to each.
    fn step<'a>(&self, site: &Site, step: &'a Step) -> (Vec<Vec<u8>>, Vec<&'a str>) {
        let host = site.host();
        let fill = |bytes: &[u8]| {
            // Only heads have marks to fill in, and bodies of tests are text.
            let text = String::from_utf8_lossy(bytes).replace("{HOST}", &host);
            placed(&text, &self.peers).into_bytes()
        };
        match step {
            Step::Request { request, times } => {
                let Request { method, .. } = request;
                let (head, body) = request.parts(&host);
                (vec![fill(&[head, body].concat()); *times], vec![method])
            }
            Step::Raw { bytes, responses } => (vec![fill(bytes)], vec!["GET"; *responses]),
            Step::Tunnel(bytes) => (vec![bytes.clone()], Vec::new()),
        }
    }

    pub fn assert_no_crash(&self) {
        self.stock.assert_no_crash();
        self.margay.assert_no_crash();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Replaces `{A}` by the URL of that member, `{X}` by a dead one, `{PASSWORDS}` by a file.
fn placed(line: &str, peers: &[Peer]) -> String {
    let mut line = line.to_string();
    for (name, peer) in MEMBERS.iter().zip(peers) {
        line = line.replace(&format!("{{{name}}}"), &peer.url());
        line = line.replace(&format!("{{{name}.port}}"), &peer.port().to_string());
    }
    for (mark, url) in DEAD {
        line = line.replace(mark, url);
    }
    let passwords = source_dir().join("tests/vectors/ajp/htpasswd");
    line.replace("{PASSWORDS}", &passwords.display().to_string())
}

/// A member that notes each request and does what the header `X-Answer` says, for instance
/// `404 Gone Fishing | Set-Cookie: a=1 | body text`.
fn member(name: &'static str, seen: Seen) -> Peer {
    Peer::start(move |conn, head| {
        let wish = head.header("X-Answer").unwrap_or("200").to_string();
        let parts: Vec<&str> = wish.split(" | ").collect();
        if !parts.contains(&"unread") {
            conn.read_body(head, 8186)?;
        }
        let body = conn.body().to_vec();
        let complete = head.content_length().is_none_or(|length| length == body.len());
        locked(&seen).push((name, head.clone(), body, complete));
        let only = parts.iter().find_map(|part| part.strip_prefix("only "));
        match parts[0] {
            _ if only.is_some_and(|only| only != name) => answer(conn, head, name, &["200"]),
            "close" => Ok(After::Close),
            "silent" => {
                conn.wait_for_close(Duration::from_secs(10));
                Ok(After::Close)
            }
            _ => answer(conn, head, name, &parts),
        }
    })
}

fn answer(conn: &mut Conn, head: &Head, name: &str, parts: &[&str]) -> io::Result<After> {
    let (status, reason) = parts[0].split_once(' ').unwrap_or((parts[0], "OK"));
    let status: u16 = status.parse().expect("a status");
    let headers: Vec<(&str, &str)> = parts[1..].iter().filter_map(|part| part.split_once(": ")).collect();
    let body = parts[1..].iter().find_map(|part| part.strip_prefix("body "));
    let bodiless = matches!(status, 204 | 304) || head.method == 3;
    let body = match body {
        Some(text) => cases::bytes(text),
        None if bodiless || parts.contains(&"empty") => Vec::new(),
        None => name.as_bytes().to_vec(),
    };
    let mut bytes = ajp_text::head_packet(status, reason, &headers);
    for part in body.chunks(8000) {
        bytes.extend_from_slice(&ajp_text::chunk_packet(part));
    }
    if parts.contains(&"cut") {
        conn.send(&bytes)?;
        return Ok(After::Close);
    }
    bytes.extend_from_slice(&ajp_text::end_packet(true));
    conn.send(&bytes)?;
    Ok(After::Keep)
}

/// The line with names in place of port numbers.
fn with_names(line: &str, ports: &[(String, &str)]) -> String {
    let is_digit = |c: char| c.is_ascii_digit();
    let mut named = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(is_digit) {
        let end = rest[at..].find(|c| !is_digit(c)).map_or(rest.len(), |length| at + length);
        let number = &rest[at..end];
        named.push_str(&rest[..at]);
        named.push_str(ports.iter().find(|(port, _)| port == number).map_or(number, |(_, name)| name));
        rest = &rest[end..];
    }
    named + rest
}

fn response_lines(response: io::Result<Response>) -> Vec<String> {
    let response = match response {
        Ok(response) => response,
        Err(error) => return vec![format!("client: no response, {:?}", error.kind())],
    };
    let mut lines = vec![format!("client: {} {}", response.status, response.reason)];
    lines.push(format!("client: complete={} closed={}", response.complete, response.closed));
    for (name, value) in &response.headers {
        // The time is the server's own unless a test dictates one.
        let value = if name == "Date" && !value.contains("1999") { "now" } else { value };
        lines.push(format!("client header: {name}: {value}"));
    }
    let body = match response.body.len() {
        0..1000 => response.text().escape_debug().to_string(),
        length => format!("{length} bytes, sum {}", sum(&response.body)),
    };
    lines.push(format!("client body: {body}"));
    lines.push(format!("client: {} interim responses", response.interim));
    lines
}

fn head_lines(who: &str, head: &Head, body: &[u8], complete: bool) -> Vec<String> {
    let mut lines = vec![
        format!("{who}: method {} {} {}", head.method, head.uri, head.protocol),
        format!(
            "{who}: server {}:{}, client {} {}",
            head.server_name, head.server_port, head.remote_addr, head.remote_host
        ),
        format!("{who}: body of {} bytes, sum {}, complete={complete}", body.len(), sum(body)),
    ];
    lines.extend(head.headers.iter().map(|(name, value)| format!("{who} header: {name}: {value}")));
    lines.extend(head.attributes.iter().map(|(name, value)| format!("{who} attribute: {name}: {value}")));
    lines
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}
