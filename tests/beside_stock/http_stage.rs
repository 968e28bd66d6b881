// SPDX-License-Identifier: Apache-2.0
//! A server and its HTTP members, and what is seen of each case from all sides.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::cases::{Body, Case, Site, Step, Table};
use crate::http_member::{Members, shown};
use crate::support::client::{Client, Response};
use crate::support::httpd::{Front, Httpd, load_line};
use crate::support::{PATIENCE, scratch_dir, source_dir, wait_until};

const MODULES: [&str; 35] = [
    "setenvif",
    "env",
    "headers",
    "alias",
    "rewrite",
    "filter",
    "deflate",
    "substitute",
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
    "cache",
    "cache_socache",
    "socache_shmcb",
    "buffer",
    "reqtimeout",
    "request",
    "mime",
    "unique_id",
    "actions",
    "negotiation",
    "ratelimit",
    "allowmethods",
    "macro",
    "info",
    "sed",
    "xml2enc",
    "proxy_html",
];

/// One process: the order of members and the number of connections do not depend on who takes a request.
const ONE_PROCESS: &str = "StartServers 1\nServerLimit 1\nThreadsPerChild 16\nMaxRequestWorkers 16\n\
    MinSpareThreads 1\nMaxSpareThreads 16";

/// Headers of an answer whose place says nothing.
const UNORDERED: [&str; 4] = ["Content-Length", "Transfer-Encoding", "Set-Cookie", "Content-Type"];

/// Where nobody listens.
const DEAD: [(&str, &str); 3] =
    [("{X}", "http://127.0.0.1:1"), ("{Y}", "http://127.0.0.1:2"), ("{Z}", "http://127.0.0.1:3")];

const LOG: &str = concat!(
    r#"LogFormat "%m %U%q %>s bytes=%B connection=%X route=%{BALANCER_WORKER_ROUTE}e name=%{BALANCER_NAME}e "#,
    r#"sticky=%{BALANCER_SESSION_STICKY}e sroute=%{BALANCER_SESSION_ROUTE}e changed=%{BALANCER_ROUTE_CHANGED}e "#,
    r#"worker=%{BALANCER_WORKER_NAME}e handler=%R" seen"#
);

pub struct Stage {
    httpd: Httpd,
    members: Members,
}

impl Stage {
    pub fn start(name: &str, front: Front, table: &Table) -> Stage {
        let members = Members::start(&format!("{name}-{front:?}"));
        let prefix = scratch_dir(&format!("beside-{name}-{front:?}"));
        let mut builder = Httpd::builder(name).front(front).prefix(prefix.clone()).at_port(quiet_port());
        builder = MODULES.iter().fold(builder, |builder, module| builder.module(module));
        let port = builder.port();
        let fill = |line: &str| {
            let line = placed(line, &members).replace("{PORT}", &port.to_string());
            line.replace("{ROOT}", &prefix.display().to_string())
        };
        if front == Front::Stock {
            builder = builder.line(load_line("proxy_wstunnel"));
        }
        builder = builder.mpm_lines(ONE_PROCESS).line("LogLevel crit\nTypesConfig /dev/null");
        builder = builder.line("ServerName main.test").line(LOG);
        for line in &table.main {
            match line.strip_prefix("file ") {
                Some(file) => {
                    let (path, text) = file.split_once(' ').expect("a path and a text");
                    let path = prefix.join(path);
                    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                    fs::write(path, fill(&text.replace("\\n", "\n"))).expect("a file");
                }
                None => builder = builder.line(fill(line)),
            }
        }
        for site in &table.sites {
            builder = builder.line(format!("<VirtualHost 127.0.0.1:{port}>\nServerName {}", site.host()));
            builder = builder.line("CustomLog seen.log seen");
            builder = site.lines.iter().fold(builder, |builder, line| builder.line(fill(line)));
            builder = builder.line("</VirtualHost>");
        }
        Stage { httpd: builder.start(), members }
    }

    /// What was seen of a case.
    pub fn play(&self, site: &Site, case: &Case) -> Vec<String> {
        self.members.forget();
        let logged = self.log().lines().count();
        let mut show = Show { lines: Vec::new(), answers: 0 };
        let mut client = Client::new(self.httpd.address()).limit(Duration::from_secs(15));
        let mut client_ports = Vec::new();
        for (number, step) in case.steps.iter().enumerate() {
            let answers = case.answers.iter().filter(|(step, _)| *step == number);
            self.members.answer(answers.map(|(_, answer)| placed(answer, &self.members)).collect());
            if let Err(error) = self.step(site, step, &mut client, &mut client_ports, &mut show) {
                show.lines.push(format!("client: cannot send, {:?}", error.kind()));
            }
        }
        client.close();
        let what = format!("the access log of {:?} about {}", self.httpd.front(), case.name);
        // A line counts when its end is there.
        wait_until(&what, PATIENCE, || self.log().matches('\n').count() >= logged + show.answers);
        let mut lines = show.lines;
        lines.extend(self.log().lines().skip(logged).map(|line| format!("log: {line}")));
        lines.extend(self.members.lines());
        let own = (self.httpd.address().port().to_string(), "FRONT");
        let clients = client_ports.into_iter().map(|port: u16| (port.to_string(), "CLIENT"));
        let ports: Vec<(String, &str)> =
            [own].into_iter().chain(self.members.names()).chain(clients).collect();
        let root = self.httpd.prefix().display().to_string();
        lines
            .iter()
            .map(|line| with_names(&self.members.named(&line.replace(&root, "ROOT")), &ports))
            .collect()
    }

