// SPDX-License-Identifier: Apache-2.0
//! What the agent costs, on this machine: deltas taken in, all sessions handed to a node that starts, memory for each session; the
//! last two beside a real Tomcat 10.1 that does the same for the same peer.
//!
//! `cargo bench --bench agent -- [SESSIONS] [DELTAS]`

#![forbid(unsafe_code)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod peer;
mod process;

use std::error::Error;
use std::time::{Duration, Instant};

use margay::agent::control::Status;
use peer::Peer;
use process::{cpu, memory};
use support::agent::Agent;
use support::cluster::Cluster;
use support::tomcat::Tomcat;
use support::{scratch_dir, wait_until};

const CONTEXT: &str = "localhost#";
const LONG: Duration = Duration::from_secs(300);

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse::<usize>().ok());
    let sessions = numbers.next().unwrap_or(100_000);
    let deltas = numbers.next().unwrap_or(500_000);
    if deltas > 0 {
        takes_deltas(10_000, deltas)?;
    }
    let agent = hands_over_agent(sessions)?;
    let tomcat = hands_over_tomcat(sessions)?;
    println!(
        "beside Tomcat: {:.2} of its time, {:.2} of its memory (wanted: at most 1.00 and 0.25)",
        agent.0.as_secs_f64() / tomcat.0.as_secs_f64(),
        agent.1 / tomcat.1
    );
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

/// How long handing over takes, and bytes of memory for each session.
fn hands_over_agent(sessions: usize) -> Result<(Duration, f64), Failure> {
    let cluster = Cluster::new();
    let agent = start_agent(&cluster);
    let empty = memory(agent.pid());
    let mut peer = Peer::new(cluster.agent_port)?;
    peer.create(CONTEXT, sessions)?;
    peer.change(CONTEXT, sessions, sessions, 1024)?;
    wait_until("all sessions", LONG, || {
        status(&agent).is_some_and(|now| now.sessions == sessions && now.unwritten == 0)
    });
    report("the agent", agent.pid(), empty, sessions, &mut peer)
}

fn hands_over_tomcat(sessions: usize) -> Result<(Duration, f64), Failure> {
    let cluster = Cluster::new();
    let receiver = support::httpd::free_port();
    let mut tomcat = Tomcat::prepare(
        support::tomcat::Connector::Http,
        scratch_dir("bench"),
        "A",
        support::httpd::free_port(),
    );
    tomcat.set_engine(&cluster.element(receiver));
    let distributable =
        "<web-app xmlns=\"https://jakarta.ee/xml/ns/jakartaee\" version=\"6.0\"><distributable/></web-app>";
    tomcat.write("webapps/ROOT/WEB-INF/web.xml", distributable);
    // What a Tomcat in production has; with less it collects garbage all the time.
    tomcat.set_machine(&["-Xms64m", "-Xmx1g"]);
    tomcat.restart();
    let empty = memory(tomcat.pid());
    let mut peer = Peer::new(receiver)?;
    peer.create(CONTEXT, sessions)?;
    peer.change(CONTEXT, sessions, sessions, 1024)?;
    report("Tomcat", tomcat.pid(), empty, sessions, &mut peer)
}

fn report(
    name: &str,
    pid: u32,
    empty: u64,
    sessions: usize,
    peer: &mut Peer,
) -> Result<(Duration, f64), Failure> {
    let each = memory(pid).saturating_sub(empty) as f64 / sessions as f64;
    let mut times = Vec::new();
    for _ in 0..3 {
        let begin = Instant::now();
        let bytes = peer.asks_for_all(CONTEXT)?;
        times.push(begin.elapsed());
        if bytes < sessions * 1024 {
            return Err(format!("{name} handed over {bytes} bytes only").into());
        }
    }
    times.sort();
    println!(
        "{name}: {sessions} sessions of 1 KiB handed to a node that starts in {:?} (of 3: {times:?}), {each:.0} bytes of memory each",
        times[0]
    );
    Ok((times[0], each))
}
