// SPDX-License-Identifier: Apache-2.0
//! Attempts, rounds and states: who is asked how often, and what it leaves behind.

use std::time::Duration;

use margay::config::Plan;
use margay::config::jk::plan::{FailOnStatus, Recovery, RuleExtensions};
use margay::proxy::Outcome;
use margay::proxy::jk::JkVariables;
use margay::shared::{JkCounter, JkState};

use crate::ajp_peer::{After, Conn, Peer};
use crate::ajp_text::{Head, chunk_packet, end_packet, headers_packet};
use crate::exchange::FakeExchange;
use crate::stage::{Ask, Stage, jk};

fn hangs_up(conn: &mut Conn, head: &Head) -> std::io::Result<After> {
    conn.read_first_body(head)?;
    Ok(After::Close)
}

/// Answers once the test says so, or not at all.
fn silent(conn: &mut Conn, head: &Head) -> std::io::Result<After> {
    conn.read_first_body(head)?;
    conn.wait_for_close(Duration::from_secs(20));
    Ok(After::Close)
}

fn each(plan: &mut Plan, edit: impl Fn(&mut margay::config::jk::plan::JkMember)) {
    for member in 0..plan.members.len() {
        edit(jk(plan, member));
    }
}

fn quick(plan: &mut Plan) {
    each(plan, |member| member.reply_timeout = Some(Duration::from_millis(50)));
}

#[test]
fn with_the_defaults_two_members_are_asked_eight_times() {
    let (a, b) = (Peer::start(hangs_up), Peer::start(hangs_up));
    let stage = Stage::balanced(&[&a, &b], |_| {});
    let mut exchange = FakeExchange::get();
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Answer(502));
    assert_eq!((a.requests(), b.requests()), (4, 4));
    assert_eq!(exchange.tried.len(), 4);
}

#[test]
fn only_as_many_members_as_lb_retries_are_asked_in_a_round() {
    let peers = [Peer::start(hangs_up), Peer::start(hangs_up), Peer::named("c")];
    let stage = Stage::balanced(&[&peers[0], &peers[1], &peers[2]], |plan| {
        plan.jk.balancers[0].retries = 1;
        each(plan, |member| member.retries = 1);
    });
    assert_eq!(stage.play("/x", &mut FakeExchange::get()), Outcome::Answer(502));
    assert_eq!(peers[2].requests(), 0);
    assert_eq!(stage.text_of_get("/x"), "c");
}

#[test]
fn a_failed_member_is_left_alone_until_recover_time_is_over_and_then_tried_by_one_request() {
    let (a, b) = (Peer::start(hangs_up), Peer::named("b"));
    let stage = Stage::balanced(&[&a, &b], |_| {});
    assert_eq!(stage.text_of_get("/x"), "b");
    assert_eq!(stage.slot(0).state(), JkState::Error);
    assert_eq!(stage.slot(0).count(JkCounter::Errors), 1);
    let asked = a.requests();
    assert_eq!(stage.text_of_get("/x"), "b");
    assert_eq!(a.requests(), asked);

    stage.wait(Duration::from_secs(61));
    assert_eq!(stage.slot(0).state(), JkState::Recover);
    assert_eq!(stage.slot(0).lb_value(), stage.slot(1).lb_value());
    a.set_script(|conn, _| conn.answer(200, &[], &[b"a"]));
    // Another process has taken the trial.
    stage.slot(0).set_state(JkState::Probe);
    assert_eq!(stage.text_of_get("/x"), "b");
    stage.slot(0).set_state(JkState::Recover);
    assert_eq!(stage.text_of_get("/x;jsessionid=1.a"), "a");
    assert_eq!(stage.slot(0).state(), JkState::Ok);
    assert_eq!(stage.slot(0).first_error().0, 0);
}

#[test]
fn a_reply_timeout_is_504_and_marks_the_member_above_max_reply_timeouts() {
    let peer = Peer::start(silent);
    let stage = Stage::balanced(&[&peer], |plan| {
        quick(plan);
        plan.jk.balancers[0].max_reply_timeouts = 1;
        plan.jk.balancers[0].retries = 1;
        each(plan, |member| member.retries = 1);
    });
    assert_eq!(stage.play("/x", &mut FakeExchange::get()), Outcome::Answer(504));
    assert_eq!((stage.slot(0).state(), stage.slot(0).count(JkCounter::ReplyTimeouts)), (JkState::Ok, 1));
    assert_eq!(stage.play("/x", &mut FakeExchange::get()), Outcome::Answer(504));
    assert_eq!(stage.slot(0).state(), JkState::Error);
}

