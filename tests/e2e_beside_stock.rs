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

use support::httpd::Front;

#[track_caller]
fn assert_alike(name: &str) {
    judge::assert_alike("beside_stock", name, Front::Stock);
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
