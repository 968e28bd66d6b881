// SPDX-License-Identifier: Apache-2.0
//! The tables of worker and balancer parameters: name, what is allowed, and how a value is taken.
//!
//! The first words of each refusal are mod_proxy's, because administrators and scripts look for them.

use std::time::Duration;

use super::health::CheckMethod;
use super::plan::Method;
use super::setting::{BalancerSettings, FlushMode, MemberSettings, StickyName};
use super::value::{
    Refused, Taken, Unit, address_ttl, duration, factor, number, seconds, short_text, switch, taken,
};
use crate::base::status::Status;
use crate::base::text::{nearest, quoted};

/// One parameter of a member or a balancer.
pub(crate) struct Parameter<S: 'static> {
    /// Lower case; compared without letter case.
    pub name: &'static str,
    /// What a value looks like, for messages.
    pub allowed: &'static str,
    /// Puts the value in its place.
    pub set: fn(&mut S, &str) -> Result<Taken, Refused>,
}

/// Finds a parameter by name.
pub(crate) fn find<S>(table: &'static [Parameter<S>], name: &str) -> Option<&'static Parameter<S>> {
    table.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(name))
}

const SWITCH: &str = "On or Off";
const SECONDS: &str = "whole seconds from 1";
const DURATION: &str = "a whole number from 1 with ms, s, min or h behind it (s without)";
const TEXT: &str = "at most 63 characters";
const BUFFER: &str = "0 or at least 512 bytes";
const COUNT: &str = "a whole number from 0";

macro_rules! parameters {
    ($settings:ty: $($name:literal, $allowed:expr, $set:expr;)*) => {
        &[$(Parameter { name: $name, allowed: $allowed, set: |s: &mut $settings, v: &str| $set(s, v) }),*]
    };
}

