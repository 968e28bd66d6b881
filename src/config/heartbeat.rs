// SPDX-License-Identifier: Apache-2.0
//! Where the heartbeats of `lbmethod=heartbeat` come from.

use std::net::SocketAddr;

/// What the server listens to or reads, for all balancers alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heartbeat {
    /// `HeartbeatListen`: UDP, usually a multicast group. Only where mod_heartmonitor is not there to listen itself.
    pub listen: Option<SocketAddr>,
    /// `HeartbeatStorage`: the file of mod_heartmonitor; relative to httpd's runtime folder, where it is `hb.dat`
    /// if nothing is said.
    pub storage: Option<String>,
    /// `HeartbeatMaxServers`: how many senders are remembered; 10, at least 10. 0 is mod_heartmonitor's word for a file,
    /// which we do not write: the shared memory has its own limit then.
    pub servers: Option<u32>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeartbeatLine {
    Listen(SocketAddr),
    Storage(String),
    Servers(u32),
}

impl Heartbeat {
    /// Takes a line over; false if it may be said only once and was.
    pub(crate) fn apply(&mut self, line: HeartbeatLine) -> bool {
        match line {
            HeartbeatLine::Listen(address) => {
                let is_first = self.listen.is_none();
                self.listen.get_or_insert(address);
                return is_first;
            }
            HeartbeatLine::Storage(file) => self.storage = Some(file),
            HeartbeatLine::Servers(count) => self.servers = Some(count),
        }
        true
    }
}
