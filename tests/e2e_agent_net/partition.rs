// SPDX-License-Identifier: Apache-2.0
//! Networks that fall apart and come together again.

use crate::Hosts;
use crate::scene::Scene;
use crate::support::network::alone;
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