/// The parameters of members and plain workers.
pub(crate) const MEMBER: &[Parameter<MemberSettings>] = parameters! { MemberSettings:
    "loadfactor", "a number from 1 to 100, two decimals",
        |s: &mut MemberSettings, v| factor(&mut s.load_factor, v, "LoadFactor must be a number between 1..100");
    "lbset", "a whole number from 0 to 99",
        |s: &mut MemberSettings, v| number(&mut s.lbset, v, 0, 99, "lbset must be between 0 and 99");
    "route", TEXT,
        |s: &mut MemberSettings, v| short_text(&mut s.route, v, 63, "Route length must be < 64 characters");
    "redirect", TEXT,
        |s: &mut MemberSettings, v| short_text(&mut s.redirect, v, 63, "Redirect length must be < 64 characters");
    "status", "the letters D S I H R N E C, each with + or - if wanted", status;
    "retry", "whole seconds from 0",
        |s: &mut MemberSettings, v| seconds(&mut s.retry, v, 0, "Retry must be a positive value");
    "timeout", SECONDS,
        |s: &mut MemberSettings, v| seconds(&mut s.timeout, v, 1, "Timeout must be at least one second");
    "connectiontimeout", DURATION, |s: &mut MemberSettings, v| duration(&mut s.connect_timeout, v, Unit::Seconds,
        "Connectiontimeout has wrong format", "Connectiontimeout must be at least one millisecond.");
    "ping", DURATION, |s: &mut MemberSettings, v| duration(&mut s.ping, v, Unit::Seconds,
        "Ping/Pong timeout has wrong format", "Ping/Pong timeout must be at least one millisecond");
    "acquire", "a whole number from 1 with ms, s, min or h behind it (ms without)",
        |s: &mut MemberSettings, v| duration(&mut s.acquire, v, Unit::Milliseconds,
            "Acquire timeout has wrong format", "Acquire must be at least one millisecond");
    "min", COUNT,
        |s: &mut MemberSettings, v| number(&mut s.min, v, 0, i32::MAX, "Min must be a positive number");
    "smax", COUNT,
        |s: &mut MemberSettings, v| number(&mut s.soft_max, v, 0, i32::MAX, "Smax must be a positive number");
    "max", COUNT,
        |s: &mut MemberSettings, v| number(&mut s.max, v, 0, i32::MAX, "Max must be a positive number");
    "ttl", SECONDS, |s: &mut MemberSettings, v| seconds(&mut s.ttl, v, 1, "TTL must be at least one second");
    "keepalive", SWITCH,
        |s: &mut MemberSettings, v| switch(&mut s.tcp_keepalive, v, true, "KeepAlive must be On|Off");
    "disablereuse", SWITCH,
        |s: &mut MemberSettings, v| switch(&mut s.reuse, v, false, "DisableReuse must be On|Off");
    "enablereuse", SWITCH,
        |s: &mut MemberSettings, v| switch(&mut s.reuse, v, true, "EnableReuse must be On|Off");
    "addressttl", "-1 or whole seconds", |s: &mut MemberSettings, v| address_ttl(&mut s.address_ttl, v);
    "iobuffersize", BUFFER, |s: &mut MemberSettings, v| super::value::buffer(&mut s.io_buffer, v,
        "IOBufferSize must be >= 512 bytes, or 0 for system default.");
    "receivebuffersize", BUFFER, |s: &mut MemberSettings, v| super::value::buffer(&mut s.receive_buffer, v,
        "ReceiveBufferSize must be >= 512 bytes, or 0 for system default.");
    "responsefieldsize", COUNT, |s: &mut MemberSettings, v| number(&mut s.response_field_size, v, 0, i32::MAX,
        "ResponseFieldSize must be greater than 0 bytes, or 0 for system default.");
    "flushpackets", "On, Off or Auto", flush;
    "flushwait", "milliseconds from 0 to 1000", flush_wait;
    "flusher", "at most 15 characters", |_, v| short_text(&mut None, v, 15,
        "flusher name length must be < 16 characters").map(|_| Taken::NoEffect);
    "secret", TEXT,
        |s: &mut MemberSettings, v| short_text(&mut s.secret, v, 63, "Secret length must be < 64 characters");
    "upgrade", "at most 15 characters", |s: &mut MemberSettings, v| short_text(&mut s.upgrade, v, 15,
        "upgrade protocol length must be < 16 characters");
    "hcmethod", "NONE, TCP, OPTIONS, HEAD, GET, CPING, OPTIONS11, HEAD11 or GET11", health_method;
    "hcinterval", "at least 100ms", health_interval;
    "hcpasses", COUNT,
        |s: &mut MemberSettings, v| number(&mut s.hc_passes, v, 0, i32::MAX, "Passes must be a positive value");
    "hcfails", COUNT,
        |s: &mut MemberSettings, v| number(&mut s.hc_fails, v, 0, i32::MAX, "Fails must be a positive value");
    "hcuri", "at most 63 characters without blanks and control characters", health_uri;
    "hcexpr", "the name of a ProxyHCExpr", |_, _| Ok(Taken::Whole);
    "hctemplate", "the name of a ProxyHCTemplate", |_, _| Ok(Taken::Whole);
};

/// The parameters of balancers.
pub(crate) const BALANCER: &[Parameter<BalancerSettings>] = parameters! { BalancerSettings:
    "lbmethod", "byrequests, bytraffic, bybusyness or heartbeat", method;
    "stickysession", "name or cookie|path, each at most 63 characters", sticky;
    "stickysessionsep", "one character or Off", separator;
    "scolonpathdelim", SWITCH, |s: &mut BalancerSettings, v| switch(&mut s.semicolon_ends, v, true,
        "scolonpathdelim must be On|Off");
    "nofailover", SWITCH,
        |s: &mut BalancerSettings, v| switch(&mut s.no_failover, v, true, "failover must be On|Off");
    "timeout", SECONDS,
        |s: &mut BalancerSettings, v| seconds(&mut s.wait, v, 1, "timeout must be at least one second");
    "maxattempts", COUNT, |s: &mut BalancerSettings, v| number(&mut s.max_attempts, v, 0, i32::MAX,
        "maximum number of attempts must be a positive number");
    "failonstatus", "codes from 100 to 599 with commas between them", fail_on_status;
    "failontimeout", SWITCH, |s: &mut BalancerSettings, v| switch(&mut s.fail_on_timeout, v, true,
        "failontimeout must be On|Off");
    "forcerecovery", SWITCH, |s: &mut BalancerSettings, v| switch(&mut s.force_recovery, v, true,
        "forcerecovery must be On|Off");
    "nonce", "at most 36 characters, or None",
        |s: &mut BalancerSettings, v| short_text(&mut s.nonce, v, 36, "Provided nonce is too large");
    "growth", "a whole number from 1 to 100",
        |s: &mut BalancerSettings, v| number(&mut s.growth, v, 1, 100, "growth must be between 1 and 100");
};

