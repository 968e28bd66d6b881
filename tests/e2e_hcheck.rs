// SPDX-License-Identifier: Apache-2.0
//! Members checked without a request: who goes out, who comes back, and who checks, whatever happens to processes.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use support::ajp_peer::{After, Peer};
use support::black_hole::BlackHole;
use support::client::Client;
use support::httpd::{Builder, Front, Httpd, Mpm, free_port};
use support::tomcat::Tomcat;
use support::{PATIENCE, process, scratch_dir, wait_until};

/// What checks say at `warn` or worse.
const OUT: &str = "MGY3301";
const BACK: &str = "MGY3302";
const FAILED: &str = "MGY3303";
const BEGUN: &str = "MGY3304";
const MPMS: [Mpm; 2] = [Mpm::Event, Mpm::Prefork];

/// Two members with the words of `check` behind the one of each.
fn balancer(name: &str, a: &str, b: &str, check: &str) -> Builder {
    Httpd::builder(name)
        .front(Front::Margay)
        .line("LogLevel warn margay:info")
        .line("<Proxy balancer://c>")
        .line(format!("    BalancerMember {a} route=A {check}"))
        .line(format!("    BalancerMember {b} route=B {check}"))
        .line("</Proxy>")
        .line("ProxyPass / balancer://c/ stickysession=JSESSIONID")
}

fn two(name: &str, a: &Peer, b: &Peer, check: &str) -> Builder {
    balancer(name, &a.url(), &b.url(), check)
}

/// Who answers a request with a session of A.
fn seen_by_a(httpd: &Httpd) -> String {
    let mut client = Client::new(httpd.address());
    let response = client.get_with_cookie("/x", "JSESSIONID=s.A").expect("a response");
    assert_eq!(response.status, 200, "{}", httpd.error_log());
    response.text()
}

/// The lines of the log with this id about the member.
fn said(httpd: &Httpd, id: &str, peer: &str) -> usize {
    let member = format!("{peer} ");
    httpd.error_log().lines().filter(|line| line.contains(id) && line.contains(&member)).count()
}

fn wait_said(httpd: &Httpd, id: &str, peer: &str, times: usize) {
    wait_until(&format!("{id} about {peer}, {times} times"), PATIENCE, || said(httpd, id, peer) >= times);
}

/// The processes that said that they run the checks, in that order.
fn checkers(httpd: &Httpd) -> Vec<u32> {
    let log = httpd.error_log();
    let pid = |line: &str| {
        let rest = &line[line.find("[pid ")? + 5..];
        rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
    };
    log.lines().filter(|line| line.contains(BEGUN)).filter_map(pid).collect()
}

#[test]
fn a_dead_member_is_out_and_back_without_a_request() {
    for mpm in Mpm::ALL {
        for method in ["TCP", "CPING"] {
            let (a, b) = (Peer::named("A"), Peer::named("B"));
            let httpd =
                two("hc-dead", &a, &b, &format!("hcmethod={method} hcinterval=200ms")).mpm(mpm).start();
            assert_eq!(seen_by_a(&httpd), "A");
            for round in 1..=2 {
                a.go_down();
                wait_said(&httpd, OUT, &a.url(), round);
                for _ in 0..4 {
                    assert_eq!(seen_by_a(&httpd), "B", "{mpm:?} {method}");
                }
                a.come_back();
                wait_said(&httpd, BACK, &a.url(), round);
                assert_eq!(seen_by_a(&httpd), "A", "{mpm:?} {method}");
            }
            // No request was tried on the dead member: that would have been an error of its own.
            httpd.assert_no_unexpected(&[OUT]);
            assert_eq!(said(&httpd, OUT, &b.url()), 0);
        }
    }
}

