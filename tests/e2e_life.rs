// SPDX-License-Identifier: Apache-2.0
//! Living inside httpd: start, restarts under load, dying children and broken files, under every MPM.

mod support;

use std::sync::Arc;

use nix::sys::signal::Signal;
use support::ajp_peer::Peer;
use support::client::Client;
use support::httpd::{Builder, Httpd, Mpm};
use support::load::{Load, expect_ok};
use support::{PATIENCE, process, wait_until};

const RESTARTS: usize = 100;
/// What the memory may grow from the 20th restart to the last, in KiB per process. httpd alone moves by a few hundred.
const GROWTH_LIMIT: u64 = 2048;

fn balancer(name: &str, a: &Peer, b: &Peer) -> Builder {
    Httpd::builder(name)
        .line("<Proxy balancer://c>")
        .line(format!("    BalancerMember {} route=A", a.url()))
        .line(format!("    BalancerMember {} route=B", b.url()))
        .line("</Proxy>")
        .line("ProxyPass / balancer://c/ stickysession=JSESSIONID|jsessionid")
}

fn serves(httpd: &Httpd) -> bool {
    matches!(Client::new(httpd.address()).get("/x"), Ok(response) if response.status == 200)
}

/// Every request on a connection of its own: a kept one may be closed by a restart just when it is used.
fn fresh_request(client: &mut Client) -> Result<(), String> {
    let response = client.request("GET", "/x", &[("Connection", "close")], b"");
    expect_ok(response).map(|_| ())
}

fn survives_restarts(mpm: Mpm) {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    // Old processes finish their requests beside the new ones, so there must be room for both.
    let lines = match mpm {
        Mpm::Prefork => {
            "StartServers 4\nMinSpareServers 2\nMaxSpareServers 8\nServerLimit 64\nMaxRequestWorkers 64"
        }
        _ => {
            "ServerLimit 32\nStartServers 2\nThreadsPerChild 8\nMinSpareThreads 8\nMaxSpareThreads 64\n\
             MaxRequestWorkers 256"
        }
    };
    let httpd = balancer(&format!("life-{}", mpm.name()), &a, &b).mpm(mpm).mpm_lines(lines).start();
    let fresh = Load::start(2, httpd.address(), fresh_request);
    let kept = Load::start(2, httpd.address(), |client| expect_ok(client.get("/x")).map(|_| ()));
    let mut early = 0;
    for number in 1..=RESTARTS {
        httpd.graceful();
        fresh.wait_for_more(2);
        if number == 20 {
            early = httpd.parent_memory().rss;
        }
    }
    let late = httpd.parent_memory().rss;
    let outcomes = [fresh.stop(), kept.stop()];
    for outcome in &outcomes {
        assert!(outcome.failures.is_empty(), "{mpm:?}: failed: {:?}", outcome.failures);
    }
    assert!(late <= early + GROWTH_LIMIT, "{mpm:?}: the parent grew from {early} to {late} KiB");
    httpd.assert_no_crash();
    httpd.assert_no_unexpected(&[]);
    assert!(httpd.stop(), "{mpm:?}: httpd did not stop in time");
}

#[test]
fn event_survives_100_graceful_restarts_under_load() {
    survives_restarts(Mpm::Event);
}

#[test]
fn worker_survives_100_graceful_restarts_under_load() {
    survives_restarts(Mpm::Worker);
}

#[test]
fn prefork_survives_100_graceful_restarts_under_load() {
    survives_restarts(Mpm::Prefork);
}

#[test]
fn every_mpm_checks_starts_and_stops_cleanly() {
    for mpm in Mpm::ALL {
        let (a, b) = (Peer::named("A"), Peer::named("B"));
        let builder = balancer("start", &a, &b).mpm(mpm);
        let verdict = builder.check();
        assert!(verdict.ok && verdict.text.contains("Syntax OK"), "{mpm:?}: {}", verdict.text);
        let httpd = builder.start();
        assert!(serves(&httpd), "{mpm:?}");
        assert!(httpd.stop(), "{mpm:?}: httpd did not stop in time");
        httpd.assert_no_unexpected(&[]);
    }
}

#[test]
fn running_request_finishes_during_a_graceful_restart() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    for peer in [&a, &b] {
        peer.set_script(|conn, _| {
            conn.wait_until_told();
            conn.answer(200, &[], &[b"late"])
        });
    }
    let httpd = balancer("running", &a, &b).start();
    let address = httpd.address();
    let waiting = std::thread::spawn(move || Client::new(address).get("/x"));
    wait_until("the request to reach a node", PATIENCE, || a.requests() + b.requests() == 1);
    httpd.graceful();
    a.tell();
    b.tell();
    let response = waiting.join().expect("no panic").expect("a response");
    assert_eq!((response.status, response.text().as_str()), (200, "late"));
    httpd.assert_no_unexpected(&[]);
}

