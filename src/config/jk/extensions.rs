// SPDX-License-Identifier: Apache-2.0
//! What follows a worker's name in a rule or in `JK_WORKER_NAME`: `w1;reply_timeout=3000;disabled=n1`.

use std::time::Duration;

use super::id;
use super::plan::{Activation, FailOnStatus, JkPlan, JkTarget, RuleExtensions, RuleWorker};
use super::properties::words;
use crate::base::text::{leading_integer, nearest, quoted};
use crate::config::finding::Finding;
use crate::config::origin::Origin;
use crate::config::url::shown;

const KNOWN: [&str; 12] = [
    "reply_timeout",
    "sticky_ignore",
    "stateless",
    "active",
    "disabled",
    "stopped",
    "fail_on_status",
    "use_server_errors",
    "session_cookie",
    "session_path",
    "set_session_cookie",
    "session_cookie_path",
];

/// Of these the first one counts, of the others the last.
const ONCE: [&str; 7] = [
    "active",
    "disabled",
    "stopped",
    "fail_on_status",
    "session_cookie",
    "session_path",
    "session_cookie_path",
];

/// A worker's name with its extensions, understood.
#[derive(Debug, Clone)]
pub struct NamedWorker {
    pub worker: RuleWorker,
    pub extensions: RuleExtensions,
    /// Warnings; whatever is odd about an extension costs only itself.
    pub findings: Vec<Finding>,
}

/// Reads `text`: the right side of a rule, or the value of `JK_WORKER_NAME`.
pub fn read_worker(text: &str, plan: &JkPlan, origin: &Origin) -> NamedWorker {
    let (name, rest) = text.split_once(';').unwrap_or((text, ""));
    let name = name.trim();
    let worker = match plan.worker_named(name) {
        Some(id) => RuleWorker::Known(id),
        None => RuleWorker::Unknown(name.to_owned()),
    };
    let target = match worker {
        RuleWorker::Known(id) => Some(plan.worker(id).target),
        _ => None,
    };
    let mut reading =
        Reading { plan, origin, name, target, result: RuleExtensions::default(), findings: Vec::new() };
    reading.all(rest);
    NamedWorker { worker, extensions: reading.result, findings: reading.findings }
}

struct Reading<'a> {
    plan: &'a JkPlan,
    origin: &'a Origin,
    name: &'a str,
    target: Option<JkTarget>,
    result: RuleExtensions,
    findings: Vec<Finding>,
}