/// Words people write from memory or bring from other balancers, with what they mean here.
pub(crate) const OFTEN_MEANT: &[(&str, &str)] = &[
    ("sticky", "stickysession"),
    ("sticky_session", "stickysession"),
    ("sticky_sessions", "stickysession"),
    ("sessionid", "stickysession"),
    ("session_cookie", "stickysession"),
    ("method", "lbmethod"),
    ("algorithm", "lbmethod"),
    ("jvmroute", "route"),
    ("jvm_route", "route"),
    ("id", "route"),
    ("weight", "loadfactor"),
    ("lbfactor", "loadfactor"),
    ("distance", "lbset"),
    ("priority", "lbset"),
    ("backup", "status=+H"),
    ("standby", "status=+H"),
    ("hotstandby", "status=+H"),
    ("disabled", "status=+D"),
    ("down", "status=+D"),
    ("activation", "status"),
    ("connect_timeout", "connectiontimeout"),
    ("connecttimeout", "connectiontimeout"),
    ("socket_timeout", "timeout"),
    ("socket_connect_timeout", "connectiontimeout"),
    ("reply_timeout", "timeout"),
    ("ping_timeout", "ping"),
    ("prepost_timeout", "ping"),
    ("recover_time", "retry"),
    ("connection_pool_size", "max"),
    ("maxconn", "max"),
    ("connection_pool_timeout", "ttl"),
    ("socket_keepalive", "keepalive"),
    ("max_packet_size", "iobuffersize"),
    ("packetsize", "iobuffersize"),
    ("requiredsecret", "secret"),
    ("sticky_session_force", "nofailover"),
    ("failover", "nofailover"),
    ("retries", "maxattempts"),
    ("fail_on_status", "failonstatus"),
    ("bgrowth", "growth"),
];

fn status(settings: &mut MemberSettings, letters: &str) -> Result<Taken, Refused> {
    Status::default().apply_letters(letters).map_err(|letter| {
        Refused::because(
            "Unknown status parameter option",
            format!("the letter {} means nothing", quoted(&letter.to_string())),
        )
    })?;
    let all = settings.status.get_or_insert_default();
    all.push('+');
    all.push_str(letters);
    Ok(Taken::Whole)
}

fn flush(settings: &mut MemberSettings, value: &str) -> Result<Taken, Refused> {
    let mode = match value.to_ascii_lowercase().as_str() {
        "on" => FlushMode::On,
        "off" => FlushMode::Off,
        "auto" => FlushMode::Auto,
        _ => return Err(Refused::plain("flushpackets must be on|off|auto")),
    };
    taken(&mut settings.flush, mode)
}

fn flush_wait(settings: &mut MemberSettings, value: &str) -> Result<Taken, Refused> {
    const TEXT: &str = "flushwait must be <= 1000, or 0 for system default of 10 millseconds.";
    let mut milliseconds = None;
    let result = number(&mut milliseconds, value, 0, 1000, TEXT)?;
    let wait = if milliseconds == Some(0) { 10 } else { milliseconds.unwrap_or(10) };
    settings.flush_wait = Some(Duration::from_millis(u64::from(wait)));
    Ok(result)
}

fn health_method(settings: &mut MemberSettings, value: &str) -> Result<Taken, Refused> {
    const KNOWN: [&str; 9] =
        ["NONE", "TCP", "OPTIONS", "HEAD", "GET", "CPING", "OPTIONS11", "HEAD11", "GET11"];
    if value.eq_ignore_ascii_case("provider") {
        return Err(Refused::plain("Health check method PROVIDER not (yet) implemented"));
    }
    let method = CheckMethod::from_name(value);
    match method.is_some() || value.eq_ignore_ascii_case("none") {
        true => taken(&mut settings.hc_method, method),
        false => Err(Refused::guess("Unknown method", nearest(value, KNOWN))),
    }
}

