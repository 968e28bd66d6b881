// SPDX-License-Identifier: Apache-2.0
//! The attributes of workers.properties: which there are, and what becomes of a second line.

use super::properties::Repetition;

/// One attribute: the last part of `worker.name.attribute`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute {
    pub name: &'static str,
    /// mod_jk's rule. Where it puts a `*` between, numbers are read up to there, so the first line counts.
    pub repetition: Repetition,
    pub standing: Standing,
}

/// Is an attribute still to be written?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Current,
    /// What to write in its place.
    Deprecated(&'static str),
    /// Accepted for old files.
    NoEffect,
}

use Standing::{Current, Deprecated, NoEffect};

const LIST: Repetition = Repetition::Joins(',');
const STAR: Repetition = Repetition::Joins('*');
const LAST: Repetition = Repetition::Replaces;

const fn attribute(name: &'static str, repetition: Repetition, standing: Standing) -> Attribute {
    Attribute { name, repetition, standing }
}

/// All of them.
pub(super) const ATTRIBUTES: &[Attribute] = &[
    attribute("type", LAST, Current),
    attribute("host", LAST, Current),
    attribute("port", LAST, Current),
    attribute("source", LAST, Current),
    attribute("prefer_ipv6", LAST, Current),
    attribute("secret", LAST, Current),
    attribute("secretkey", STAR, NoEffect),
    attribute("socket_timeout", LAST, Current),
    attribute("socket_connect_timeout", LAST, Current),
    attribute("socket_keepalive", LAST, Current),
    attribute("socket_buffer", LAST, Current),
    attribute("ping_mode", LAST, Current),
    attribute("ping_timeout", LAST, Current),
    attribute("connection_ping_interval", LAST, Current),
    attribute("connect_timeout", LAST, Current),
    attribute("prepost_timeout", LAST, Current),
    attribute("reply_timeout", LAST, Current),
    attribute("retries", LAST, Current),
    attribute("retry_interval", LAST, Current),
    attribute("lb_retries", LAST, Current),
    attribute("recovery_options", LAST, Current),
    attribute("fail_on_status", LIST, Current),
    attribute("busy_limit", LAST, Current),
    attribute("connection_pool_size", LAST, Current),
    attribute("cachesize", LAST, Deprecated("connection_pool_size")),
    attribute("connection_pool_minsize", LAST, Current),
    attribute("connection_pool_timeout", LAST, Current),
    attribute("cache_timeout", LAST, Deprecated("connection_pool_timeout")),
    attribute("connection_acquire_timeout", LAST, Current),
    attribute("max_packet_size", LAST, Current),
    attribute("mount", LIST, Current),
    attribute("reference", LAST, Current),
    attribute("lbfactor", LAST, Current),
    attribute("distance", STAR, Current),
    attribute("activation", LAST, Current),
    attribute("disabled", LAST, Deprecated("activation=D")),
    attribute("stopped", LAST, Deprecated("activation=S")),
    attribute("route", LAST, Current),
    attribute("jvm_route", LAST, Deprecated("route")),
    attribute("domain", LAST, Current),
    attribute("redirect", LAST, Current),
    attribute("balance_workers", LIST, Current),
    attribute("balanced_workers", LIST, Deprecated("balance_workers")),
    attribute("sticky_session", LAST, Current),
    attribute("sticky_session_force", LAST, Current),
    attribute("method", LAST, Current),
    attribute("lock", LAST, Current),
    attribute("recover_time", LAST, Current),
    attribute("error_escalation_time", LAST, Current),
    attribute("max_reply_timeouts", LAST, Current),
    attribute("session_cookie", LAST, Current),
    attribute("session_path", LAST, Current),
    attribute("set_session_cookie", LAST, Current),
    attribute("session_cookie_path", LAST, Current),
    attribute("local_worker", LAST, NoEffect),
    attribute("local_worker_only", LAST, NoEffect),
    attribute("css", LAST, Current),
    attribute("ns", LAST, Current),
    attribute("xmlns", LAST, Current),
    attribute("doctype", LAST, Current),
    attribute("prefix", LAST, Current),
    attribute("read_only", LAST, Current),
    attribute("user", LIST, Current),
    attribute("user_case_insensitive", LAST, Current),
    attribute("good", LIST, Current),
    attribute("bad", LIST, Current),
    attribute("list", LIST, Current),
    attribute("maintain", STAR, Current),
    attribute("recycle_timeout", LAST, NoEffect),
    attribute("sysprops", STAR, NoEffect),
    attribute("stderr", STAR, NoEffect),
    attribute("stdout", STAR, NoEffect),
    attribute("mx", STAR, NoEffect),
    attribute("ms", STAR, NoEffect),
    attribute("class_path", Repetition::Joins(':'), NoEffect),
    attribute("bridge", STAR, NoEffect),
    attribute("jvm_lib", STAR, NoEffect),
    attribute("ld_path", Repetition::Joins(':'), NoEffect),
    attribute("cmd_line", Repetition::Joins(' '), NoEffect),
    attribute("native_lib", STAR, NoEffect),
];

/// Words people bring from mod_proxy or from older documents, with what they mean here.
pub(super) const OFTEN_MEANT: &[(&str, &str)] = &[
    ("retry_on_status", "fail_on_status"),
    ("sticky", "sticky_session"),
    ("stickysession", "sticky_session"),
    ("stickysession_force", "sticky_session_force"),
    ("nofailover", "sticky_session_force"),
    ("jvmroute", "route"),
    ("requiredsecret", "secret"),
    ("loadfactor", "lbfactor"),
    ("weight", "lbfactor"),
    ("lbmethod", "method"),
    ("lbset", "distance"),
    ("members", "balance_workers"),
    ("workers", "balance_workers"),
    ("timeout", "socket_timeout"),
    ("connection_timeout", "socket_connect_timeout"),
    ("keepalive", "socket_keepalive"),
    ("ping", "ping_mode"),
    ("retry", "recover_time"),
    ("pool_size", "connection_pool_size"),
    ("pool_timeout", "connection_pool_timeout"),
    ("packet_size", "max_packet_size"),
    ("hostname", "host"),
    ("address", "host"),
];

/// The attribute of this name; letter case counts.
pub(super) fn find(name: &str) -> Option<&'static Attribute> {
    ATTRIBUTES.iter().find(|attribute| attribute.name == name)
}

/// What becomes of a property that is said twice. Names that are none of ours are variables.
pub(super) fn repetition(name: &str) -> Repetition {
    match name.rsplit_once('.') {
        Some((_, attribute)) => find(attribute).map_or(STAR, |attribute| attribute.repetition),
        None => STAR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_stands_once_and_replacements_exist() {
        for (at, attribute) in ATTRIBUTES.iter().enumerate() {
            assert!(!ATTRIBUTES[..at].iter().any(|other| other.name == attribute.name), "{}", attribute.name);
            if let Deprecated(replacement) = attribute.standing {
                assert!(find(replacement.split('=').next().unwrap()).is_some(), "{replacement}");
            }
        }
        for (word, meant) in OFTEN_MEANT {
            assert!(find(word).is_none() && find(meant).is_some(), "{word} {meant}");
        }
    }
}