#[test]
fn the_variable_wins_over_the_rule_and_the_rule_over_the_worker() {
    let peer = Peer::start(silent);
    let stage = Stage::alone(&peer, |plan| each(plan, |member| member.retries = 1));
    let short = Some(Some(Duration::from_millis(40)));
    let by_rule = Ask {
        extensions: RuleExtensions { reply_timeout: short, ..RuleExtensions::default() },
        ..Ask::default()
    };
    assert_eq!(stage.ask("/x", &by_rule, &mut FakeExchange::get()), Outcome::Answer(504));
    let by_variable = Ask {
        extensions: RuleExtensions { reply_timeout: Some(None), ..RuleExtensions::default() },
        variables: JkVariables { reply_timeout: short, ..JkVariables::default() },
        ..Ask::default()
    };
    assert_eq!(stage.ask("/x", &by_variable, &mut FakeExchange::get()), Outcome::Answer(504));
}

#[test]
fn a_socket_timeout_is_a_lost_connection() {
    let peer = Peer::start(silent);
    let stage = Stage::alone(&peer, |plan| each(plan, |m| m.socket_timeout = Duration::from_millis(40)));
    let mut exchange = FakeExchange::get();
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Answer(502));
    assert_eq!(peer.requests(), 2);
    assert!(exchange.lines()[0].2.contains("socket_timeout"), "{:?}", exchange.lines());
}

#[test]
fn nobody_to_connect_to_is_503() {
    let peer = Peer::named("gone");
    let stage = Stage::alone(&peer, |_| {});
    peer.go_down();
    assert_eq!(stage.play("/x", &mut FakeExchange::with_body("POST", b"hello")), Outcome::Answer(503));
    assert_eq!(stage.slot(0).state(), JkState::Error);
    peer.come_back();
    assert_eq!(stage.text_of_get("/x"), "gone");
    assert_eq!(stage.slot(0).state(), JkState::Ok);
}

/// How often a request with this method and these options is sent to one worker that hangs up, before or after its head.
fn times(method: &str, options: u32, head_first: bool) -> usize {
    let peer = Peer::start(move |conn, head| {
        conn.read_first_body(head)?;
        if head_first {
            conn.send(&headers_packet(200, &[]))?;
        }
        Ok(After::Close)
    });
    let stage = Stage::alone(&peer, |plan| jk(plan, 0).recovery = Recovery(options));
    assert_eq!(stage.play("/x", &mut FakeExchange::new(method)), Outcome::Answer(502));
    peer.requests()
}

#[test]
fn recovery_options_forbid_and_allow_what_they_say() {
    for (method, options, before, after) in [
        ("GET", 0, 2, 2),
        ("GET", 1, 1, 2),
        ("GET", 2, 2, 1),
        ("GET", 3, 1, 1),
        ("GET", 3 + 16, 2, 2),
        ("GET", 3 + 8, 1, 1),
        ("HEAD", 3 + 8, 2, 2),
        ("HEAD", 3 + 16, 1, 1),
        // mod_jk looks at 16 only without 8.
        ("GET", 3 + 8 + 16, 2, 2),
        ("PUT", 3 + 8 + 16, 1, 1),
        // mod_jk sends a POST twice here.
        ("POST", 0, 1, 1),
        ("PATCH", 8 + 16, 1, 1),
    ] {
        assert_eq!(times(method, options, false), before, "{method}, {options}, before the head");
        assert_eq!(times(method, options, true), after, "{method}, {options}, after the head");
    }
}

#[test]
fn a_status_in_fail_on_status_fails_over_and_marks_unless_it_is_negative() {
    for (code, state) in [(404, JkState::Error), (-404, JkState::Ok)] {
        let a = Peer::start(|conn, _| conn.answer(404, &[("X-From", "a")], &[b"not here"]));
        let b = Peer::named("b");
        let stage = Stage::balanced(&[&a, &b], |plan| {
            each(plan, |member| member.fail_on_status = FailOnStatus(vec![500, code]));
        });
        let mut exchange = FakeExchange::get();
        assert_eq!(stage.play("/x", &mut exchange), Outcome::Done);
        assert_eq!((exchange.text().as_str(), exchange.response_header("X-From")), ("b", None));
        assert_eq!(stage.slot(0).state(), state);
        // What the rule says is in place of it.
        let extensions =
            RuleExtensions { fail_on_status: Some(FailOnStatus(vec![500])), ..RuleExtensions::default() };
        let ask = Ask { extensions, ..Ask::default() };
        let mut exchange = FakeExchange::get().session("a");
        stage.slot(0).set_state(JkState::Ok);
        assert_eq!(stage.ask("/x", &ask, &mut exchange), Outcome::Done);
        assert_eq!(exchange.status(), Some(404));
    }
}

