// SPDX-License-Identifier: Apache-2.0
//! Maintenance, and settings that change while the server runs.

use std::time::Duration;

use margay::balance::Bindings;
use margay::base::clock::Clock;
use margay::config::jk::plan::{JkMethod, JkTarget};
use margay::config::plan::MemberId;
use margay::proxy::Outcome;
use margay::shared::{JkBalancerNumber, JkCounter, JkMemberNumber, JkMemberText, JkState, ShortText};

use crate::ajp_peer::Peer;
use crate::exchange::FakeExchange;
use crate::stage::{Stage, jk};

const MINUTE: Duration = Duration::from_secs(60);

fn with_values(method: JkMethod, values: &[u64]) -> Stage {
    let workers: Vec<(&str, u16)> = ["a", "b", "c"].into_iter().zip([1, 2, 3]).take(values.len()).collect();
    let mut plan = crate::stage::plan(&workers);
    plan.jk.balancers[0].method = method;
    let stage = Stage::new(plan, JkTarget::Balancer(margay::config::jk::plan::JkBalancerId(0)));
    for (member, value) in (0u32..).zip(values) {
        stage.slot(member).update_lb_value(|_| *value);
    }
    stage
}

fn values(stage: &Stage) -> Vec<u64> {
    stage.cluster().ids().iter().map(|id| stage.slot(id.0).lb_value()).collect()
}

#[test]
fn values_are_halved_once_for_each_interval_that_has_passed() {
    for method in [JkMethod::Request, JkMethod::Traffic, JkMethod::Session] {
        let stage = with_values(method, &[16, 9]);
        stage.wait(MINUTE);
        assert_eq!(values(&stage), [8, 4]);
        stage.wait(Duration::from_secs(1));
        assert_eq!(values(&stage), [8, 4]);
        stage.wait(3 * MINUTE);
        assert_eq!(values(&stage), [1, 0]);
    }
    let stage = with_values(JkMethod::Busyness, &[16, 9]);
    stage.wait(MINUTE);
    assert_eq!(values(&stage), [16, 9]);
    let stage = with_values(JkMethod::Next, &[16, 9, 30]);
    stage.slot(1).set_state(JkState::Error);
    stage.wait(MINUTE);
    // After a day nothing is left, and nothing overflows.
    assert_eq!(values(&stage)[0], 0);
    let stage = with_values(JkMethod::Request, &[u64::MAX]);
    stage.wait(100 * MINUTE);
    assert_eq!(values(&stage), [0]);
}

#[test]
fn a_member_without_requests_is_idle_after_two_maintenances_at_most() {
    let peer = Peer::named("x");
    let stage = Stage::balanced(&[&peer], |_| {});
    assert_eq!(stage.slot(0).state(), JkState::Idle);
    stage.text_of_get("/x");
    stage.wait(MINUTE);
    assert_eq!(stage.slot(0).state(), JkState::Ok);
    stage.wait(MINUTE);
    assert_eq!(stage.slot(0).state(), JkState::Idle);
}

#[test]
fn local_errors_that_last_become_the_state_of_the_member() {
    let stage = with_values(JkMethod::Request, &[0, 0]);
    let now = stage.clock.now();
    stage.slot(0).set_state(JkState::Ok);
    stage.slot(0).set_errors_at(now, now);
    stage.wait(MINUTE);
    assert_eq!((stage.slot(0).state(), stage.slot(1).state()), (JkState::Error, JkState::Idle));
}

#[test]
fn when_all_have_failed_all_may_be_tried() {
    let stage = with_values(JkMethod::Request, &[0, 0]);
    for member in [0, 1] {
        let soon = stage.clock.now().after(MINUTE);
        stage.slot(member).set_state(JkState::Error);
        stage.slot(member).set_errors_at(soon, soon);
    }
    stage.wait(MINUTE);
    assert_eq!((stage.slot(0).state(), stage.slot(1).state()), (JkState::Force, JkState::Force));
}

#[test]
fn a_trial_whose_process_is_gone_is_given_again() {
    let stage = with_values(JkMethod::Request, &[0, 0]);
    stage.slot(0).set_state(JkState::Probe);
    stage.wait(MINUTE);
    assert_eq!(stage.slot(0).state(), JkState::Recover);
}

#[test]
fn idle_connections_are_closed_down_to_the_smallest_number() {
    let peer = Peer::start(|conn, _| {
        conn.wait_until_told();
        conn.answer(200, &[], &[b"x"])
    });
    let stage = Stage::alone(&peer, |plan| {
        jk(plan, 0).pool_timeout = Duration::from_millis(1);
        jk(plan, 0).pool_min_size = Some(1);
    });
    std::thread::scope(|scope| {
        let world = stage.world();
        for _ in 0..3 {
            scope.spawn(move || {
                let extensions = Default::default();
                let job = margay::proxy::jk::JkJob {
                    target: JkTarget::Ajp(MemberId(0)),
                    extensions: &extensions,
                    uri: b"/x",
                    options: Default::default(),
                    variables: Default::default(),
                };
                let mut exchange = FakeExchange::get();
                let outcome =
                    margay::proxy::jk::forward_jk(&world, &job, &mut exchange, &mut Default::default());
                assert_eq!(outcome, Outcome::Done);
            });
        }
        while peer.requests() < 3 {
            std::thread::yield_now();
        }
        peer.tell();
    });
    assert_eq!(stage.slot(0).count(JkCounter::Connected), 3);
    stage.wait(Duration::ZERO);
    std::thread::sleep(Duration::from_millis(5));
    stage.wait(MINUTE);
    assert_eq!(stage.slot(0).count(JkCounter::Connected), 1);
    assert_eq!(stage.slot(0).count(JkCounter::MaxConnected), 3);
}

