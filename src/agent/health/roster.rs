// SPDX-License-Identifier: Apache-2.0
//! The balancer members as the module names them, and what is known of each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::News;
use super::matching::Subject;
use crate::agent::cluster::{Life, MemberReport};
use crate::shared::{JkMemberText, MemberSlotId, Naming, Protocol, Region};
use crate::wire::cluster::Identity;

/// How long an address counts before its name is looked up again.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// All members of the newest configuration.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pub members: Vec<Watched>,
    pub generation: Option<u32>,
    addresses: HashMap<String, (Vec<IpAddr>, Instant)>,
}

/// One member.
#[derive(Debug)]
pub(super) struct Watched {
    pub slot: MemberSlotId,
    pub subject: Subject,
    /// Its node, how that is, and since when.
    pub node: Option<(Identity, Life, i64)>,
    /// The departure whose notice was heeded.
    pub heeded: Option<i64>,
    /// Does the connector answer, as far as asked since the last change?
    pub answers: Option<bool>,
    /// How often in succession it did not.
    pub unanswered: u32,
    pub asking: bool,
    pub ask_at: Instant,
    /// Answers to questions of an earlier turn come too late.
    pub turn: u64,
}

impl Watched {
    fn new(slot: MemberSlotId, subject: Subject) -> Watched {
        let ask_at = Instant::now();
        Watched {
            slot,
            subject,
            node: None,
            heeded: None,
            answers: None,
            unanswered: 0,
            asking: false,
            ask_at,
            turn: 0,
        }
    }

    /// Its node is this one now, and so.
    pub fn meet(&mut self, node: Option<&MemberReport>) {
        let node = node.map(|node| (node.identity, node.life, node.since));
        if self.node != node {
            self.node = node;
            self.forget_answer();
            self.ask_at = Instant::now();
        }
    }

    /// It was asked.
    pub fn answered(&mut self, answers: bool) {
        self.asking = false;
        self.answers = Some(answers);
        self.unanswered = if answers { 0 } else { self.unanswered + 1 };
    }

    /// What was asked before says nothing any more.
    pub fn forget_answer(&mut self) {
        self.turn += 1;
        self.asking = false;
        self.answers = None;
        self.unanswered = 0;
    }
}

impl Roster {
    /// Reads who is there. Who was there before keeps what is known of it.
    pub fn reload(&mut self, region: &Region) {
        self.generation = Some(region.generation());
        let mut before = std::mem::take(&mut self.members);
        for (slot, naming) in region.named_members() {
            let Some(naming) = complete(region, slot, naming) else { continue };
            let addresses = self.known(&naming.host);
            let subject = Subject { naming, addresses };
            let is_same = |known: &Watched| {
                known.slot == slot
                    && known.subject.naming.url == subject.naming.url
                    && known.subject.naming.balancer == subject.naming.balancer
            };
            let known = before.iter().position(is_same).map(|at| before.swap_remove(at));
            self.members.push(match known {
                Some(known) => Watched { subject, ..known },
                None => Watched::new(slot, subject),
            });
        }
    }

    pub fn find(&mut self, slot: MemberSlotId) -> Option<&mut Watched> {
        self.members.iter_mut().find(|member| member.slot == slot)
    }

    /// Has names looked up whose addresses are not known, or too old.
    pub fn resolve(&mut self, news: &UnboundedSender<News>) {
        let now = Instant::now();
        for member in &self.members {
            let host = &member.subject.naming.host;
            let is_known = self.addresses.get(host).is_some_and(|(_, until)| now < *until);
            if host.is_empty() || is_known || host.parse::<IpAddr>().is_ok() {
                continue;
            }
            // It is not looked up twice at once.
            self.addresses.entry(host.clone()).or_insert_with(|| (Vec::new(), now)).1 = now + KNOWN_FOR;
            let (host, news) = (host.clone(), news.clone());
            tokio::spawn(async move {
                let found = tokio::net::lookup_host((host.as_str(), 0)).await;
                let addresses =
                    found.map(|all| all.map(|address| address.ip()).collect()).unwrap_or_default();
                let _ = news.send(News::Resolved { host, addresses });
            });
        }
    }

    /// A name has these addresses. A resolver that fails for a while takes nothing away.
    pub fn resolved(&mut self, host: &str, mut addresses: Vec<IpAddr>) {
        addresses.sort();
        addresses.dedup();
        if addresses.is_empty() {
            return;
        }
        for member in self.members.iter_mut().filter(|member| member.subject.naming.host == host) {
            member.subject.addresses.clone_from(&addresses);
        }
        self.addresses.insert(host.to_owned(), (addresses, Instant::now() + KNOWN_FOR));
    }

