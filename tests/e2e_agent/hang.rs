// SPDX-License-Identifier: Apache-2.0
//! An agent that hangs in synchronous mode: Tomcat waits for its acknowledgement until it takes it for dead.

use std::time::{Duration, Instant};

use crate::scene::Scene;
use crate::support::cluster::{Cluster, wait_for_log};
use crate::support::{PATIENCE, wait_until};

/// What Tomcat waits for an acknowledgement that does not come, whatever `timeout` says.
const MISSING: Duration = Duration::from_secs(5);

#[test]
fn with_a_read_test_no_request_waits_for_an_agent_that_hangs_longer_than_drop_time() {
    let detector = "performReadTest=\"true\" readTestTimeout=\"500\"";
    let mut scene = Scene::of_one(Cluster { send_options: 6, detector, ..Cluster::new() });
    let mut user = scene.user(0);
    user.set("number", "0");
    scene.agent.pause();
    wait_for_log(&scene.nodes[0], "Received member disappeared");
    for number in 1..=20 {
        let start = Instant::now();
        user.set("number", &number.to_string());
        assert!(start.elapsed() < MISSING, "request {number} took {:?}", start.elapsed());
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
