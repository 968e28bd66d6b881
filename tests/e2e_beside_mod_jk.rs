// SPDX-License-Identifier: Apache-2.0
//! The same configuration and the same requests on httpd with mod_jk and on httpd with Margay: clients, back ends, the
//! access log and the request log have to see the same.
//!
//! The tables are in `tests/beside_mod_jk/*.cases`, written as `tests/beside_stock/README.md` says.

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
use support::httpd::Front;

/// Fails with every case of a table in which the fronts disagree without a reason, or agree in spite of one.
/// `MARGAY_SHOW` in the environment prints what mod_jk did.
#[track_caller]
fn assert_alike(name: &str) {
    let table = Table::read_in("beside_mod_jk", name);
    let stage = Stage::start_beside(Front::ModJk, name, &table);
    let shows = std::env::var_os("MARGAY_SHOW").is_some();
    let mut wrong = Vec::new();
    for site in &table.sites {
        for case in &site.cases {
            let (stock, margay) = stage.play(site, case);
            if shows {
                eprintln!("[{} / {}]\n    {}", site.name, case.name, stock.join("\n    "));
            }
            if let Some(complaint) = judge(case, &stock, &margay) {
                wrong.push(format!("[{} / {}] line {}: {complaint}", site.name, case.name, case.line));
            }
        }
    }
    stage.assert_no_crash();
    assert!(wrong.is_empty(), "{name}.cases: {} cases are wrong\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn paths_are_matched_alike() {
    assert_alike("mapping");
}

#[test]
fn requests_reach_the_container_alike() {
    assert_alike("requests");
}

#[test]
fn responses_reach_the_client_alike() {
    assert_alike("responses");
}

#[test]
fn handlers_and_neighbours_work_together_alike() {
    assert_alike("neighbours");
}

#[test]
fn virtual_hosts_inherit_alike() {
    assert_alike("inherit");
}

#[test]
fn virtual_hosts_inherit_alike_if_all_of_them_do() {
    assert_alike("inherit_all");
}

#[test]
fn members_are_chosen_alike() {
    assert_alike("balancing");
}

#[test]
fn failures_end_alike() {
    assert_alike("failures");
}
