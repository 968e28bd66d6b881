// SPDX-License-Identifier: Apache-2.0
//! Sessions survive the death of everybody.

use crate::scene::Scene;
use crate::support::cluster::Cluster;

#[test]
fn sessions_survive_the_death_of_one_node_and_of_both_and_of_the_agent() {
    let mut scene = Scene::of_two(Cluster::new());
    let mut user = scene.user(0);
    user.get("/fill");
    user.set("word", "kept");
    scene.agent.wait_kept(user.beginning(), 3);

    // One node.
    scene.nodes[0].kill_9();
    user.moves_to(&scene.nodes[1]);
    user.has_everything();
    assert!(user.session().ends_with(".B"), "{}", user.session());

    // Both.
    user.set("word", "again");
    scene.agent.wait_for(&["a session changes", &user.beginning(), "Delta", ".B"]);
    scene.kill_all();
    scene.start_all();
    user.has_everything();
    assert_eq!(user.value("word").as_deref(), Some("again"));

    // Both, and the agent.
    scene.agent.wait_kept(user.beginning(), 6);
    scene.kill_all();
    scene.agent.kill_9();
    scene.agent.launch();
    scene.start_all();
    user.has_everything();
    assert_eq!(user.value("word").as_deref(), Some("again"));
}
