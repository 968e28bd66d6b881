// SPDX-License-Identifier: Apache-2.0
//! What the commands say of a running agent, and when there is none.

use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use crate::scene::User;
use crate::support::cluster::{Cluster, wait_for_log};
use crate::support::{PATIENCE, scratch_dir, wait_until};
use crate::{agent_of, printed, refused};

#[test]
fn members_sessions_and_status_are_shown_without_users_data() {
    let cluster = Cluster::new();
    let mut agent = agent_of(&cluster);
    agent.launch();
    agent.wait_for(&["the agent is ready"]);
    let mut node = cluster.node("A");
    node.restart();
    wait_for_log(&node, "member added");
    let mut user = User::at(node.address());
    user.set("word", "nobody-else-reads-this");
    agent.wait_kept(user.beginning(), 2);
    let id = user.session();

    let members = printed(&agent.margay(&["members"]));
    assert!(
        members.starts_with("ADDRESS") && members.contains("alive") && members.contains("  A  "),
        "{members}"
    );
    let status = printed(&agent.margay(&["status"]));
    assert!(status.contains("Agent      ready") && status.contains("localhost#: 1"), "{status}");
    let list = printed(&agent.margay(&["sessions", "list"]));
    assert!(
        list.contains(user.beginning()) && !list.contains(id),
        "whole ids are shown only when asked for: {list}"
    );
    assert!(printed(&agent.margay(&["sessions", "list", "--full-ids"])).contains(id));

    let show = printed(&agent.margay(&["sessions", "show", user.beginning()]));
    assert!(show.contains("word") && show.contains("java.lang.String"), "{show}");
    assert!(!show.contains("nobody-else"), "values are shown only when asked for: {show}");
    let show = printed(&agent.margay(&["sessions", "show", user.beginning(), "--values"]));
    assert!(show.contains("\"nobody-else-reads-this\""), "{show}");
    let json = printed(&agent.margay(&["sessions", "show", user.beginning(), "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["attributes"][0]["name"], "word");
    assert_eq!(json["route"], "A");
    assert!(refused(&agent.margay(&["sessions", "show", "ZZZZ"])).contains("no session begins with ZZZZ"));

    node.kill_9();
    wait_until("the death of the node to be shown", PATIENCE, || {
        printed(&agent.margay(&["members"])).contains("it takes no connection")
    });
    assert_eq!(agent.count(&["nobody-else"]), 0, "values are in no log");
    assert_eq!(agent.count(&[id]), 0, "whole ids are in no log");
}

#[test]
fn without_an_agent_the_error_says_which_socket_and_how_to_start_one() {
    let agent = agent_of(&Cluster::new());
    let why = refused(&agent.margay(&["status"]));
    assert!(why.contains("no agent listens at ") && why.contains("agent.sock"), "{why}");
    assert!(why.contains("margay agent --config FILE"), "{why}");
}

#[test]
fn garbage_on_the_socket_is_answered_and_harms_nobody() {
    let mut agent = agent_of(&Cluster::new());
    agent.launch();
    agent.wait_for(&["the agent is ready"]);
    for bytes in [&b"{}\n"[..], b"GET / HTTP/1.0\n", b"{\"ask\":\"sessions\",\"id\":5}\n"] {
        let mut stream = UnixStream::connect(agent.dir().join("agent.sock")).expect("the socket");
        stream.write_all(bytes).expect("room in the socket");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("{\"answer\":\"refused\""), "{answer}");
    }
    let mut stream = UnixStream::connect(agent.dir().join("agent.sock")).expect("the socket");
    // More than any question has, and no end of the line: it is closed.
    let _ = stream.write_all(&vec![b'x'; 200_000]);
    let _ = stream.read_to_end(&mut Vec::new());
    assert!(printed(&agent.margay(&["status"])).contains("ready"));
}

#[test]
fn the_service_manager_is_told_when_the_agent_is_ready_and_when_it_stops() {
    let dir = scratch_dir("notify");
    let heard = UnixDatagram::bind(dir.join("notify")).expect("a socket");
    heard.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut agent = agent_of(&Cluster::new());
    agent.set_environment("NOTIFY_SOCKET", &dir.join("notify").display().to_string());
    agent.launch();
    let next = || {
        let mut bytes = [0; 256];
        let length = heard.recv(&mut bytes).expect("a word");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    assert_eq!(next(), "READY=1");
    assert!(agent.log().contains("the agent is ready"), "ready before it knew everything");
    assert_eq!(next(), "STATUS=Keeps the sessions of 0 members.");
    agent.stop();
    assert!(next().starts_with("STOPPING=1"));
}

#[test]
fn the_service_manager_hears_that_the_agent_lives_until_it_hangs() {
    let dir = scratch_dir("watchdog");
    let heard = UnixDatagram::bind(dir.join("notify")).expect("a socket");
    heard.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut agent = agent_of(&Cluster::new());
    agent.set_environment("NOTIFY_SOCKET", &dir.join("notify").display().to_string());
    agent.set_environment("WATCHDOG_USEC", "60000");
    agent.launch();
    let lives = || {
        let mut bytes = [0; 256];
        let length = heard.recv(&mut bytes).expect("a word");
        &bytes[..length] == b"WATCHDOG=1"
    };
    for _ in 0..3 {
        while !lives() {}
    }
    agent.pause();
    heard.set_nonblocking(true).expect("an option");
    while heard.recv(&mut [0; 256]).is_ok() {}
    std::thread::sleep(std::time::Duration::from_millis(120));
    assert!(heard.recv(&mut [0; 256]).is_err(), "it hangs");
    heard.set_nonblocking(false).expect("an option");
    agent.resume();
    while !lives() {}
}

#[test]
fn check_says_what_the_configuration_means_and_names_what_is_wrong() {
    let agent = agent_of(&Cluster::new());
    let said = printed(&agent.margay(&["agent", "--check"]));
    for words in
        ["127.0.0.1: [receiver] address says so", "group 228.0.0.4:", "would be new", "the agent can run."]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!agent.vault().exists(), "a check changes nothing");
    let file = agent.config_file();
    let good = std::fs::read_to_string(&file).expect("agent.toml");
    for (from, to, words) in [
        ("frequency = 200", "frequenzy = 200", ":2: unknown field `frequenzy`"),
        ("dropTime = 1500", "dropTime = 50", ":3: [membership] dropTime must be longer"),
        (
            "[vault]",
            "[encryption]\nencryptionKeyFile = \"/nowhere/key\"\n[vault]",
            "encryptionKeyFile /nowhere/key",
        ),
        ("[vault]\npath = \"", "[vault]\npath = \"/proc/version/vault", "/proc/version is no folder"),
    ] {
        assert!(good.contains(from), "{from}: {good}");
        std::fs::write(&file, good.replace(from, to)).expect("agent.toml");
        let why = refused(&agent.margay(&["agent", "--check"]));
        assert!(why.contains(words) && why.contains("agent.toml"), "{words}: {why}");
    }
}

#[test]
fn a_stopped_agent_takes_its_socket_with_it_and_a_killed_one_is_no_obstacle() {
    let mut agent = agent_of(&Cluster::new());
    agent.launch();
    agent.wait_for(&["the agent is ready"]);
    agent.kill_9();
    assert!(agent.dir().join("agent.sock").exists());
    agent.launch();
    agent.wait_for(&["the agent is ready"]);
    printed(&agent.margay(&["status"]));
    agent.stop();
    wait_until("the socket to go", Duration::from_secs(10), || !agent.dir().join("agent.sock").exists());
}
