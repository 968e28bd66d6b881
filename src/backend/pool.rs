// SPDX-License-Identifier: Apache-2.0
//! The connections one process keeps to one member: last in, first out, so that the warmest is used and Tomcat needs only
//! as many threads as there are requests in flight.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::address::Addresses;
use super::connection::{Connection, DialOptions};
use super::error::BackendError;
use super::transport::Wrap;
use crate::config::forward::Remote;
use crate::config::plan::{Member, PoolLimits};

/// The pool of one member in this process.
#[derive(Debug)]
pub struct Pool {
    limits: PoolLimits,
    places: Mutex<Places>,
    freed: Condvar,
    addresses: Addresses,
    /// Connections that other processes were told of.
    told: AtomicU32,
    /// Raised when the member moved to another address: connections of before are not kept.
    era: AtomicU32,
    /// When the connections were looked after last.
    looked_after: AtomicU64,
}

#[derive(Debug)]
struct Places {
    idle: Vec<Connection>,
    taken: u32,
}

/// The right to one connection. Dropping it closes the connection unless the exchange was declared clean.
#[derive(Debug)]
pub struct Lease<'p> {
    pool: &'p Pool,
    connection: Option<Connection>,
    clean: bool,
    /// Nothing was sent or received.
    untouched: bool,
    era: u32,
}

/// Where a connection leads.
#[derive(Debug, Clone, Copy)]
pub struct DialTarget<'t> {
    pub host: &'t str,
    pub port: u16,
    /// The family whose addresses are tried first; `None`: as the resolver orders them.
    pub ipv6_first: Option<bool>,
}

impl Pool {
    pub fn new(member: &Member) -> Pool {
        Pool {
            limits: member.pool,
            places: Mutex::new(Places { idle: Vec::new(), taken: 0 }),
            freed: Condvar::new(),
            addresses: Addresses::default(),
            told: AtomicU32::new(0),
            era: AtomicU32::new(0),
            looked_after: AtomicU64::new(0),
        }
    }

