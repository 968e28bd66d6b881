// SPDX-License-Identifier: Apache-2.0
//! Which worker a path leads to: the recorded cases of mod_jk 1.2.48, as far as the core decides them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use margay::config::Origin;
use margay::config::Plan;
use margay::config::jk::plan::{JkSite, RuleWorker};
use margay::config::jk::read_worker;
use serde::Deserialize;

#[path = "support/conf.rs"]
mod conf;

#[derive(Deserialize)]
struct Case {
    name: String,
    directives: Vec<String>,
    #[serde(default)]
    mount_file: Vec<String>,
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Request {
    target: String,
    status: u16,
    worker: Option<String>,
}

/// What the core says about a path.
#[derive(Debug, PartialEq)]
enum Answer {
    Worker(String),
    UnknownWorker,
    NoMatch,
    AboveRoot,
}

const FOREIGN: [&str; 5] = ["AllowEncodedSlashes", "SetHandler", "SetEnv", "SetEnvIf", "Alias"];

fn plan(case: &Case) -> Plan {
    let mut text =
        String::from("JkWorkersFile workers\n@file workers\nworker.list=w1,w2,w3,w4,w5,w6,w7,w8,w9\n");
    for number in 1..10 {
        let _ = writeln!(text, "worker.w{number}.port=1800{number}");
    }
    text.push_str("@end\n");
    if !case.mount_file.is_empty() {
        let _ = write!(text, "JkMountFile map\n@file map\n{}\n@end\n", case.mount_file.join("\n"));
    }
    let own = |line: &&String| !FOREIGN.contains(&line.split(' ').next().unwrap());
    for line in case.directives.iter().filter(own) {
        let _ = writeln!(text, "{line}");
    }
    let read = conf::read(&text);
    read.plan.unwrap_or_else(|| panic!("{}: {:#?}", case.name, read.findings))
}

/// The path httpd hands to modules: decoded, except for encoded slashes.
fn decoded(target: &str) -> Vec<u8> {
    let mut path = Vec::new();
    let mut rest = target.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if byte != b'/' => {
                path.push(byte);
                rest = &after[2..];
            }
            _ => {
                path.push(*first);
                rest = after;
            }
        }
    }
    path
}

fn answer(site: &JkSite, plan: &Plan, target: &str) -> Answer {
    let mut room = Vec::new();
    match site.find(&site.mounts, &decoded(target), &mut room) {
        Err(_) => Answer::AboveRoot,
        Ok(None) => Answer::NoMatch,
        Ok(Some(found)) => match &found.rule.worker {
            RuleWorker::Known(id) => Answer::Worker(plan.jk.worker(*id).name.clone()),
            _ => Answer::UnknownWorker,
        },
    }
}

#[test]
fn recorded_paths_lead_to_the_recorded_workers() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("vectors/ajp/mapping/cases.json")).unwrap();
    let mut compared = 0;
    for case in &cases {
        let plan = plan(case);
        let site = &plan.jk.sites[0];
        // Requests that other directives decide.
        let is_foreign = |target: &str| {
            target.starts_with("/handler")
                || target.starts_with("/mounted/no")
                || case.name == "strip-session"
        };
        for request in case.requests.iter().filter(|request| !is_foreign(&request.target)) {
            let expected = match (&request.worker, request.status) {
                (Some(worker), _) => Answer::Worker(worker.clone()),
                (None, 400) => Answer::AboveRoot,
                (None, 500) => Answer::UnknownWorker,
                (None, _) => Answer::NoMatch,
            };
            assert_eq!(answer(site, &plan, &request.target), expected, "{}: {}", case.name, request.target);
            compared += 1;
        }
    }
    assert!(compared >= 80, "{compared}");
}

#[test]
fn a_worker_named_by_a_variable_has_its_extensions() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("vectors/ajp/mapping/cases.json")).unwrap();
    let case = cases.iter().find(|case| case.name == "handler").unwrap();
    let plan = plan(case);
    let origin = Origin::new("variable", 0);
    let named = |text: &str| {
        let named = read_worker(text, &plan.jk, &origin);
        (named.worker, named.extensions.use_server_errors)
    };
    let w2 = RuleWorker::Known(plan.jk.worker_named("w2").unwrap());
    assert_eq!(named("w2"), (w2.clone(), 0));
    assert_eq!(named("w2;use_server_errors=400"), (w2, 400));
    assert_eq!(named("nosuch"), (RuleWorker::Unknown("nosuch".into()), 0));
}

/// Random rules, and for each path the worker's name and the status.
#[derive(Deserialize)]
struct Random {
    directives: Vec<String>,
    mount_file: Vec<String>,
    answers: BTreeMap<String, String>,
}

#[test]
fn random_rules_lead_where_they_led_in_mod_jk() {
    let cases: Vec<Random> = serde_json::from_str(include_str!("vectors/jk/rules.json")).unwrap();
    let mut compared = 0;
    for case in &cases {
        let mut text = String::from("JkWorkerProperty worker.list=w1,w2,w3\n");
        for worker in ["w1", "w2", "w3"] {
            let _ = writeln!(text, "JkWorkerProperty worker.{worker}.type=status");
        }
        let _ = write!(text, "JkMountFile map\n@file map\n{}\n@end\n", case.mount_file.join("\n"));
        text.push_str(&case.directives.join("\n"));
        let plan = conf::read(&text).plan.unwrap();
        for (path, recorded) in &case.answers {
            let now = match answer(&plan.jk.sites[0], &plan, path) {
                Answer::Worker(name) => format!("{name} 200"),
                Answer::UnknownWorker => "* 500".to_owned(),
                Answer::NoMatch => "- 404".to_owned(),
                Answer::AboveRoot => "- 400".to_owned(),
            };
            assert_eq!(now, *recorded, "{path} {:?} {:?}", case.directives, case.mount_file);
            compared += 1;
        }
    }
    assert!(compared > 800, "{compared}");
}