impl Reading<'_> {
    fn all(&mut self, text: &str) {
        let mut lists: [Option<&str>; 3] = [None; 3];
        let mut said = Vec::new();
        let mut parts = text.split(';').map(str::trim).filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            let Some((name, value)) = part.split_once('=') else {
                self.unknown(part);
                continue;
            };
            let (name, mut value) = (name.trim_end(), value.trim_start());
            if name == "session_path" && value.is_empty() {
                // Its own semicolon has cut it off.
                value = parts.next_if(|next| !is_extension(next)).unwrap_or_default();
            }
            if ONCE.contains(&name) && said.contains(&name) {
                let text = format!("rule extension '{name}=' only allowed once: the first one counts");
                self.warn(id::EXTENSION, text, "Remove one of the two.".to_owned());
                continue;
            }
            said.push(name);
            match name {
                "active" => lists[0] = Some(value),
                "disabled" => lists[1] = Some(value),
                "stopped" => lists[2] = Some(value),
                _ => self.one(name, value),
            }
            if matches!(name, "active" | "disabled" | "stopped" | "fail_on_status" | "reply_timeout") {
                self.result.written.retain(|(known, _)| known != name);
                self.result.written.push((name.to_owned(), value.to_owned()));
            }
        }
        let each = [Activation::Active, Activation::Disabled, Activation::Stopped];
        for (activation, list) in each.into_iter().zip(lists) {
            self.activations(activation, list);
        }
    }

    fn one(&mut self, name: &str, value: &str) {
        let text = || Some(value.to_owned());
        match name {
            "reply_timeout" => self.result.reply_timeout = self.reply_timeout(value),
            "sticky_ignore" => self.result.sticky_ignore = self.number(name, value) != 0,
            "stateless" => self.result.stateless = self.number(name, value) != 0,
            "fail_on_status" => self.result.fail_on_status = Some(self.codes(value)),
            "use_server_errors" => {
                self.result.use_server_errors = u16::try_from(self.number(name, value)).unwrap_or(0);
            }
            "session_cookie" => self.result.session_cookie = text(),
            "session_path" => self.result.session_path = Some(with_semicolon(value)),
            "set_session_cookie" => self.result.set_session_cookie = Some(self.number(name, value) != 0),
            "session_cookie_path" => self.result.session_cookie_path = text(),
            _ => self.unknown(name),
        }
    }

    fn number(&mut self, name: &str, value: &str) -> i64 {
        let (number, rest) = leading_integer(value);
        if value.is_empty() || !rest.is_empty() {
            self.warn(
                id::EXTENSION,
                format!("{name}={} is read as {number}", shown(value)),
                "Write a whole number.".to_owned(),
            );
        }
        number
    }

    /// Below zero is as if it were not there; zero is no limit.
    fn reply_timeout(&mut self, value: &str) -> Option<Option<Duration>> {
        let milliseconds = u64::try_from(self.number("reply_timeout", value)).ok()?;
        Some((milliseconds > 0).then(|| Duration::from_millis(milliseconds)))
    }

    fn codes(&mut self, value: &str) -> FailOnStatus {
        FailOnStatus(words(value).map(|word| self.number("fail_on_status", word)).map(code).collect())
    }

    fn activations(&mut self, activation: Activation, list: Option<&str>) {
        let Some(list) = list else { return };
        let Some(JkTarget::Balancer(balancer)) = self.target else {
            if self.target.is_some() {
                let text = format!(
                    "{} is no balancer: it has no members to be {}",
                    shown(self.name),
                    activation.word()
                );
                self.warn(id::EXTENSION, text, format!("Remove {}=.", activation.word()));
            }
            return;
        };
        let plan = self.plan;
        let members = &plan.balancer(balancer).members;
        let named = |name: &str| {
            members.iter().find(|id| plan.member(**id).is_some_and(|member| member.name == name))
        };
        for name in words(list) {
            let Some(&member) = named(name) else {
                let text = format!("balancer {} has no member {}", shown(self.name), quoted(name));
                let names = members.iter().filter_map(|id| Some(plan.member(*id)?.name.as_str()));
                let cure = match nearest(name, names.clone()) {
                    Some(guess) => format!("Did you mean {guess}?"),
                    None => format!("Its members are {}.", names.collect::<Vec<_>>().join(", ")),
                };
                self.warn(id::EXTENSION, text, cure);
                continue;
            };
            if self.result.activation.iter().any(|(known, _)| *known == member) {
                let text = format!("member {} is named twice; {} counts", shown(name), activation.word());
                self.warn(
                    id::EXTENSION,
                    text,
                    "Name each member in one of active, disabled and stopped.".to_owned(),
                );
            }
            self.result.activation.push((member, activation));
        }
    }

    fn unknown(&mut self, name: &str) {
        let text =
            format!("unknown rule extension {} behind worker {} is ignored", quoted(name), shown(self.name));
        let lower = name.to_ascii_lowercase();
        let cure = match nearest(&lower, KNOWN) {
            Some(guess) => format!("Did you mean {guess}=?"),
            None => format!("Known are {}.", KNOWN.join(", ")),
        };
        self.warn(id::EXTENSION, text, cure);
    }

    fn warn(&mut self, id: &'static str, text: String, cure: String) {
        self.findings.push(Finding::warning(id, self.origin, text).cured_by(cure));
    }
}

/// Does the text begin like an extension, and not like a name?
fn is_extension(part: &str) -> bool {
    part.split_once('=').is_some_and(|(name, _)| KNOWN.contains(&name.trim_end()))
}

/// A status code, or a negative one; what is larger fits none.
pub(super) fn code(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(0)
}

/// The name of a path parameter with its semicolon.
pub(super) fn with_semicolon(name: &str) -> String {
    if name.starts_with(';') { name.to_owned() } else { format!(";{name}") }
}
