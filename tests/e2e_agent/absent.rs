// SPDX-License-Identifier: Apache-2.0
//! The agent is away, hangs, or cannot write: no request suffers, and what it missed it learns.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::scene::Scene;
use crate::support::agent::Agent;
use crate::support::cluster::{Cluster, wait_for_log};
use crate::support::{PATIENCE, scratch_dir, wait_until};

#[test]
fn a_node_that_started_without_the_agent_gets_its_sessions_when_it_returns() {
    let mut scene = Scene::of_one(Cluster::new());
    let mut user = scene.user(0);
    user.get("/fill");
    scene.agent.wait_kept(user.beginning(), 2);
    scene.agent.kill_9();
    scene.nodes[0].kill_9();
    scene.nodes[0].restart();
    assert_eq!(user.clone().value("string"), None);
    scene.agent.launch();
    scene.agent.wait_for(&["a node is given sessions it does not have"]);
    let has_session = || user.clone().value("string").as_deref() == Some("text");
    wait_until("the session", PATIENCE, has_session);
    user.has_everything();
}

#[test]
fn what_happened_while_the_agent_was_away_is_learnt_from_the_nodes() {
    let mut scene = Scene::of_one(Cluster::new());
    let (mut early, mut changed) = (scene.user(0), scene.user(0));
    early.set("word", "before");
    changed.set("word", "before");
    scene.agent.wait_kept(changed.beginning(), 2);
    scene.agent.wait_kept(early.beginning(), 2);
    scene.agent.kill_9();
    changed.set("word", "meanwhile");
    let mut new = scene.user(0);
    new.set("word", "new");
    scene.agent.launch();
    scene.agent.wait_for(&["a node's sessions are known"]);
    scene.agent.wait_for(&["the agent is ready"]);
    scene.kill_all();
    scene.start_all();
    let words = [&mut early, &mut changed, &mut new].map(|user| user.value("word"));
    assert_eq!(words.each_ref().map(Option::as_deref), [Some("before"), Some("meanwhile"), Some("new")]);
}

#[test]
fn an_agent_that_hangs_or_dies_costs_no_request_and_catches_up() {
    let mut scene = Scene::of_two(Cluster::new());
    let mut user = scene.user(0);
    user.set("number", "0");
    let mut slowest = Duration::ZERO;
    let mut ask = |user: &mut crate::scene::User, number: usize| {
        let start = Instant::now();
        user.set("number", &number.to_string());
        slowest = slowest.max(start.elapsed());
    };
    scene.agent.pause();
    let hanging = Instant::now();
    let mut number = 0;
    // Longer than dropTime, so that the nodes miss it.
    while hanging.elapsed() < Duration::from_millis(3 * scene.cluster.drop_time) {
        number += 1;
        ask(&mut user, number);
    }
    scene.agent.resume();
    number += 1;
    ask(&mut user, number);
    let last = number.to_string();
    scene.agent.wait_for(&["a session changes", user.beginning()]);
    // It has everything when nothing more comes: the session as a whole is compared below.
    let seen = || scene.agent.count(&["a session changes", user.beginning(), "Delta"]) > number;
    wait_until("all changes at the agent", PATIENCE, seen);
    scene.kill_all();
    scene.start_all();
    assert_eq!(user.value("number").as_deref(), Some(last.as_str()));
    scene.agent.kill_9();
    for number in 0..50 {
        ask(&mut user, number);
    }
    println!("slowest request beside an agent that hangs or is dead: {slowest:?}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}

#[test]
fn a_full_disk_leaves_sessions_in_memory_and_is_said_aloud() {
    let cluster = Cluster::new();
    let nodes = vec![cluster.node("A")];
    let mut scene = Scene::with(cluster, nodes);
    let mut user = scene.user(0);
    user.set("word", "early");
    scene.agent.wait_kept(user.beginning(), 2);
    limit_files(&scene.agent, "65536");
    let mut others = Vec::new();
    for _ in 0..40 {
        let mut other = scene.user(0);
        other.get("/fill");
        others.push(other);
        if scene.agent.count(&["sessions are kept in memory only"]) > 0 {
            break;
        }
    }
    scene.agent.wait_for(&["ERROR", "sessions are kept in memory only"]);
    user.set("word", "in-memory");
    scene.agent.wait_for(&["a session changes", user.beginning()]);
    let last = others.last_mut().expect("another user");
    wait_until("all changes", PATIENCE, || {
        scene.agent.count(&["a session changes", last.beginning(), "Delta"]) > 0
    });
    wait_until("all changes", PATIENCE, || {
        scene.agent.count(&["a session changes", user.beginning(), "Delta"]) > 1
    });
    scene.kill_all();
    scene.start_all();
    last.has_everything();
    assert_eq!(user.value("word").as_deref(), Some("in-memory"));

    // There is room again.
    limit_files(&scene.agent, "unlimited");
    scene.agent.wait_for(&["sessions are written to the vault again"]);
    scene.kill_all();
    scene.agent.kill_9();
    scene.agent.launch();
    scene.start_all();
    last.has_everything();
    assert_eq!(user.value("word").as_deref(), Some("in-memory"));
}

/// How large files of a running agent may become.
fn limit_files(agent: &Agent, bytes: &str) {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &agent.pid().to_string(), &format!("--fsize={bytes}:")]);
    assert!(command.status().expect("prlimit (package util-linux)").success());
}

#[test]
fn two_agents_do_not_share_a_vault() {
    let cluster = Cluster::new();
    let first = Agent::start(scratch_dir("agent"), &cluster.agent_toml());
    first.wait_for(&["the agent begins"]);
    let config = Cluster::new().agent_toml().replace("VAULT", &first.vault().display().to_string());
    let mut second = Agent::start(scratch_dir("agent"), &config);
    wait_until("the second to give up", PATIENCE, || second.has_ended());
    assert!(second.log().contains("is in use by another agent"), "{}", second.log());
}

#[test]
fn an_agent_that_stops_says_so_and_keeps_its_name() {
    let mut scene = Scene::of_one(Cluster::new());
    let mut user = scene.user(0);
    user.set("word", "kept");
    scene.agent.wait_kept(user.beginning(), 2);
    assert!(scene.agent.stop(), "it ends by itself");
    wait_for_log(&scene.nodes[0], "SimpleTcpCluster.memberDisappeared");
    scene.agent.launch();
    let added = |scene: &Scene| {
        scene.nodes[0]
            .log()
            .lines()
            .filter(|line| line.contains("member added"))
            .map(id_of)
            .collect::<Vec<_>>()
    };
    wait_until("the agent to be known again", PATIENCE, || added(&scene).len() == 2);
    let ids = added(&scene);
    assert!(!ids[0].is_empty() && ids[0] == ids[1], "{ids:?}");
    assert_eq!(user.value("word").as_deref(), Some("kept"));
}

/// The unique id in a line of Tomcat about a member.
fn id_of(line: &str) -> String {
    line.split("id={").nth(1).and_then(|rest| rest.split('}').next()).unwrap_or_default().to_owned()
}
