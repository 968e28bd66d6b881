// SPDX-License-Identifier: Apache-2.0
//! Members of mod_jk's balancers that the agent has taken out: passed over while it is heard, and never at the cost of a request.

use std::time::{Duration, Instant};

use margay::base::clock::Clock;
use margay::config::Plan;
use margay::proxy::Outcome;
use margay::shared::{JkState, LAPSE, Reason};

use crate::ajp_peer::Peer;
use crate::exchange::FakeExchange;
use crate::stage::{Stage, jk};

const AGENT: u64 = 7;

/// Two members named as their peers answer; the agent has taken out those.
fn stage(peers: &[&Peer], gone: &[u32], edit: impl FnOnce(&mut Plan)) -> Stage {
    let stage = Stage::balanced(peers, edit);
    let (agent, now) = (stage.region.agent(), stage.clock.now());
    assert!(agent.claim(AGENT, 1, now) && agent.beat(AGENT, now));
    gone.iter().for_each(|member| stage.common(*member).take_out(now, Reason::NodeDead));
    stage
}

/// Who answers a request, of the session at that route if one is given.
fn answer(stage: &Stage, route: Option<&str>) -> String {
    let mut exchange = FakeExchange::get();
    if let Some(route) = route {
        exchange = exchange.session(route);
    }
    assert_eq!(stage.play("/x", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    exchange.text()
}

#[test]
fn who_is_gone_gets_nothing_and_its_sessions_go_to_another_at_once() {
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let stage = stage(&[&a, &b], &[0], |_| {});
    for route in [Some("a"), None, None, Some("b")] {
        assert_eq!(answer(&stage, route), "b");
    }
    assert_eq!((a.requests(), stage.slot(0).state()), (0, JkState::Idle), "nothing of mod_jk's is touched");
    stage.common(0).put_back(stage.clock.now(), Reason::NodeBack);
    assert_eq!(answer(&stage, Some("a")), "a");
}

#[test]
fn a_session_whose_member_is_lost_goes_to_one_that_has_a_copy() {
    let (a, b, c) = (Peer::named("a"), Peer::named("b"), Peer::named("c"));
    let stage = stage(&[&a, &b, &c], &[0], |_| {});
    stage.common(0).set_node(true, false);
    stage.common(2).set_node(true, true);
    for _ in 0..3 {
        assert_eq!(answer(&stage, Some("a")), "c", "b serves too, but does not know the session");
    }
    assert_eq!(answer(&stage, Some("b")), "b");
    assert_eq!(answer(&stage, None), "b");
    c.go_down();
    assert_eq!(answer(&stage, Some("a")), "b", "without a copy, rather than not at all");
}

#[test]
fn what_a_silent_agent_said_lapses() {
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let stage = stage(&[&a, &b], &[0], |_| {});
    stage.clock.advance(LAPSE + Duration::from_millis(1));
    assert_eq!(answer(&stage, Some("a")), "a");
}

#[test]
fn the_agent_alone_never_takes_out_all_and_an_answer_overrules_it() {
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let stage = stage(&[&a, &b], &[0, 1], |_| {});
    assert_eq!(answer(&stage, Some("a")), "a");
    assert_eq!((stage.common(0).is_gone(), stage.common(1).is_gone()), (false, true));
    stage.common(0).take_out(stage.clock.now(), Reason::NodeDead);
    b.go_down();
    assert_eq!(answer(&stage, Some("b")), "a", "who fails is followed by who is gone");
}

#[test]
fn a_session_that_may_not_move_asks_its_member_and_a_request_without_one_does_not() {
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let stage = stage(&[&a, &b], &[0], |plan| plan.jk.balancers[0].sticky_force = true);
    for _ in 0..3 {
        assert_eq!(answer(&stage, None), "b");
    }
    assert_eq!(answer(&stage, Some("a")), "a");
}

#[test]
fn nobody_waits_to_try_again_a_member_that_is_gone() {
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let stage = stage(&[&a, &b], &[], |plan| {
        let member = jk(plan, 0);
        (member.retries, member.retry_interval) = (3, Duration::from_secs(20));
    });
    a.go_down();
    let start = Instant::now();
    std::thread::scope(|scope| {
        // As the agent finds out while the request is on its way there.
        scope.spawn(|| {
            while stage.slot(0).count(margay::shared::JkCounter::Used) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            stage
                .region
                .member(stage.bindings.member(margay::config::plan::MemberId(0)))
                .take_out(stage.clock.now(), Reason::NodeDead);
        });
        assert_eq!(answer(&stage, Some("a")), "b");
    });
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
