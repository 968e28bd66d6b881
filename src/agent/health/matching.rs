// SPDX-License-Identifier: Apache-2.0
//! Which node of the cluster a balancer member is: by its route, or by its address where that leaves no doubt. No sockets.
//!
//! A route counts once a session has shown it. One that is only likely, because the process before had it, makes a node one of those
//! that the member may be, and so does an address that others share: of such a member only its own connector is believed.

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
    /// One of these; why that is not known, for the log.
    Perhaps(Vec<Identity>, Option<String>),
    /// Nobody yet.
    Nobody,
}

/// Finds the node of each member.
pub fn match_all(subjects: &[Subject], report: &Report) -> Vec<Match> {
    subjects.iter().map(|subject| Search { subject, all: subjects, report }.find()).collect()
}

struct Search<'a> {
    subject: &'a Subject,
    all: &'a [Subject],
    report: &'a Report,
}

impl<'a> Search<'a> {
    fn nodes(&self) -> impl Iterator<Item = &'a MemberReport> {
        self.report.members.values()
    }

    fn find(&self) -> Match {
        let route = &self.subject.naming.route;
        let by_route = |node: &&MemberReport| !route.is_empty() && node.routes.contains(route.as_str());
        let named = match one_of(self.nodes().filter(by_route)) {
            Ok(named) => named,
            Err((one, other)) => {
                return Match::Perhaps(
                    vec![one, other],
                    Some(format!(
                        "the nodes {one} and {other} both make sessions with its route {route:?}: every Tomcat needs a jvmRoute of its own"
                    )),
                );
            }
        };
        if let Some(node) = named.filter(|node| is_alive(node)) {
            return Match::Node(node.identity);
        }
        let why = match self.by_address() {
            // Whoever is there now need not be the one that was known.
            Ok(Some(node)) if named.is_none() => return Match::Node(node.identity),
            Ok(_) => None,
            Err(why) => Some(why),
        };
        let mut perhaps: Vec<Identity> = self.candidates(named).map(|node| node.identity).collect();
        match named {
            Some(node) if perhaps.is_empty() => Match::Node(node.identity),
            None if perhaps.is_empty() => Match::Nobody,
            _ => {
                perhaps.extend(named.map(|node| node.identity));
                Match::Perhaps(perhaps, why)
            }
        }
    }

    /// Those whose route no session has shown yet, or none that httpd knows, and that came after `before` had gone.
    fn candidates(&self, before: Option<&'a MemberReport>) -> impl Iterator<Item = &'a MemberReport> {
        let route = &self.subject.naming.route;
        let is_likely = move |node: &MemberReport| {
            !route.is_empty() && node.routes.is_empty() && node.likely_route.as_ref() == Some(route)
        };
        let is_later = move |node: &MemberReport| {
            before.is_none_or(|before| is_alive(node) && node.since >= before.since)
        };
        self.nodes().filter(move |node| {
            (is_likely(node) || self.is_here(node) && self.may_be(node)) && is_later(node)
        })
    }

    fn is_here(&self, node: &MemberReport) -> bool {
        self.subject.addresses.contains(&node.identity.host)
    }

    /// A node whose route is known is not the member of another route.
    fn fits(&self, node: &MemberReport) -> bool {
        self.subject.naming.route.is_empty() || node.routes.is_empty()
    }

    /// Where sessions are not sticky, routes of members may be any names.
    fn may_be(&self, node: &MemberReport) -> bool {
        let has_member = |route: &String| self.all.iter().any(|subject| subject.naming.route == *route);
        self.fits(node) || !node.routes.iter().any(has_member)
    }

    /// An error says why the address tells nothing.
    fn by_address(&self) -> Result<Option<&'a MemberReport>, String> {
        let subject = self.subject;
        let here: Vec<&MemberReport> = self.nodes().filter(|node| self.is_here(node)).collect();
        if !here.iter().any(|node| self.fits(node)) {
            return Ok(None);
        }
        if let Some(other) = self.all.iter().find(|other| is_neighbour(subject, other)) {
            return Err(format!(
                "{} is at the same address, and it is not known which of them is which node",
                other.naming.url
            ));
        }
        match one_of(here.iter().copied()) {
            Ok(node) => Ok(node.filter(|node| self.fits(node))),
            Err((one, other)) => {
                Err(format!("the nodes {one} and {other} are both at {}", subject.naming.host))
            }
        }
    }
}

fn is_alive(node: &MemberReport) -> bool {
    !matches!(node.life, Life::Gone(_))
}

