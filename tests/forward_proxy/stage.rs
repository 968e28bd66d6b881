// SPDX-License-Identifier: Apache-2.0
//! Two servers with one configuration, the back ends and other proxies they share, and what is seen of a case from all
//! sides.

use std::io;
use std::time::Duration;

use crate::cases::{Case, Request, Site, Step};
use crate::support::client::{Client, Response};
use crate::support::http_peer::{After, Conn, Head, Peer, Seen};
use crate::support::httpd::{Front, Httpd};
use crate::support::{PATIENCE, source_dir, wait_until};

const MODULES: [&str; 11] = [
    "ssl",
    "env",
    "headers",
    "rewrite",
    "setenvif",
    "authn_core",
    "authn_file",
    "authz_host",
    "authz_user",
    "auth_basic",
    "access_compat",
];

/// One process: kept connections are found again whoever takes a request.
const ONE_PROCESS: &str = "StartServers 1\nServerLimit 1\nThreadsPerChild 16\nMaxRequestWorkers 16\n\
    MinSpareThreads 1\nMaxSpareThreads 16";

/// Back ends, then other proxies.
const PEERS: [&str; 4] = ["A", "B", "R", "S"];

pub struct Stage {
    stock: Httpd,
    margay: Httpd,
    peers: Vec<Peer>,
}

impl Stage {
    pub fn start(table: &str, site: &Site) -> Stage {
        let peers: Vec<Peer> = PEERS.iter().map(|name| peer(name)).collect();
        let start = |front| {
            let name = format!("forward-{table}-{}-{front:?}", site.name.replace(' ', "-"));
            let mut builder = Httpd::builder(&name).front(front);
            builder = MODULES.iter().fold(builder, |builder, module| builder.module(module));
            let port = builder.port();
            builder = builder.mpm_lines(ONE_PROCESS).line("LogLevel crit\nServerName main.test");
            let fill = |line: &String| placed(line, &peers).replace("{PORT}", &port.to_string());
            site.lines.iter().fold(builder, |builder, line| builder.line(fill(line))).start()
        };
        Stage { stock: start(Front::Stock), margay: start(Front::Margay), peers }
    }

    /// What was seen of a case beside stock's modules, and with Margay.
    pub fn play(&self, site: &Site, case: &Case) -> (Vec<String>, Vec<String>) {
        (self.play_on(&self.stock, site, case), self.play_on(&self.margay, site, case))
    }

    fn play_on(&self, httpd: &Httpd, site: &Site, case: &Case) -> Vec<String> {
        let before: Vec<usize> = self.peers.iter().map(Peer::requests).collect();
        let logged = httpd.access_log().lines().count();
        let mut client = Client::new(httpd.address()).limit(Duration::from_secs(10));
        let (mut lines, mut answers) = (Vec::new(), 0);
        for step in &case.steps {
            let (bytes, methods) = self.step(httpd, site, step);
            for part in bytes {
                client.send_raw(&part).expect("the server listens");
                for method in &methods {
                    let response = client.read_response(method);
                    answers += usize::from(response.is_ok());
                    lines.extend(response_lines(response));
                }
            }
        }
        client.close();
        let what = format!("the access log of {:?} about {}", httpd.front(), case.name);
        wait_until(&what, PATIENCE, || httpd.access_log().matches('\n').count() >= logged + answers);
        lines.extend(httpd.access_log().lines().skip(logged).map(|line| format!("log: {line}")));
        for ((name, peer), before) in PEERS.iter().zip(&self.peers).zip(before) {
            lines.extend(peer.seen().iter().skip(before).flat_map(|seen| seen_lines(name, seen)));
        }
        let (port, prefix) = (httpd.address().port().to_string(), httpd.prefix().display().to_string());
        lines.iter().map(|line| self.with_names(line, &port).replace(&prefix, "/PREFIX")).collect()
    }

