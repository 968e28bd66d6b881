// SPDX-License-Identifier: Apache-2.0
//! In synchronous mode a user's request waits for the agent.

use std::time::{Duration, Instant};

use crate::scene::Scene;
use crate::support::cluster::Cluster;

const REQUESTS: usize = 300;

#[test]
fn synchronous_requests_are_no_slower_with_the_agent_than_with_a_third_tomcat() {
    let with_agent = measure(Scene::of_two(synchronous()));
    let cluster = synchronous();
    let nodes = ["A", "B", "C"].map(|route| cluster.node(route)).into();
    let with_tomcat = measure(Scene::without_agent(cluster, nodes));
    println!("a request with the agent: median {:?}, 99% {:?}", with_agent.0, with_agent.1);
    println!("a request with a third Tomcat: median {:?}, 99% {:?}", with_tomcat.0, with_tomcat.1);
    // The machine is busy; a delayed acknowledgement would cost 40 ms, a missing one five seconds.
    assert!(with_agent.0 < with_tomcat.0 * 3 + Duration::from_millis(10), "{with_agent:?} {with_tomcat:?}");
}

fn synchronous() -> Cluster {
    Cluster { send_options: 6, ..Cluster::new() }
}

/// Median and 99th percentile.
fn measure(scene: Scene) -> (Duration, Duration) {
    let mut user = scene.user(0);
    let mut times = Vec::with_capacity(REQUESTS);
    for number in 0..REQUESTS * 2 {
        let start = Instant::now();
        user.get(&format!("/pair?value={number}"));
        // The first ones also compile the way.
        if number >= REQUESTS {
            times.push(start.elapsed());
        }
    }
    times.sort();
    (times[REQUESTS / 2], times[REQUESTS * 99 / 100])
}
