// SPDX-License-Identifier: Apache-2.0
//! In synchronous mode a user's request waits for the agent.

use std::time::{Duration, Instant};

use crate::scene::{Scene, User};
use crate::support::cluster::Cluster;

const REQUESTS: usize = 300;

#[test]
fn synchronous_requests_are_no_slower_with_the_agent_than_with_a_third_tomcat() {
    let with_agent = Scene::of_two(synchronous());
    let cluster = synchronous();
    let nodes = ["A", "B", "C"].map(|route| cluster.node(route)).into();
    let with_tomcat = Scene::without_agent(cluster, nodes);
    let [with_agent, with_tomcat] = measure([with_agent.user(0), with_tomcat.user(0)]);
    println!("a request with the agent: median {:?}, 99% {:?}", with_agent.0, with_agent.1);
    println!("a request with a third Tomcat: median {:?}, 99% {:?}", with_tomcat.0, with_tomcat.1);
    // The machine is busy; a delayed acknowledgement would cost 40 ms, a missing one five seconds.
    assert!(with_agent.0 < with_tomcat.0 * 3 + Duration::from_millis(10), "{with_agent:?} {with_tomcat:?}");
}

fn synchronous() -> Cluster {
    Cluster { send_options: 6, ..Cluster::new() }
}

/// Median and 99th percentile of each, asked in turn: whatever else the machine does, it does to both.
fn measure(mut users: [User; 2]) -> [(Duration, Duration); 2] {
    let mut times = [Vec::with_capacity(REQUESTS), Vec::with_capacity(REQUESTS)];
    for number in 0..REQUESTS * 2 {
        for (user, times) in users.iter_mut().zip(&mut times) {
            let start = Instant::now();
            user.get(&format!("/pair?value={number}"));
            // The first ones also compile the way.
            if number >= REQUESTS {
                times.push(start.elapsed());
            }
        }
    }
    times.map(|mut times| {
        times.sort();
        (times[REQUESTS / 2], times[REQUESTS * 99 / 100])
    })
}