#[test]
fn from_use_server_errors_on_the_server_makes_its_own_page() {
    let peer = Peer::start(|conn, head| {
        let status = head.header("X-Status").unwrap().parse().unwrap();
        conn.answer(status, &[("WWW-Authenticate", "Basic")], &[b"page"])
    });
    let stage = Stage::alone(&peer, |_| {});
    let extensions = RuleExtensions { use_server_errors: 400, ..RuleExtensions::default() };
    let ask = Ask { extensions, ..Ask::default() };
    let with = |status: &str| FakeExchange::get().header("X-Status", status);
    assert_eq!(stage.ask("/x", &ask, &mut with("399")), Outcome::Done);
    assert_eq!(stage.ask("/x", &ask, &mut with("400")), Outcome::Answer(400));
    let mut exchange = with("401");
    assert_eq!(stage.ask("/x", &ask, &mut exchange), Outcome::Answer(401));
    let kept = crate::exchange::Call::ErrorHeader("WWW-Authenticate".into(), "Basic".into());
    assert_eq!(exchange.calls, [kept]);
    assert_eq!(peer.connections(), 1, "the page of the container was read to its end");
}

#[test]
fn more_requests_than_busy_limit_find_another_member_or_503() {
    let a = Peer::start(|conn, _| {
        conn.wait_until_told();
        conn.answer(200, &[], &[b"a"])
    });
    let b = Peer::named("b");
    let stage = Stage::balanced(&[&a, &b], |plan| jk(plan, 0).busy_limit = 1);
    let world = stage.world();
    let busy = world.lane.busy(stage.bindings.member(margay::config::plan::MemberId(0)));
    let mut exchange = FakeExchange::get().session("a");
    let mut scratch = margay::proxy::Scratch::default();
    let ask = Ask::default();
    let job = margay::proxy::jk::JkJob {
        target: margay::config::jk::plan::JkTarget::Balancer(margay::config::jk::plan::JkBalancerId(0)),
        extensions: &ask.extensions,
        uri: b"/x",
        options: ask.options,
        variables: ask.variables,
    };
    let outcome = margay::proxy::jk::forward_jk(&world, &job, &mut exchange, &mut scratch);
    assert_eq!((outcome, exchange.text().as_str()), (Outcome::Done, "b"));
    assert_eq!((stage.slot(0).state(), a.requests()), (JkState::Busy, 0));
    drop(busy);
    a.tell();
    let mut exchange = FakeExchange::get().session("a");
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Done);
    assert_eq!((exchange.text().as_str(), stage.slot(0).state()), ("a", JkState::Ok));
}

#[test]
fn an_acquire_timeout_of_zero_looks_once() {
    let peer = Peer::named("there");
    let stage = Stage::alone(&peer, |plan| {
        plan.members[0].pool.acquire = Some(Duration::ZERO);
        plan.members[0].pool.max = 1;
    });
    assert_eq!(stage.text_of_get("/x"), "there");
    let _taken = stage.world().pools[0].acquire().unwrap();
    assert_eq!(stage.play("/x", &mut FakeExchange::get()), Outcome::Answer(503));
}

#[test]
fn pings_go_out_after_connecting_or_before_each_request_as_configured() {
    let peer = Peer::named("x");
    let second = Some(Duration::from_secs(5));
    let stage = Stage::alone(&peer, |plan| jk(plan, 0).connect_ping = second);
    (0..3).for_each(|_| _ = stage.text_of_get("/x"));
    assert_eq!((peer.cpings(), peer.connections()), (1, 1));

    let peer = Peer::named("x");
    let stage = Stage::alone(&peer, |plan| {
        jk(plan, 0).connect_ping = second;
        jk(plan, 0).prepost_ping = second;
    });
    (0..3).for_each(|_| _ = stage.text_of_get("/x"));
    assert_eq!((peer.cpings(), peer.connections()), (3, 1));
    peer.answer_cping_with(b"AB\0\x01\x05");
    assert_eq!(stage.play("/x", &mut FakeExchange::with_body("POST", b"x")), Outcome::Answer(503));
    assert_eq!(peer.requests(), 3);
}

