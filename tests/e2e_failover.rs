// SPDX-License-Identifier: Apache-2.0
//! A node dies: nobody notices who need not, and it is used again when it is back.

mod support;

use std::time::{Duration, Instant};

use support::ajp_peer::After;
use support::client::Client;
use support::httpd::{Front, Httpd, free_port};
use support::load::{Load, expect_ok};
use support::pair::{DEAD_NODE, balancer, get, seen_by, two_peers};
use support::tomcat::Tomcat;
use support::{PATIENCE, scratch_dir, wait_until};

#[test]
fn killed_tomcat_under_load_fails_no_idempotent_request_and_comes_back_within_retry() {
    let launch = |route: &str| Tomcat::launch(scratch_dir(route), route, free_port());
    let (mut a, mut b) = (launch("TomcatA"), launch("TomcatB"));
    a.wait_ready(|_| {});
    b.wait_ready(|_| {});
    let retry = Duration::from_secs(3);
    let httpd = Httpd::builder("kill9")
        .line("<Proxy balancer://c>")
        .line(format!("    BalancerMember {} route=TomcatA retry={}", a.url(), retry.as_secs()))
        .line(format!("    BalancerMember {} route=TomcatB retry={}", b.url(), retry.as_secs()))
        .line("</Proxy>")
        .line("ProxyPass / balancer://c/ stickysession=JSESSIONID|jsessionid")
        .start();
    let load = Load::start(4, httpd.address(), |client| expect_ok(client.get("/")).map(|_| ()));
    load.wait_for_more(200);
    a.kill_9();
    load.wait_for_more(400);
    a.restart();
    let back = Instant::now();
    wait_until("TomcatA to be used again", PATIENCE, || {
        let mut fresh = Client::new(httpd.address());
        fresh.get("/").expect("a response").line("node").as_deref() == Some("TomcatA")
    });
    let took = back.elapsed();
    let outcome = load.stop();
    assert!(outcome.failures.is_empty(), "failed: {:?}", outcome.failures);
    assert!(took < retry + Duration::from_secs(2), "the node was used again only after {took:?}");
    httpd.assert_no_crash();
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn refusing_node_costs_one_attempt_and_no_request() {
    let (a, b) = two_peers();
    let httpd = balancer("refuse", &a, &b, "", "").start();
    a.go_down();
    for _ in 0..5 {
        assert_eq!(get(&httpd, "").text(), "B");
        let posted = Client::new(httpd.address()).post("/x", b"body").expect("a response");
        assert_eq!(posted.text(), "B");
    }
    let bodies: Vec<Vec<u8>> = b.seen().into_iter().map(|seen| seen.body).filter(|b| !b.is_empty()).collect();
    assert_eq!(bodies, vec![b"body".to_vec(); 5]);
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn long_body_survives_a_refusing_node() {
    let (a, b) = two_peers();
    let httpd = balancer("longbody", &a, &b, "", "stickysession=JSESSIONID").start();
    a.go_down();
    let body = vec![b'q'; 50_000];
    let mut client = Client::new(httpd.address());
    let response = client.request("POST", "/x", &[("Cookie", "JSESSIONID=s.A")], &body).expect("a response");
    assert_eq!((response.status, response.text().as_str()), (200, "B"));
    assert_eq!(b.seen()[0].body, body);
}

#[test]
fn no_second_attempt_with_maxattempts_0() {
    let (a, b) = two_peers();
    let httpd = balancer("maxattempts", &a, &b, "", "maxattempts=0").start();
    a.go_down();
    assert_eq!(get(&httpd, "").status, 503);
    for _ in 0..3 {
        assert_eq!(get(&httpd, "").text(), "B");
    }
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn get_moves_on_when_the_node_closes_without_an_answer() {
    let (a, b) = two_peers();
    let httpd = balancer("closes", &a, &b, "", "").start();
    a.set_script(|_, _| Ok(After::Close));
    for _ in 0..5 {
        assert_eq!(get(&httpd, "").text(), "B");
    }
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn post_is_never_given_to_a_second_node() {
    for body in [&b""[..], b"payload"] {
        for after in [After::Close, After::Reset] {
            let (a, b) = two_peers();
            let httpd = balancer("post", &a, &b, "", "stickysession=JSESSIONID").start();
            a.set_script(move |conn, head| {
                conn.read_first_body(head)?;
                Ok(after)
            });
            let mut client = Client::new(httpd.address());
            let response =
                client.request("POST", "/x", &[("Cookie", "JSESSIONID=s.A")], body).expect("a response");
            assert_eq!(response.status, 500);
            assert_eq!((a.requests(), b.requests()), (1, 0));
            httpd.assert_no_unexpected(DEAD_NODE);
        }
    }
}

#[test]
fn dead_cluster_answers_503_and_serves_when_a_node_is_back() {
    let (a, b) = two_peers();
    let httpd = balancer("alldead", &a, &b, "", "").start();
    a.go_down();
    b.go_down();
    for _ in 0..5 {
        assert_eq!(get(&httpd, "").status, 503);
    }
    // forcerecovery is on by default: nobody has to wait for `retry`.
    b.come_back();
    assert_eq!(get(&httpd, "").text(), "B");
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn without_forced_recovery_a_dead_cluster_is_left_alone_for_retry() {
    let (a, b) = two_peers();
    let httpd = balancer("noforce", &a, &b, "retry=60", "forcerecovery=Off").start();
    a.go_down();
    b.go_down();
    assert_eq!(get(&httpd, "").status, 503);
    a.come_back();
    b.come_back();
    let before = (a.connections(), b.connections());
    for _ in 0..3 {
        assert_eq!(get(&httpd, "").status, 503);
    }
    assert_eq!((a.connections(), b.connections()), before, "a node in error state was asked");
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn nofailover_keeps_sessions_off_other_nodes() {
    let (a, b) = two_peers();
    let pass = "stickysession=JSESSIONID|jsessionid nofailover=On";
    let httpd = balancer("nofailover", &a, &b, "retry=2", pass).start();
    assert_eq!(seen_by(&httpd, "JSESSIONID=s.A"), "A");
    a.go_down();
    let connections = a.connections();
    assert_eq!(seen_by(&httpd, "JSESSIONID=s.A"), "503");
    let failed = Instant::now();
    a.come_back();
    if failed.elapsed() < Duration::from_secs(1) {
        assert_eq!(seen_by(&httpd, "JSESSIONID=s.A"), "503", "the node was asked before `retry` was over");
        assert_eq!(a.connections(), connections);
    }
    assert_eq!(seen_by(&httpd, ""), "B");
    assert_eq!(seen_by(&httpd, "JSESSIONID=s.B"), "B");
    assert_eq!(seen_by(&httpd, "JSESSIONID=s.ZZZ"), "B");
    wait_until("A to be used again", PATIENCE, || seen_by(&httpd, "JSESSIONID=s.A") == "A");
    assert!(failed.elapsed() >= Duration::from_millis(1900), "before `retry` was over");
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn session_of_a_dead_node_moves_and_returns_after_retry() {
    let (a, b) = two_peers();
    let httpd = balancer("moves", &a, &b, "retry=2", "stickysession=JSESSIONID|jsessionid").start();
    assert_eq!(seen_by(&httpd, "JSESSIONID=s.A"), "A");
    a.go_down();
    assert_eq!(seen_by(&httpd, "JSESSIONID=s.A"), "B");
    let failed = Instant::now();
    a.come_back();
    wait_until("A to be used again", PATIENCE, || seen_by(&httpd, "JSESSIONID=s.A") == "A");
    assert!(failed.elapsed() >= Duration::from_millis(1900), "before `retry` was over");
    assert!(failed.elapsed() <= Duration::from_secs(6), "long after `retry`");
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn connection_closed_while_idle_costs_no_request() {
    let (a, b) = two_peers();
    let httpd = balancer("idle", &a, &b, "", "stickysession=JSESSIONID").start();
    for round in 1..=5 {
        let mut client = Client::new(httpd.address());
        let headers = [("Cookie", "JSESSIONID=s.A")];
        let posted = client.request("POST", "/x", &headers, b"body").expect("a response");
        assert_eq!((posted.status, posted.text().as_str()), (200, "A"), "round {round}");
        a.close_connections();
        wait_until("the connection to be closed", PATIENCE, || a.closed() == round);
    }
    assert_eq!((a.requests(), b.requests()), (5, 0));
    httpd.assert_no_unexpected(&[]);
}

#[test]
fn graceful_restart_keeps_or_forgets_the_error_state_as_documented() {
    let (a, b) = two_peers();
    let httpd = balancer("restart", &a, &b, "retry=600", "stickysession=JSESSIONID").start();
    a.go_down();
    assert_eq!(seen_by(&httpd, "JSESSIONID=s.A"), "B");
    a.come_back();
    httpd.graceful();
    let expected = match httpd.front() {
        // State lives as long as the server: a reload is no reason to trust a node that failed.
        Front::Margay => "B",
        _ => "A",
    };
    wait_until("the new children", PATIENCE, || seen_by(&httpd, "JSESSIONID=s.A") == expected);
    httpd.assert_no_unexpected(DEAD_NODE);
}

#[test]
fn retry_0_means_that_a_failed_node_is_asked_again_at_once() {
    let (a, b) = two_peers();
    let httpd = balancer("retry0", &a, &b, "retry=0", "stickysession=JSESSIONID").start();
    for round in 0..10 {
        a.go_down();
        assert_eq!(seen_by(&httpd, "JSESSIONID=s.A"), "B");
        a.come_back();
        assert_eq!(seen_by(&httpd, "JSESSIONID=s.A"), "A", "round {round}");
    }
    httpd.assert_no_unexpected(DEAD_NODE);
}
