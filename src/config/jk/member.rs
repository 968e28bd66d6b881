// SPDX-License-Identifier: Apache-2.0
//! AJP workers: their attributes and defaults.

use std::net::IpAddr;
use std::time::Duration;

use super::definitions::Worker;
use super::extensions::code;
use super::id;
use super::plan::{Activation, FailOnStatus, JkBalancerId, JkMember, Recovery};
use super::properties::words;
use crate::base::key::Key;
use crate::base::status::Status;
use crate::base::text::{leading_integer, quoted};
use crate::config::finding::Finding;
use crate::config::plan::{Flush, Member, PoolLimits, Scheme, Written};
use crate::config::url::shown;

const DEFAULT_PORT: i64 = 8009;
const AJP14_PORT: i64 = 8011;
const LEAST_PACKET: usize = 8192;
const MOST_PACKET: usize = 65536;

/// The balancer a member is read for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub id: JkBalancerId,
    pub name: &'a str,
    /// For members without one.
    pub secret: Option<&'a str>,
}

/// Times and modes of CPing.
struct Pings {
    connect: Option<Duration>,
    prepost: Option<Duration>,
    timeout: Duration,
    interval: Duration,
}

/// What the attributes of an AJP worker come to.
pub(super) fn read(worker: &mut Worker, owner: Option<Owner>) -> (Member, JkMember) {
    let (host, port) = address(worker);
    let pings = pings(worker);
    let socket_timeout = worker.seconds("socket_timeout").unwrap_or_default();
    let retries = worker.at_least("retries", 1, 1).unwrap_or(2);
    let retry_interval = worker.milliseconds("retry_interval").unwrap_or(Duration::from_millis(100));
    let route = route(worker, owner);
    let member = JkMember {
        name: worker.name.to_owned(),
        balancer: owner.map(|owner| owner.id),
        host: host.clone(),
        source: source(worker),
        prefer_ipv6: worker.switch("prefer_ipv6").unwrap_or(false),
        lbfactor: worker.at_least("lbfactor", 1, 1).unwrap_or(1),
        distance: worker.signed("distance").unwrap_or(0),
        activation: if port == 0 && owner.is_some() { Activation::Stopped } else { activation(worker) },
        domain: domain(worker, &route),
        connect_ping: pings.connect,
        prepost_ping: pings.prepost,
        ping_timeout: pings.timeout,
        ping_interval: pings.interval,
        reply_timeout: worker.milliseconds("reply_timeout").filter(|wait| !wait.is_zero()),
        retries,
        retry_interval,
        recovery: recovery(worker),
        fail_on_status: fail_on_status(worker),
        busy_limit: worker.count("busy_limit").unwrap_or(0),
        pool_size: either(worker, "connection_pool_size", "cachesize").filter(|size| *size > 0),
        pool_min_size: worker.count("connection_pool_minsize"),
        pool_timeout: Duration::from_secs(
            either(worker, "connection_pool_timeout", "cache_timeout").unwrap_or(0).into(),
        ),
        acquire_timeout: worker
            .milliseconds("connection_acquire_timeout")
            .unwrap_or(retry_interval * retries),
        packet_size: packet_size(worker.count("max_packet_size")),
        socket_timeout,
    };
    let connect = worker.milliseconds("socket_connect_timeout").unwrap_or(socket_timeout);
    let secret = worker.text("secret").or_else(|| owner?.secret);
    let redirect = worker.short("redirect", "Worker redirect").unwrap_or_default();
    let common = Member {
        key: Key::of(&["jk", owner.map_or("", |owner| owner.name), worker.name]),
        name: member_name(&host, port),
        origin: worker.origin().clone(),
        scheme: Scheme::Ajp,
        host: host.to_ascii_lowercase(),
        port,
        socket: None,
        path: String::new(),
        route,
        redirect,
        load_factor: member.lbfactor.saturating_mul(100),
        lbset: u32::try_from(member.distance).unwrap_or(0),
        status: if owner.is_some() { Status::default() } else { Status::IGNORE_ERRORS },
        retry: Duration::from_secs(60),
        timeout: Some(socket_timeout).filter(|wait| !wait.is_zero()),
        connect_timeout: Some(connect).filter(|wait| !wait.is_zero()),
        ping: None,
        pool: PoolLimits {
            max: member.pool_size.unwrap_or(0),
            soft_max: None,
            min: 0,
            ttl: None,
            acquire: Some(member.acquire_timeout),
            reuse: true,
        },
        tcp_keepalive: worker.switch("socket_keepalive").unwrap_or(false),
        address_ttl: None,
        packet_size: member.packet_size,
        receive_buffer: worker.count("socket_buffer").unwrap_or(0) as usize,
        flush: Flush::Off,
        secret: secret.unwrap_or_default().to_owned(),
        health: None,
        check_basis: None,
        response_field_size: LEAST_PACKET,
        upgrade: String::new(),
        written: Written::default(),
    };
    (common, member)
}

