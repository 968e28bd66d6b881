// SPDX-License-Identifier: Apache-2.0
//! Which node of the cluster a balancer member is: by its route, or by its address where that leaves no doubt. No sockets.

use std::net::IpAddr;

use crate::agent::cluster::{Life, MemberReport, Report};
use crate::shared::{Naming, Protocol};
use crate::wire::cluster::Identity;

/// A balancer member to be found in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub naming: Naming,
    /// Of its host, as far as they are known.
    pub addresses: Vec<IpAddr>,
}

/// Who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    Node(Identity),
    /// Nobody yet.
    Nobody,
    /// It may be more than one; why, for the log.
    Ambiguous(String),
}

/// Finds the node of each member.
pub fn match_all(subjects: &[Subject], report: &Report) -> Vec<Match> {
    subjects.iter().map(|subject| find(subject, subjects, report)).collect()
}

fn find(subject: &Subject, all: &[Subject], report: &Report) -> Match {
    let route = &subject.naming.route;
    let by_route = |node: &&MemberReport| !route.is_empty() && node.routes.contains(route.as_str());
    match one_of(report.members.values().filter(by_route)) {
        Ok(Some(node)) => return Match::Node(node.identity),
        Ok(None) => {}
        Err((one, other)) => {
            return Match::Ambiguous(format!(
                "the nodes {one} and {other} both make sessions with its route {route:?}: every Tomcat needs a jvmRoute of its own"
            ));
        }
    }
    by_address(subject, all, report)
}

/// One that lives, or if nobody does, the one that went last. An error names two that live.
fn one_of<'r>(
    nodes: impl Iterator<Item = &'r MemberReport>,
) -> Result<Option<&'r MemberReport>, (Identity, Identity)> {
    let (gone, alive): (Vec<_>, Vec<_>) = nodes.partition(|node| matches!(node.life, Life::Gone(_)));
    match alive[..] {
        [] => Ok(gone.into_iter().max_by_key(|node| node.since)),
        [only] => Ok(Some(only)),
        [one, other, ..] => Err((one.identity, other.identity)),
    }
}

fn by_address(subject: &Subject, all: &[Subject], report: &Report) -> Match {
    let is_here = |node: &&MemberReport| subject.addresses.contains(&node.identity.host);
    // A node whose route is known is not the member of another route.
    let fits = |node: &&MemberReport| subject.naming.route.is_empty() || node.routes.is_empty();
    let here: Vec<&MemberReport> = report.members.values().filter(is_here).collect();
    if !here.iter().any(fits) {
        return Match::Nobody;
    }
    let host = &subject.naming.host;
    if let Some(other) = all.iter().find(|other| is_neighbour(subject, other)) {
        return Match::Ambiguous(format!(
            "{} is at the same address, and it is not known which of them is which node",
            other.naming.url
        ));
    }
    match one_of(here.iter().copied()) {
        Ok(Some(node)) if fits(&node) => Match::Node(node.identity),
        Ok(_) => Match::Nobody,
        Err((one, other)) => Match::Ambiguous(format!("the nodes {one} and {other} are both at {host}")),
    }
}