#[test]
fn a_member_that_accepts_and_does_not_answer_is_out_and_delays_nobody_else() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    a.answer_cping(false);
    let httpd = Httpd::builder("hc-silent")
        .front(Front::Margay)
        .line("<Proxy balancer://c>")
        .line(format!("    BalancerMember {} route=A hcmethod=CPING hcinterval=100ms ping=2", a.url()))
        .line(format!("    BalancerMember {} route=B hcmethod=CPING hcinterval=100ms", b.url()))
        .line("</Proxy>")
        .line("ProxyPass / balancer://c/ stickysession=JSESSIONID")
        .start();
    wait_until("the first check of A", PATIENCE, || a.cpings() == 1);
    let before = b.cpings();
    wait_until("checks of B", PATIENCE, || b.cpings() >= before + 4);
    wait_said(&httpd, OUT, &a.url(), 1);
    assert_eq!(seen_by_a(&httpd), "B");
    assert!(a.connections() - a.closed() <= 1, "two checks of A at once");
    a.answer_cping(true);
    wait_said(&httpd, BACK, &a.url(), 1);
    httpd.assert_no_unexpected(&[OUT]);
}

/// A Tomcat whose process stands still takes connections, because the kernel does.
#[test]
fn a_tomcat_that_stands_still_is_out_until_it_goes_on() {
    let mut tomcat = Tomcat::launch(scratch_dir("hc-tomcat"), "A", free_port());
    tomcat.wait_ready(|_| {});
    let b = Peer::named("B");
    let check = "hcmethod=CPING hcinterval=200ms ping=500ms";
    let httpd = balancer("hc-stands", &tomcat.url(), &b.url(), check).start();
    wait_until("checks", PATIENCE, || b.cpings() >= 3);
    assert_eq!(said(&httpd, OUT, &tomcat.url()), 0);
    process::signal(tomcat.pid(), Signal::SIGSTOP);
    wait_said(&httpd, OUT, &tomcat.url(), 1);
    assert_eq!(seen_by_a(&httpd), "B");
    process::signal(tomcat.pid(), Signal::SIGCONT);
    wait_said(&httpd, BACK, &tomcat.url(), 1);
    httpd.assert_no_unexpected(&[OUT]);
}

#[test]
fn checks_count_up_to_hcfails_and_hcpasses() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let check = "hcmethod=CPING hcinterval=100ms hcfails=3 hcpasses=2";
    let httpd = two("hc-count", &a, &b, check).start();
    wait_until("a good check", PATIENCE, || a.cpings() > 0);
    a.answer_cping_with(b"AB\0\x01\x08");
    wait_said(&httpd, OUT, &a.url(), 1);
    assert_eq!(said(&httpd, FAILED, &a.url()), 2);
    let at = a.cpings();
    a.answer_cping(true);
    wait_said(&httpd, BACK, &a.url(), 1);
    assert!(a.cpings() >= at + 2, "back after {} checks", a.cpings() - at);
    httpd.assert_no_unexpected(&[OUT]);
}

#[test]
fn an_error_that_a_request_caused_is_cleared_by_the_next_good_check() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let httpd = two("hc-error", &a, &b, "hcmethod=CPING hcinterval=1 retry=600").start();
    a.set_script(|_, _| Ok(After::Reset));
    assert_eq!(seen_by_a(&httpd), "B");
    a.set_script(|conn, _| conn.answer(200, &[], &[b"A"]));
    wait_said(&httpd, BACK, &a.url(), 1);
    assert_eq!(seen_by_a(&httpd), "A");
}

#[test]
fn a_stopped_member_is_not_checked_and_a_disabled_one_is() {
    let (a, b, c) = (Peer::named("A"), Peer::named("B"), Peer::named("C"));
    let httpd = two("hc-stop", &a, &b, "hcmethod=TCP hcinterval=100ms status=+D")
        .line(format!("BalancerMember balancer://c {} hcmethod=TCP hcinterval=100ms status=+S", c.url()))
        .line(format!(
            "BalancerMember balancer://c {} hcmethod=NONE",
            c.url().replace("127.0.0.1", "localhost")
        ))
        .line(format!("ProxyPass /plain {} hcmethod=TCP hcinterval=100ms", c.url()))
        .start();
    wait_until("checks", PATIENCE, || a.connections() >= 5 && b.connections() >= 5);
    assert_eq!(c.connections(), 0);
    assert!(httpd.check().text.contains("only members of balancers are checked"), "{}", httpd.check().text);
}

