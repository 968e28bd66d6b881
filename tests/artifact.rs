// SPDX-License-Identifier: Apache-2.0
//! Facts about the built module: what it exports, that it loads, what is not in it.

mod support;

use std::collections::BTreeSet;
use std::process::Command;

use support::httpd::{Front, Httpd, module_path};

fn symbols(arguments: &[&str]) -> String {
    let output = Command::new("nm").args(arguments).arg(module_path()).output().expect("nm of binutils");
    assert!(output.status.success(), "nm: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn exports_the_module_record_and_the_entries_and_nothing_else() {
    let listed = symbols(&["-D", "--defined-only"]);
    let exported: BTreeSet<&str> = listed.lines().filter_map(|line| line.split(' ').next_back()).collect();
    let contract = include_str!("../c-shim/margay.h");
    let entry = |line: &'static str| {
        let start = line.find("margay_on_")?;
        line[start..].split('(').next()
    };
    let mut expected: BTreeSet<&str> = contract.lines().filter_map(entry).collect();
    expected.insert("margay_module");
    assert_eq!(exported, expected);
}

#[test]
fn has_no_runtime_for_asynchronous_code() {
    // A runtime made before fork is dead in the children; the module must not even contain one.
    let all = symbols(&["--demangle"]);
    assert!(all.lines().count() > 100, "the symbols were stripped, so this says nothing");
    assert!(!all.contains("tokio"), "tokio is in the module");
}

#[test]
fn loads_with_every_symbol_found() {
    // httpd resolves everything while loading, so a function that no server has fails here.
    let verdict = Httpd::builder("artifact").front(Front::Margay).check();
    assert!(verdict.ok, "{}", verdict.text);
}

#[test]
fn directives_of_the_shim_are_those_of_the_catalogue() {
    let shim = include_str!("../c-shim/directives.def");
    let in_shim: BTreeSet<&str> = shim
        .lines()
        .filter_map(|line| line.strip_prefix("DIRECTIVE("))
        .filter_map(|rest| rest.split(',').next())
        .collect();
    let in_catalogue: BTreeSet<&str> = margay::config::Directive::ALL
        .iter()
        .map(|entry| entry.name)
        .filter(|name| !name.starts_with('<'))
        .collect();
    assert_eq!(in_shim, in_catalogue);
}