/// One that lives, or if nobody does, the one that went last. An error names two that live.
fn one_of<'r>(
    nodes: impl Iterator<Item = &'r MemberReport>,
) -> Result<Option<&'r MemberReport>, (Identity, Identity)> {
    let (alive, gone): (Vec<_>, Vec<_>) = nodes.partition(|node| is_alive(node));
    match alive[..] {
        [] => Ok(gone.into_iter().max_by_key(|node| node.since)),
        [only] => Ok(Some(only)),
        [one, other, ..] => Err((one.identity, other.identity)),
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
        let since = i64::from(address.port());
        MemberReport { identity, domain: Vec::new(), life, since, routes, likely_route: None }
    }

    fn likely(address: &str, route: &str) -> MemberReport {
        MemberReport { likely_route: Some(route.into()), ..node(address, Life::Alive, &[]) }
    }

    fn report(nodes: Vec<MemberReport>) -> Report {
        Report { members: nodes.into_iter().map(|node| (node.identity, node)).collect() }
    }

    fn ports(subjects: &[Subject], report: &Report) -> Vec<Option<u16>> {
        let port = |found| match found {
            Match::Node(identity) => Some(identity.port),
            Match::Nobody | Match::Perhaps(..) => None,
        };
        match_all(subjects, report).into_iter().map(port).collect()
    }

    #[test]
    fn on_one_host_only_the_route_tells() {
        let members = [member("127.0.0.1", 8009, "a"), member("127.0.0.1", 8010, "b")];
        let nodes = vec![node("127.0.0.1:4000", Life::Alive, &[]), node("127.0.0.1:4001", Life::Alive, &[])];
        let found = match_all(&members, &report(nodes));
        assert!(
            matches!(&found[0], Match::Perhaps(nodes, Some(why)) if nodes.len() == 2 && why.contains("ajp://127.0.0.1:8010")),
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
        assert!(
            matches!(&found[0], Match::Perhaps(nodes, Some(why)) if nodes.len() == 2 && why.contains("jvmRoute")),
            "{found:?}"
        );
    }

    /// The ports of the nodes that the member may be.
    fn perhaps(subject: usize, members: &[Subject], report: &Report) -> Vec<u16> {
        match &match_all(members, report)[subject] {
            Match::Perhaps(nodes, _) => nodes.iter().map(|node| node.port).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_likely_route_is_no_match() {
        let members = [member("127.0.0.1", 8009, "a"), member("127.0.0.1", 8010, "b")];
        // As after a start in another order: it may be the other way round.
        let swapped = report(vec![likely("127.0.0.1:4000", "a"), likely("127.0.0.1:4001", "b")]);
        assert_eq!(ports(&members, &swapped), [None, None]);
        assert_eq!(perhaps(0, &members, &swapped), [4000, 4001]);
        // A session of one of them tells who it is.
        let shown = report(vec![node("127.0.0.1:4000", Life::Alive, &["b"]), likely("127.0.0.1:4001", "b")]);
        assert_eq!(ports(&members, &shown), [None, Some(4000)]);
        assert_eq!(perhaps(0, &members, &shown), [4001]);
    }

    #[test]
    fn a_likely_route_does_not_count_where_the_address_tells() {
        let members = [member("10.0.0.1", 8009, "a"), member("10.0.0.2", 8009, "b")];
        let nodes = report(vec![likely("10.0.0.1:4000", "b"), likely("10.0.0.2:4001", "a")]);
        assert_eq!(ports(&members, &nodes), [Some(4000), Some(4001)]);
        // Behind another address it is the only hint.
        let nodes = report(vec![likely("192.168.0.1:4000", "b")]);
        assert_eq!(perhaps(1, &members, &nodes), [4000]);
    }

    #[test]
    fn who_comes_after_the_known_node_has_gone_may_be_the_member_and_who_was_there_is_not() {
        let members = [member("127.0.0.1", 8009, "a"), member("127.0.0.1", 8010, "b")];
        let gone = node("127.0.0.1:4001", Life::Gone(Departure::Left), &["a"]);
        let before = node("127.0.0.1:4000", Life::Alive, &[]);
        let after = node("127.0.0.1:4002", Life::Alive, &[]);
        assert_eq!(ports(&members, &report(vec![gone.clone(), before.clone()])), [Some(4001), None]);
        assert_eq!(perhaps(0, &members, &report(vec![gone, before, after])), [4002, 4001]);
    }

    #[test]
    fn a_node_whose_route_nobody_has_may_be_a_member_at_its_address() {
        let members = [member("10.0.0.1", 8009, "worker1"), member("10.0.0.2", 8009, "b")];
        let nodes = report(vec![
            node("10.0.0.1:4000", Life::Alive, &["a"]),
            node("10.0.0.1:4001", Life::Alive, &["b"]),
        ]);
        assert_eq!(perhaps(0, &members, &nodes), [4000]);
        assert_eq!(ports(&members, &nodes), [None, Some(4001)]);
    }
}
