// SPDX-License-Identifier: Apache-2.0
//! Members that are known beforehand.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::{Hub, new_id};
use crate::agent::settings::StaticClass;
use crate::wire::cluster::frame::STATIC_START;
use crate::wire::cluster::{Member, Options, StaticMessage, StaticWord};

impl Hub {
    /// Members that are known beforehand are greeted until they answer.
    pub(super) fn meet_static_members(&mut self) {
        let membership = &self.settings.membership;
        if membership.members.is_empty() {
            return;
        }
        let known: BTreeSet<SocketAddr> =
            self.table.members().iter().map(|seen| seen.member.address()).collect();
        for configured in membership.members.clone() {
            let Some(address) = self.names.address(&configured.host, configured.port) else {
                continue;
            };
            let unique_id = configured.unique_id.map_or([0; 16], |id| id.0);
            let member =
                Member { domain: configured.domain.bytes.clone(), ..Member::new(address, unique_id) };
            match self.settings.membership.class {
                StaticClass::Interceptor if !known.contains(&address) => {
                    if configured.unique_id.is_some() {
                        self.hear(&member, true);
                    } else {
                        // It is known by its id once it says something.
                        self.send_plain(&member, STATIC_START.to_vec(), Options::default());
                    }
                }
                StaticClass::Interceptor => {}
                StaticClass::Service => {
                    let word = if known.contains(&address) { StaticWord::Ping } else { StaticWord::Start };
                    self.ask_static(&member, word);
                }
            }
        }
    }

    fn ask_static(&mut self, to: &Member, word: StaticWord) {
        let Ok(uuid) = new_id() else { return };
        let membership_id =
            format!("{}-StaticMembership", self.settings.membership.channel_name).into_bytes();
        let message = StaticMessage { word, member: self.own(), membership_id, version: self.version };
        self.send_plain(to, message.to_rpc(&uuid, false), Options::ASYNCHRONOUS);
    }
}
