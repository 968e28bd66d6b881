// SPDX-License-Identifier: Apache-2.0
//! Lines of mod_jk for tests.

use super::ajp_peer::Peer;
use super::httpd::{Builder, Httpd};

/// Lines of workers.properties: the workers by name, and, with `lb` first, a balancer over them.
pub fn properties(balancer: Option<&str>, workers: &[(&str, &Peer)]) -> Vec<String> {
    let names: Vec<&str> = workers.iter().map(|(name, _)| *name).collect();
    let mut lines = vec![format!("worker.list={}", balancer.map_or(names.join(","), str::to_owned))];
    for (name, peer) in workers {
        lines.push(format!("worker.{name}.host=127.0.0.1"));
        lines.push(format!("worker.{name}.port={}", peer.port()));
        lines.push(format!("worker.{name}.retry_interval=1"));
    }
    if let Some(name) = balancer {
        lines.push(format!("worker.{name}.type=lb"));
        lines.push(format!("worker.{name}.retry_interval=1"));
        lines.push(format!("worker.{name}.balance_workers={}", names.join(",")));
    }
    lines
}

/// httpd with these workers and a log of its own.
pub fn builder(name: &str, balancer: Option<&str>, workers: &[(&str, &Peer)]) -> Builder {
    let builder = Httpd::builder(name).line("JkShmFile run/jk-shm\nJkLogFile run/jk.log");
    properties(balancer, workers)
        .iter()
        .fold(builder, |builder, line| builder.line(format!("JkWorkerProperty {line}")))
}

/// What stands in the `JkLogFile` of [`builder`].
pub fn log(httpd: &Httpd) -> String {
    std::fs::read_to_string(httpd.prefix().join("run/jk.log")).unwrap_or_default()
}
