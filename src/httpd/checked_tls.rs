// SPDX-License-Identifier: Apache-2.0
//! TLS for health checks: by the settings of the server and the `<Proxy>` sections, without a request.

use std::io::{self, IoSlice};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::gate::Gate;
use super::outgoing::Outgoing;
use super::pass::ServerConf;
use super::runtime::Runtime;
use super::{ffi, pool};
use crate::backend::{NotSecure, Transport};
use crate::config::plan::{BalancerId, MemberId};

/// What httpd's TLS wants to know of a member.
#[derive(Debug, Clone, Copy)]
struct Settings {
    server: *mut ffi::server_rec,
    config: *mut ffi::ap_conf_vector_t,
}

// SAFETY: both live as long as the child, and making a connection only reads them, as requests of all threads do.
unsafe impl Send for Settings {}
// SAFETY: as above.
unsafe impl Sync for Settings {}

/// The settings of all members that are checked inside TLS.
#[derive(Debug, Default)]
pub(super) struct CheckedTls {
    /// By member.
    settings: Vec<Option<Settings>>,
}

impl CheckedTls {
    /// # Safety
    /// `pool` is the child's own, in `child_init`.
    pub unsafe fn new(pool: *mut ffi::apr_pool_t, runtime: &Runtime) -> CheckedTls {
        let plan = &*runtime.plan;
        let mut settings = vec![None; plan.member_count()];
        let is_checked = |id: &MemberId| {
            let member = plan.member(*id);
            member.scheme.is_tls() && member.health.is_some()
        };
        for (balancer, known) in (0..).map(BalancerId).zip(&plan.balancers) {
            // What is checked, and who belongs to the balancer, may change while the server runs.
            if !plan.managed && !known.members.iter().any(is_checked) {
                continue;
            }
            // SAFETY: the caller vouches for the pool.
            let own = unsafe { Settings::of(pool, runtime, balancer, &known.name) };
            for id in known.members.iter().copied().chain(known.places()) {
                let place = &mut settings[id.0 as usize];
                *place = place.or(own);
            }
        }
        CheckedTls { settings }
    }

    /// Makes the handshake, unless the child ends.
    ///
    /// # Errors
    /// Why there is no TLS; the socket is closed.
    pub fn secure(
        &self,
        gate: &Arc<Gate>,
        member: MemberId,
        socket: OwnedFd,
        name: &[u8],
        limit: Duration,
    ) -> Result<Box<dyn Transport>, NotSecure> {
        let Settings { server, config } =
            self.settings.get(member.0 as usize).copied().flatten().ok_or(NotSecure::Failed)?;
        // Only to end the wait: the shim owns the socket itself.
        let watched = socket.try_clone().map_err(|_| NotSecure::Failed)?;
        // SAFETY: server and settings live until the gate is closed.
        let opened = gate
            .pass_with(watched.as_fd(), || unsafe { Outgoing::open(server, config, socket, name, limit) });
        match opened {
            Some(opened) => {
                let inner = ManuallyDrop::new(opened?);
                Ok(Box::new(Gated { inner, watched, gate: Arc::clone(gate) }))
            }
            None => Err(NotSecure::Failed),
        }
    }
}

impl Settings {
    /// The settings for requests that go to a balancer, in the server that declares it.
    unsafe fn of(
        pool: *mut ffi::apr_pool_t,
        runtime: &Runtime,
        balancer: BalancerId,
        name: &str,
    ) -> Option<Settings> {
        // SAFETY: httpd's list of servers lives as long as the child; the caller vouches for the pool.
        unsafe {
            let mut server = ffi::ap_server_conf;
            while !server.is_null() {
                let site = runtime.site(ServerConf::of(server).site);
                let has = site.is_some_and(|site| {
                    runtime.plan.site(site).balancers.iter().any(|(_, id)| *id == balancer)
                });
                if has {
                    let url = pool::text(pool, &[b"balancer://", name.as_bytes(), b"/"]);
                    let config = ffi::margay_outgoing_settings(pool, server, url);
                    return Some(Settings { server, config });
                }
                server = (*server).next;
            }
            None
        }
    }
}

/// A connection whose every use goes through the gate.
#[derive(Debug)]
struct Gated {
    inner: ManuallyDrop<Outgoing>,
    /// The same socket, so that its number is nobody else's as long as it may be waited for.
    watched: OwnedFd,
    gate: Arc<Gate>,
}

impl Gated {
    fn pass<T>(&self, call: impl FnOnce(&Outgoing) -> io::Result<T>) -> io::Result<T> {
        let done = self.gate.pass_with(self.watched.as_fd(), || call(&self.inner));
        done.unwrap_or_else(|| Err(io::ErrorKind::ConnectionAborted.into()))
    }
}

impl Transport for Gated {
    fn name(&self) -> &[u8] {
        self.inner.name()
    }

    fn send(&self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        self.pass(|inner| inner.send(pieces))
    }

    fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        self.pass(|inner| inner.recv(into))
    }

    fn recv_now(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        self.pass(|inner| inner.recv_now(into))
    }

    fn limit(&self, timeout: Duration) {
        let _ = self.pass(|inner| {
            inner.limit(timeout);
            Ok(())
        });
    }

    fn rest(&self) {
        let _ = self.pass(|inner| {
            inner.rest();
            Ok(())
        });
    }
}

impl AsFd for Gated {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watched.as_fd()
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        let Gated { inner, watched, gate } = self;
        // Once the gate is closed the connection ends with the process.
        gate.pass_with(watched.as_fd(), || {
            // SAFETY: dropped once, here, and not used any more.
            unsafe { ManuallyDrop::drop(inner) }
        });
    }
}
