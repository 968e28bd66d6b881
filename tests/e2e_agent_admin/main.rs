// SPDX-License-Identifier: Apache-2.0
//! The administrator's hands on a real agent: questions over the socket, sessions in and out of Tomcats without cluster, and a
//! vault that is killed, torn and filled up.

#[path = "../e2e_agent/scene.rs"]
#[allow(dead_code)] // the tests of the cluster use the rest
mod scene;
#[path = "../support/mod.rs"]
mod support;

mod archive;
mod questions;
mod vault;

use std::process::Output;

use support::agent::Agent;
use support::cluster::Cluster;
use support::scratch_dir;

/// An agent with a control socket of its own; nothing is started.
pub fn agent_of(cluster: &Cluster) -> Agent {
    let dir = scratch_dir("admin");
    let control = format!("[control]\nsocket = \"{}\"\n", dir.join("agent.sock").display());
    Agent::prepare(dir, &format!("{}{control}", cluster.agent_toml()))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command that must work prints.
#[track_caller]
pub fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Why a command that must fail does so.
#[track_caller]
pub fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr)
}
