// SPDX-License-Identifier: Apache-2.0
//! Who comes, is there, falls silent, goes, and comes back.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::{ASK_NEW_NODE_AFTER, Hub, LIVED, LOOKED_AT, Probed, SETTLED, SETTLES, STILL, TICK};
use crate::agent::cluster::age;
use crate::agent::cluster::multicast::Group;
use crate::agent::cluster::pull::{Pull, Purpose, Witness};
use crate::agent::cluster::routes;
use crate::agent::cluster::sender;
use crate::agent::cluster::table::{Departure, Heard, Seen};
use crate::agent::now;
use crate::agent::settings::StaticClass;
use crate::wire::cluster::frame::STATIC_START;
use crate::wire::cluster::{Identity, Member, Options};

/// For how long a member that fell silent is expected back, in milliseconds: two days.
const EXPECTED_BACK: i64 = 2 * 24 * 3_600_000;
/// `connectTimeout` of TcpFailureDetector.
const PROBE_AT_MOST: Duration = Duration::from_secs(1);
/// Less would take a busy node for a dead one.
const PROBE_AT_LEAST: Duration = Duration::from_millis(200);

impl Hub {
    fn uptime(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Ourselves, with the age that is announced now.
    pub(super) fn own(&mut self) -> Member {
        let nodes = self.table.members();
        self.own.alive =
            age::announced(self.uptime(), self.health.is_ready, nodes.iter().map(|seen| &seen.member));
        self.own.clone()
    }

    pub(super) async fn announce(&mut self, group: &Group) {
        let bytes = self.own().to_bytes();
        let sent = group.socket.send_to(&bytes, group.address).await;
        let group = group.address;
        if let Err(error) = &sent
            && !std::mem::replace(&mut self.is_mute, true)
        {
            warn!(%error, %group, "no beacon can be sent to the group");
        } else if sent.is_ok() && std::mem::take(&mut self.is_mute) {
            info!(%group, "beacons are sent to the group again");
        }
    }

    pub(super) fn beacon(&mut self, bytes: &[u8], peer: SocketAddr) {
        match Member::read(bytes) {
            Ok(member) => self.hear(&member, false),
            Err(error) => debug!(%peer, %error, "a datagram of the group is no beacon"),
        }
    }

    pub(super) fn hear(&mut self, member: &Member, is_static: bool) {
        let now = now();
        let identity = member.identity();
        let heard = self.table.get(&identity).filter(|seen| seen.is_confirmed).map(|seen| seen.heard);
        match self.table.hear(member, now, is_static) {
            Heard::New => self.probe(identity),
            Heard::Known => {
                if self.report.suspect(&identity, false, now) {
                    self.publish();
                }
                // Who was silent for so long may have taken us for dead, and told us nothing.
                if let Some(heard) = heard.filter(|heard| !is_static && now - heard > self.long_silence()) {
                    info!(member = %identity, milliseconds = now - heard, "a member that was silent is heard again");
                    self.came_back(member, heard, now);
                }
            }
            Heard::Left => self.gone(&identity, Departure::Left),
            Heard::NotOurs => {}
        }
    }

    fn drop_time(&self) -> i64 {
        i64::try_from(self.settings.membership.drop_time).unwrap_or(i64::MAX)
    }

    /// After so long a member may be out of patience with us: beacons get lost in both directions, and its clock runs from another one.
    fn long_silence(&self) -> i64 {
        self.drop_time() / 3 * 2
    }

    /// It is asked for what we missed.
    fn came_back(&mut self, member: &Member, lost: i64, now: i64) {
        let is_asked = |pull: &Pull| {
            let is_for_all = matches!(pull.purpose, Purpose::Returned | Purpose::Refused);
            is_for_all && pull.identity() == member.identity()
        };
        let is_ours = now - self.ticked > STILL || now < self.still_until;
        if self.health.is_ready && !is_ours && !self.pulls.iter().any(is_asked) {
            self.replica.begin_asking();
            self.pulls.retain(|pull| pull.identity() != member.identity());
            let witness = self.witness(&member.identity());
            self.pulls.push(Pull::returned(member.clone(), Some(lost), witness, now, now + SETTLES));
        }
    }

    /// What a node knew before we did not hear it.
    fn witness(&self, identity: &Identity) -> Witness {
        self.agreed.get(identity).map_or(Witness::OfNone, |contexts| Witness::Of(contexts.clone()))
    }

    /// A message of a member that was not heard of late was sent long ago: others behind it may be lost. The session is as old as
    /// before when the node is asked.
    pub(super) fn look_for_gap(&mut self, identity: &Identity, now: i64) {
        let is_silent = |seen: &Seen| !seen.is_static && now - seen.heard > self.long_silence();
        let is_ours = now - self.ticked > STILL || now < self.still_until;
        if self.health.is_ready
            && !is_ours
            && (self.lost.contains_key(identity) || self.table.get(identity).is_some_and(is_silent))
        {
            self.replica.begin_asking();
            self.expected_until = now + SETTLES;
        }
    }

    /// A member closed a connection: it may have died, and its other sockets may live for a moment longer.
    pub(super) fn closed(&mut self, identity: Identity) {
        self.probe(identity);
        self.closed.insert(identity, now() + LOOKED_AT);
    }

    /// Asks whether somebody is there. The answer comes by itself.
    fn probe(&mut self, identity: Identity) {
        if self.table.get(&identity).is_none() || !self.probing.insert(identity) {
            return;
        }
        let (own, probes) = (self.own.clone(), self.probes.clone());
        // It begins after half of dropTime, and is over before the end.
        let half = (self.settings.membership.drop_time() / 2).saturating_sub(2 * TICK);
        let limit = half.clamp(PROBE_AT_LEAST, PROBE_AT_MOST);
        tokio::spawn(async move {
            let result = sender::probe(&own, identity.address(), limit).await;
            let _ = probes.send(Probed { identity, result });
        });
    }

    pub(super) fn probed(&mut self, Probed { identity, result }: &Probed) {
        self.probing.remove(identity);
        let now = now();
        match result {
            Ok(()) => {
                let is_new = self.table.confirm(identity, now);
                let Some(seen) = self.table.get(identity).cloned() else { return };
                if is_new {
                    self.joined(&seen);
                } else if seen.suspect.is_some() && self.report.suspect(identity, true, now) {
                    info!(member = %identity, "a member is silent, but takes connections");
                    self.publish();
                }
            }
            Err(error) => {
                let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
                let Some(seen) = self.table.get(identity) else { return };
                if !is_refused && now - seen.heard <= self.drop_time() {
                    // The network may be slow, or the node busy. If it stays silent, it is dead.
                    self.table.unreachable(identity);
                    return;
                }
                if let Some((seen, departure)) = self.table.refuse(identity, now) {
                    // The id of a static member says nothing of its process, which has ended if the machine says so.
                    if !seen.is_static || !is_refused {
                        self.lost.insert(*identity, now);
                    }
                    self.gone(identity, departure);
                }
            }
        }
    }

    fn joined(&mut self, seen: &Seen) {
        let identity = seen.member.identity();
        let now = now();
        for twin in self.table.replaced_by(&identity) {
            self.gone(&twin.member.identity(), Departure::Replaced);
        }
        let remembered = routes::recall(&self.about.routes, &identity, seen.is_static);
        self.report.joined(seen, remembered, now);
        info!(member = %identity, alive = seen.member.alive, "a member joined");
        self.has_met = true;
        self.publish();
        let age = seen.member.alive.max(0);
        let was_there_before = self.ran_before.filter(|ran| now - age + SETTLED < *ran);
        // An id is made anew when a Tomcat starts: the process is the one that was lost.
        let lost = self.lost.remove(&identity);
        let from = seen.member.clone();
        let pull = match (self.health.is_ready, was_there_before) {
            (false, Some(_)) => Pull::new(from, Purpose::Knows, now),
            (false, None) => Pull::new(from, Purpose::Started, now),
            // It and we did not hear each other for a while, or never before though both were there.
            (true, before) if lost.is_some() || age > LIVED && !seen.is_static => {
                let witness = match before {
                    Some(_) => Witness::OfAll,
                    // A process that was started again may have the id of the one before.
                    None if seen.is_static => Witness::OfNone,
                    None => self.witness(&identity),
                };
                Pull::returned(from, lost.or(before), witness, now, now + SETTLES)
            }
            (true, _) => Pull::new(from, Purpose::Started, now + ASK_NEW_NODE_AFTER),
        };
        if pull.purpose == Purpose::Returned {
            self.replica.begin_asking();
        }
        self.pulls.push(pull);
        if seen.is_static && self.settings.membership.class == StaticClass::Interceptor {
            self.send_plain(&seen.member, STATIC_START.to_vec(), Options::default());
        }
    }

    pub(super) fn gone(&mut self, identity: &Identity, departure: Departure) {
        info!(member = %identity, why = departure.words(), "a member is gone");
        self.report.gone(identity, departure, now());
        self.publish();
        self.sender.forget(identity);
        self.pulls.retain(|pull| pull.identity() != *identity);
        self.waiting.retain(|waiting| waiting.node.identity() != *identity);
    }

    pub(super) fn publish(&self) {
        self.reports.send_replace(self.report.clone());
    }

    /// Asks after those that are silent, and takes out those that are dead.
    pub(super) fn look_after_members(&mut self, now: i64) {
        for member in self.table.silent(now) {
            // A static member is only looked at once a second.
            let is_silent =
                self.table.get(&member.identity()).is_some_and(|seen| !seen.is_static || !seen.is_confirmed);
            if is_silent || self.ticks.is_multiple_of(10) {
                self.probe(member.identity());
            }
        }
        self.closed.retain(|_, until| now < *until);
        for identity in self.closed.keys().copied().collect::<Vec<_>>() {
            self.probe(identity);
        }
        for seen in self.table.give_up(now) {
            self.lost.insert(seen.member.identity(), now);
            self.gone(&seen.member.identity(), Departure::Dead);
        }
        self.lost.retain(|_, since| now - *since <= EXPECTED_BACK);
        if self.ticks.is_multiple_of(100) {
            let (table, lost) = (&self.table, &self.lost);
            self.agreed.retain(|identity, _| table.get(identity).is_some() || lost.contains_key(identity));
        }
    }
}
