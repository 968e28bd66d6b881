// SPDX-License-Identifier: Apache-2.0
//! Members that are heard on an interface nobody chose: with `auto` the agent moves there while it knows nobody where it is.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Hub;
use crate::agent::cluster::interfaces::Interface;
use crate::agent::cluster::multicast::{self, Group};
use crate::agent::cluster::receiver::{self, Incoming};
use crate::agent::settings::Settings;
use crate::wire::cluster::Member;

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
    heard: Option<mpsc::Receiver<Interface>>,
    is_told: bool,
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
        Elsewhere { interfaces, heard, is_told: false }
    }

    /// The next interface by which a member is heard.
    pub(super) async fn heard(&mut self) -> Interface {
        if let Some(heard) = &mut self.heard
            && let Some(interface) = heard.recv().await
        {
            return interface;
        }
        std::future::pending().await
    }
}

impl Hub {
    /// A member is heard on an interface that is not used.
    pub(super) async fn heard_elsewhere(&mut self, sockets: &mut Sockets, interface: &Interface) {
        if sockets.elsewhere.is_told {
            return;
        }
        if !self.table.is_empty() {
            sockets.elsewhere.is_told = true;
            warn!(
                %interface, announced = %self.own.address(),
                "members are heard on an interface that is not used; [membership] bind says which to use"
            );
            return;
        }
        if let Err(error) = self.move_to(sockets, interface).await {
            sockets.elsewhere.is_told = true;
            warn!(%interface, %error, "members are heard on an interface that cannot be used");
        }
    }

    async fn move_to(&mut self, sockets: &mut Sockets, interface: &Interface) -> io::Result<()> {
        let settings = Arc::clone(&self.settings);
        let receiver = &settings.receiver;
        let group = multicast::open(&settings.membership, interface.address)?;
        let listener = receiver::bind(interface.address, receiver.port, receiver.auto_bind).await?;
        let address = listener.local_addr()?;
        let (to, incoming) = mpsc::channel(4096);
        receiver::start(listener, receiver.max_frame, receiver.max_connections, to)?;
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
