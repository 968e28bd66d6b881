// SPDX-License-Identifier: Apache-2.0
//! The `JkLogFile`, on mod_jk and on Margay: the line for each request, time stamps, levels, files that servers share, and
//! programs.

mod support;

use std::fs;
use std::path::Path;

use support::ajp_peer::Peer;
use support::client::Client;
use support::httpd::{Front, Httpd, Mpm};
use support::{PATIENCE, jk, wait_until};

fn ask(httpd: &Httpd, host: &str, request: &str) {
    let mut client = Client::new(httpd.address());
    let method = request.split(' ').next().expect("a method");
    client
        .send_raw(format!("{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
        .expect("sent");
    client.read_response(method).expect("a response");
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// Waits for so many lines that contain `mark`.
fn lines_with(file: &Path, mark: &str, count: usize) -> Vec<String> {
    let found =
        || read(file).lines().filter(|line| line.contains(mark)).map(str::to_owned).collect::<Vec<_>>();
    wait_until("the lines in the log", PATIENCE, || found().len() >= count);
    found()
}

/// Digits of durations become `n`, so that two runs can be compared.
fn without_durations(line: &str) -> String {
    let Some(at) = line.find("T=") else { return line.to_owned() };
    let end = line[at..].find(' ').map_or(line.len(), |length| at + length);
    let masked: String =
        line[at + 2..end].chars().map(|c| if c.is_ascii_digit() { 'n' } else { c }).collect();
    let (whole, fraction) = masked.split_once('.').unwrap_or((&masked, ""));
    format!("{}T={}.{fraction}{}", &line[..at], if whole.is_empty() { "" } else { "n" }, &line[end..])
}

/// The lines that one front writes about a list of requests.
fn request_lines(front: Front) -> Vec<String> {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let httpd = jk::builder("jk-request-log", Some("lb"), &[("a", &a), ("b", &b)])
        .front(front)
        .line("ServerName main.test\nJkLogLevel emerg\nJkLogStampFormat \"req \"")
        .line("JkWorkerProperty worker.list=solo\nJkWorkerProperty worker.solo.host=127.0.0.1")
        .line(format!("JkWorkerProperty worker.solo.port={}", a.port()))
        .line("JkRequestLogFormat \"w=%w v=%v V=%V p=%p s=%s b=%b B=%B H=%H m=%m q=%q r=%r U=%U T=%T R=%R\"")
        .line("JkMount /lb/* lb\nJkMount /solo/* solo\nJkMount /bad/* nobody")
        .line("<VirtualHost *>\nServerName other.test:8123\nJkMount /lb/* lb\nJkRequestLogFormat \"other %w %v %s\"\n</VirtualHost>")
        .line("<VirtualHost *>\nServerName main.test\nJkMountCopy On\n</VirtualHost>")
        .line("<VirtualHost *>\nServerName nothing.test\nJkMountCopy Off\n</VirtualHost>")
        .start();
    for request in [
        "GET /solo/x",
        "GET /solo/x?q=1&r=%20",
        "GET /solo/%C3%BC;p=1",
        "HEAD /solo/x",
        "POST /solo/x",
        "GET /lb/x",
        "GET /lb/x;jsessionid=1.b",
        "GET /bad/x",
        "GET /none",
    ] {
        ask(&httpd, "main.test", request);
    }
    ask(&httpd, "other.test", "GET /lb/x");
    ask(&httpd, "nothing.test", "GET /lb/x");
    let lines = lines_with(&httpd.prefix().join("run/jk.log"), "req ", 9);
    let mut lines: Vec<String> = lines.iter().map(|line| without_durations(line)).collect();
    // A line is written when its response is out; the next request may be quicker.
    lines.sort();
    lines
}

#[test]
fn each_request_has_the_line_that_mod_jk_writes() {
    let (stock, ours) = (request_lines(Front::ModJk), request_lines(Front::chosen()));
    assert_eq!(ours, stock);
    assert!(stock.len() == 9 && stock[8].contains("w=solo v=main.test"), "{stock:#?}");
}

#[test]
fn lines_have_the_form_of_mod_jk_and_errors_are_in_httpds_log_too() {
    let httpd = jk::builder("jk-form", None, &[]).front(Front::Margay);
    let httpd = httpd
        .line("JkWorkerProperty worker.list=dead\nJkWorkerProperty worker.dead.port=1\nJkMount /* dead")
        .line("JkWorkerProperty worker.dead.host=127.0.0.1\nJkWorkerProperty worker.dead.retry_interval=1")
        .start();
    ask(&httpd, "x", "GET /x");
    let log = httpd.prefix().join("run/jk.log");
    let line = lines_with(&log, "[error]", 1).remove(0);
    // [Sun Nov 22 07:54:27.525 2026] [pid:tid] [level] function::file (line): text
    let parts: Vec<&str> = line.splitn(4, "] ").collect();
    let stamp: Vec<&str> = parts[0].trim_start_matches('[').split(' ').collect();
    assert!(stamp.len() == 5 && stamp[3].len() == "07:54:27.525".len(), "{line}");
    let (pid, tid) = parts[1].trim_start_matches('[').split_once(':').expect("process and thread");
    assert!(httpd.children().contains(&pid.parse().expect("a process")), "{line}");
    assert!(tid.parse::<u64>().is_ok() && parts[2] == "[error", "{line}");
    assert!(parts[3].starts_with("margay::MGY") && parts[3].contains(" (0): "), "{line}");
    let id = &parts[3]["margay::".len()..][..7];
    wait_until("the line in httpd's log", PATIENCE, || httpd.error_log().contains(id));
}

#[test]
fn levels_and_stamps_are_those_of_the_server() {
    let httpd = jk::builder("jk-level", None, &[])
        .front(Front::Margay)
        .line("JkLogLevel EMERG\nJkLogStampFormat \"<%Y %q> \"")
        .line("JkWorkerProperty worker.list=dead\nJkWorkerProperty worker.dead.port=1\nJkMount /* dead")
        .line("JkWorkerProperty worker.dead.host=127.0.0.1\nJkWorkerProperty worker.dead.retry_interval=1")
        .line("JkRequestLogFormat %s")
        .start();
    ask(&httpd, "x", "GET /x");
    let lines = lines_with(&httpd.prefix().join("run/jk.log"), "503", 1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (stamp, rest) = lines[0].split_once("> ").expect("a stamp");
    let (year, fraction) = stamp.trim_start_matches('<').split_once(' ').expect("two parts");
    assert!(year.len() == 4 && fraction.len() == 6 && rest == "503", "{lines:?}");
    assert_eq!(read(&httpd.prefix().join("run/jk.log")).lines().count(), 1);
}

#[test]
fn servers_share_a_file_or_have_their_own_and_a_program_may_read() {
    for mpm in Mpm::ALL {
        let a = Peer::named("A");
        let httpd = jk::builder("jk-shared", None, &[("a", &a)]).front(Front::Margay).mpm(mpm);
        let dir = support::scratch_dir("jk-logs");
        let own = dir.join("own.log");
        let piped = dir.join("piped.log");
        let httpd = httpd
            .line("JkRequestLogFormat \"%v %U\"\nJkMountCopy All\nJkMount /* a")
            .line(format!("<VirtualHost *>\nServerName first.test\nJkLogFile {}\n</VirtualHost>", own.display()))
            .line(format!("<VirtualHost *>\nServerName second.test\nJkLogFile {}\n</VirtualHost>", own.display()))
            .line("<VirtualHost *>\nServerName main.test\nJkLogLevel warn\n</VirtualHost>")
            .line(format!(
                "<VirtualHost *>\nServerName program.test\nJkLogFile \"|/bin/sh -c 'cat >> {}'\"\n</VirtualHost>",
                piped.display()
            ))
            .start();
        for round in 1..=2 {
            for host in ["first.test", "second.test", "main.test", "program.test"] {
                ask(&httpd, host, "GET /x");
            }
            assert_eq!(lines_with(&own, ".test /x", 2 * round).len(), 2 * round, "{mpm:?}");
            assert_eq!(lines_with(&piped, "program.test /x", round).len(), round, "{mpm:?}");
            let main = lines_with(&httpd.prefix().join("run/jk.log"), "main.test /x", round);
            assert_eq!(main.len(), round, "{mpm:?}");
            // Files are opened anew, so that they can be rotated.
            httpd.graceful();
        }
        assert!(httpd.stop());
        httpd.assert_no_crash();
    }
}

#[test]
fn a_log_that_cannot_be_opened_does_not_stop_the_server() {
    let a = Peer::named("A");
    let httpd = Httpd::builder("jk-nolog")
        .front(Front::Margay)
        .line("JkLogFile nowhere/jk.log\nJkWorkerProperty worker.list=a,dead")
        .line(format!(
            "JkWorkerProperty worker.a.port={}\nJkWorkerProperty worker.a.host=127.0.0.1",
            a.port()
        ))
        .line("JkWorkerProperty worker.dead.port=1\nJkWorkerProperty worker.dead.host=127.0.0.1")
        .line("JkMount /a a\nJkMount /dead dead")
        .start();
    ask(&httpd, "x", "GET /a");
    ask(&httpd, "x", "GET /dead");
    assert_eq!(a.requests(), 1);
    let log = httpd.error_log();
    assert!(log.contains("MGY5002") && log.contains("nowhere/jk.log"), "{log}");
}