    fn log(&self) -> String {
        let bytes = fs::read(self.httpd.prefix().join("seen.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn step(
        &self,
        site: &Site,
        step: &Step,
        client: &mut Client,
        ports: &mut Vec<u16>,
        show: &mut Show,
    ) -> io::Result<()> {
        let host = site.host();
        let fill = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => placed(&text.replace("{HOST}", &host), &self.members).into_bytes(),
            Err(_) => bytes.to_vec(),
        };
        match step {
            Step::Request { request, times } => {
                let (head, body) = request.parts(&host);
                for _ in 0..*times {
                    self.members.rest();
                    let at_once = if request.waits { Vec::new() } else { body.clone() };
                    let sent = client.send_raw(&[fill(&head), at_once].concat());
                    ports.extend(client.local_port());
                    if request.waits && !matches!(request.body, Body::None) {
                        // A final answer means that no body is wanted.
                        let asked = client.peek_status();
                        show.lines.push(format!("client: first {asked:?}"));
                        if asked.is_ok_and(|status| status == 100) {
                            client.send_raw(&body)?;
                        }
                    }
                    show.response(client.read_response(&request.method));
                    // What could not be sent may have been refused before its end: the answer tells.
                    drop(sent);
                }
            }
            Step::Raw { bytes, responses } => {
                self.members.rest();
                client.send_raw(&fill(bytes))?;
                ports.extend(client.local_port());
                for _ in 0..*responses {
                    show.response(client.read_response("GET"));
                }
            }
            Step::Tunnel(bytes) => {
                client.send_raw(bytes)?;
                client.finish_sending();
                let end = client.read_to_end().map_err(|error| error.kind());
                show.lines.push(format!("client: after the switch {:?}", end.map(|bytes| shown(&bytes))));
            }
        }
        Ok(())
    }

    pub fn assert_no_crash(&self) {
        self.httpd.assert_no_crash();
    }
}

/// A free port below those the kernel gives out: so many members and clients start at once that one of them would take
/// a port of the kernel's choice before httpd listens.
fn quiet_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 5000).expect("a small number") * 2;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        // Round numbers are lengths in the tables.
        if !port.is_multiple_of(100) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Replaces what stands for a member, a dead one, a file.
fn placed(line: &str, members: &Members) -> String {
    let mut line = members.placed(line).replace("{LONG}", &"v".repeat(7000));
    for (mark, url) in DEAD {
        line = line.replace(mark, url);
    }
    let passwords = source_dir().join("tests/vectors/ajp/htpasswd");
    line.replace("{PASSWORDS}", &passwords.display().to_string())
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

/// What the client saw so far.
struct Show {
    lines: Vec<String>,
    answers: usize,
}

impl Show {
    fn response(&mut self, response: io::Result<Response>) {
        let lines = &mut self.lines;
        let response = match response {
            Ok(response) => response,
            Err(error) => return lines.push(format!("client: no response, {:?}", error.kind())),
        };
        self.answers += 1;
        lines.extend(response.interim_heads.iter().map(|head| format!("client interim: {head}")));
        lines.push(format!("client: {} {}", response.status, response.reason));
        lines.push(format!("client: complete={} closed={}", response.complete, response.closed));
        let mut order = Vec::new();
        for (name, value) in &response.headers {
            // The time is the server's own unless a test dictates one.
            let is_time =
                ["Date", "Last-Modified", "Expires"].contains(&name.as_str()) && value.ends_with(" GMT");
            let value = if is_time && !value.contains(" 199") { "now" } else { value };
            lines.push(format!("client header: {name}: {}", value.escape_debug()));
            // Which of the two there is may differ, see the judge.
            // Stock moves all cookies to the end, Margay the type.
            if !UNORDERED.iter().any(|known| name.eq_ignore_ascii_case(known)) {
                order.push(name.as_str());
            }
        }
        lines.push(format!("client order of headers: {}", order.join(", ")));
        lines.push(format!("client body: {}", shown(&response.body)));
        lines.extend(response.trailers.iter().map(|line| format!("client trailer: {line}")));
    }
}