/// The text becomes a part of a request line, which a blank would end.
fn health_uri(settings: &mut MemberSettings, value: &str) -> Result<Taken, Refused> {
    const STOCK: &str = "Health check uri length must be < 64 characters";
    if value.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(Refused::because(
            STOCK,
            "a blank or control character would end the request line".into(),
        ));
    }
    short_text(&mut settings.hc_uri, value, 63, STOCK)
}

fn health_interval(settings: &mut MemberSettings, value: &str) -> Result<Taken, Refused> {
    const SHORT: &str = "Interval must be a positive value greater than 100ms";
    let mut interval = None;
    duration(&mut interval, value, Unit::Seconds, "Unparse-able hcinterval setting", SHORT)?;
    match interval.filter(|interval| *interval >= Duration::from_millis(100)) {
        Some(interval) => taken(&mut settings.hc_interval, interval),
        None => Err(Refused::plain(SHORT)),
    }
}

fn method(settings: &mut BalancerSettings, value: &str) -> Result<Taken, Refused> {
    const KNOWN: [&str; 4] = ["byrequests", "bytraffic", "bybusyness", "heartbeat"];
    let method = match value {
        "byrequests" => Method::ByRequests,
        "bytraffic" => Method::ByTraffic,
        "bybusyness" => Method::ByBusyness,
        "heartbeat" => Method::Heartbeat,
        _ => return Err(Refused::guess("unknown lbmethod", nearest(value, KNOWN))),
    };
    taken(&mut settings.method, method)
}

fn sticky(settings: &mut BalancerSettings, value: &str) -> Result<Taken, Refused> {
    const LONGEST: usize = 63;
    let (cookie, path) = value.split_once('|').unwrap_or((value, value));
    if cookie.len() > LONGEST || path.len() > LONGEST {
        return Err(Refused::because(
            "stickysession name too long",
            "mod_proxy would cut it, and no session would be found".into(),
        ));
    }
    taken(&mut settings.sticky, StickyName { cookie: cookie.to_owned(), path: path.to_owned(), origin: None })
}

fn separator(settings: &mut BalancerSettings, value: &str) -> Result<Taken, Refused> {
    let separator = match value.as_bytes() {
        [one] => Some(*one),
        _ if value.eq_ignore_ascii_case("off") => None,
        _ => return Err(Refused::plain("stickysessionsep must be a single character or Off")),
    };
    taken(&mut settings.separator, separator)
}

fn fail_on_status(settings: &mut BalancerSettings, value: &str) -> Result<Taken, Refused> {
    const TEXT: &str = "failonstatus must be one or more HTTP response codes";
    let codes = value
        .split([',', ' '])
        .filter(|word| !word.is_empty())
        .map(|word| {
            let code = word.parse().ok().filter(|code| (100..600).contains(code));
            code.ok_or_else(|| Refused::because(TEXT, format!("{} is none", quoted(word))))
        })
        .collect::<Result<Vec<u16>, _>>()?;
    taken(&mut settings.fail_on_status, codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_each_stands_once() {
        let members: Vec<_> = MEMBER.iter().map(|p| p.name).collect();
        let balancers: Vec<_> = BALANCER.iter().map(|p| p.name).collect();
        for names in [&members, &balancers] {
            for (index, name) in names.iter().enumerate() {
                assert_eq!(*name, name.to_ascii_lowercase());
                assert!(!names[..index].contains(name), "{name} stands twice");
            }
        }
        for (_, meant) in OFTEN_MEANT {
            let word = meant.split('=').next().unwrap();
            assert!(members.contains(&word) || balancers.contains(&word), "{meant} is no parameter");
        }
    }

    #[test]
    fn status_letters_of_several_words_add_up() {
        let mut settings = MemberSettings::default();
        assert!(status(&mut settings, "+H-D").is_ok());
        assert!(status(&mut settings, "S").is_ok());
        let all = Status::default().apply_letters(settings.status.as_deref().unwrap()).unwrap();
        assert_eq!(all, Status::HOT_STANDBY.with(Status::STOPPED));
    }
}
