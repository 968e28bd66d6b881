// SPDX-License-Identifier: Apache-2.0
//! The way to a member: direct, or through another proxy (`ProxyRemote`); and members that are not asked (`ProxyBlock`).

use std::fmt;
use std::io::IoSlice;

use super::attempt::Attempt;
use super::exchange::{Exchange, Request};
use super::http_head::client_header;
use crate::backend::{BackendError, Connection, Pool};
use crate::config::expression::ExpressionId;
use crate::config::forward::{ForwardRules, Remote};
use crate::config::plan::{Member, Scheme};
use crate::wire::http1::decimal;

/// What a server says about the way, for one request.
#[derive(Clone, Copy)]
pub struct Outward<'j> {
    pub rules: &'j ForwardRules,
    /// Scheme of the URL the request goes to, before a balancer chose a member.
    pub scheme: &'j [u8],
    /// `NoProxy` names the host: no other proxy is asked.
    pub direct: bool,
    /// Searches a URL with an expression.
    pub search: &'j dyn Fn(ExpressionId, &[u8]) -> bool,
    /// What this server calls itself to other proxies.
    pub agent: &'j [u8],
    /// The URL without its query, where another proxy is the only way (`ftp://`).
    pub only_remote: Option<&'j [u8]>,
}

impl fmt::Debug for Outward<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outward")
            .field("rules", self.rules)
            .field("direct", &self.direct)
            .finish_non_exhaustive()
    }
}

impl<'j> Outward<'j> {
    /// The other proxy to be asked for a path of a member, after `skipped` were asked in vain.
    pub(super) fn remote(
        &self,
        member: &Member,
        path: &[u8],
        request: &Request<'_>,
        skipped: usize,
    ) -> Option<&'j Remote> {
        if self.direct || self.rules.remotes.is_empty() || !can_go_through_another(member) {
            return None;
        }
        let mut url = Vec::with_capacity(128);
        self.write_url(member, path, &mut url);
        if let Some(query) = request.query {
            url.push(b'?');
            url.extend_from_slice(query);
        }
        let taking = |remote: &&Remote| remote.takes(self.scheme, &url, self.search);
        self.rules.remotes.iter().filter(taking).nth(skipped)
    }

    /// The absolute URL that another proxy is asked for, without a query.
    pub(super) fn write_url(&self, member: &Member, path: &[u8], out: &mut Vec<u8>) {
        if let Some(url) = self.only_remote {
            out.extend_from_slice(url);
            return;
        }
        out.extend_from_slice(member.scheme.name().as_bytes());
        out.extend_from_slice(b"://");
        write_authority(member, member.scheme.default_port(), out);
        out.extend_from_slice(path);
    }

    /// Is a member one that `ProxyBlock` names? Its name counts, and its addresses where this server looks them up.
    ///
    /// # Errors
    /// [`BackendError::Blocked`], or that the name has no address.
    pub(super) fn admit(
        &self,
        member: &Member,
        pool: &Pool,
        through: Option<&Remote>,
    ) -> Result<(), BackendError> {
        let blocked = &self.rules.blocked;
        if blocked.is_empty() || member.socket.is_some() {
            return Ok(());
        }
        let refused = |word: &str| BackendError::Blocked { host: member.host.clone(), word: word.to_owned() };
        let addresses = match through {
            None => Some(pool.addresses_of(member)?),
            Some(_) => None,
        };
        for entry in blocked {
            let by_address =
                || addresses.iter().flat_map(|all| all.iter()).any(|one| entry.covers_address(one.ip()));
            if entry.covers_name(&member.host) || by_address() {
                return Err(refused(&entry.word));
            }
        }
        Ok(())
    }
}

/// Another proxy understands HTTP, and has no way into this machine's sockets.
fn can_go_through_another(member: &Member) -> bool {
    member.scheme != Scheme::Ajp && member.socket.is_none()
}

fn write_authority(member: &Member, usual_port: u16, out: &mut Vec<u8>) {
    let is_v6 = member.host.contains(':');
    out.extend_from_slice(if is_v6 { b"[" } else { b"" });
    out.extend_from_slice(member.host.as_bytes());
    out.extend_from_slice(if is_v6 { b"]" } else { b"" });
    if member.port != usual_port {
        out.push(b':');
        out.extend_from_slice(decimal(u64::from(member.port), &mut [0; 20]));
    }
}

/// What another proxy is told to let this server in: the words of `ProxyRemote`, else those of the client if it did not
/// need them here.
pub(super) fn credentials<'e, E: Exchange>(remote: &'e Remote, exchange: &'e E) -> Option<&'e [u8]> {
    if let Some(own) = &remote.credentials {
        return Some(own.as_bytes());
    }
    let passes = exchange.request().user.is_none() || exchange.variable(c"Proxy-Chain-Auth").is_some();
    client_header(exchange, b"Proxy-Authorization").filter(|_| passes)
}

/// What tells tunnels apart: one that was opened for somebody is for nobody else.
pub(super) fn way_of_tunnel<E: Exchange>(remote: &Remote, exchange: &E) -> Vec<u8> {
    let login = credentials(remote, exchange).unwrap_or_default();
    [remote.name.as_bytes(), b" ", login].concat()
}

/// Asks another proxy, just connected to, for a way to the member behind it (`CONNECT`).
pub(super) fn connect_through<E: Exchange>(
    attempt: &Attempt<'_>,
    exchange: &E,
    remote: &Remote,
    connection: &Connection,
) -> Result<(), BackendError> {
    let mut head = b"CONNECT ".to_vec();
    write_authority(attempt.member, 0, &mut head);
    head.extend_from_slice(b" HTTP/1.0\r\n");
    if let Some(value) = credentials(remote, exchange) {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend(value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')));
        head.extend_from_slice(b"\r\n");
    }
    if let Some(outward) = attempt.http.outward {
        head.extend_from_slice(b"Proxy-agent: ");
        head.extend_from_slice(outward.agent);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    connection.send(&mut [IoSlice::new(&head)], &mut 0).map_err(BackendError::of_io)?;
    let refused = |answer: String| BackendError::NoWay { remote: remote.name.clone(), answer };
    let line = status_line(connection)?.ok_or_else(|| refused("nothing that is HTTP".into()))?;
    let status = line.split(' ').nth(1).and_then(|digits| digits.parse::<u16>().ok());
    match status {
        Some(200..300) if line.starts_with("HTTP/") => Ok(()),
        _ => Err(refused(line)),
    }
}

/// Longest answer to `CONNECT`.
const LONGEST_ANSWER: usize = 16 * 1024;

/// The first line of an answer without a body; `None` if it does not end where it should.
fn status_line(connection: &Connection) -> Result<Option<String>, BackendError> {
    let mut answer = vec![0; LONGEST_ANSWER];
    let mut length = 0;
    loop {
        let n = connection.recv(&mut answer[length..]).map_err(BackendError::of_io)?;
        length += n;
        let end = answer[..length].windows(4).position(|part| part == b"\r\n\r\n").map(|at| at + 4);
        if let Some(end) = end.or((n == 0).then_some(length)) {
            let line = answer[..end].split(|byte| *byte == b'\r').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line).escape_default().to_string();
            // The member behind speaks second: what is more than the head would be lost.
            let is_whole = end == length || !line.contains(" 200");
            return Ok((is_whole && !line.is_empty()).then_some(line));
        }
        if length == answer.len() {
            return Ok(None);
        }
    }
}
