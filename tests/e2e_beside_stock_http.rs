// SPDX-License-Identifier: Apache-2.0
//! The same configuration and the same requests on httpd with mod_proxy_http and on httpd with Margay: clients, HTTP
//! members and the access log have to see the same.
//!
//! The tables are in `tests/beside_stock/http_*.cases`; the README there says how they are written.

mod support;

#[path = "beside_stock/cases.rs"]
mod cases;
#[path = "beside_stock/http_member.rs"]
mod http_member;
#[path = "beside_stock/http_stage.rs"]
mod http_stage;
#[path = "beside_stock/judge.rs"]
mod judge;

use cases::{Case, Table};
use http_stage::Stage;
use judge::{judge, judge_over_http};
use support::httpd::Front;

/// What is wrong with a case, by what was seen with stock and with Margay.
type Judge = fn(&Case, &[String], &[String]) -> Option<String>;

/// What a front showed of each case of a table.
fn seen(name: &str, front: Front, table: &Table) -> Vec<Vec<String>> {
    let stage = Stage::start(name, front, table);
    let sites = table.sites.iter();
    let seen = sites.flat_map(|site| site.cases.iter().map(|case| stage.play(site, case))).collect();
    stage.assert_no_crash();
    seen
}

/// The tables of AJP members with HTTP members: what is meant to differ there may differ here or not.
#[track_caller]
fn assert_alike_as_with_ajp(name: &str) {
    assert_table_alike(name, &Table::read_over_http(name), judge_over_http);
}

/// Fails with every case of a table in which the fronts disagree without a reason, or agree in spite of one.
#[track_caller]
fn assert_alike(name: &str) {
    assert_table_alike(name, &Table::read(name), judge);
}

#[track_caller]
fn assert_table_alike(name: &str, table: &Table, judge: Judge) {
    let (stock, margay) = std::thread::scope(|scope| {
        let stock = scope.spawn(|| seen(name, Front::Stock, table));
        let margay = seen(name, Front::Margay, table);
        (stock.join().expect("stock's turn"), margay)
    });
    let cases = table.sites.iter().flat_map(|site| site.cases.iter().map(move |case| (site, case)));
    let mut wrong = Vec::new();
    for ((site, case), (stock, margay)) in cases.zip(stock.iter().zip(&margay)) {
        if let Some(complaint) = judge(case, stock, margay) {
            wrong.push(format!("[{} / {}] line {}: {complaint}", site.name, case.name, case.line));
        }
        if std::env::var_os("MARGAY_SHOW_CASES").is_some() {
            println!("[{} / {}]\n  {}", site.name, case.name, margay.join("\n  "));
        }
    }
    assert!(wrong.is_empty(), "{name}.cases: {} cases are wrong\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn requests_reach_the_member_alike() {
    assert_alike("http_requests");
}

#[test]
fn answers_reach_the_client_alike() {
    assert_alike("http_responses");
}

#[test]
fn paths_are_matched_and_encoded_alike() {
    assert_alike_as_with_ajp("paths");
}

#[test]
fn the_same_rule_and_section_applies() {
    assert_alike_as_with_ajp("rules");
}

#[test]
fn virtual_hosts_inherit_alike() {
    assert_alike_as_with_ajp("inherit");
}

#[test]
fn sessions_are_found_alike() {
    assert_alike_as_with_ajp("sessions");
}

#[test]
fn members_are_chosen_in_the_same_order() {
    assert_alike_as_with_ajp("sequences");
}

#[test]
fn failures_end_alike() {
    assert_alike_as_with_ajp("failures");
}

#[test]
fn other_modules_work_together_alike() {
    assert_alike_as_with_ajp("neighbours");
}

#[test]
fn answers_of_other_tables_reach_the_client_alike() {
    assert_alike_as_with_ajp("responses");
}

#[test]
fn requests_of_other_tables_reach_the_member_alike() {
    assert_alike_as_with_ajp("requests");
}

#[test]
fn the_rest_of_httpd_works_with_http_members_alike() {
    assert_alike("http_neighbours");
}

#[test]
fn connections_switch_and_end_alike() {
    assert_alike("http_upgrades");
}

#[test]
fn nobody_is_fooled_and_rules_of_others_keep_their_place() {
    assert_alike("http_security");
}

#[test]
fn names_and_tries_are_alike() {
    assert_alike("http_names");
}