#[test]
fn all_members_in_error_are_tried_again_at_once() {
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let stage = Stage::balanced(&[&a, &b], |_| {});
    for member in [0, 1] {
        stage.slot(member).set_state(JkState::Error);
    }
    assert_eq!(stage.text_of_get("/x"), "a");
    assert_eq!((stage.slot(0).state(), stage.slot(1).state()), (JkState::Ok, JkState::Force));
}

#[test]
fn after_each_attempt_the_notes_and_the_route_are_told() {
    let (a, b) = (Peer::start(hangs_up), Peer::named("b"));
    let stage = Stage::balanced(&[&a, &b], |_| {});
    let mut exchange = FakeExchange::get();
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Done);
    assert_eq!(exchange.tried, [("a".to_owned(), "ERR"), ("b".to_owned(), "OK")]);
    assert_eq!(exchange.routes, ["a", "b"]);
}

#[test]
fn counters_count() {
    let peer = Peer::named("four");
    let stage = Stage::balanced(&[&peer], |_| {});
    stage.text_of_get("/x");
    stage.text_of_get("/x;jsessionid=1.a");
    assert_eq!(stage.play("/x", &mut FakeExchange::with_body("POST", b"12345")), Outcome::Done);
    let count = |counter| stage.slot(0).count(counter);
    assert_eq!((count(JkCounter::Elected), count(JkCounter::Sessions), count(JkCounter::Used)), (3, 2, 3));
    // Packets count whole, as in mod_jk.
    let head = headers_packet(200, &[("Content-Type", "text/plain"), ("Content-Length", "4")]);
    let answer = head.len() + chunk_packet(b"four").len() + end_packet(true).len();
    let transferred = peer.record().len();
    assert_eq!(
        (count(JkCounter::Read), count(JkCounter::Transferred)),
        (3 * answer as u64, transferred as u64)
    );
    assert_eq!((count(JkCounter::MaxBusy), count(JkCounter::Connected)), (1, 1));
    assert_eq!(stage.cluster().slot().max_busy(), 1);
}

#[test]
fn a_disabled_only_member_serves_its_own_sessions_and_a_stopped_one_nobody() {
    use margay::config::jk::plan::Activation;
    let peer = Peer::named("a");
    let stage = Stage::balanced(&[&peer], |plan| jk(plan, 0).activation = Activation::Disabled);
    assert_eq!(stage.play("/x", &mut FakeExchange::get()), Outcome::Answer(503));
    assert_eq!(stage.text_of_get("/x;jsessionid=1.a"), "a");
    assert_eq!(stage.play("/x;jsessionid=1.b", &mut FakeExchange::get()), Outcome::Answer(503));

    let stage = Stage::balanced(&[&peer], |plan| jk(plan, 0).activation = Activation::Stopped);
    assert_eq!(stage.play("/x;jsessionid=1.a", &mut FakeExchange::get()), Outcome::Answer(503));
    // Alone, nobody asks for the session.
    let stage = Stage::balanced(&[&peer], |plan| plan.jk.balancers[0].sticky_force = true);
    assert_eq!(stage.text_of_get("/x;jsessionid=1.b"), "a");
}

#[test]
fn when_nobody_is_left_the_redirect_of_the_first_that_names_one_is_asked() {
    use margay::config::jk::plan::Activation;
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let stage = Stage::balanced(&[&a, &b], |plan| {
        jk(plan, 1).activation = Activation::Disabled;
        plan.members[0].redirect = "b".to_owned();
        jk(plan, 0).activation = Activation::Stopped;
    });
    assert_eq!(stage.text_of_get("/x"), "b");
}

