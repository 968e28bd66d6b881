// SPDX-License-Identifier: Apache-2.0
//! The `jvmRoute`s of nodes, as they are remembered over restarts of the agent.
//!
//! A Tomcat makes a new id at each start, so a route that was learnt from this very id is the node's. Of a route that another id had at
//! the same address it is only likely: with `autoBind`, Tomcats that start in another order change their ports.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::wire::cluster::Identity;

/// What is remembered of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Remembered {
    #[default]
    Nothing,
    /// This process makes sessions with it.
    Known(String),
    /// A process that had the address before it did.
    Likely(String),
}

/// Notes the route of a node. One process has an address at a time.
pub fn remember(routes: &mut BTreeMap<String, String>, node: &Identity, route: &str) {
    routes.retain(|key, _| !is_at(key, node));
    routes.insert(key(node), route.to_owned());
}

/// What the notes say about a node. `keeps_id`: it has the same id at each start, so that only its address is known again.
pub fn recall(routes: &BTreeMap<String, String>, node: &Identity, keeps_id: bool) -> Remembered {
    if let Some(route) = routes.get(&key(node)).filter(|_| !keeps_id) {
        return Remembered::Known(route.clone());
    }
    let before = routes.iter().find(|(key, _)| is_at(key, node));
    before.map_or(Remembered::Nothing, |(_, route)| Remembered::Likely(route.clone()))
}

/// Where nodes are of which something is remembered.
pub fn addresses(routes: &BTreeMap<String, String>) -> impl Iterator<Item = SocketAddr> {
    routes.keys().filter_map(|key| address_in(key).parse().ok())
}

/// Address and id.
fn key(node: &Identity) -> String {
    let id: String = node.unique_id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {id}", node.address())
}

/// Notes of earlier releases have no id.
fn is_at(key: &str, node: &Identity) -> bool {
    address_in(key) == node.address().to_string()
}

fn address_in(key: &str) -> &str {
    key.split(' ').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(port: u16, id: u8) -> Identity {
        Identity { host: "127.0.0.1".parse().unwrap(), port, unique_id: [id; 16] }
    }

    #[test]
    fn a_route_is_known_of_the_process_and_likely_at_its_address() {
        let mut routes = BTreeMap::new();
        remember(&mut routes, &node(4000, 1), "A");
        assert_eq!(recall(&routes, &node(4000, 1), false), Remembered::Known("A".into()));
        assert_eq!(recall(&routes, &node(4000, 2), false), Remembered::Likely("A".into()));
        assert_eq!(recall(&routes, &node(4000, 1), true), Remembered::Likely("A".into()));
        assert_eq!(recall(&routes, &node(400, 1), false), Remembered::Nothing);
        remember(&mut routes, &node(4000, 2), "B");
        assert_eq!(recall(&routes, &node(4000, 2), false), Remembered::Known("B".into()));
        assert_eq!(routes.len(), 1, "one process at an address");
        assert_eq!(addresses(&routes).collect::<Vec<_>>(), [node(4000, 2).address()]);
    }

    #[test]
    fn a_note_without_an_id_is_only_likely() {
        let mut routes = BTreeMap::from([("127.0.0.1:4000".to_owned(), "A".to_owned())]);
        assert_eq!(recall(&routes, &node(4000, 1), false), Remembered::Likely("A".into()));
        remember(&mut routes, &node(4000, 1), "B");
        assert_eq!(recall(&routes, &node(4000, 1), false), Remembered::Known("B".into()));
        assert_eq!(routes.len(), 1);
    }
}
