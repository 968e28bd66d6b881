// SPDX-License-Identifier: Apache-2.0
//! Networks that fall apart and come together again.

use std::time::{Duration, Instant};

use crate::Hosts;
use crate::scene::Scene;
use crate::support::cluster::{Cluster, Membership, deploy, wait_for_log};
use crate::support::network::{Host, alone};
use crate::support::{PATIENCE, wait_until};

/// Waits until the agent has taken out so many members since its start, for that reason.
fn wait_gone(scene: &Scene, count: usize) {
    let is_out = || scene.agent.count(&["a member is gone", "no beacon"]) >= count;
    wait_until(&format!("{count} members to be gone\n{}", scene.agent.log()), PATIENCE, is_out);
}

/// Waits until a node has lost the agent.
fn wait_lost(scene: &Scene, at: usize, times: usize) {
    let is_lost = || {
        let log = scene.nodes[at].log();
        log.lines()
            .filter(|line| line.contains("SimpleTcpCluster.memberDisappeared") && line.contains(":4999"))
            .count()
            >= times
    };
    wait_until("a node to miss the agent", PATIENCE, is_lost);
}

fn wait_known_again(scene: &Scene, at: usize, times: usize) {
    let is_known = || {
        let log = scene.nodes[at].log();
        log.lines().filter(|line| line.contains("member added") && line.contains(":4999")).count() >= times
    };
    wait_until("a node to know the agent again", PATIENCE, is_known);
}

#[test]
fn an_agent_that_was_cut_off_has_what_the_nodes_have() {
    alone("partition::an_agent_that_was_cut_off_has_what_the_nodes_have", |network| {
        let hosts = Hosts::of(network);
        let mut scene = hosts.scene(hosts.cluster());
        let (mut kept, mut changed, mut ended) = (scene.user(0), scene.user(0), scene.user(1));
        for user in [&mut kept, &mut changed, &mut ended] {
            user.set("word", "before");
            scene.agent.wait_kept(user.beginning(), 2);
        }
        hosts.agent.link_down();
        wait_lost(&scene, 0, 1);
        wait_lost(&scene, 1, 1);
        wait_gone(&scene, 2);
        changed.set("word", "meanwhile");
        changed.set("more", "new");
        let mut new = scene.user(1);
        new.set("word", "new");
        ended.get("/end");
        hosts.agent.link_up();
        wait_known_again(&scene, 0, 2);
        wait_known_again(&scene, 1, 2);
        // A change on top of what the agent has missed.
        changed.set("last", "after");
        scene.agent.wait_for(&["sessions ended while the agent was cut off", "sessions=1"]);
        assert_eq!(
            ended.value("word"),
            None,
            "a session that was ended is not brought back to a node that runs"
        );
        scene.kill_all();
        scene.start_all();
        let words = [&mut kept, &mut changed, &mut new].map(|user| user.value("word"));
        assert_eq!(words.each_ref().map(Option::as_deref), [Some("before"), Some("meanwhile"), Some("new")]);
        assert_eq!(changed.value("more").as_deref(), Some("new"));
        assert_eq!(changed.value("last").as_deref(), Some("after"));
        assert_eq!(ended.value("word"), None, "a session that was ended is kept");
    });
}

#[test]
fn an_application_that_was_started_again_while_the_agent_was_cut_off_gets_its_sessions_back() {
    let name = "an_application_that_was_started_again_while_the_agent_was_cut_off_gets_its_sessions_back";
    alone(&format!("partition::{name}"), |network| {
        let hosts = Hosts::of(network);
        let cluster = hosts.cluster();
        let mut nodes = hosts.nodes(&cluster, Host::v4);
        nodes.truncate(1);
        nodes[0].write("conf/context.xml", "<Context reloadable=\"true\" backgroundProcessorDelay=\"1\"/>");
        let agent = hosts.agent(&cluster);
        let scene = Scene::with_agent(cluster, agent, nodes);
        let mut users = [scene.user(0), scene.user(0), scene.user(0)];
        for user in &mut users {
            user.set("word", "kept");
            scene.agent.wait_kept(user.beginning(), 2);
        }
        hosts.agent.vanish();
        wait_lost(&scene, 0, 1);
        wait_gone(&scene, 1);
        deploy(&scene.nodes[0], "webapps/ROOT");
        wait_for_log(&scene.nodes[0], "Reloading Context with name [] is completed");
        assert_eq!(users[0].clone().value("word"), None, "Tomcat has lost it");
        hosts.agent.come_back();
        scene.agent.wait_for(&["WARN", "nodes that came back have none of the sessions"]);
        for user in &mut users {
            let has_session = || user.clone().value("word").as_deref() == Some("kept");
            wait_until("the session", PATIENCE, has_session);
        }
    });
}

