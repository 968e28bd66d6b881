// SPDX-License-Identifier: Apache-2.0
//! What the agent costs, on this machine: deltas taken in, all sessions handed to a node that starts, memory for each session; the
//! last two beside a real Tomcat 10.1 that does the same for the same peer.
//!
//! `cargo bench --bench agent -- [SESSIONS] [DELTAS]`

#![forbid(unsafe_code)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod handover;
mod peer;
mod process;

use std::error::Error;
use std::time::{Duration, Instant};

use margay::agent::control::Status;
use peer::Peer;
use process::{cpu, memory};
use support::agent::Agent;
use support::cluster::{Cluster, wait_for_log};
use support::tomcat::Tomcat;
use support::{scratch_dir, wait_until};

const CONTEXT: &str = "localhost#";
const ROUNDS: usize = 3;
const LONG: Duration = Duration::from_secs(300);

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse::<usize>().ok());
    let sessions = numbers.next().unwrap_or(100_000);
    let deltas = numbers.next().unwrap_or(500_000);
    if deltas > 0 {
        takes_deltas(10_000, deltas)?;
    }
    hands_over(sessions)?;
    Ok(())
}

fn start_agent(cluster: &Cluster) -> Agent {
    let dir = scratch_dir("bench-agent");
    let control = format!("[control]\nsocket = \"{}\"\n", dir.join("agent.sock").display());
    let agent = Agent::start_quietly(dir, &format!("{}{control}", cluster.agent_toml()));
    wait_until("the agent to be ready", LONG, || status(&agent).is_some_and(|status| status.ready));
    agent
}

fn status(agent: &Agent) -> Option<Status> {
    let output = agent.margay(&["status", "--json"]);
    serde_json::from_slice(&output.stdout).ok()
}

/// Frames over TCP, through the replica into the vault.
fn takes_deltas(sessions: usize, deltas: usize) -> Result<(), Failure> {
    let cluster = Cluster::new();
    let agent = start_agent(&cluster);
    let mut peer = Peer::new(cluster.agent_port)?;
    peer.create(CONTEXT, sessions)?;
    peer.change(CONTEXT, sessions, sessions, 800)?;
    wait_until("all sessions", LONG, || {
        status(&agent).is_some_and(|now| now.sessions == sessions && now.unwritten == 0)
    });
    let (cpu_before, begin) = (cpu(agent.pid()), Instant::now());
    peer.change(CONTEXT, sessions, deltas, 800)?;
    let taken = begin.elapsed();
    wait_until("everything on disk", LONG, || status(&agent).is_some_and(|now| now.unwritten == 0));
    let (written, spent) = (begin.elapsed(), cpu(agent.pid()) - cpu_before);
    let per_second = |time: Duration| deltas as f64 / time.as_secs_f64();
    println!(
        "{deltas} deltas of 800 bytes: {:.0} for each second of one core, with the vault's part; {:.0} per second until all were \
         taken, {:.0} until all were on disk (wanted: 50000)",
        per_second(spent),
        per_second(taken),
        per_second(written)
    );
    Ok(())
}

/// A member with all sessions, and bytes of its memory for each.
struct Full<T> {
    cluster: Cluster,
    member: T,
    each: f64,
}

fn full_agent(sessions: usize) -> Result<Full<Agent>, Failure> {
    let cluster = Cluster::new();
    let agent = start_agent(&cluster);
    let empty = memory(agent.pid());
    let mut peer = Peer::new(cluster.agent_port)?;
    peer.create(CONTEXT, sessions)?;
    peer.change(CONTEXT, sessions, sessions, 1024)?;
    wait_until("all sessions", LONG, || {
        status(&agent).is_some_and(|now| now.sessions == sessions && now.unwritten == 0)
    });
    let each = each(agent.pid(), empty, sessions);
    Ok(Full { cluster, member: agent, each })
}

fn full_tomcat(sessions: usize) -> Result<Full<Tomcat>, Failure> {
    let cluster = Cluster::new();
    let (mut tomcat, receiver) = handover::node(&cluster, "A");
    tomcat.launch_again();
    wait_for_log(&tomcat, "Server startup in");
    let empty = memory(tomcat.pid());
    let mut peer = Peer::new(receiver)?;
    peer.create(CONTEXT, sessions)?;
    peer.change(CONTEXT, sessions, sessions, 1024)?;
    let each = each(tomcat.pid(), empty, sessions);
    Ok(Full { cluster, member: tomcat, each })
}

fn each(pid: u32, empty: u64, sessions: usize) -> f64 {
    memory(pid).saturating_sub(empty) as f64 / sessions as f64
}

/// To a Tomcat that starts, in turn by the agent and by a Tomcat.
fn hands_over(sessions: usize) -> Result<(), Failure> {
    let (agent, tomcat) = (full_agent(sessions)?, full_tomcat(sessions)?);
    println!(
        "memory of a session with 1 KiB: {:.0} bytes in the agent, {:.0} in Tomcat: {:.2} of it (wanted: at most 0.25)",
        agent.each,
        tomcat.each,
        agent.each / tomcat.each
    );
    let (mut by_agent, mut by_tomcat) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        by_agent.push(handover::starts(&agent.cluster, sessions)?);
        by_tomcat.push(handover::starts(&tomcat.cluster, sessions)?);
    }
    by_agent.sort();
    by_tomcat.sort();
    println!(
        "{sessions} such sessions handed to a Tomcat that starts: {by_agent:?} by the agent, {by_tomcat:?} by a Tomcat: {:.2} of its \
         time (wanted: at most 1.00)",
        by_agent[ROUNDS / 2].as_secs_f64() / by_tomcat[ROUNDS / 2].as_secs_f64()
    );
    println!(
        "memory behind it: {} MiB in the agent, {} MiB in Tomcat",
        memory(agent.member.pid()) >> 20,
        memory(tomcat.member.pid()) >> 20
    );
    Ok(())
}