/// Another connector of the same kind at the same address: that is another Tomcat. Connectors of two kinds are one Tomcat's.
fn is_neighbour(subject: &Subject, other: &Subject) -> bool {
    let is_same_kind = other.naming.protocol == subject.naming.protocol
        && subject.naming.protocol != Protocol::Unknown
        && other.naming.port != subject.naming.port;
    is_same_kind && other.addresses.iter().any(|address| subject.addresses.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::cluster::Departure;

    fn member(host: &str, port: u16, route: &str) -> Subject {
        let naming = Naming {
            protocol: Protocol::Ajp,
            port,
            balancer: "c".into(),
            url: format!("ajp://{host}:{port}"),
            host: host.into(),
            route: route.into(),
        };
        Subject { naming, addresses: vec![host.parse().unwrap()] }
    }

    fn node(address: &str, life: Life, routes: &[&str]) -> MemberReport {
        let address: std::net::SocketAddr = address.parse().unwrap();
        let identity = Identity { host: address.ip(), port: address.port(), unique_id: [1; 16] };
        let routes = routes.iter().map(|route| (*route).to_owned()).collect();
        MemberReport { identity, domain: Vec::new(), life, since: i64::from(address.port()), routes }
    }

    fn report(nodes: Vec<MemberReport>) -> Report {
        Report { members: nodes.into_iter().map(|node| (node.identity, node)).collect() }
    }

    fn ports(subjects: &[Subject], report: &Report) -> Vec<Option<u16>> {
        let port = |found| match found {
            Match::Node(identity) => Some(identity.port),
            Match::Nobody | Match::Ambiguous(_) => None,
        };
        match_all(subjects, report).into_iter().map(port).collect()
    }

    #[test]
    fn on_one_host_only_the_route_tells() {
        let members = [member("127.0.0.1", 8009, "a"), member("127.0.0.1", 8010, "b")];
        let nodes = vec![node("127.0.0.1:4000", Life::Alive, &[]), node("127.0.0.1:4001", Life::Alive, &[])];
        let found = match_all(&members, &report(nodes));
        assert!(
            matches!(&found[0], Match::Ambiguous(why) if why.contains("ajp://127.0.0.1:8010")),
            "{found:?}"
        );
        let nodes =
            vec![node("127.0.0.1:4000", Life::Alive, &["b"]), node("127.0.0.1:4001", Life::Alive, &["a"])];
        assert_eq!(ports(&members, &report(nodes)), [Some(4001), Some(4000)]);
        let nodes =
            vec![node("127.0.0.1:4000", Life::Alive, &["b"]), node("127.0.0.1:4001", Life::Alive, &[])];
        assert_eq!(ports(&members, &report(nodes)), [None, Some(4000)]);
    }

    #[test]
    fn with_a_host_each_the_address_tells() {
        let members = [member("10.0.0.1", 8009, "a"), member("10.0.0.2", 8009, "")];
        let nodes = vec![node("10.0.0.1:4000", Life::Alive, &[]), node("10.0.0.2:4001", Life::Alive, &["x"])];
        assert_eq!(ports(&members, &report(nodes)), [Some(4000), Some(4001)]);
    }

    #[test]
    fn a_node_of_another_route_is_another_tomcat() {
        let members = [member("10.0.0.1", 8009, "a")];
        let nodes = vec![node("10.0.0.1:4000", Life::Alive, &["b"])];
        assert_eq!(ports(&members, &report(nodes)), [None]);
    }

    #[test]
    fn two_nodes_at_one_address_leave_a_doubt_unless_one_is_gone() {
        let members = [member("10.0.0.1", 8009, "")];
        let both = vec![node("10.0.0.1:4000", Life::Alive, &[]), node("10.0.0.1:4001", Life::Alive, &[])];
        assert_eq!(ports(&members, &report(both)), [None]);
        let gone = Life::Gone(Departure::Dead);
        let one = vec![node("10.0.0.1:4000", gone, &[]), node("10.0.0.1:4001", Life::Alive, &[])];
        assert_eq!(ports(&members, &report(one)), [Some(4001)]);
        let none = vec![node("10.0.0.1:4000", gone, &[]), node("10.0.0.1:4001", gone, &[])];
        assert_eq!(ports(&members, &report(none)), [Some(4001)], "the one that went last");
    }

    #[test]
    fn connectors_of_two_kinds_are_one_tomcats() {
        let mut http = member("10.0.0.1", 8080, "");
        http.naming.protocol = Protocol::Http;
        let members = [member("10.0.0.1", 8009, ""), http];
        let nodes = vec![node("10.0.0.1:4000", Life::Alive, &[])];
        assert_eq!(ports(&members, &report(nodes)), [Some(4000), Some(4000)]);
    }

    #[test]
    fn two_nodes_with_one_route_are_explained() {
        let members = [member("10.0.0.9", 8009, "a")];
        let nodes =
            vec![node("10.0.0.1:4000", Life::Alive, &["a"]), node("10.0.0.2:4000", Life::Suspect, &["a"])];
        let found = match_all(&members, &report(nodes));
        assert!(matches!(&found[0], Match::Ambiguous(why) if why.contains("jvmRoute")), "{found:?}");
    }
}
