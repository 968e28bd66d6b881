// SPDX-License-Identifier: Apache-2.0
//! Addresses of hosts that are configured by name. The name server may be slow, and nobody waits for it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

/// How long an answer is used, also one that there is no such host.
const USED_FOR: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    address: Option<IpAddr>,
    /// `None`: the question is under way.
    since: Option<Instant>,
}

/// What is known of names.
#[derive(Debug, Clone, Default)]
pub struct Names {
    known: Arc<Mutex<HashMap<String, Known>>>,
}

impl Names {
    /// The address of a host; `None` while it is looked up for the first time, and when there is none.
    pub fn address(&self, host: &str, port: u16) -> Option<SocketAddr> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(SocketAddr::new(address, port));
        }
        let mut known = self.lock();
        let now = known.get(host).copied();
        let is_asked = now.is_some_and(|known| known.since.is_none_or(|since| since.elapsed() < USED_FOR));
        if !is_asked {
            known.entry(host.to_owned()).or_default().since = None;
            tokio::spawn(self.clone().look_up(host.to_owned()));
        }
        Some(SocketAddr::new(now?.address?, port))
    }

    async fn look_up(self, host: String) {
        let found = tokio::net::lookup_host((host.as_str(), 0)).await;
        let since = Some(Instant::now());
        match found.map(|mut all| all.next()) {
            Ok(Some(address)) => {
                self.lock().insert(host, Known { address: Some(address.ip()), since });
            }
            Ok(None) => self.failed(&host, "it has no address", since),
            Err(error) => self.failed(&host, &error.to_string(), since),
        }
    }

    /// The address that was known stays in use: the name server is gone, not the host.
    fn failed(&self, host: &str, error: &str, since: Option<Instant>) {
        warn!(%host, %error, "[[membership.static]] host cannot be looked up");
        self.lock().entry(host.to_owned()).or_default().since = since;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_known_once_it_was_looked_up() {
        let names = Names::default();
        assert_eq!(names.address("10.0.0.1", 4000), Some(([10, 0, 0, 1], 4000).into()));
        assert_eq!(names.address("localhost", 4000), None);
        let start = Instant::now();
        while names.address("localhost", 4000).is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "localhost is never found");
            tokio::task::yield_now().await;
        }
        assert!(names.address("localhost", 4000).unwrap().ip().is_loopback());
    }
}
