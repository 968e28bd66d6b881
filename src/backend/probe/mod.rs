// SPDX-License-Identifier: Apache-2.0
//! One health check of one member, over a connection of its own that is closed afterwards.
//!
//! Every step has a limit: connecting, each wait of a TLS handshake, the CPong, the head of an HTTP answer and its body. A member that sends a byte now
//! and then does not keep a check alive.

mod answer;

use std::io::IoSlice;
use std::time::{Duration, Instant};

pub use answer::HttpAnswer;
use answer::Reader;

use super::connection::Connection;
use super::error::BackendError;
use super::pool::Pool;
use super::transport::Wrap;
use crate::config::health::{CheckMethod, HealthCheck, HttpVersion, Verb};
use crate::config::plan::Member;
use crate::wire::ajp;

/// What a member did when it was checked.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took a connection (`TCP`).
    Connected,
    /// It answered a CPing.
    Pong,
    /// It answered an HTTP request; whether that is good has yet to be decided.
    Http(HttpAnswer),
}

/// Checks the member once. `pool` gives addresses and a new connection; none is kept in it. `secure` makes TLS of a
/// connected socket, for members that speak it and checks that ask something.
///
/// # Errors
/// Why there is no answer.
pub fn probe(
    member: &Member,
    check: &HealthCheck,
    pool: &Pool,
    secure: Wrap<'_>,
) -> Result<Answer, BackendError> {
    let timeout = limit(member, check);
    let mut lease = pool.acquire()?;
    let mut connection = lease.dial(member, timeout, check.source)?;
    if member.scheme.is_tls() && check.method != CheckMethod::Tcp {
        connection = lease.wrap(secure)?;
    }
    match check.method {
        CheckMethod::Tcp => Ok(Answer::Connected),
        CheckMethod::Cping => {
            let limit = member.ping.or(member.connect_timeout).unwrap_or(timeout);
            ping(connection, limit).map(|()| Answer::Pong)
        }
        CheckMethod::Http(verb, version) => {
            let request = request(member, check, verb, version);
            ask(connection, &request, verb, timeout).map(Answer::Http)
        }
    }
}

/// The limit of each step.
pub fn limit(member: &Member, check: &HealthCheck) -> Duration {
    member.timeout.unwrap_or(check.timeout)
}

/// A bound for the length of a check: with all its limits used up, whatever the number of addresses within reason.
pub fn longest(member: &Member, check: &HealthCheck) -> Duration {
    const SPARE: Duration = Duration::from_secs(60);
    let timeout = limit(member, check);
    let connect = member.connect_timeout.unwrap_or(timeout);
    let rest = timeout.saturating_mul(4).max(member.ping.unwrap_or_default());
    connect.saturating_mul(8).saturating_add(rest).saturating_add(SPARE)
}

fn ping(connection: &mut Connection, limit: Duration) -> Result<(), BackendError> {
    let because = |error: BackendError| BackendError::Ping { cause: error.to_string() };
    let deadline = Instant::now() + limit;
    send(connection, &ajp::CPING, limit).map_err(because)?;
    let mut reader = Reader::new(connection, deadline);
    while !ajp::decode_cpong(reader.window()).map_err(|error| because(error.into()))? {
        reader.more().map_err(because)?;
    }
    Ok(())
}

fn send(connection: &mut Connection, bytes: &[u8], limit: Duration) -> Result<(), BackendError> {
    connection.limit(limit).map_err(BackendError::of_io)?;
    connection.send(&mut [IoSlice::new(bytes)], &mut 0).map_err(BackendError::of_io)
}

/// Request line and `Host`, as mod_proxy_hcheck sends them and nothing else. An empty path, which would be no HTTP, is
/// sent as `/`.
fn request(member: &Member, check: &HealthCheck, verb: Verb, version: HttpVersion) -> Vec<u8> {
    let target = match verb {
        Verb::Options => "*".to_owned(),
        Verb::Head | Verb::Get => {
            let joint = if member.path.is_empty() || check.uri.is_empty() { "" } else { "/" };
            let target = format!("{}{joint}{}", member.path, check.uri);
            if target.is_empty() { "/".to_owned() } else { target }
        }
    };
    let version = match version {
        HttpVersion::Http10 => "HTTP/1.0",
        HttpVersion::Http11 => "HTTP/1.1",
    };
    let host = if member.host.contains(':') { format!("[{}]", member.host) } else { member.host.clone() };
    let verb = verb.name();
    format!("{verb} {target} {version}\r\nHost: {host}:{}\r\n\r\n", member.port).into_bytes()
}

fn ask(
    connection: &mut Connection,
    request: &[u8],
    verb: Verb,
    timeout: Duration,
) -> Result<HttpAnswer, BackendError> {
    send(connection, request, timeout)?;
    let mut reader = Reader::new(connection, Instant::now() + timeout);
    let mut answer = reader.head()?;
    if verb == Verb::Get {
        reader.limit(Instant::now() + timeout);
        reader.body(&mut answer)?;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests;
