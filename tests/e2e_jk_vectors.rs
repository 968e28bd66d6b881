// SPDX-License-Identifier: Apache-2.0
//! Recorded with mod_jk: which worker gets a path, and which member of a balancer gets a request.

mod support;

use serde::Deserialize;
use support::ajp_peer::{Peer, Seen};
use support::client::{Client, Response};
use support::httpd::{Builder, Httpd};
use support::source_dir;

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    directives: Vec<String>,
    #[serde(default)]
    mount_file: Vec<String>,
    #[serde(default)]
    members: Vec<String>,
    #[serde(default)]
    properties: Vec<String>,
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    target: String,
    status: u16,
    #[serde(default)]
    headers: Vec<String>,
    worker: Option<String>,
    forwarded_uri: Option<String>,
    jvm_route: Option<String>,
    activation: Option<String>,
    backend_requests: Option<usize>,
    #[serde(default)]
    set_cookie: Vec<String>,
}

fn cases(what: &str) -> Vec<Case> {
    let file = source_dir().join(format!("tests/vectors/ajp/{what}/cases.json"));
    serde_json::from_str(&std::fs::read_to_string(file).expect("the cases")).expect("a list of cases")
}

/// As a Tomcat would: the status that the request asks for.
fn peer() -> Peer {
    Peer::start(|conn, head| {
        conn.read_body(head, 8186)?;
        let status = head.header("X-Status").and_then(|status| status.parse().ok()).unwrap_or(200);
        conn.answer(status, &[("Content-Type", "text/plain")], &[b"body of some length"])
    })
}

/// Workers with a peer each, by name.
struct Workers(Vec<(String, Peer)>);

impl Workers {
    fn new(names: impl IntoIterator<Item = String>) -> Workers {
        Workers(names.into_iter().map(|name| (name, peer())).collect())
    }

    fn lines(&self, builder: Builder) -> Builder {
        self.0.iter().fold(builder, |builder, (name, peer)| {
            builder
                .line(format!("JkWorkerProperty worker.{name}.host=127.0.0.1"))
                .line(format!("JkWorkerProperty worker.{name}.port={}", peer.port()))
                .line(format!("JkWorkerProperty worker.{name}.reference=worker.template"))
        })
    }

    /// What arrived since the last look, with the worker it arrived at.
    fn take_seen(&self) -> Vec<(&str, Seen)> {
        let seen = self.0.iter().flat_map(|(name, peer)| {
            let seen = peer.seen();
            peer.forget();
            seen.into_iter().map(move |seen| (name.as_str(), seen))
        });
        seen.collect()
    }
}

fn builder(name: &str) -> Builder {
    let one_process = "StartServers 1\nServerLimit 1\nThreadsPerChild 16\nMaxRequestWorkers 16\n\
                       MinSpareThreads 1\nMaxSpareThreads 16";
    let builder = Httpd::builder(name).mpm_lines(one_process);
    let shm = "JkShmFile run/jk-shm\nJkLogFile run/jk.log\nJkWorkerProperty worker.template.retries=2";
    ["setenvif", "env", "alias"].into_iter().fold(builder, Builder::module).line(shm)
}

fn ask(httpd: &Httpd, request: &Request) -> Response {
    let mut head = format!("{} {} HTTP/1.1\r\nHost: www.example.test\r\n", request.method, request.target);
    for header in &request.headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    let mut client = Client::new(httpd.address());
    client.send_raw(format!("{head}Connection: close\r\n\r\n").as_bytes()).expect("sent");
    client.read_response(&request.method).expect("a response")
}