#[test]
fn by_busyness_the_member_with_less_to_do_is_chosen() {
    use margay::config::jk::plan::JkMethod;
    let a = Peer::start(|conn, head| {
        if head.uri == "/slow" {
            conn.wait_until_told();
        }
        conn.answer(200, &[], &[b"a"])
    });
    let b = Peer::named("b");
    let stage = Stage::balanced(&[&a, &b], |plan| plan.jk.balancers[0].method = JkMethod::Busyness);
    std::thread::scope(|scope| {
        let world = stage.world();
        scope.spawn(move || {
            let ask = Ask::default();
            let job = margay::proxy::jk::JkJob {
                target: margay::config::jk::plan::JkTarget::Balancer(margay::config::jk::plan::JkBalancerId(
                    0,
                )),
                extensions: &ask.extensions,
                uri: b"/slow",
                options: ask.options,
                variables: ask.variables,
            };
            let mut exchange = FakeExchange::get();
            let outcome = margay::proxy::jk::forward_jk(&world, &job, &mut exchange, &mut Default::default());
            assert_eq!(outcome, Outcome::Done);
        });
        while a.requests() < 1 {
            std::thread::yield_now();
        }
        assert_eq!((stage.slot(0).lb_value(), stage.common(0).busy()), (1, 1));
        let states = [JkState::Ok, JkState::Ok];
        for _ in 0..3 {
            let choice = stage.cluster().choose(&states, &Default::default()).unwrap();
            assert_eq!(choice.place, 1);
        }
        a.tell();
    });
    assert_eq!(stage.slot(0).lb_value(), 0);
}

#[test]
fn no_failure_while_others_are_at_work_marks_the_member() {
    let a = Peer::start(hangs_up);
    let b = Peer::named("b");
    let stage = Stage::balanced(&[&a, &b], |_| {});
    let world = stage.world();
    let busy = world.lane.busy(stage.bindings.member(margay::config::plan::MemberId(0)));
    let ask = Ask::default();
    let job = margay::proxy::jk::JkJob {
        target: margay::config::jk::plan::JkTarget::Balancer(margay::config::jk::plan::JkBalancerId(0)),
        extensions: &ask.extensions,
        uri: b"/x",
        options: ask.options,
        variables: ask.variables,
    };
    let mut exchange = FakeExchange::get();
    let outcome = margay::proxy::jk::forward_jk(&world, &job, &mut exchange, &mut Default::default());
    assert_eq!((outcome, exchange.text().as_str()), (Outcome::Done, "b"));
    assert_eq!(stage.slot(0).state(), JkState::Ok);
    assert!(stage.slot(0).first_error().0 > 0);
    drop(busy);
    stage.wait(Duration::from_secs(60));
    assert_eq!(stage.slot(0).state(), JkState::Error, "errors that last");
}

#[test]
fn a_name_with_addresses_of_both_families_is_reached_at_either() {
    for prefer_ipv6 in [false, true] {
        let peer = Peer::named("x");
        let stage = Stage::alone(&peer, |plan| {
            plan.members[0].host = "localhost".to_owned();
            jk(plan, 0).prefer_ipv6 = prefer_ipv6;
        });
        assert_eq!(stage.text_of_get("/x"), "x");
    }
}

#[test]
fn whoever_was_not_found_by_the_very_route_sends_a_cookie() {
    use margay::config::jk::plan::Activation;
    let peers = [Peer::named("a"), Peer::named("b"), Peer::named("c")];
    let stage = Stage::balanced(&[&peers[0], &peers[1], &peers[2]], |plan| {
        plan.jk.balancers[0].set_session_cookie = true;
        jk(plan, 0).activation = Activation::Stopped;
        plan.members[0].redirect = "c".to_owned();
        plan.members[1].route = "dom.b".to_owned();
        jk(plan, 1).domain = "dom".to_owned();
    });
    for (session, body, cookie, told) in [
        ("1.c", "c", None, "c"),
        ("1.a", "c", Some("JSESSIONID=.c;PATH=/;HttpOnly"), "c"),
        ("1.dom", "b", Some("JSESSIONID=.dom.b;PATH=/;HttpOnly"), "dom"),
        ("1.dom.b", "b", None, "dom.b"),
    ] {
        let mut exchange = FakeExchange::get();
        assert_eq!(stage.play(&format!("/x;jsessionid={session}"), &mut exchange), Outcome::Done);
        assert_eq!((exchange.text().as_str(), exchange.response_header("Set-Cookie")), (body, cookie));
        assert_eq!(exchange.routes, [told]);
    }
}

#[test]
fn a_route_from_outside_counts_as_a_session() {
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let stage = Stage::balanced(&[&a, &b], |plan| plan.jk.balancers[0].sticky_force = true);
    let routed = |route: &'static [u8]| Ask {
        variables: JkVariables { route: Some(route), ..JkVariables::default() },
        ..Ask::default()
    };
    assert_eq!(stage.ask("/x", &routed(b"none"), &mut FakeExchange::get()), Outcome::Answer(503));
    let mut exchange = FakeExchange::get().session("a");
    assert_eq!(stage.ask("/x", &routed(b"b"), &mut exchange), Outcome::Done);
    assert_eq!(exchange.text(), "b");
}
