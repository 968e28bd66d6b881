// SPDX-License-Identifier: Apache-2.0
//! The same configuration and the same requests on httpd with mod_proxy and on httpd with Margay: clients, back ends
//! and the access log have to see the same.
//!
//! The tables are in `tests/beside_stock/*.cases`; its README says how they are written.

mod support;

#[path = "beside_stock/cases.rs"]
mod cases;
#[path = "beside_stock/judge.rs"]
mod judge;
#[path = "beside_stock/stage.rs"]
mod stage;

use cases::Table;
use judge::judge;
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