    /// Bytes to send one after another, and the methods of the responses to each.
    fn step<'a>(&self, httpd: &Httpd, site: &Site, step: &'a Step) -> (Vec<Vec<u8>>, Vec<&'a str>) {
        let port = httpd.address().port().to_string();
        let fill = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace("{PORT}", &port);
            placed(&text, &self.peers).into_bytes()
        };
        match step {
            Step::Request { request, times } => {
                let Request { method, .. } = request;
                let (head, body) = request.parts(&site.host());
                (vec![fill(&[head, body].concat()); *times], vec![method])
            }
            Step::Raw { bytes, responses } => (vec![fill(bytes)], vec!["GET"; *responses]),
            Step::Tunnel(bytes) => (vec![bytes.clone()], Vec::new()),
        }
    }

    fn with_names(&self, line: &str, front: &str) -> String {
        let named = PEERS.iter().zip(&self.peers).fold(line.to_owned(), |line, (name, peer)| {
            line.replace(&format!(":{}", peer.port()), &format!(":{name}"))
        });
        named.replace(&format!(":{front}"), ":FRONT")
    }

    pub fn assert_no_crash(&self) {
        self.stock.assert_no_crash();
        self.margay.assert_no_crash();
    }
}

/// Replaces `{A}` by host and port of that peer, `{A.port}` by the port alone, `{PASSWORDS}` by a file.
fn placed(line: &str, peers: &[Peer]) -> String {
    let mut line = line.to_owned();
    for (name, peer) in PEERS.iter().zip(peers) {
        line = line.replace(&format!("{{{name}}}"), &format!("127.0.0.1:{}", peer.port()));
        line = line.replace(&format!("{{{name}.port}}"), &peer.port().to_string());
    }
    let passwords = source_dir().join("tests/vectors/ajp/htpasswd");
    line.replace("{PASSWORDS}", &passwords.display().to_string())
}

/// A peer that does what the header `X-Answer` says, for instance `404 Gone | Set-Cookie: a=1`. `close R`: R closes without
/// an answer, the others answer. Nobody gets a tunnel.
fn peer(name: &'static str) -> Peer {
    Peer::start(move |conn, head| {
        conn.read_body(head)?;
        if head.method() == "CONNECT" {
            conn.answer("403 No Tunnel", &[], b"")?;
            return Ok(After::Close);
        }
        answer(conn, head, name)
    })
}

fn answer(conn: &mut Conn, head: &Head, name: &str) -> io::Result<After> {
    let wish = head.get("X-Answer").unwrap_or_default();
    if wish == format!("close {name}") {
        return Ok(After::Close);
    }
    let parts: Vec<&str> = wish.split(" | ").collect();
    let status = parts.first().filter(|status| status.starts_with(|c: char| c.is_ascii_digit()));
    let headers: Vec<(&str, &str)> = parts[1..].iter().filter_map(|part| part.split_once(": ")).collect();
    if head.method() == "HEAD" {
        return conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").map(|()| After::Keep);
    }
    conn.answer(status.unwrap_or(&"200 OK"), &headers, name.as_bytes())
}

fn response_lines(response: io::Result<Response>) -> Vec<String> {
    let response = match response {
        Ok(response) => response,
        Err(error) => return vec![format!("client: no response, {:?}", error.kind())],
    };
    let mut lines = vec![format!("client: {} {}", response.status, response.reason)];
    lines.push(format!("client: complete={} closed={}", response.complete, response.closed));
    for (name, value) in &response.headers {
        let value = if name == "Date" { "now" } else { value };
        lines.push(format!("client header: {name}: {value}"));
    }
    lines.push(format!("client body: {}", response.text().escape_debug()));
    lines
}

fn seen_lines(who: &str, seen: &Seen) -> Vec<String> {
    let mut lines = vec![format!("{who}: {}", seen.head.line)];
    lines.push(format!("{who}: body {}", String::from_utf8_lossy(&seen.body).escape_debug()));
    lines.extend(seen.head.headers.iter().map(|(name, value)| format!("{who} header: {name}: {value}")));
    lines.retain(|line| line != &format!("{who}: body "));
    lines
}
