// SPDX-License-Identifier: Apache-2.0
//! Connections for members that speak TLS: the server makes it, and says by which settings.

use std::time::Instant;

use super::attempt::Attempt;
use super::exchange::Exchange;
use super::http_head::client_header;
use super::outward;
use crate::backend::{BackendError, Connection, Lease};

/// The connection for a try: a kept one that is quiet and whose member proved to have the name that is needed now, else a
/// new one. Members without TLS have theirs from [`Attempt::connect`].
pub(super) fn connect<'l, E: Exchange>(
    attempt: &Attempt<'_>,
    exchange: &E,
    lease: &'l mut Lease<'_>,
) -> Result<&'l mut Connection, BackendError> {
    if !attempt.member.scheme.is_tls() {
        return attempt.connect(lease);
    }
    let name = name_of_member(attempt, exchange);
    let way = attempt.remote.map(|remote| outward::way_of_tunnel(remote, exchange));
    if attempt.fresh {
        lease.discard();
        attempt.pool.clear();
    }
    let now = Instant::now();
    // Nobody says when bytes arrived inside TLS, so only a look tells what was there before.
    let usable = |kept: &Connection| {
        kept.way() == way.as_deref()
            && kept
                .transport()
                .is_some_and(|kept| kept.name().eq_ignore_ascii_case(name) && exchange.secure_again(kept))
            && kept.is_quiet(now, true)
    };
    while lease.connection().is_some_and(|kept| !usable(kept)) {
        lease.take_other();
    }
    if let Some(kept) = lease.connection() {
        kept.limit(attempt.timeout).map_err(BackendError::of_io)?;
    } else {
        let connection = attempt.dial(lease, way.as_deref())?;
        if let Some(remote) = attempt.remote {
            outward::connect_through(attempt, exchange, remote, connection)?;
        }
        lease.wrap(&|socket| exchange.secure(socket, name, attempt.timeout))?;
    }
    lease.connection().ok_or(BackendError::Closed)
}

/// The name the member is asked for and has to prove: the client's with `ProxyPreserveHost On`, else that of the URL.
fn name_of_member<'n, E: Exchange>(attempt: &Attempt<'n>, exchange: &'n E) -> &'n [u8] {
    let own = attempt.member.host.as_bytes();
    let preserve = attempt.sections.innermost(|section| section.preserve_host).unwrap_or(false);
    match client_header(exchange, b"Host").filter(|_| preserve) {
        Some(host) => Some(without_port(host)).filter(|name| !name.is_empty()).unwrap_or(own),
        None => own,
    }
}

/// The name in a `Host` header, without the brackets of an IPv6 address.
fn without_port(host: &[u8]) -> &[u8] {
    if let Some(rest) = host.strip_prefix(b"[") {
        return rest.split(|byte| *byte == b']').next().unwrap_or_default();
    }
    host.split(|byte| *byte == b':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn a_name_is_asked_for_without_its_port() {
        for (host, name) in [
            ("www.example.test", "www.example.test"),
            ("www.example.test:8443", "www.example.test"),
            ("[::1]:8443", "::1"),
            ("[::1]", "::1"),
            (":1", ""),
        ] {
            assert_eq!(without_port(host.as_bytes()), name.as_bytes());
        }
    }
}