/// Bytes of an AJP packet: 8192 to 65536 in steps of 1024.
pub(super) fn packet_size(asked: Option<u32>) -> usize {
    (asked.unwrap_or(0) as usize).clamp(LEAST_PACKET, MOST_PACKET).next_multiple_of(1024)
}

/// `ajp://127.0.0.1:8010`, without the usual port.
fn member_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    match i64::from(port) {
        DEFAULT_PORT => format!("ajp://{host}"),
        _ => format!("ajp://{host}:{port}"),
    }
}

/// `host` and `port`; port 0 is that of a worker nobody can reach.
fn address(worker: &mut Worker) -> (String, u16) {
    let written = worker.short("host", "Worker host name").unwrap_or_else(|| "localhost".to_owned());
    let (host, port_in_host) = split_host(&written);
    let default = if worker.text("type") == Some("ajp14") { AJP14_PORT } else { DEFAULT_PORT };
    let port = worker.integer("port");
    if let (Some(of_host), Some(port), Some(property)) = (port_in_host, port, worker.get("host"))
        && of_host != port
    {
        let text = format!(
            "{}={} names port {of_host}, and port={port} another: {port} is used",
            shown(&property.name),
            shown(&written)
        );
        worker.findings.push(Finding::warning(id::BAD_PORT, &property.origin, text).cured_by(format!(
            "Write {}={}.",
            shown(&property.name),
            shown(host)
        )));
    }
    let port = port.or(port_in_host).unwrap_or(default);
    let host = host.to_owned();
    if let Ok(port) = u16::try_from(port) {
        return (host, port);
    }
    let origin =
        worker.get("port").or(worker.get("host")).map_or(worker.origin(), |property| &property.origin);
    let text = format!(
        "worker {}: there is no port {port}, so it cannot be reached and its requests are answered 503",
        shown(worker.name)
    );
    worker.findings.push(
        Finding::warning(id::BAD_PORT, origin, text)
            .cured_by("Write the port of the AJP connector in server.xml, a number from 1 to 65535."),
    );
    (host, 0)
}

/// `host:port` of documentation that mod_jk itself cannot resolve; addresses with colons are left whole.
fn split_host(written: &str) -> (&str, Option<i64>) {
    if let Some((host, rest)) = written.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        return (host, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match written.split_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => {
            (host, port.parse().ok())
        }
        _ => (written, None),
    }
}

