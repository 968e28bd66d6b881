// SPDX-License-Identifier: Apache-2.0
//! Members that are heard on an interface nobody chose: with `auto` the agent moves there as long as it has met nobody.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Hub;
use crate::agent::cluster::interfaces::Interface;
use crate::agent::cluster::multicast::{self, Group};
use crate::agent::cluster::receiver::{self, Incoming, Limits};
use crate::agent::cluster::routes;
use crate::agent::settings::Settings;
use crate::wire::cluster::{Identity, Member};

/// What is read from.
#[derive(Debug)]
pub(super) struct Sockets {
    /// `None` without multicast.
    pub(super) group: Option<Group>,
    pub(super) elsewhere: Elsewhere,
    pub(super) incoming: mpsc::Receiver<Incoming>,
}

/// The other interfaces.
#[derive(Debug)]
pub(super) struct Elsewhere {
    interfaces: Vec<Interface>,
    /// `None`: nobody listens there.
    heard: Option<mpsc::Receiver<(Interface, Identity)>>,
}

impl Elsewhere {
    pub(super) fn new(hub: &Hub, interfaces: Vec<Interface>) -> Elsewhere {
        Self::listening(&hub.settings, &hub.own, interfaces)
    }

    fn listening(settings: &Settings, own: &Member, interfaces: Vec<Interface>) -> Elsewhere {
        let heard = match interfaces.is_empty() {
            true => None,
            false => Some(multicast::listen_elsewhere(&settings.membership, own, interfaces.clone())),
        };
        Elsewhere { interfaces, heard }
    }

    /// The next member that is heard, and where.
    pub(super) async fn heard(&mut self) -> (Interface, Identity) {
        if let Some(heard) = &mut self.heard
            && let Some(found) = heard.recv().await
        {
            return found;
        }
        std::future::pending().await
    }
}

impl Hub {
    /// A member is heard on an interface that is not used.
    pub(super) async fn heard_elsewhere(
        &mut self,
        sockets: &mut Sockets,
        interface: &Interface,
        member: &Identity,
    ) {
        let result = match self.may_follow(member) {
            true => self.move_to(sockets, interface).await,
            false => {
                Err(io::Error::other("it may be of another cluster: the agent has known members elsewhere"))
            }
        };
        if let Err(why) = result {
            sockets.elsewhere.heard = None;
            warn!(
                %interface, %member, announced = %self.own.address(), %why,
                "a member is heard on an interface that is not used; [membership] bind says which to use"
            );
        }
    }

    /// Nobody is followed into another network once the cluster is known: when all its nodes have died, that is where they start again.
    fn may_follow(&self, member: &Identity) -> bool {
        let mut known = routes::addresses(&self.about.routes).peekable();
        let is_expected = known.peek().is_none() || known.any(|address| address.ip() == member.host);
        !self.has_met && self.table.is_empty() && is_expected
    }

    async fn move_to(&mut self, sockets: &mut Sockets, interface: &Interface) -> io::Result<()> {
        let settings = Arc::clone(&self.settings);
        let receiver = &settings.receiver;
        let group = multicast::open(&settings.membership, interface.address)?;
        let listener = receiver::bind(interface.address, receiver.port, receiver.auto_bind).await?;
        let address = listener.local_addr()?;
        let incoming = receiver::start(listener, Limits::of(receiver))?;
        let before = self.own.host;
        (self.own.host, self.own.port) = (address.ip(), address.port());
        self.table.rename(self.own.identity());
        self.health.address = address.to_string();
        info!(
            %address, why = %format!("members are heard on {}, and none where {before} is", interface.name),
            "members reach the agent here"
        );
        // The listener there ends when nobody takes what comes.
        (sockets.group, sockets.incoming) = (Some(group), incoming);
        let mut others = std::mem::take(&mut sockets.elsewhere.interfaces);
        others.retain(|other| other.index != interface.index);
        sockets.elsewhere = Elsewhere::listening(&settings, &self.own, others);
        Ok(())
    }
}
