// SPDX-License-Identifier: Apache-2.0
//! Workers of the types lb and status: their attributes and defaults.

use std::time::Duration;

use super::definitions::Worker;
use super::extensions::with_semicolon;
use super::plan::{JkBalancer, JkLock, JkMethod, JkStatus};
use crate::base::key::Key;

/// A balancer without its members; `packet_size` is that of the attribute, 0 if it is not there.
pub(super) fn read(worker: &mut Worker) -> JkBalancer {
    const METHODS: [JkMethod; 5] =
        [JkMethod::Request, JkMethod::Traffic, JkMethod::Busyness, JkMethod::Session, JkMethod::Next];
    let recover = worker.at_least("recover_time", 1, 1).unwrap_or(60);
    let escalation = worker.count("error_escalation_time").unwrap_or(recover / 2);
    JkBalancer {
        key: Key::of(&["jk", worker.name]),
        name: worker.name.to_owned(),
        origin: worker.origin().clone(),
        members: Vec::new(),
        sticky: worker.switch("sticky_session").unwrap_or(true),
        sticky_force: worker.switch("sticky_session_force").unwrap_or(false),
        method: worker.letter("method", "RTBSN").map_or(JkMethod::Request, |at| METHODS[at]),
        lock: match worker.letter("lock", "OP") {
            Some(1) => JkLock::Pessimistic,
            _ => JkLock::Optimistic,
        },
        retries: worker.at_least("retries", 1, 1).unwrap_or(2),
        lb_retries: worker.at_least("lb_retries", 1, 1).unwrap_or(2),
        retry_interval: worker.milliseconds("retry_interval").unwrap_or(Duration::from_millis(100)),
        recover_time: Duration::from_secs(recover.into()),
        error_escalation_time: Duration::from_secs(escalation.into()),
        max_reply_timeouts: worker.count("max_reply_timeouts").unwrap_or(0),
        session_cookie: worker
            .short("session_cookie", "Worker session cookie")
            .unwrap_or_else(|| "JSESSIONID".to_owned()),
        session_path: worker
            .short("session_path", "Worker session path")
            .map_or_else(|| ";jsessionid".to_owned(), |name| with_semicolon(&name)),
        set_session_cookie: worker.switch("set_session_cookie").unwrap_or(false),
        session_cookie_path: worker
            .short("session_cookie_path", "Worker session cookie path")
            .unwrap_or_else(|| "/".to_owned()),
        packet_size: 0,
    }
}

/// A status worker.
pub(super) fn status(worker: &mut Worker) -> JkStatus {
    let text = |attribute: &str| worker.text(attribute).map(str::to_owned);
    // `-` stands for nothing.
    let or_none = |attribute: &str, default: &str| match worker.text(attribute) {
        Some("-") => String::new(),
        value => value.unwrap_or(default).to_owned(),
    };
    let rated = |attribute: &str, default: &[&str]| match worker.words(attribute) {
        words if words.is_empty() => default.iter().map(|word| (*word).to_owned()).collect(),
        words => words,
    };
    JkStatus {
        name: worker.name.to_owned(),
        origin: worker.origin().clone(),
        css: text("css"),
        namespace: or_none("ns", "jk:"),
        xmlns: or_none("xmlns", "xmlns:jk=\"http://tomcat.apache.org\""),
        doctype: text("doctype"),
        prefix: text("prefix").unwrap_or_else(|| "worker".to_owned()),
        users: worker.words("user"),
        good: rated("good", &["a.o", "a.n", "a.b", "a.r"]),
        bad: rated("bad", &["e", "s"]),
        read_only: worker.switch("read_only").unwrap_or(false),
        user_case_insensitive: worker.switch("user_case_insensitive").unwrap_or(false),
    }
}