#[test]
fn another_process_takes_over_when_the_one_that_checks_is_killed() {
    for mpm in MPMS {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let httpd = two("hc-kill", &a, &b, "hcmethod=CPING hcinterval=200ms").mpm(mpm).start();
        wait_until("checks", PATIENCE, || a.cpings() >= 2);
        for round in 1..=2 {
            let [.., last] = checkers(&httpd)[..] else { panic!("nobody checks") };
            assert_eq!(checkers(&httpd).len(), round, "{mpm:?}: more than one process checks");
            assert!(httpd.children().contains(&last));
            process::signal(last, Signal::SIGKILL);
            wait_until("another process", PATIENCE, || checkers(&httpd).len() > round);
            let before = a.cpings();
            wait_until("its checks", PATIENCE, || a.cpings() >= before + 2);
        }
        a.go_down();
        wait_said(&httpd, OUT, &a.url(), 1);
        httpd.assert_no_unexpected(&[OUT, "exit signal Killed (9)"]);
    }
}

#[test]
fn a_process_that_stands_still_loses_the_checks() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let httpd = two("hc-still", &a, &b, "hcmethod=CPING hcinterval=200ms").start();
    wait_until("checks", PATIENCE, || a.cpings() >= 2);
    let first = checkers(&httpd)[0];
    process::signal(first, Signal::SIGSTOP);
    wait_until("another process", PATIENCE, || checkers(&httpd).len() == 2);
    process::signal(first, Signal::SIGCONT);
    let before = a.cpings();
    wait_until("its checks", PATIENCE, || a.cpings() >= before + 5);
    assert_eq!(checkers(&httpd).len(), 2);
}

#[test]
fn after_a_graceful_restart_a_process_of_the_new_configuration_checks() {
    for mpm in MPMS {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let httpd = two("hc-graceful", &a, &b, "hcmethod=CPING hcinterval=200ms").mpm(mpm).start();
        wait_until("checks", PATIENCE, || a.cpings() >= 2);
        // The old processes live on with a request each.
        a.set_script(|conn, _| {
            conn.wait_until_told();
            conn.answer(200, &[], &[b"late"])
        });
        let address = httpd.address();
        let slow = std::thread::spawn(move || {
            Client::new(address).get_with_cookie("/x", "JSESSIONID=s.A").map(|response| response.text())
        });
        wait_until("the slow request", PATIENCE, || a.requests() == 1);
        a.answer_cping_with(b"no CPong");
        wait_said(&httpd, OUT, &a.url(), 1);
        httpd.graceful();
        wait_until("a new process", PATIENCE, || checkers(&httpd).len() == 2);
        let [old, new] = checkers(&httpd)[..] else { panic!("two processes") };
        assert_ne!(old, new);
        // What failed its checks stays out over the restart.
        assert_eq!(seen_by_a(&httpd), "B");
        a.answer_cping(true);
        wait_said(&httpd, BACK, &a.url(), 1);
        // Without checks in the new file, the old processes do not go on with theirs.
        httpd.rewrite(|lines| {
            for line in lines.iter_mut() {
                *line = line.replace("hcmethod=CPING", "hcmethod=NONE");
            }
        });
        httpd.graceful();
        wait_until("the last check", PATIENCE, || {
            let before = a.cpings();
            std::thread::sleep(Duration::from_millis(1000));
            a.cpings() == before
        });
        a.tell();
        assert_eq!(slow.join().expect("no panic").expect("a response"), "late");
        httpd.assert_no_unexpected(&[OUT]);
    }
}

/// Entries of a folder of the process, such as its threads or descriptors.
fn entries(pid: u32, what: &str) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/{what}")).map(Iterator::count).unwrap_or(0)
}