#[test]
fn idle_connections_are_asked_whether_the_container_is_there() {
    let peer = Peer::named("x");
    let stage = Stage::alone(&peer, |plan| {
        jk(plan, 0).ping_interval = Duration::from_millis(1);
        jk(plan, 0).ping_timeout = Duration::from_secs(5);
    });
    stage.text_of_get("/x");
    stage.wait(Duration::ZERO);
    std::thread::sleep(Duration::from_millis(5));
    stage.wait(MINUTE);
    assert_eq!((peer.cpings(), stage.slot(0).count(JkCounter::Connected)), (1, 1));
    peer.answer_cping_with(b"nonsense");
    std::thread::sleep(Duration::from_millis(5));
    stage.wait(MINUTE);
    assert_eq!((peer.cpings(), stage.slot(0).count(JkCounter::Connected)), (2, 0));
    stage.text_of_get("/x");
    assert_eq!(peer.connections(), 2);
}

#[test]
fn what_the_status_worker_changes_is_in_force_at_once_and_after_a_restart() {
    let (a, b) = (Peer::named("a"), Peer::named("b"));
    let mut stage = Stage::balanced(&[&a, &b], |_| {});
    let administrator = stage.region.administer(MINUTE).unwrap();
    let slot = stage.region.jk_member(stage.bindings.member(MemberId(1)));
    administrator.set_jk_member_text(slot, JkMemberText::Route, &ShortText::of(b"new").unwrap());
    administrator.set_jk_member_number(slot, JkMemberNumber::Activation, 1);
    administrator.set_jk_member_number(slot, JkMemberNumber::LbFactor, 3);
    administrator.set_jk_balancer_number(stage.cluster().slot(), JkBalancerNumber::StickyForce, 1);
    drop(administrator);
    stage.cluster().share_out();
    assert_eq!((stage.slot(0).lb_mult(), stage.slot(1).lb_mult()), (3, 1));
    assert_eq!((0..3).map(|_| stage.text_of_get("/x")).collect::<String>(), "aaa");
    assert_eq!(stage.text_of_get("/x;jsessionid=1.new"), "b");
    assert_eq!(stage.play("/x;jsessionid=1.b", &mut FakeExchange::get()), Outcome::Answer(503));

    stage.plan.members[1].route = "b".to_owned();
    jk(&mut stage.plan, 1).distance = 7;
    Bindings::attach(&stage.plan, stage.region, 2, stage.clock.now()).unwrap();
    assert_eq!(stage.text_of_get("/x;jsessionid=1.new"), "b");
    let distance = stage.slot(1).number(JkMemberNumber::Distance);
    assert_eq!((distance, stage.slot(1).number(JkMemberNumber::Activation)), (7, 1));
    // What the file says differently is in force again.
    stage.plan.members[1].route = "c".to_owned();
    Bindings::attach(&stage.plan, stage.region, 3, stage.clock.now()).unwrap();
    assert_eq!(stage.text_of_get("/x;jsessionid=1.c"), "b");
}

#[test]
fn a_member_that_moves_is_found_at_its_new_address() {
    let (old, new) = (Peer::named("old"), Peer::named("new"));
    let stage = Stage::alone(&old, |_| {});
    assert_eq!(stage.text_of_get("/x"), "old");
    let administrator = stage.region.administer(MINUTE).unwrap();
    administrator.set_jk_member_number(stage.slot(0), JkMemberNumber::Port, u64::from(new.port()));
    drop(administrator);
    assert_eq!(stage.text_of_get("/x"), "new");
    assert_eq!(stage.text_of_get("/x"), "new");
}

#[test]
fn a_larger_packet_size_given_by_hand_takes_larger_requests() {
    let peer = Peer::named("x");
    let stage = Stage::alone(&peer, |_| {});
    let ask = || FakeExchange::get().header("X-Long", &"x".repeat(9000));
    assert_eq!(stage.play("/x", &mut ask()), Outcome::Answer(413));
    for (size, outcome) in [(16384, Outcome::Done), (u64::MAX, Outcome::Done), (0, Outcome::Answer(413))] {
        let administrator = stage.region.administer(MINUTE).unwrap();
        administrator.set_jk_member_number(stage.slot(0), JkMemberNumber::MaxPacketSize, size);
        drop(administrator);
        assert_eq!(stage.play("/x", &mut ask()), outcome, "{size}");
    }
}

#[test]
fn factors_without_a_common_multiple_that_fits_still_share_the_load() {
    let mut plan = crate::stage::plan(&[("a", 1), ("b", 2), ("c", 3)]);
    for (member, factor) in [(0, u32::MAX), (1, u32::MAX - 1), (2, 1_000_003)] {
        jk(&mut plan, member).lbfactor = factor;
    }
    let stage = Stage::new(plan, JkTarget::Balancer(margay::config::jk::plan::JkBalancerId(0)));
    let mult = |member| stage.slot(member).lb_mult();
    assert!(
        mult(0) >= 1 && mult(1) >= mult(0) && mult(2) > 1000 * mult(0),
        "{} {} {}",
        mult(0),
        mult(1),
        mult(2)
    );
}