#[test]
fn an_agent_that_misses_nobody_learns_what_nodes_did_not_tell_it_while_they_missed_it() {
    let name = "an_agent_that_misses_nobody_learns_what_nodes_did_not_tell_it_while_they_missed_it";
    alone(&format!("partition::{name}"), |network| {
        let hosts = Hosts::of(network);
        let cluster = hosts.cluster();
        // The nodes are less patient than the agent.
        let patient = Cluster { drop_time: 9_000, ..cluster.clone() };
        let nodes = hosts.nodes(&cluster, Host::v4);
        let mut scene = Scene::with_agent(cluster, hosts.agent(&patient), nodes);
        let mut user = scene.user(0);
        user.set("word", "before");
        scene.agent.wait_kept(user.beginning(), 2);
        let start = Instant::now();
        hosts.agent.vanish();
        wait_lost(&scene, 0, 1);
        wait_lost(&scene, 1, 1);
        user.set("word", "meanwhile");
        wait_until("most of the agent's patience", PATIENCE, || {
            start.elapsed() > Duration::from_millis(6_500)
        });
        hosts.agent.come_back();
        wait_known_again(&scene, 0, 2);
        user.set("last", "after");
        scene.agent.wait_for(&["a member that was silent is heard again", "10.77.0.2"]);
        wait_until("the nodes to be asked", PATIENCE, || {
            let log = scene.agent.log();
            let after = log.split_once("a member that was silent is heard again").unwrap_or_default().1;
            after.matches("sessions are known").count() >= 2
        });
        scene.kill_all();
        scene.start_all();
        assert_eq!(user.value("word").as_deref(), Some("meanwhile"));
        assert_eq!(user.value("last").as_deref(), Some("after"));
    });
}

#[test]
fn an_agent_that_was_cut_off_from_static_members_has_what_they_have() {
    alone("partition::an_agent_that_was_cut_off_from_static_members_has_what_they_have", |network| {
        let hosts = Hosts::of(network);
        let ports = [(&hosts.a, 4000), (&hosts.b, 4000), (&hosts.agent, 4999)];
        let cluster = Cluster {
            membership: Membership::Service,
            static_members: ports.map(|(host, port)| (host.v4(), port).into()).to_vec(),
            ..hosts.cluster()
        };
        let mut scene = hosts.scene(cluster);
        let mut user = scene.user(0);
        user.set("word", "before");
        scene.agent.wait_kept(user.beginning(), 2);
        hosts.agent.vanish();
        wait_lost(&scene, 0, 1);
        wait_lost(&scene, 1, 1);
        wait_until("the agent to miss the nodes", PATIENCE, || scene.agent.count(&["a member is gone"]) >= 2);
        user.set("word", "meanwhile");
        let mut new = scene.user(1);
        new.set("word", "new");
        hosts.agent.come_back();
        wait_known_again(&scene, 0, 2);
        wait_known_again(&scene, 1, 2);
        wait_until("the nodes to be asked", PATIENCE, || {
            let log = scene.agent.log();
            let after = log.split("a member joined").nth(4).unwrap_or_default();
            after.matches("sessions are known").count() >= 2
        });
        scene.kill_all();
        scene.start_all();
        assert_eq!(user.value("word").as_deref(), Some("meanwhile"));
        assert_eq!(new.value("word").as_deref(), Some("new"));
    });
}