fn pings(worker: &mut Worker) -> Pings {
    let modes = worker.text("ping_mode").unwrap_or_default().to_ascii_uppercase();
    if let Some(property) = worker.get("ping_mode")
        && let Some(odd) = modes.chars().find(|mode| !"CPIA".contains(*mode))
    {
        let text = format!(
            "{}: the letter {} is none of C, P, I, A and means nothing",
            shown(&property.name),
            quoted(&odd.to_string())
        );
        let finding = Finding::warning(id::ODD_VALUE, &property.origin, text);
        worker.findings.push(finding.cured_by("Write A for all of them."));
    }
    let has = |mode| modes.contains([mode, 'A']);
    let timeout = worker.milliseconds("ping_timeout").unwrap_or(Duration::from_secs(10));
    let mut by_mode = |attribute, mode| {
        // Zero is as if it were not there; only below zero switches off what the mode switches on.
        match worker.integer(attribute).unwrap_or(0) {
            0 => Some(timeout).filter(|wait| has(mode) && !wait.is_zero()),
            wait => u64::try_from(wait).ok().map(Duration::from_millis),
        }
    };
    let connect = by_mode("connect_timeout", 'C');
    let prepost = by_mode("prepost_timeout", 'P');
    // A number of seconds that is the hundredth of one of milliseconds: mod_jk's.
    let hundredth = Duration::from_secs(u64::try_from(timeout.as_millis()).unwrap_or(0) / 100);
    let interval = match worker.integer("connection_ping_interval").unwrap_or(0) {
        0 if has('I') => hundredth,
        seconds => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
    };
    Pings { connect, prepost, timeout, interval }
}

fn either(worker: &mut Worker, name: &str, former: &str) -> Option<u32> {
    worker.count(name).or_else(|| worker.count(former))
}

fn route(worker: &mut Worker, owner: Option<Owner>) -> String {
    let own = worker.short("route", "Worker route").or_else(|| worker.short("jvm_route", "Worker route"));
    // Only a balancer asks for routes; on its own a worker has one only if that is written.
    own.unwrap_or_else(|| if owner.is_some() { worker.name.to_owned() } else { String::new() })
}

fn domain(worker: &mut Worker, route: &str) -> String {
    let of_route = route.split_once('.').map(|(domain, _)| domain.to_owned());
    worker.short("domain", "Worker domain").or(of_route).unwrap_or_default()
}

fn activation(worker: &mut Worker) -> Activation {
    const BY_NUMBER: [Activation; 3] = [Activation::Active, Activation::Disabled, Activation::Stopped];
    if worker.get("activation").is_some() {
        return worker.letter("activation", "ADS").map_or(Activation::Active, |at| BY_NUMBER[at]);
    }
    if worker.switch("stopped").unwrap_or(false) {
        return Activation::Stopped;
    }
    if worker.switch("disabled").unwrap_or(false) { Activation::Disabled } else { Activation::Active }
}

fn source(worker: &mut Worker) -> Option<IpAddr> {
    let property = worker.get("source")?;
    match property.value.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            let text = format!(
                "{}={} is no address and has no effect",
                shown(&property.name),
                quoted(&property.value)
            );
            worker.findings.push(
                Finding::warning(id::ODD_VALUE, &property.origin, text)
                    .cured_by("Write an IP address of this machine."),
            );
            None
        }
    }
}

/// A negative number has all the bits it has in C.
fn recovery(worker: &mut Worker) -> Recovery {
    let bits = worker.integer("recovery_options").and_then(|bits| i32::try_from(bits).ok());
    Recovery(bits.unwrap_or(0).cast_unsigned())
}

fn fail_on_status(worker: &mut Worker) -> FailOnStatus {
    let Some(property) = worker.get("fail_on_status") else { return FailOnStatus::default() };
    let mut codes = Vec::new();
    for word in words(&property.value) {
        let (number, rest) = leading_integer(word);
        if rest.is_empty() && (100..600).contains(&number.abs()) {
            codes.push(code(number));
            continue;
        }
        let text = format!("{}: {} is no status code", shown(&property.name), quoted(word));
        worker.findings.push(
            Finding::warning(id::ODD_VALUE, &property.origin, text)
                .cured_by("Write codes from 100 to 599, with - in front if the member is not to be marked."),
        );
    }
    FailOnStatus(codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_behind_the_host_is_understood() {
        for (written, is) in [
            ("h", ("h", None)),
            ("h:8010", ("h", Some(8010))),
            ("::1", ("::1", None)),
            ("[::1]:8010", ("::1", Some(8010))),
            ("[::1]", ("::1", None)),
            ("fe80::1:2", ("fe80::1:2", None)),
            ("h:", ("h:", None)),
        ] {
            assert_eq!(split_host(written), is, "{written}");
        }
        assert_eq!(member_name("::1", 8009), "ajp://[::1]");
    }
}