#[test]
fn a_hundred_graceful_restarts_leave_no_thread_and_no_descriptor() {
    for mpm in MPMS {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let httpd = two("hc-restarts", &a, &b, "hcmethod=CPING hcinterval=100ms").mpm(mpm).start();
        httpd.graceful();
        let count = |what| entries(httpd.pid(), what);
        let before = (count("fd"), count("task"));
        for _ in 0..100 {
            httpd.graceful();
        }
        assert_eq!((count("fd"), count("task")), before, "{mpm:?}");
        wait_until("the old processes to end", PATIENCE, || httpd.children().len() <= 4);
        let at = a.cpings();
        wait_until("checks after the restarts", PATIENCE, || a.cpings() >= at + 3);
        // One thread that watches, and at most one for each member, besides httpd's own.
        let most = if mpm == Mpm::Prefork { 1 + 3 } else { 16 + 3 + 3 };
        for pid in httpd.children() {
            assert!(entries(pid, "task") <= most, "{mpm:?}: {} threads", entries(pid, "task"));
        }
        httpd.assert_no_crash();
        httpd.assert_no_unexpected(&[]);
        assert!(httpd.stop(), "{mpm:?}: httpd did not stop in time");
    }
}

#[test]
fn a_check_that_hangs_delays_no_stop_and_no_restart() {
    for mpm in MPMS {
        let (hole, b) = (BlackHole::open(), Peer::named("B"));
        b.answer_cping(false);
        let check = "hcmethod=CPING hcinterval=100ms ping=600 connectiontimeout=600";
        let httpd = balancer("hc-hang", &hole.url(), &b.url(), check).mpm(mpm).start();
        wait_until("a check that hangs", PATIENCE, || b.cpings() == 1);
        let old = httpd.children();
        httpd.graceful();
        wait_until("the old processes to end", PATIENCE, || {
            old.iter().all(|pid| !httpd.children().contains(pid))
        });
        // Whoever follows a process that has ended does not wait for the check it had under way.
        wait_until("a check by a new process", PATIENCE, || b.cpings() == 2);
        process::signal(httpd.pid(), Signal::SIGHUP);
        wait_until("a check after a restart", PATIENCE, || b.cpings() == 3);
        assert!(httpd.stop(), "{mpm:?}: httpd did not stop in time");
        httpd.assert_no_crash();
        httpd.assert_no_unexpected(&[]);
    }
}

/// A server that speaks just enough HTTP for checks.
struct Web {
    url: String,
    answer: Arc<Mutex<String>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Web {
    fn start() -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("ajp://{}", listener.local_addr().expect("its number"));
        let answer = Arc::new(Mutex::new("HTTP/1.0 200 OK\r\n\r\n".to_owned()));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let web = Web { url, answer: answer.clone(), requests: requests.clone() };
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (mut seen, mut byte) = (Vec::new(), [0]);
                while !seen.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                    seen.push(byte[0]);
                }
                requests.lock().unwrap().push(String::from_utf8_lossy(&seen).into_owned());
                let _ = stream.write_all(answer.lock().unwrap().as_bytes());
            }
        });
        web
    }

    fn answer(&self, text: &str) {
        *self.answer.lock().unwrap() = text.to_owned();
    }
}