    /// Takes a place, and the connection used last if one is idle. Waits while `max` are in use, at most `acquire`.
    ///
    /// # Errors
    /// [`BackendError::Busy`] when no place became free in time.
    pub fn acquire(&self) -> Result<Lease<'_>, BackendError> {
        let mut places = self.lock();
        // Without `max` there is nothing to wait for: each thread has at most the request it carries, and one inside it.
        if self.limits.max > 0 && places.taken >= self.limits.max {
            places = self.wait_for_place(places)?;
        }
        places.taken += 1;
        if let Some(ttl) = self.limits.ttl {
            // The oldest lie in front.
            let now = Instant::now();
            let expired = places.idle.iter().take_while(|connection| connection.idle_for(now) >= ttl).count();
            places.idle.drain(..expired);
        }
        let connection = places.idle.pop();
        Ok(Lease { pool: self, connection, clean: false, untouched: false, era: self.era.load(Relaxed) })
    }

    fn wait_for_place<'a>(
        &'a self,
        places: MutexGuard<'a, Places>,
    ) -> Result<MutexGuard<'a, Places>, BackendError> {
        let full = |places: &mut Places| places.taken >= self.limits.max;
        match self.limits.acquire {
            None => Ok(self.freed.wait_while(places, full).unwrap_or_else(PoisonError::into_inner)),
            Some(limit) => {
                let (places, waited) = self
                    .freed
                    .wait_timeout_while(places, limit, full)
                    .unwrap_or_else(PoisonError::into_inner);
                if waited.timed_out() {
                    return Err(BackendError::Busy { max: self.limits.max, waited: limit });
                }
                Ok(places)
            }
        }
    }

    /// The addresses of the pool's member.
    ///
    /// # Errors
    /// [`BackendError::Resolve`].
    pub fn addresses_of(&self, member: &Member) -> Result<Arc<[SocketAddr]>, BackendError> {
        let resolve = |cause| BackendError::Resolve { host: member.host.clone(), cause };
        self.addresses.get(&member.host, member.port, member.address_ttl).map_err(resolve)
    }

    /// How many connections are open or about to be.
    pub fn connections(&self) -> u32 {
        let places = self.lock();
        places.taken.saturating_add(u32::try_from(places.idle.len()).unwrap_or(u32::MAX))
    }

    /// The member's address may have changed when the number of changes is another than before: what was opened and found
    /// out until now is forgotten.
    pub fn follow(&self, changes: u32) {
        if self.era.load(Relaxed) != changes && self.era.swap(changes, Relaxed) != changes {
            self.addresses.forget();
            self.clear();
        }
    }

    /// Is a place free?
    pub fn has_room(&self) -> bool {
        self.limits.max == 0 || self.lock().taken < self.limits.max
    }

    /// Notes how many connections were told of, and returns how many it was before.
    pub fn note_told(&self, connections: u32) -> u32 {
        self.told.swap(connections, Relaxed)
    }

    /// Have `interval` milliseconds passed since this was true last? Begins with the first question.
    pub fn is_due(&self, now: u64, interval: u64) -> bool {
        let last = self.looked_after.load(Relaxed);
        if last > 0 && now.saturating_sub(last) < interval {
            return false;
        }
        let is_ours = self.looked_after.compare_exchange(last, now, Relaxed, Relaxed).is_ok();
        is_ours && last > 0
    }

    /// Closes connections that have been idle for `limit`, the oldest first, as long as more than `keep` are left.
    pub fn close_idle(&self, now: Instant, limit: Duration, keep: u32) {
        let mut places = self.lock();
        let keep = usize::try_from(keep.saturating_sub(places.taken)).unwrap_or(usize::MAX);
        let surplus = places.idle.len().saturating_sub(keep);
        let expired = places.idle.iter().take_while(|connection| connection.idle_for(now) >= limit).count();
        let closed: Vec<Connection> = places.idle.drain(..expired.min(surplus)).collect();
        drop(places);
        // Closing may take a while, and nobody has to wait for it.
        drop(closed);
    }

    /// Takes out the connections nobody asked anything for `limit`, asks each, and puts back those that `is_alive`.
    pub fn check_idle(
        &self,
        now: Instant,
        limit: Duration,
        mut is_alive: impl FnMut(&mut Connection) -> bool,
    ) {
        let mut due: Vec<Connection> = {
            let mut places = self.lock();
            let (due, fresh) =
                places.idle.drain(..).partition(|connection| connection.unchecked_for(now) >= limit);
            places.idle = fresh;
            due
        };
        due.retain_mut(&mut is_alive);
        for connection in &mut due {
            connection.note_check();
        }
        // The oldest lie in front.
        self.lock().idle.splice(0..0, due);
    }

    /// Closes all idle connections: one of them turned out to be dead, and the others are as old.
    pub fn clear(&self) {
        self.lock().idle.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// The connection, if there is one.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }

    /// Closes the connection and takes the next idle one, if there is one.
    pub fn take_other(&mut self) {
        self.connection = self.pool.lock().idle.pop();
    }

    /// Closes the connection and keeps the place.
    pub fn discard(&mut self) {
        self.connection = None;
    }

    /// Opens a connection in this place: every address of the member is tried; if all fail, the name is looked up once
    /// more, and new addresses are tried.
    ///
    /// # Errors
    /// [`BackendError::Resolve`], [`BackendError::Connect`].
    pub fn dial(
        &mut self,
        member: &Member,
        timeout: Duration,
        source: Option<IpAddr>,
    ) -> Result<&mut Connection, BackendError> {
        let limits = (member.connect_timeout.unwrap_or(timeout), timeout);
        let target = DialTarget { host: &member.host, port: member.port, ipv6_first: None };
        self.dial_at(member, target, limits, source)
    }

    /// As [`Lease::dial`], with another target, and with limits for connecting and for each send and receive afterwards.
    ///
    /// # Errors
    /// As [`Lease::dial`].
    pub fn dial_at(
        &mut self,
        member: &Member,
        target: DialTarget<'_>,
        (connect_timeout, timeout): (Duration, Duration),
        source: Option<IpAddr>,
    ) -> Result<&mut Connection, BackendError> {
        let DialTarget { host, port, ipv6_first } = target;
        let options = DialOptions { connect_timeout, ..options(member, timeout, source) };
        if let Some(path) = &member.socket {
            let refused = |cause| BackendError::ConnectSocket { path: path.clone(), cause };
            let connection = Connection::dial_socket(path, &options).map_err(refused)?;
            return Ok(self.connection.insert(connection));
        }
        let resolve = |cause| BackendError::Resolve { host: host.to_owned(), cause };
        let known = &self.pool.addresses;
        let addresses = known.get(host, port, member.address_ttl).map_err(resolve)?;
        let failure = match Self::dial_in_order(&addresses, ipv6_first, &options) {
            Ok(connection) => return Ok(self.connection.insert(connection)),
            Err(failure) => failure,
        };
        if host.trim_matches(['[', ']']).parse::<IpAddr>().is_err() {
            let again = known.refresh(host, port).map_err(resolve)?;
            if again != addresses {
                let connection = Self::dial_in_order(&again, ipv6_first, &options)?;
                return Ok(self.connection.insert(connection));
            }
        }
        Err(failure)
    }

    /// Tries the addresses of one family first, if there is a wish.
    fn dial_in_order(
        addresses: &[std::net::SocketAddr],
        ipv6_first: Option<bool>,
        options: &DialOptions,
    ) -> Result<Connection, BackendError> {
        let Some(ipv6_first) = ipv6_first.filter(|_| addresses.len() > 1) else {
            return Self::dial_any(addresses, options);
        };
        let mut ordered = addresses.to_vec();
        ordered.sort_by_key(|address| address.is_ipv6() != ipv6_first);
        Self::dial_any(&ordered, options)
    }

    /// Opens a connection to another proxy, through which the member is asked. Its name is looked up each time.
    /// `way` tells such connections apart.
    ///
    /// # Errors
    /// As [`Lease::dial`].
    pub fn dial_remote(
        &mut self,
        remote: &Remote,
        way: &[u8],
        member: &Member,
        timeout: Duration,
        source: Option<IpAddr>,
    ) -> Result<&mut Connection, BackendError> {
        let resolve = |cause| BackendError::Resolve { host: remote.host.clone(), cause };
        let addresses = Addresses::default().get(&remote.host, remote.port, None).map_err(resolve)?;
        let connection = Self::dial_any(&addresses, &options(member, timeout, source))?;
        Ok(self.connection.insert(connection.by_way(way)))
    }

    /// Has the connection, just dialled, carry its bytes through what `wrap` makes.
    ///
    /// # Errors
    /// [`BackendError::Secure`]; the connection is gone.
    pub fn wrap(&mut self, wrap: Wrap<'_>) -> Result<&mut Connection, BackendError> {
        let plain = self.connection.take().ok_or(BackendError::Closed)?;
        Ok(self.connection.insert(plain.wrapped(wrap).map_err(BackendError::Secure)?))
    }

    fn dial_any(addresses: &[SocketAddr], options: &DialOptions) -> Result<Connection, BackendError> {
        let mut last = None;
        for &address in addresses {
            match Connection::dial(address, options) {
                Ok(connection) => return Ok(connection),
                Err(cause) => last = Some(BackendError::Connect { address, cause }),
            }
        }
        Err(last.unwrap_or(BackendError::Closed))
    }

    /// Gives the connection back as it was taken: nobody asked anything.
    pub fn put_back(mut self) {
        self.clean = true;
        self.untouched = true;
    }

    /// Declares the exchange complete: the connection may carry another request. The only place that says so.
    pub fn finish(mut self) {
        self.clean = true;
    }
}

fn options(member: &Member, timeout: Duration, source: Option<IpAddr>) -> DialOptions {
    DialOptions {
        connect_timeout: member.connect_timeout.unwrap_or(timeout),
        timeout,
        tcp_keepalive: member.tcp_keepalive,
        receive_buffer: member.receive_buffer,
        source,
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let kept = self
            .connection
            .take()
            .filter(|_| self.clean && self.pool.limits.reuse && self.era == self.pool.era.load(Relaxed));
        let mut places = self.pool.lock();
        places.taken = places.taken.saturating_sub(1);
        if let Some(mut connection) = kept {
            if !self.untouched {
                connection.rest();
            }
            places.idle.push(connection);
        }
        drop(places);
        if self.pool.limits.max > 0 {
            self.pool.freed.notify_one();
        }
    }
}