#[test]
fn nodes_that_do_not_see_each_other_lose_nothing_at_the_agent() {
    alone("partition::nodes_that_do_not_see_each_other_lose_nothing_at_the_agent", |network| {
        let hosts = Hosts::of(network);
        // In synchronous mode, so that each has what the other one answered.
        let mut scene = hosts.scene(Cluster { send_options: 6, ..hosts.cluster() });
        let (mut user, mut other) = (scene.user(0), scene.user(1));
        user.set("word", "before");
        other.set("word", "before");
        scene.agent.wait_kept(user.beginning(), 2);
        scene.agent.wait_kept(other.beginning(), 2);
        for host in [&hosts.a, &hosts.b] {
            host.keep_apart(true);
        }
        for (node, missed) in [(0, "0, 3}:4000"), (1, "0, 2}:4000")] {
            let log = || scene.nodes[node].log();
            let is_lost = || {
                log()
                    .lines()
                    .any(|line| line.contains("SimpleTcpCluster.memberDisappeared") && line.contains(missed))
            };
            wait_until(&format!("the nodes to miss each other: {}", log()), PATIENCE, is_lost);
        }
        user.set("word", "at-A");
        other.set("word", "at-B");
        let mut new = scene.user(1);
        new.set("word", "new-at-B");
        for (user, changes) in [(&user, 3), (&other, 3), (&new, 2)] {
            scene.agent.wait_kept(user.beginning(), changes);
        }
        for host in [&hosts.a, &hosts.b] {
            host.keep_apart(false);
        }
        for (node, found) in [(0, "0, 3}:4000"), (1, "0, 2}:4000")] {
            let log = || scene.nodes[node].log();
            let is_back = || {
                log().lines().filter(|line| line.contains("member added") && line.contains(found)).count()
                    >= 2
            };
            wait_until(&format!("the nodes to find each other: {}", log()), PATIENCE, is_back);
        }
        assert_eq!(scene.agent.count(&["a member is gone"]), 0, "{}", scene.agent.log());
        // Tomcat does not make up for what its nodes missed. What the stale one says of its requests changes nothing here.
        user.moves_to(&scene.nodes[1]);
        assert_eq!(user.value("word").as_deref(), Some("before"));
        scene.agent.wait_for(&["a session changes", user.beginning(), ".B", "Delta"]);
        scene.kill_all();
        scene.start_all();
        let words = [&mut user, &mut other, &mut new].map(|user| user.value("word"));
        assert_eq!(words.each_ref().map(Option::as_deref), [Some("at-A"), Some("at-B"), Some("new-at-B")]);
    });
}

#[test]
fn a_host_that_vanishes_is_out_when_drop_time_is_over_and_comes_back_with_its_changes() {
    let name = "a_host_that_vanishes_is_out_when_drop_time_is_over_and_comes_back_with_its_changes";
    alone(&format!("partition::{name}"), |network| {
        let hosts = Hosts::of(network);
        let mut scene = hosts.scene(Cluster { drop_time: 3000, ..hosts.cluster() });
        let (mut user, mut other) = (scene.user(0), scene.user(1));
        user.set("word", "before");
        other.set("word", "before");
        scene.agent.wait_kept(other.beginning(), 2);
        hosts.b.vanish();
        let start = Instant::now();
        wait_gone(&scene, 1);
        let after = start.elapsed();
        println!("out {after:?} after it vanished");
        // The machine may be busy; that it is dropTime is tested without a clock.
        assert!(after < Duration::from_secs(5), "{after:?}");
        assert_eq!(scene.agent.count(&["a member is gone", "10.77.0.3"]), 1);
        user.set("word", "meanwhile");
        user.get("/remove?name=other");
        hosts.b.come_back();
        wait_until("the node to be asked again", PATIENCE, || {
            let log = scene.agent.log();
            let after = log.split("a member joined member=10.77.0.3").nth(2).unwrap_or_default();
            after.lines().any(|line| line.contains("sessions are known") && line.contains("10.77.0.3"))
        });
        scene.kill_all();
        scene.start_all();
        assert_eq!(user.value("word").as_deref(), Some("meanwhile"), "B knew it as it was before");
        assert_eq!(other.value("word").as_deref(), Some("before"));
    });
}
