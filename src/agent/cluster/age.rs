// SPDX-License-Identifier: Apache-2.0
//! The age that the agent announces. A node that starts asks the member with the largest, and nobody else.

use crate::wire::cluster::Member;

/// A node of this age has its sessions, or never will.
const SETTLED: i64 = 70_000;
/// More than any Tomcat is old: three years.
const LARGE: i64 = 100_000_000_000;

/// Milliseconds to announce. `uptime` is our own; `is_ready`: we know all that can be known; `nodes`: the others that count.
///
/// While a node lives that has all sessions, it is to be asked: it is the one that has them first-hand. We come next, before nodes
/// that have just started and know nothing. Without such a node only we know.
pub fn announced<'a>(uptime: i64, is_ready: bool, nodes: impl Iterator<Item = &'a Member>) -> i64 {
    if !is_ready {
        return uptime - LARGE;
    }
    match nodes.map(|node| node.alive).filter(|alive| (SETTLED..LARGE).contains(alive)).max() {
        Some(oldest) => oldest - 1,
        None => uptime + LARGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(alive: i64) -> Member {
        Member { alive, ..Member::new("10.0.0.1:4000".parse().unwrap(), [1; 16]) }
    }

    #[test]
    fn until_it_knows_all_nobody_asks_the_agent_who_could_ask_another() {
        assert!(announced(5_000, false, [node(1_000)].iter()) < 0);
    }

    #[test]
    fn a_node_that_has_all_sessions_is_asked_before_the_agent() {
        let nodes = [node(1_000), node(80_000), node(200_000)];
        let age = announced(5_000, true, nodes.iter());
        assert_eq!(age, 199_999);
    }

    #[test]
    fn where_all_others_have_just_started_the_agent_is_asked() {
        let nodes = [node(1_000), node(60_000)];
        assert!(announced(5_000, true, nodes.iter()) > 60_000);
        assert!(announced(5_000, true, [].iter()) > 60_000);
    }
}