#[test]
fn killed_child_leaves_no_counter_wrong() {
    for mpm in Mpm::ALL {
        let (a, b) = (Arc::new(Peer::named("A")), Arc::new(Peer::named("B")));
        let httpd =
            balancer("kill9", &a, &b).mpm(mpm).line("ProxySet balancer://c lbmethod=bybusyness").start();
        assert!(serves(&httpd));
        a.set_script(|conn, _| {
            conn.wait_until_told();
            conn.answer(200, &[], &[b"A"])
        });
        // Several requests hang in A when their processes are killed: its busy counter must come down again.
        let address = httpd.address();
        let before = a.requests();
        let hanging: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(move || {
                    let _ = Client::new(address).get_with_cookie("/x", "JSESSIONID=s.A");
                })
            })
            .collect();
        wait_until("requests to hang in A", PATIENCE, || a.requests() == before + 4);
        let killed = httpd.children();
        for &pid in &killed {
            process::signal(pid, Signal::SIGKILL);
        }
        for thread in hanging {
            thread.join().expect("no panic");
        }
        wait_until("new children", PATIENCE, || {
            let now = httpd.children();
            !now.is_empty() && now.iter().all(|pid| !killed.contains(pid))
        });
        a.tell();
        let mut served = (0, 0);
        for _ in 0..20 {
            match Client::new(address).get("/x").expect("a response").text().as_str() {
                "A" => served.0 += 1,
                "B" => served.1 += 1,
                other => panic!("{mpm:?}: {other}"),
            }
        }
        // With idle nodes bybusyness takes turns; a counter left over would keep A out for ever.
        if httpd.front().is_margay() {
            assert!(served.0 >= 8, "{mpm:?}: A got {} of 20 requests", served.0);
        }
        // The kill itself is in the log, nothing else.
        httpd.assert_no_unexpected(&["exit signal Killed (9)"]);
    }
}

/// A line that no module of the family accepts.
const BROKEN: &str = "BalancerMember ajp://127.0.0.1:8009 rout=A";

#[test]
fn broken_line_is_refused_at_start_and_at_the_check() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let broken =
        |name: &str| balancer(name, &a, &b).line("<Proxy balancer://d>").line(BROKEN).line("</Proxy>");
    let checked = broken("broken-check").check();
    assert!(!checked.ok, "accepted: {}", checked.text);
    let started = broken("broken-start").start_refused();
    assert!(!started.ok);
    for verdict in [&checked, &started] {
        assert!(verdict.text.contains("Syntax error on line"), "{}", verdict.text);
        assert!(verdict.text.contains("httpd.conf"), "{}", verdict.text);
    }
    if support::httpd::Front::chosen().is_margay() {
        assert!(checked.text.contains("rout"), "the word is not named: {}", checked.text);
        assert!(checked.text.contains("route"), "no proposal: {}", checked.text);
    }
}

#[test]
fn broken_line_at_a_reload_keeps_the_last_good_configuration() {
    let (a, b) = (Peer::named("A"), Peer::named("B"));
    let httpd = balancer("reload", &a, &b).start();
    assert!(serves(&httpd));
    httpd.rewrite(|lines| {
        lines.push(format!("<Proxy balancer://d>\n{BROKEN}\n</Proxy>"));
    });
    assert!(!httpd.check().ok, "-t accepts what a reload has to report");
    if !httpd.front().is_margay() {
        // Stock ends the server here; that is what is being improved.
        httpd.ask_graceful();
        wait_until("stock httpd to give up", PATIENCE, || !httpd.is_running());
        return;
    }
    httpd.graceful();
    assert!(httpd.is_running());
    for _ in 0..4 {
        assert!(serves(&httpd), "the last good configuration does not serve");
    }
    let log = httpd.error_log();
    let loud = log.lines().find(|line| line.contains("rout") && support::log::is_alarming(line));
    assert!(loud.is_some(), "nothing at warn or worse names the word:\n{log}");
    // Repaired, it counts again.
    httpd.rewrite(|lines| {
        lines.pop();
        lines.push("ProxyPass /never !".to_string());
    });
    assert!(httpd.check().ok, "{}", httpd.check().text);
    httpd.graceful();
    assert!(serves(&httpd));
    httpd.assert_no_crash();
}
