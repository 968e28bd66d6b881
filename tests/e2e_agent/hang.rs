// SPDX-License-Identifier: Apache-2.0
//! An agent that hangs in synchronous mode: Tomcat waits for its acknowledgement until it takes it for dead.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::scene::{Scene, User};
use crate::support::cluster::{Cluster, wait_for_log};
use crate::support::{PATIENCE, wait_until};

/// What Tomcat waits for an acknowledgement that does not come, whatever `timeout` says.
const MISSING: Duration = Duration::from_secs(5);

/// Nobody waits for an acknowledgement that does not come.
fn set(user: &mut User, number: usize) {
    let start = Instant::now();
    user.set("number", &number.to_string());
    assert!(start.elapsed() < MISSING, "request {number} took {:?}", start.elapsed());
}

#[test]
fn with_a_read_test_no_request_waits_for_an_agent_that_hangs_longer_than_drop_time() {
    let detector = "performReadTest=\"true\" readTestTimeout=\"500\"";
    let mut scene = Scene::of_one(Cluster { send_options: 6, detector, ..Cluster::new() });
    let mut user = scene.user(0);
    user.set("number", "0");
    scene.agent.pause();
    wait_for_log(&scene.nodes[0], "Received member disappeared");
    for number in 1..=20 {
        set(&mut user, number);
    }
    // What it missed it asks for.
    scene.agent.resume();
    scene.agent.wait_for(&["the agent stood still"]);
    scene.agent.wait_for(&["a node's sessions are known"]);
    let is_back = || scene.nodes[0].log().matches("Replication member added").count() >= 2;
    wait_until("the agent to be a member again", PATIENCE, is_back);
    // An answer in synchronous mode: the agent has heard of it.
    user.set("number", "21");
    scene.kill_all();
    scene.start_all();
    assert_eq!(user.value("number").as_deref(), Some("21"));
}

#[test]
fn no_request_waits_for_an_agent_that_stands_still_inside_and_it_learns_what_it_refused() {
    let mut scene = Scene::of_one(Cluster { send_options: 6, ..Cluster::new() });
    let gate = scene.agent.log_through_gate();
    scene.agent.kill_9();
    scene.agent.launch();
    let mut user = scene.user(0);
    wait_until("the agent to be heard again", PATIENCE, || {
        user.set("number", "0");
        scene.agent.count(&["a session changes", user.beginning()]) > 0
    });
    // Whoever writes its log has to wait: that is the hub.
    gate.store(false, Ordering::SeqCst);
    let mut number = 0;
    let before = scene.nodes[0].log().matches("Received member disappeared").count();
    // First for as long as messages may wait, then without it.
    wait_until("Tomcat to go on without the agent", PATIENCE, || {
        (0..100).for_each(|_| {
            number += 1;
            set(&mut user, number);
        });
        scene.nodes[0].log().matches("Received member disappeared").count() > before
    });
    for _ in 0..20 {
        number += 1;
        set(&mut user, number);
    }
    gate.store(true, Ordering::SeqCst);
    scene.agent.wait_for(&["members are refused until it goes on"]);
    scene.agent.wait_for(&["members reach the agent again"]);
    let known = scene.agent.count(&["a node's sessions are known"]);
    wait_until("what was refused", PATIENCE, || scene.agent.count(&["a node's sessions are known"]) > known);
    scene.kill_all();
    scene.start_all();
    assert_eq!(user.value("number"), Some(number.to_string()));
}
