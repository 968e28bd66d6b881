// SPDX-License-Identifier: Apache-2.0
//! The way in and out for people who leave the cluster, or come to it: what StandardManager and FileStore keep.

use std::path::PathBuf;

use crate::scene::User;
use crate::support::agent::Agent;
use crate::support::cluster::{Cluster, deploy, wait_for_log};
use crate::support::httpd::free_port;
use crate::support::scratch_dir;
use crate::support::tomcat::{Connector, Tomcat};
use crate::{agent_of, printed, refused};

/// The main application of the host `localhost`.
const CONTEXT: &str = "localhost#";
const STANDARD: &str = r#"<Context><Manager pathname="SESSIONS.ser"/></Context>"#;
const FILE_STORE: &str = r#"<Context>
  <Manager className="org.apache.catalina.session.PersistentManager" saveOnRestart="true">
    <Store className="org.apache.catalina.session.FileStore" directory="kept"/>
  </Manager>
</Context>"#;

/// A Tomcat without cluster with the tests' application. Nothing is started.
fn alone(manager: &str) -> Tomcat {
    let tomcat = Tomcat::prepare(Connector::Http, scratch_dir("alone"), "A", free_port());
    deploy(&tomcat, "webapps/ROOT");
    tomcat.write("webapps/ROOT/META-INF/context.xml", manager);
    tomcat
}

/// Where its managers keep sessions.
fn work(tomcat: &Tomcat) -> PathBuf {
    let logs = tomcat.log_file();
    let base = logs.ancestors().nth(2).expect("the folder of the Tomcat");
    let work = base.join("work/Catalina/localhost/ROOT");
    std::fs::create_dir_all(&work).expect("the work folder");
    work
}

/// A node in a cluster with an agent that keeps everything of a user.
fn kept_in_a_cluster() -> (Agent, Tomcat, User) {
    let cluster = Cluster::new();
    let mut agent = agent_of(&cluster);
    agent.launch();
    agent.wait_for(&["the agent is ready"]);
    let mut node = cluster.node("A");
    node.restart();
    wait_for_log(&node, "member added");
    let mut user = User::at(node.address());
    user.get("/fill");
    user.set("word", "kept");
    agent.wait_kept(user.beginning(), 3);
    (agent, node, user)
}

/// Exports what the agent keeps, and looks whether a Tomcat without cluster has all of it.
fn leaves(export: impl Fn(&Agent, &[&str]) -> std::process::Output, agent: &Agent, user: &User) {
    for (manager, format, file) in
        [(STANDARD, "sessions.ser", "SESSIONS.ser"), (FILE_STORE, "filestore", "kept")]
    {
        let mut tomcat = alone(manager);
        let to = work(&tomcat).join(file);
        let to = to.to_str().expect("a path");
        let said = printed(&export(
            agent,
            &["sessions", "export", "--format", format, "--context", CONTEXT, "--to", to],
        ));
        assert!(said.starts_with("1 sessions of localhost# were written to "), "{said}");
        tomcat.restart();
        let mut user = user.clone();
        user.moves_to(&tomcat);
        user.has_everything();
        assert_eq!(user.value("word").as_deref(), Some("kept"), "{format}");
        let again =
            export(agent, &["sessions", "export", "--format", format, "--context", CONTEXT, "--to", to]);
        if format == "filestore" {
            assert!(refused(&again).contains("File exists"), "a file of the running Tomcat was overwritten");
        }
    }
}

#[test]
fn what_the_agent_keeps_loads_in_a_tomcat_without_cluster() {
    let (mut agent, mut node, user) = kept_in_a_cluster();
    node.kill_9();
    leaves(|agent, arguments| agent.margay(arguments), &agent, &user);
    // The same from the vault of an agent that does not run.
    let held = agent.margay_at_vault(&["sessions", "list"]);
    assert!(refused(&held).contains("in use by another agent"));
    agent.kill_9();
    leaves(|agent, arguments| agent.margay_at_vault(arguments), &agent, &user);
}

#[test]
fn what_a_tomcat_without_cluster_kept_is_there_in_the_cluster() {
    for (manager, format, file) in
        [(STANDARD, "sessions.ser", "SESSIONS.ser"), (FILE_STORE, "filestore", "kept")]
    {
        let mut before = alone(manager);
        before.restart();
        let mut user = User::at(before.address());
        user.get("/fill");
        user.set("word", "stored");
        before.stop();
        let from = work(&before).join(file);
        let from = from.to_str().expect("a path");

        let cluster = Cluster::new();
        let mut agent = agent_of(&cluster);
        agent.launch();
        agent.wait_for(&["the agent is ready"]);
        let import = ["sessions", "import", "--format", format, "--context", CONTEXT, "--from", from];
        let said = printed(&agent.margay(&import));
        assert!(said.starts_with("1 sessions of localhost# were taken from "), "{said}");
        assert!(printed(&agent.margay(&import)).starts_with("0 sessions"), "a known session stays as it is");
        let mut node = cluster.node("A");
        node.restart();
        user.moves_to(&node);
        user.has_everything();
        assert_eq!(user.value("word").as_deref(), Some("stored"), "{format}");
    }
}

#[test]
fn what_is_imported_reaches_a_node_that_runs() {
    let (agent, node, mut user) = kept_in_a_cluster();
    let folder = scratch_dir("out").join("kept");
    let to = folder.to_str().expect("a path");
    printed(&agent.margay(&[
        "sessions",
        "export",
        "--format",
        "filestore",
        "--context",
        CONTEXT,
        "--to",
        to,
    ]));
    user.get("/end");
    agent.wait_for(&[user.beginning(), "Expired"]);
    // Its end is remembered for a while under the old id, so it comes back under another.
    let cluster = Cluster::new();
    let mut other_agent = agent_of(&cluster);
    other_agent.launch();
    other_agent.wait_for(&["the agent is ready"]);
    let mut other = cluster.node("B");
    other.restart();
    wait_for_log(&other, "member added");
    printed(&other_agent.margay(&[
        "sessions",
        "import",
        "--format",
        "filestore",
        "--context",
        CONTEXT,
        "--from",
        to,
    ]));
    user.moves_to(&other);
    crate::support::wait_until("the session to reach the node", crate::support::PATIENCE, || {
        user.value("word").as_deref() == Some("kept")
    });
    drop(node);
}
