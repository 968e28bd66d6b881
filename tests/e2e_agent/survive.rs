// SPDX-License-Identifier: Apache-2.0
//! Sessions survive the death of everybody, whatever lies between the members.

use crate::scene::Scene;
use crate::support::cluster::{Cluster, Membership};
use crate::support::tomcat::Line;

#[test]
fn sessions_survive_the_death_of_one_node_and_of_both_and_of_the_agent() {
    // In synchronous mode, so that the other node has what the first one answered.
    let mut scene = Scene::of_two(Cluster { send_options: 6, ..Cluster::new() });
    one_node_and_both_and_the_agent_die(&mut scene);
}

/// The story of one session, in a cluster of two nodes.
pub fn one_node_and_both_and_the_agent_die(scene: &mut Scene) {
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
    scene.agent.wait_for(&["a session changes", user.beginning(), "Delta", ".B"]);
    scene.kill_all();
    scene.start_all();
    user.has_everything();
    assert_eq!(user.value("word").as_deref(), Some("again"));

    // Both, and the agent.
    scene.agent.wait_kept(user.beginning(), 6);
    all_die(scene);
    user.has_everything();
    assert_eq!(user.value("word").as_deref(), Some("again"));
}

/// Everybody is killed; the agent starts again, then the nodes.
fn all_die(scene: &mut Scene) {
    scene.kill_all();
    scene.agent.kill_9();
    scene.agent.launch();
    scene.start_all();
}

/// The worst case with messages that are changed on their way.
pub fn survives_everybody(cluster: Cluster) {
    let mut scene = Scene::of_two(cluster);
    let mut user = scene.user(0);
    user.get("/fill");
    user.set("word", "kept");
    scene.agent.wait_kept(user.beginning(), 3);
    all_die(&mut scene);
    user.has_everything();
    assert_eq!(user.value("word").as_deref(), Some("kept"));
}

/// Tomcat 10.1 puts the time in front of what it encrypts, 9.0 of the package does not yet.
pub fn encrypted(line: Line, algorithm: &str) -> Cluster {
    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let file = crate::support::scratch_dir("key").join("cluster.key");
    std::fs::write(&file, format!("{KEY}\n")).expect("the key");
    let element = format!(
        r#"<Interceptor className="org.apache.catalina.tribes.group.interceptors.EncryptInterceptor"
                       encryptionAlgorithm="{algorithm}" encryptionKey="{KEY}"/>"#
    );
    let settings = format!(
        "[encryption]\nencryptionAlgorithm = \"{algorithm}\"\nencryptionKeyFile = \"{}\"\ntimestamp = {}\n",
        file.display(),
        line == Line::Ten
    );
    Cluster { line, interceptors: (element, settings), ..Cluster::new() }
}

#[test]
fn sessions_survive_everybody_in_a_cluster_encrypted_with_gcm() {
    survives_everybody(encrypted(Line::Ten, "AES/GCM/NoPadding"));
}

#[test]
fn sessions_survive_everybody_in_a_cluster_encrypted_with_cbc() {
    survives_everybody(encrypted(Line::Ten, "AES/CBC/PKCS5Padding"));
}

#[test]
fn sessions_survive_everybody_with_compressed_messages_in_pieces_and_in_order() {
    let element = |name: &str, more: &str| {
        format!(r#"<Interceptor className="org.apache.catalina.tribes.group.interceptors.{name}" {more}/>"#)
    };
    let elements = [
        element("GzipInterceptor", ""),
        element("FragmentationInterceptor", r#"maxSize="5000""#),
        element("OrderInterceptor", ""),
    ];
    let settings = "[channel]\ninterceptors = [\"GzipInterceptor\", \"FragmentationInterceptor\", \"OrderInterceptor\"]\n\
                    maxSize = 5000\n";
    survives_everybody(Cluster {
        interceptors: (elements.join("\n"), settings.to_owned()),
        ..Cluster::new()
    });
}

#[test]
fn sessions_survive_everybody_with_members_known_to_an_interceptor() {
    survives_everybody(Cluster::with_static_members(Membership::Interceptor));
}

#[test]
fn sessions_survive_everybody_with_members_known_to_the_membership_service() {
    survives_everybody(Cluster::with_static_members(Membership::Service));
}
