// SPDX-License-Identifier: Apache-2.0
//! Names of members to addresses, once per process or as often as `addressttl` says.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The addresses of one member as this process knows them.
#[derive(Debug, Default)]
pub struct Addresses {
    known: Mutex<Option<(Arc<[SocketAddr]>, Instant)>>,
}

impl Addresses {
    /// The addresses, looked up if they are not known or older than `ttl` (`None`: never too old).
    ///
    /// # Errors
    /// The resolver's; also when a name has no address.
    pub fn get(&self, host: &str, port: u16, ttl: Option<Duration>) -> io::Result<Arc<[SocketAddr]>> {
        if let Some((addresses, at)) = &*self.lock()
            && ttl.is_none_or(|ttl| at.elapsed() < ttl)
        {
            return Ok(Arc::clone(addresses));
        }
        self.refresh(host, port)
    }

    /// Looks the name up again, whatever is known.
    ///
    /// # Errors
    /// As [`Addresses::get`].
    pub fn refresh(&self, host: &str, port: u16) -> io::Result<Arc<[SocketAddr]>> {
        // The lock is not held while the resolver works: other threads go on with what is known.
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let found: Arc<[SocketAddr]> = (bare, port).to_socket_addrs()?.collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        *self.lock() = Some((Arc::clone(&found), Instant::now()));
        Ok(found)
    }

    /// The next question is answered by the resolver.
    pub fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Arc<[SocketAddr]>, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_addresses_of_both_families_are_understood() {
        let addresses = Addresses::default();
        assert_eq!(addresses.get("127.0.0.1", 8009, None).unwrap()[..], ["127.0.0.1:8009".parse().unwrap()]);
        let addresses = Addresses::default();
        assert_eq!(addresses.get("[::1]", 8009, None).unwrap()[..], ["[::1]:8009".parse().unwrap()]);
    }

    #[test]
    fn a_known_address_is_kept_until_it_is_too_old() {
        let addresses = Addresses::default();
        let first = addresses.get("127.0.0.1", 1, None).unwrap();
        assert!(Arc::ptr_eq(&first, &addresses.get("127.0.0.1", 1, None).unwrap()));
        assert!(!Arc::ptr_eq(&first, &addresses.get("127.0.0.1", 1, Some(Duration::ZERO)).unwrap()));
    }
}
