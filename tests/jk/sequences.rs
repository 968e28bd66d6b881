// SPDX-License-Identifier: Apache-2.0
//! The recorded sequences: which member gets which request, with which route, activation and cookie.

use margay::config::Plan;
use margay::config::jk::plan::{Activation, FailOnStatus, JkBalancerId, JkMethod, JkTarget, RuleExtensions};
use margay::config::plan::MemberId;
use margay::proxy::Outcome;
use margay::proxy::jk::JkVariables;
use serde::Deserialize;

use crate::ajp_peer::Peer;
use crate::exchange::{Call, FakeExchange};
use crate::stage::{self, Ask, Stage, jk};

#[derive(Deserialize)]
struct Case {
    name: String,
    members: Vec<String>,
    properties: Vec<String>,
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Request {
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

fn cases() -> Vec<Case> {
    let file = crate::source_dir().join("tests/vectors/ajp/balancer/cases.json");
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

fn set(plan: &mut Plan, members: &[String], line: &str) {
    let (name, value) = line.split_once('=').unwrap();
    let (worker, attribute) = name.strip_prefix("worker.").unwrap().split_once('.').unwrap();
    if worker == "lb" {
        let balancer = &mut plan.jk.balancers[0];
        match attribute {
            "method" => {
                balancer.method = match value.as_bytes()[0] {
                    b'S' => JkMethod::Session,
                    b'N' => JkMethod::Next,
                    b'T' => JkMethod::Traffic,
                    b'B' => JkMethod::Busyness,
                    _ => panic!("{line}"),
                }
            }
            "set_session_cookie" => balancer.set_session_cookie = value == "true",
            "session_cookie" => value.clone_into(&mut balancer.session_cookie),
            "session_cookie_path" => value.clone_into(&mut balancer.session_cookie_path),
            "sticky_session" => balancer.sticky = value == "true",
            "sticky_session_force" => balancer.sticky_force = value == "true",
            _ => panic!("{line}"),
        }
        return;
    }
    for at in (0..members.len()).filter(|at| worker == "template" || members[*at] == worker) {
        match attribute {
            "lbfactor" => jk(plan, at).lbfactor = value.parse().unwrap(),
            "distance" => jk(plan, at).distance = value.parse().unwrap(),
            "activation" if value == "D" => jk(plan, at).activation = Activation::Disabled,
            "activation" => jk(plan, at).activation = Activation::Stopped,
            "fail_on_status" => jk(plan, at).fail_on_status = FailOnStatus(vec![value.parse().unwrap()]),
            "port" => plan.members[at].port = value.parse().unwrap(),
            "redirect" => value.clone_into(&mut plan.members[at].redirect),
            "domain" => value.clone_into(&mut jk(plan, at).domain),
            "route" => {
                value.clone_into(&mut plan.members[at].route);
                if let Some((domain, _)) = value.split_once('.') {
                    domain.clone_into(&mut jk(plan, at).domain);
                }
            }
            _ => panic!("{line}"),
        }
    }
}

/// The directives that all cases have in common.
fn asked(target: &str) -> Ask<'_> {
    let mut extensions = RuleExtensions::default();
    if target.starts_with("/ext/") {
        extensions.session_cookie = Some("XX".into());
        extensions.session_path = Some(";yy".into());
        extensions.set_session_cookie = Some(true);
        extensions.session_cookie_path = Some("/foo".into());
    }
    let activation = match target.get(..5) {
        Some("/dis/") => Some(Activation::Disabled),
        Some("/stp/") => Some(Activation::Stopped),
        _ => None,
    };
    extensions.activation = activation.map(|activation| (MemberId(0), activation)).into_iter().collect();
    let route = target.split_once("route-").map(|(_, route)| route.as_bytes());
    let variables = JkVariables {
        stateless: target.contains("stless"),
        sticky_ignore: target.contains("ignore"),
        route,
        ..JkVariables::default()
    };
    Ask { extensions, variables, ..Ask::default() }
}

/// What differs from the recording, and why: see docs/differences.md.
fn expected_route(case: &str, request: &Request) -> String {
    let recorded = request.jvm_route.clone().unwrap_or_default();
    if recorded.starts_with("(garbage") {
        return if request.target.contains("1.dom") { "dom" } else { "d" }.into();
    }
    // The route of a member that failed before is of no use to the one that gets the request.
    let after_failover = case.starts_with("fail");
    if after_failover { request.worker.clone().unwrap_or_default() } else { recorded }
}

fn expected_cookies(case: &str, request: &Request) -> Vec<String> {
    match case {
        // The rule's name and path count for the cookie, too.
        "rule-session-cookie" if !request.set_cookie.is_empty() => vec!["XX=.a;PATH=/foo;HttpOnly".into()],
        // One cookie only: that of the member that answers.
        "failover-set-cookie" => vec!["JSESSIONID=.b;PATH=/;HttpOnly".into()],
        _ => request.set_cookie.clone(),
    }
}

fn play(case: &Case) {
    let peers: Vec<Peer> = case.members.iter().map(|_| peer()).collect();
    let workers: Vec<(&str, u16)> =
        case.members.iter().map(String::as_str).zip(peers.iter().map(Peer::port)).collect();
    let mut plan = stage::plan(&workers);
    for line in &case.properties {
        set(&mut plan, &case.members, line);
    }
    let stage = Stage::new(plan, JkTarget::Balancer(JkBalancerId(0)));
    for (number, request) in case.requests.iter().enumerate() {
        let what = format!("{}, request {number}: {}", case.name, request.target);
        peers.iter().for_each(Peer::forget);
        let (uri, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let mut exchange = FakeExchange::get();
        if !query.is_empty() {
            exchange = exchange.query(query);
        }
        for header in &request.headers {
            let (name, value) = header.split_once(": ").unwrap();
            exchange = exchange.header(name, value);
        }
        let outcome = stage.ask(uri, &asked(uri), &mut exchange);
        let status = match outcome {
            Outcome::Answer(status) => Some(status),
            _ => exchange.status(),
        };
        assert_eq!(status, Some(request.status), "{what}: {:?}", exchange.lines());
        let seen: usize = peers.iter().map(Peer::requests).sum();
        assert_eq!(seen, request.backend_requests.unwrap_or(0), "{what}");
        let Some(worker) = &request.worker else { continue };
        let last = exchange.tried.last().map(|(name, _)| name.as_str());
        assert_eq!(last, Some(worker.as_str()), "{what}");
        let at = case.members.iter().position(|name| name == worker).unwrap();
        let head = peers[at].seen().pop().expect(&what).head;
        assert_eq!(Some(&head.uri), request.forwarded_uri.as_ref(), "{what}");
        let attribute = |wanted: &str| {
            head.attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
        };
        assert_eq!(attribute("6"), Some(expected_route(&case.name, request)), "{what}");
        assert_eq!(attribute("JK_LB_ACTIVATION"), request.activation, "{what}");
        let cookies: Vec<String> = exchange
            .calls
            .iter()
            .rev()
            .take_while(|call| **call != Call::Forget)
            .filter_map(|call| match call {
                Call::Header(name, value) if name == "Set-Cookie" => Some(value.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(cookies, expected_cookies(&case.name, request), "{what}");
    }
}

#[test]
fn members_get_the_requests_of_the_recorded_sequences() {
    let cases = cases();
    assert_eq!(cases.len(), 23);
    for case in &cases {
        play(case);
    }
}
