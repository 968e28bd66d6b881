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

use support::httpd::Front;

#[track_caller]
fn assert_alike(name: &str) {
    judge::assert_alike("beside_mod_jk", name, Front::ModJk);
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
fn members_are_chosen_alike() {
    assert_alike("balancing");
}

#[test]
fn failures_end_alike() {
    assert_alike("failures");
}
