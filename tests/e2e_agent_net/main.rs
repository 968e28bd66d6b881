// SPDX-License-Identifier: Apache-2.0
//! The agent and real Tomcats on hosts of their own: multicast over real interfaces, links that go down, hosts that vanish.

#[path = "../e2e_agent/scene.rs"]
#[allow(dead_code)] // the tests of the cluster on loopback use the rest
mod scene;
#[path = "../support/mod.rs"]
mod support;

mod interfaces;
mod partition;

use std::net::IpAddr;

use scene::Scene;
use support::agent::Agent;
use support::cluster::Cluster;
use support::network::{Host, Network};
use support::scratch_dir;
use support::tomcat::Tomcat;

/// The hosts of a cluster of two nodes and an agent.
pub struct Hosts {
    pub agent: Host,
    pub a: Host,
    pub b: Host,
}

impl Hosts {
    pub fn of(network: &Network) -> Hosts {
        Hosts { agent: network.host("agent"), a: network.host("a"), b: network.host("b") }
    }

    /// The agent's port is its own, so that it is found in the logs of the nodes.
    pub fn cluster(&self) -> Cluster {
        let cluster = Cluster::new();
        Cluster { agent_port: 4999, group_port: 45564, agent_bind: self.agent.v4().to_string(), ..cluster }
    }

    pub fn agent(&self, cluster: &Cluster) -> Agent {
        let mut agent = Agent::prepare(scratch_dir("agent"), &cluster.agent_toml());
        agent.set_wrapper(self.agent.wrapper());
        agent
    }

    /// Nodes with the addresses that `address` chooses.
    pub fn nodes(&self, cluster: &Cluster, address: fn(&Host) -> IpAddr) -> Vec<Tomcat> {
        let node = |host: &Host, route| cluster.node_on(host, address(host), route);
        vec![node(&self.a, "A"), node(&self.b, "B")]
    }

    /// All of them, running and known to each other.
    pub fn scene(&self, cluster: Cluster) -> Scene {
        let (agent, nodes) = (self.agent(&cluster), self.nodes(&cluster, Host::v4));
        Scene::with_agent(cluster, agent, nodes)
    }
}
