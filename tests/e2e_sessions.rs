// SPDX-License-Identifier: Apache-2.0
//! Sessions stay on their node, in front of two real Tomcats.

mod support;

use support::client::Client;
use support::httpd::{Builder, Front, Httpd, free_port};
use support::tomcat::Tomcat;
use support::{Shared, scratch_dir};

/// Two Tomcats, TomcatA and TomcatB.
struct Cluster {
    a: Tomcat,
    b: Tomcat,
}

static CLUSTER: Shared<Cluster> = Shared::new();

fn cluster() -> Cluster {
    let launch = |route: &str| Tomcat::launch(scratch_dir(route), route, free_port());
    let mut cluster = Cluster { a: launch("TomcatA"), b: launch("TomcatB") };
    cluster.a.wait_ready(|_| {});
    cluster.b.wait_ready(|_| {});
    cluster
}

fn front(cluster: &Cluster, name: &str, proxy_pass: &str) -> Builder {
    Httpd::builder(name)
        .line("<Proxy balancer://mycluster>")
        .line(format!("    BalancerMember {} route={}", cluster.a.url(), cluster.a.route()))
        .line(format!("    BalancerMember {} route={}", cluster.b.url(), cluster.b.route()))
        .line("</Proxy>")
        .line(proxy_pass)
        .line("ProxyPassReverse / balancer://mycluster/")
}

/// The node and the counter of eight requests of one client that keeps its cookies.
fn eight_requests(httpd: &Httpd) -> Vec<(String, String)> {
    let mut client = Client::with_cookies(httpd.address());
    (0..8)
        .map(|_| {
            let response = client.get("/").expect("a response");
            assert_eq!(response.status, 200, "{}", response.text());
            let line = |name| response.line(name).expect("the page shows it");
            (line("node"), line("count"))
        })
        .collect()
}

#[track_caller]
fn assert_sticks(visits: &[(String, String)]) {
    let counts: Vec<&str> = visits.iter().map(|(_, count)| count.as_str()).collect();
    assert!(visits.iter().all(|(node, _)| *node == visits[0].0), "the node changed: {visits:?}");
    assert_eq!(counts, ["1", "2", "3", "4", "5", "6", "7", "8"], "the session was lost: {visits:?}");
}

fn assert_eight_requests_stick(setting: &str) {
    let cluster = CLUSTER.get(cluster);
    let pass = format!("ProxyPass / balancer://mycluster/ stickysession={setting}");
    let httpd = front(&cluster, "sessions", &pass).start();
    for _ in 0..3 {
        assert_sticks(&eight_requests(&httpd));
    }
    httpd.assert_no_unexpected(&[]);
}

#[test]
fn session_sticks_with_both_names() {
    assert_eight_requests_stick("JSESSIONID|jsessionid");
}

#[test]
fn session_sticks_with_the_cookie_name() {
    assert_eight_requests_stick("JSESSIONID");
}

#[test]
fn session_sticks_with_the_tutorials_lower_case_name() {
    let cluster = CLUSTER.get(cluster);
    let pass = "ProxyPass / balancer://mycluster/ stickysession=jsessionid";
    let httpd = front(&cluster, "tutorial", pass).start();
    let visits = eight_requests(&httpd);
    match httpd.front() {
        Front::Margay => {
            assert_sticks(&visits);
            let notice = "JSESSIONID|jsessionid";
            assert!(httpd.error_log().contains(notice), "nothing names the line to write instead");
        }
        // The silent mistake of the tutorial: the names differ in case, every request opens a new session.
        _ => assert!(visits.iter().all(|(_, count)| count == "1"), "{visits:?}"),
    }
}

#[test]
fn session_in_the_url_sticks_without_a_cookie() {
    let cluster = CLUSTER.get(cluster);
    let pass = "ProxyPass / balancer://mycluster/ stickysession=JSESSIONID|jsessionid";
    let httpd = front(&cluster, "url", pass).start();
    for round in 0..2 {
        let mut first = Client::with_cookies(httpd.address());
        let opened = first.get("/").expect("a response");
        let (node, session) = (opened.line("node").unwrap(), opened.line("session").unwrap());
        let mut without = Client::new(httpd.address());
        for count in 2..8 {
            let query = if count % 2 == 0 { "" } else { "?x=1" };
            let response =
                without.get(&format!("/index.jsp;jsessionid={session}{query}")).expect("a response");
            assert_eq!(response.line("node").as_ref(), Some(&node), "round {round}");
            assert_eq!(response.line("count"), Some(count.to_string()));
        }
    }
    httpd.assert_no_unexpected(&[]);
}

#[test]
fn access_log_shows_where_the_route_came_from() {
    let cluster = CLUSTER.get(cluster);
    let pass = "ProxyPass / balancer://mycluster/ stickysession=JSESSIONID|jsessionid";
    let httpd = front(&cluster, "variables", pass).start();
    let mut client = Client::with_cookies(httpd.address());
    let node = client.get("/").expect("a response").line("node").expect("the page shows it");
    client.get("/").expect("a response");
    support::wait_until("two lines in the access log", support::PATIENCE, || {
        httpd.access_log().lines().count() == 2
    });
    let log = httpd.access_log();
    let lines: Vec<&str> = log.lines().collect();
    assert!(
        lines[0].contains(&format!("route={node} name=balancer://mycluster sticky=- sroute=- changed=1")),
        "{log}"
    );
    assert!(
        lines[1].contains(&format!(
            "route={node} name=balancer://mycluster sticky=JSESSIONID sroute={node} changed=-"
        )),
        "{log}"
    );
}
