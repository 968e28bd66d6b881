// SPDX-License-Identifier: Apache-2.0
//! What applications do with sessions: logins, new ids, ends; and several applications beside each other.

use std::time::Duration;

use crate::scene::Scene;
use crate::support::cluster::{Cluster, deploy};
use crate::support::tomcat::Line;
use crate::support::{PATIENCE, wait_until};

#[test]
fn logins_ids_and_ends_are_what_they_were_after_everybody_died() {
    logins_ids_and_ends_are_kept(Cluster::new());
}

pub fn logins_ids_and_ends_are_kept(cluster: Cluster) {
    let mut scene = Scene::of_one(cluster);
    let mut user = scene.user(0);
    user.set("word", "kept");
    let first = user.session().to_owned();
    user.get("/login?name=anna&value=secret");
    assert_ne!(user.session(), first, "a login changes the id");
    let before = user.get("/who");
    let mut changed = scene.user(0);
    changed.set("word", "changed");
    let old = changed.session().to_owned();
    changed.get("/change-id");
    assert_ne!(changed.session(), old);
    changed.get("/idle?value=7777");
    let (mut logged_out, mut idle) = (scene.user(0), scene.user(0));
    logged_out.set("word", "gone");
    logged_out.get("/end");
    idle.set("word", "gone");
    idle.get("/idle?value=2");
    let mut removed = scene.user(0);
    removed.set("word", "gone");
    removed.get("/remove?name=word");
    removed.set("other", "kept");
    // A request that changes nothing is told of by Tomcat 10.1 only.
    let changes = if scene.cluster.line == Line::Nine { 1_usize } else { 2 };
    for user in [&user, &changed, &removed] {
        scene.agent.wait_kept(user.beginning(), changes);
    }
    scene.agent.wait_for(&["a session changes", logged_out.beginning(), "Expired"]);
    scene.agent.wait_kept(removed.beginning(), 4);
    scene.kill_all();
    scene.agent.kill_9();
    // The idle session ends while everybody is dead. Without word of each request nobody knows until twice its limit is over.
    std::thread::sleep(Duration::from_millis(4_200 / changes as u64));
    scene.agent.launch();
    scene.start_all();
    let after = user.get("/who");
    for name in ["user", "auth", "buyer", "admin", "session", "created", "idle"] {
        assert_eq!(after.line(name), before.line(name), "{name}");
    }
    assert_eq!(after.line("user").as_deref(), Some("anna"));
    assert_eq!(user.value("word").as_deref(), Some("kept"));
    assert_eq!(changed.value("word").as_deref(), Some("changed"));
    assert_eq!(changed.get("/who").line("idle").as_deref(), Some("7777"));
    assert_eq!((logged_out.value("word"), idle.value("word")), (None, None));
    assert_eq!(removed.value("word"), None);
    assert_eq!(removed.value("other").as_deref(), Some("kept"));
    // The id before the login is nobody's.
    let mut thief = scene.user(0);
    thief.set("word", "own");
    assert_ne!(thief.session(), first);
}

#[test]
fn several_applications_hosts_and_versions_keep_their_sessions_apart() {
    let cluster = Cluster::new();
    let node = cluster.node("A");
    node.add_host("other.test", "others");
    deploy(&node, "webapps/shop");
    deploy(&node, "webapps/cart##2");
    deploy(&node, "others/shop");
    let mut scene = Scene::with(cluster, vec![node]);
    let main = scene.user(0);
    let places = [("localhost", ""), ("localhost", "/shop"), ("localhost", "/cart"), ("other.test", "/shop")];
    let mut users = places.map(|(host, context)| main.of(host, context));
    for (user, (host, context)) in users.iter_mut().zip(places) {
        user.set("place", &format!("{host}{context}"));
    }
    for user in &users {
        scene.agent.wait_kept(user.beginning(), 2);
    }
    scene.kill_all();
    scene.agent.kill_9();
    scene.agent.launch();
    scene.start_all();
    for (user, (host, context)) in users.iter_mut().zip(places) {
        assert_eq!(user.value("place"), Some(format!("{host}{context}")));
    }
    for context in ["localhost#", "localhost#/shop", "localhost#/cart##2", "other.test#/shop"] {
        scene.agent.wait_for(&["a node is given its sessions", &format!("context={context} "), "sessions=1"]);
    }
}

#[test]
fn what_a_tomcat_cannot_write_does_no_harm_to_the_rest() {
    let mut scene = Scene::of_one(Cluster::new());
    let mut user = scene.user(0);
    user.set("word", "kept");
    let _ = user.try_get("/unwritable");
    let _ = user.try_get("/remove?name=unwritable");
    user.set("other", "also");
    wait_until("the changes", PATIENCE, || {
        scene.agent.count(&["a session changes", user.beginning(), "Delta"]) >= 3
    });
    scene.kill_all();
    scene.start_all();
    assert_eq!(user.value("word").as_deref(), Some("kept"));
    assert_eq!(user.value("other").as_deref(), Some("also"));
}
