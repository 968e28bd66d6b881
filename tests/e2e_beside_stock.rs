// SPDX-License-Identifier: Apache-2.0
//! The same configuration and the same requests on httpd with mod_proxy and on httpd with Margay: clients, back ends
//! and the access log have to see the same.
//!
//! The tables are in `tests/beside_stock/*.cases`; its README says how they are written.

mod support;

#[path = "beside_stock/cases.rs"]
mod cases;
#[path = "beside_stock/stage.rs"]
mod stage;

use cases::{Case, Table};
use stage::Stage;

/// Fails with every case of a table in which the fronts disagree without a reason, or agree in spite of one.
#[track_caller]
fn assert_alike(name: &str) {
    let table = Table::read(name);
    let stage = Stage::start(name, &table);
    let mut wrong = Vec::new();
    for site in &table.sites {
        for case in &site.cases {
            let (stock, margay) = stage.play(site, case);
            if let Some(complaint) = judge(case, &stock, &margay) {
                wrong.push(format!("[{} / {}] line {}: {complaint}", site.name, case.name, case.line));
            }
        }
    }
    stage.assert_no_crash();
    assert!(wrong.is_empty(), "{name}.cases: {} cases are wrong\n\n{}", wrong.len(), wrong.join("\n\n"));
}

fn judge(case: &Case, stock: &[String], margay: &[String]) -> Option<String> {
    let (mut only_stock, mut only_margay) =
        (lines_missing_in(margay, stock), lines_missing_in(stock, margay));
    let speaks_of_length =
        case.differs.as_ref().is_some_and(|meant| meant.words.iter().any(|word| word.contains("Length")));
    if !speaks_of_length {
        forgive_lengths(&mut only_stock, &mut only_margay);
    }
    let same = only_stock.is_empty() && only_margay.is_empty();
    let shown = || {
        let mark = |sign: &str, lines: &[&String]| {
            lines.iter().map(|line| format!("\n  {sign} {line}")).collect::<String>()
        };
        mark("stock ", &only_stock) + &mark("margay", &only_margay)
    };
    match &case.differs {
        None if same => None,
        None => Some(format!("they differ{}", shown())),
        Some(difference) if same => Some(format!("nothing differs any more: {}", difference.reason)),
        Some(difference) => {
            let meant = |line: &&String| difference.words.iter().any(|word| line.contains(word.as_str()));
            let all_meant = only_stock.iter().chain(&only_margay).all(meant);
            (!all_meant).then(|| format!("more differs than {:?}{}", difference.words, shown()))
        }
    }
}

/// A short response leaves Margay in one piece, and httpd counts it; stock's comes in two, and httpd cannot.
fn forgive_lengths(only_stock: &mut Vec<&String>, only_margay: &mut Vec<&String>) {
    only_stock.retain(|line| *line != "client header: Transfer-Encoding: chunked");
    only_margay.retain(|line| !line.starts_with("client header: Content-Length: "));
}

/// The lines of `whole` that `other` does not have, as often as they are too many.
fn lines_missing_in<'a>(other: &[String], whole: &'a [String]) -> Vec<&'a String> {
    let mut rest: Vec<&String> = other.iter().collect();
    let mut missing = Vec::new();
    for line in whole {
        match rest.iter().position(|candidate| *candidate == line) {
            Some(at) => drop(rest.swap_remove(at)),
            None => missing.push(line),
        }
    }
    missing
}

#[test]
fn paths_are_matched_and_encoded_alike() {
    assert_alike("paths");
}

#[test]
fn the_same_rule_and_section_applies() {
    assert_alike("rules");
}

#[test]
fn virtual_hosts_inherit_alike() {
    assert_alike("inherit");
}

#[test]
fn requests_reach_the_member_alike() {
    assert_alike("requests");
}

#[test]
fn responses_reach_the_client_alike() {
    assert_alike("responses");
}

#[test]
fn sessions_are_found_alike() {
    assert_alike("sessions");
}

#[test]
fn members_are_chosen_in_the_same_order() {
    assert_alike("sequences");
}

#[test]
fn failures_end_alike() {
    assert_alike("failures");
}

#[test]
fn other_modules_work_together_alike() {
    assert_alike("neighbours");
}

#[test]
fn variables_are_put_into_rules_for_responses_alike() {
    assert_alike("variables");
}

#[test]
fn requests_are_called_alike() {
    assert_alike("names");
}