/// What is wrong with the answer, compared with the recording.
fn complaints(request: &Request, response: &Response, seen: &[(&str, Seen)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, found: String, expected: String| {
        if found != expected {
            wrong.push(format!("{what}: {found:?} in place of {expected:?}"));
        }
    };
    compare("status", response.status.to_string(), request.status.to_string());
    // Of several, nobody knows which came last.
    let only = seen.first().filter(|_| seen.len() == 1);
    if seen.len() < 2 {
        let worker = only.map(|(worker, _)| (*worker).to_owned());
        compare("worker", format!("{worker:?}"), format!("{:?}", request.worker));
    }
    compare("requests", seen.len().to_string(), request.backend_requests.unwrap_or(0).to_string());
    if let Some((_, seen)) = only {
        let attribute = |name: &str| {
            let found = seen.head.attributes.iter().find(|(n, _)| n == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        compare("path", seen.head.uri.clone(), request.forwarded_uri.clone().unwrap_or_default());
        compare("activation", attribute("JK_LB_ACTIVATION"), request.activation.clone().unwrap_or_default());
        compare("route", attribute("6"), request.jvm_route.clone().unwrap_or_default());
    }
    let cookies: Vec<&str> = response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("Set-Cookie"))
        .map(|(_, value)| value.as_str())
        .collect();
    compare("cookies", format!("{cookies:?}"), format!("{:?}", request.set_cookie));
    wrong
}

#[test]
fn recorded_paths_reach_the_recorded_workers() {
    let mut wrong = Vec::new();
    for case in cases("mapping") {
        let workers = Workers::new((1..=9).map(|number| format!("w{number}")));
        let names: Vec<&str> = workers.0.iter().map(|(name, _)| name.as_str()).collect();
        let dir = support::scratch_dir("jk-mapping");
        let file = dir.join("uriworkermap.properties");
        std::fs::write(&file, case.mount_file.join("\n")).expect("a mount file");
        std::fs::write(dir.join("f.txt"), "a file").expect("a file");
        let mut builder = workers.lines(builder("jk-mapping"));
        builder = builder.line(format!("JkWorkerProperty worker.list={}", names.join(",")));
        builder = builder.line(format!("<Directory {}>\nRequire all granted\n</Directory>", dir.display()));
        if !case.mount_file.is_empty() {
            builder = builder.line(format!("JkMountFile {}", file.display()));
        }
        for line in &case.directives {
            builder = builder.line(line.replace("/srv/www", &dir.display().to_string()));
        }
        let httpd = builder.start();
        for mut request in case.requests {
            if httpd.front().is_margay() && request.target == "/a/x.jsp%3Bfoo" {
                // What the client had encoded stays encoded.
                request.forwarded_uri = Some(request.target.clone());
            }
            let response = ask(&httpd, &request);
            for complaint in complaints(&request, &response, &workers.take_seen()) {
                wrong.push(format!("{}: {} {}: {complaint}", case.name, request.method, request.target));
            }
        }
        httpd.assert_no_crash();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where Margay differs from the recording on purpose: see docs/differences.md.
fn as_margay_does(case: &str, request: &mut Request) {
    if request.jvm_route.as_ref().is_some_and(|route| route.starts_with("(garbage")) {
        request.jvm_route = Some(if request.target.contains("1.dom") { "dom" } else { "d" }.to_owned());
    }
    match case {
        // The route of a member that failed before is of no use to the one that gets the request.
        _ if case.starts_with("fail") => request.jvm_route.clone_from(&request.worker),
        "rule-session-cookie" if !request.set_cookie.is_empty() => {
            request.set_cookie = vec!["XX=.a;PATH=/foo;HttpOnly".to_owned()];
        }
        _ => {}
    }
    if case == "failover-set-cookie" {
        request.set_cookie = vec!["JSESSIONID=.b;PATH=/;HttpOnly".to_owned()];
    }
}

#[test]
fn recorded_sequences_reach_the_recorded_members() {
    let mut wrong = Vec::new();
    for case in cases("balancer") {
        let workers = Workers::new(case.members.iter().cloned());
        let mut builder = workers
            .lines(builder("jk-balancer"))
            .line("JkWorkerProperty worker.list=lb\nJkWorkerProperty worker.lb.type=lb")
            .line(format!("JkWorkerProperty worker.lb.balance_workers={}", case.members.join(",")))
            .line("JkMount /lb/* lb\nJkMount /dis/* lb;disabled=a\nJkMount /stp/* lb;stopped=a")
            .line("JkMount /ext/* lb;session_cookie=XX;session_path=;yy;set_session_cookie=1;session_cookie_path=/foo")
            .line("SetEnvIf Request_URI stless JK_STATELESS=1\nSetEnvIf Request_URI ignore JK_STICKY_IGNORE=1")
            .line("SetEnvIf Request_URI route-([a-z]+) JK_ROUTE=$1");
        for property in &case.properties {
            builder = builder.line(format!("JkWorkerProperty {property}"));
        }
        let httpd = builder.start();
        for mut request in case.requests {
            if httpd.front().is_margay() {
                as_margay_does(&case.name, &mut request);
            }
            let response = ask(&httpd, &request);
            for complaint in complaints(&request, &response, &workers.take_seen()) {
                wrong.push(format!("{}: {} {:?}: {complaint}", case.name, request.target, request.headers));
            }
        }
        httpd.assert_no_crash();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
