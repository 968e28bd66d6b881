// SPDX-License-Identifier: Apache-2.0
//! Nodes that do not refuse but are silent: how long that costs whom.

mod support;

use std::time::{Duration, Instant};

use support::ajp_peer::{After, Peer};
use support::ajp_text::{chunk_packet, headers_packet};
use support::black_hole::BlackHole;
use support::client::Client;
use support::httpd::Httpd;
use support::pair::{DEAD_NODE, balancer, get, over, seen_by, two_peers};

/// Makes a node take requests and never answer.
fn silence(peer: &Peer) {
    peer.set_script(|conn, _| {
        conn.wait_until_told();
        Ok(After::Close)
    });
}

/// Five more requests, each faster than a second try at a silent node could be.
fn assert_left_alone(httpd: &Httpd, limit: Duration) {
    let start = Instant::now();
    for _ in 0..5 {
        assert_eq!(get(httpd, "").text(), "B");
    }
    assert!(start.elapsed() < limit, "the silent node was asked again: {:?}", start.elapsed());
}

#[test]
fn host_without_power_costs_the_connection_timeout_once() {
    let (hole, b) = (BlackHole::open(), Peer::named("B"));
    let httpd = over("blackhole", &hole.url(), &b.url(), "connectiontimeout=500ms", "").start();
    let start = Instant::now();
    assert_eq!(get(&httpd, "").text(), "B");
    assert!(start.elapsed() >= Duration::from_millis(450), "A was not tried");
    assert!(start.elapsed() < Duration::from_secs(10), "`connectiontimeout` was not heeded");
    assert_left_alone(&httpd, Duration::from_millis(450));
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn silent_node_costs_the_timeout_once() {
    let (a, b) = two_peers();
    let httpd = balancer("silent", &a, &b, "timeout=1", "").start();
    silence(&a);
    let start = Instant::now();
    assert_eq!(get(&httpd, "").text(), "B");
    assert!(start.elapsed() >= Duration::from_millis(900), "A was not asked");
    assert_left_alone(&httpd, Duration::from_millis(900));
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn node_without_cpong_is_passed_over() {
    let (a, b) = two_peers();
    a.answer_cping(false);
    let httpd = balancer("nocpong", &a, &b, "timeout=5 ping=1", "").start();
    assert_eq!(get(&httpd, "").text(), "B");
    assert_left_alone(&httpd, Duration::from_millis(900));
    assert_eq!(a.requests(), 0, "a request was sent to a node that did not answer a CPing");
    assert!((1..=2).contains(&a.cpings()), "{} CPings", a.cpings());
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn node_that_is_slow_after_cpong_gives_504_and_stays_in_use() {
    let (a, b) = two_peers();
    let httpd = balancer("slow", &a, &b, "timeout=1 ping=1", "stickysession=JSESSIONID").start();
    silence(&a);
    // It lives, its application is slow: its sessions stay with it.
    for _ in 0..2 {
        assert_eq!(seen_by(&httpd, "JSESSIONID=s.A"), "504");
    }
    assert_eq!((a.requests(), b.requests()), (2, 0));
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn single_silent_node_gives_an_error_after_its_timeout() {
    let a = Peer::named("A");
    silence(&a);
    let httpd = Httpd::builder("single").line(format!("ProxyPass / {}/ timeout=1", a.url())).start();
    let start = Instant::now();
    let status = Client::new(httpd.address()).post("/x", b"body").expect("a response").status;
    assert_eq!(status, 500);
    assert!(start.elapsed() >= Duration::from_millis(900) && start.elapsed() < Duration::from_secs(20));
    assert_eq!(a.requests(), 1);
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn dead_cluster_is_waited_for_as_long_as_the_balancer_says() {
    let (a, b) = two_peers();
    let pass = "forcerecovery=Off timeout=1";
    let httpd = balancer("wait", &a, &b, "retry=60", pass).start();
    a.go_down();
    b.go_down();
    assert_eq!(get(&httpd, "").status, 503);
    let start = Instant::now();
    assert_eq!(get(&httpd, "").status, 503);
    assert!(start.elapsed() >= Duration::from_millis(800), "after {:?}", start.elapsed());
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn long_answer_that_breaks_off_is_cut_for_the_client_too() {
    for announced in [None, Some("1000000")] {
        let (a, b) = two_peers();
        let httpd = balancer("bulk", &a, &b, "", "stickysession=JSESSIONID").start();
        a.set_script(move |conn, _| {
            let length = announced.map(|length| ("Content-Length", length));
            conn.send(&headers_packet(200, &length.into_iter().collect::<Vec<_>>()))?;
            for _ in 0..20 {
                conn.send(&chunk_packet(&[b'a'; 8184]))?;
            }
            Ok(After::Close)
        });
        let response = get(&httpd, "JSESSIONID=s.A");
        let only_a = response.body.iter().all(|&byte| byte == b'a');
        assert_eq!(response.status, 200);
        assert!(!response.complete, "{announced:?}: {} bytes look complete", response.body.len());
        assert!(only_a && response.body.len() <= 20 * 8184, "{announced:?}: something was appended");
        assert_eq!(b.requests(), 0, "{announced:?}: asked another node after bytes had gone to the client");
        httpd.assert_no_unexpected(DEAD_NODE);
    }
}