#[test]
fn http_checks_judge_by_status_or_by_a_condition() {
    let (status, condition) = (Web::start(), Web::start());
    let httpd = Httpd::builder("hc-http")
        .front(Front::Margay)
        .line("LogLevel warn margay:info")
        .line("ProxyHCExpr up {%{REQUEST_STATUS} =~ /^[23]/ && hc('body') !~ /maintenance/ && resp('X-Up') == 'yes'}")
        .line("ProxyHCTemplate web hcmethod=GET hcinterval=100ms hcuri=/ping")
        .line("<Proxy balancer://c>")
        .line(format!("    BalancerMember {} hctemplate=web", status.url))
        .line(format!("    BalancerMember {}/ctx hctemplate=web hcmethod=GET11 hcexpr=up", condition.url))
        .line("</Proxy>")
        .line("ProxyPass / balancer://c/")
        .start();
    let name = format!("{}/ctx", condition.url);
    // Without the header the condition does not hold.
    wait_said(&httpd, OUT, &name, 1);
    condition.answer("HTTP/1.1 200 OK\r\nX-Up: yes\r\nContent-Length: 4\r\n\r\nfine");
    wait_said(&httpd, BACK, &name, 1);
    condition.answer("HTTP/1.1 200 OK\r\nX-Up: yes\r\n\r\nclosed for maintenance");
    wait_said(&httpd, OUT, &name, 2);
    condition
        .answer("HTTP/1.1 302 Found\r\nX-Up: yes\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    wait_said(&httpd, BACK, &name, 2);
    assert_eq!(said(&httpd, OUT, &status.url), 0);
    status.answer("HTTP/1.0 404 Not Found\r\n\r\n");
    wait_said(&httpd, OUT, &status.url, 1);
    let first = |web: &Web| web.requests.lock().unwrap()[0].clone();
    let host = |web: &Web| web.url.replace("ajp://", "");
    assert_eq!(first(&status), format!("GET /ping HTTP/1.0\r\nHost: {}\r\n\r\n", host(&status)));
    assert_eq!(first(&condition), format!("GET /ctx//ping HTTP/1.1\r\nHost: {}\r\n\r\n", host(&condition)));
    // Conditions survive a reload that keeps the last good configuration.
    httpd.rewrite(|lines| lines.push("ProxyPass /broken ajp://h rout=x".into()));
    httpd.graceful();
    wait_until("checks after the reload", PATIENCE, || checkers(&httpd).len() == 2);
    condition.answer("HTTP/1.1 200 OK\r\nX-Up: no\r\n\r\n");
    wait_said(&httpd, OUT, &name, 3);
    condition.answer("HTTP/1.1 200 OK\r\nX-Up: yes\r\n\r\n");
    wait_said(&httpd, BACK, &name, 3);
    httpd.assert_no_crash();
}

#[test]
fn what_conditions_ask_of_a_request_is_empty_and_crashes_nothing() {
    let web = Web::start();
    let asked = "REMOTE_ADDR REMOTE_PORT REMOTE_HOST REMOTE_USER REMOTE_IDENT SERVER_NAME SERVER_PORT \
        SERVER_ADMIN SERVER_PROTOCOL SERVER_SOFTWARE REQUEST_METHOD REQUEST_SCHEME \
        REQUEST_URI REQUEST_FILENAME REQUEST_STATUS REQUEST_LOG_ID DOCUMENT_URI DOCUMENT_ROOT \
        SCRIPT_FILENAME SCRIPT_USER SCRIPT_GROUP LAST_MODIFIED PATH_INFO QUERY_STRING \
        IS_SUBREQ THE_REQUEST AUTH_TYPE CONTENT_TYPE HANDLER HTTPS IPV6 CONN_LOG_ID \
        CONN_REMOTE_ADDR CONTEXT_PREFIX CONTEXT_DOCUMENT_ROOT TIME API_VERSION HTTP_HOST \
        HTTP_COOKIE HC_BODY SSL_PROTOCOL SSL_CLIENT_S_DN HTTP2";
    let joined: Vec<String> = asked.split(' ').map(|name| format!("%{{{name}}}")).collect();
    let httpd = Httpd::builder("hc-odd")
        .front(Front::Margay)
        .module("socache_shmcb")
        .module("ssl")
        .module("http2")
        .module("remoteip")
        .line("LogLevel warn margay:info")
        .line(format!("ProxyHCExpr odd {{'x{}' =~ /^x/ && ! -R '10.0.0.0/8' && -T '1' && req('Host') == '' && env('x') == ''}}", joined.join("")))
        .line("<Proxy balancer://c>")
        .line(format!("    BalancerMember {} hcmethod=GET hcinterval=100ms hcexpr=odd status=+C", web.url))
        .line("</Proxy>")
        .line("ProxyPass / balancer://c/")
        .start();
    wait_said(&httpd, BACK, &web.url, 1);
    httpd.assert_no_crash();
    httpd.assert_no_unexpected(&["[ssl:warn]"]);
}

#[test]
fn a_condition_that_httpd_does_not_understand_is_refused() {
    let verdict =
        Httpd::builder("hc-bad").front(Front::Margay).line("ProxyHCExpr bad {%{REQUEST_STATUS} =~ }").check();
    assert!(!verdict.ok);
    for text in ["Syntax error on line", "Could not parse expression", "MGY0909"] {
        assert!(verdict.text.contains(text), "{}", verdict.text);
    }
}