    pub fn forget_answers(&mut self) {
        self.members.iter_mut().for_each(Watched::forget_answer);
    }

    fn known(&self, host: &str) -> Vec<IpAddr> {
        match host.parse() {
            Ok(address) => vec![address],
            Err(_) => self.addresses.get(host).map(|(addresses, _)| addresses.clone()).unwrap_or_default(),
        }
    }
}

/// With what an administrator changed, and who joined while the server runs. `None` for a place that is free.
fn complete(region: &Region, slot: MemberSlotId, mut naming: Naming) -> Option<Naming> {
    if naming.url.is_empty() && naming.host.is_empty() {
        naming = joined(naming, &region.place(slot).url()?)?;
    }
    let changed = region.member_changes(slot).route();
    if let Some(route) = changed.or_else(|| region.jk_member(slot).text(JkMemberText::Route)) {
        naming.route = route.as_str().to_owned();
    }
    Some(naming)
}

/// The member of this URL, as far as it can be asked.
fn joined(place: Naming, url: &str) -> Option<Naming> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let (host, port) = match authority.rsplit_once(':').filter(|(host, _)| !host.ends_with(':')) {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, if scheme == "ajp" { 8009 } else { 80 }),
    };
    let protocol = match scheme {
        "ajp" => Protocol::Ajp,
        "http" | "ws" => Protocol::Http,
        "https" | "wss" => Protocol::Tcp,
        _ => Protocol::Unknown,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(Naming { protocol, port, url: url.to_owned(), host, ..place })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::key::Key;

    fn named(region: &Region, generation: u32, members: &[(&str, &str)]) -> Vec<MemberSlotId> {
        let keys: Vec<Key> = members.iter().map(|(url, _)| Key::of(&[url])).collect();
        let bound = region.bind(generation, &keys, &[]).unwrap().members;
        for (place, (url, route)) in bound.iter().zip(members) {
            let place_of = Naming { balancer: "c".into(), route: (*route).into(), ..Naming::default() };
            region.name_member(place.slot, generation, &joined(place_of, url).unwrap());
        }
        bound.iter().map(|place| place.slot).collect()
    }

    #[test]
    fn a_new_configuration_keeps_what_is_known_of_those_that_stay() {
        let region = Region::private().unwrap();
        named(&region, 1, &[("ajp://10.0.0.1:8009", "a"), ("ajp://10.0.0.2", "b")]);
        let mut roster = Roster::default();
        roster.reload(&region);
        assert_eq!(roster.members[1].subject.naming.port, 8009);
        assert_eq!(roster.members[1].subject.addresses, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
        roster.members[1].heeded = Some(7);
        named(&region, 2, &[("ajp://10.0.0.2", "c"), ("ajp://10.0.0.3", "d")]);
        roster.reload(&region);
        let known: Vec<_> =
            roster.members.iter().map(|member| (&*member.subject.naming.route, member.heeded)).collect();
        assert!(known.contains(&("c", Some(7))) && known.contains(&("d", None)), "{known:?}");
        assert_eq!((known.len(), roster.generation), (2, Some(2)));
    }

    #[test]
    fn urls_are_taken_apart() {
        let parts = |url: &str| {
            let naming = joined(Naming::default(), url)?;
            Some((naming.protocol, naming.host, naming.port))
        };
        assert_eq!(parts("ajp://h"), Some((Protocol::Ajp, "h".into(), 8009)));
        assert_eq!(parts("http://[::1]:81/x"), Some((Protocol::Http, "::1".into(), 81)));
        assert_eq!(parts("http://[::1]"), Some((Protocol::Http, "::1".into(), 80)));
        assert_eq!(parts("nothing"), None);
    }

    #[test]
    fn a_name_keeps_its_addresses_while_the_resolver_fails() {
        let region = Region::private().unwrap();
        named(&region, 1, &[("ajp://tomcat:8009", "a")]);
        let mut roster = Roster::default();
        roster.reload(&region);
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        roster.resolved("tomcat", vec![address, address]);
        roster.resolved("tomcat", Vec::new());
        assert_eq!(roster.members[0].subject.addresses, [address]);
        roster.reload(&region);
        assert_eq!(roster.members[0].subject.addresses, [address]);
    }
}
