// SPDX-License-Identifier: Apache-2.0
//! What a graceful restart keeps, and what follows the file.

use margay::balance::{Bindings, Event, transition};
use margay::base::status::Status;
use margay::config::plan::{MemberId, Method};

use crate::cluster::{Cluster, plan};

#[test]
fn a_restart_keeps_error_states_and_counters() {
    let mut cluster = Cluster::by_requests("A, B");
    cluster.kill("A");
    cluster.expect("B B");
    cluster.restart(2, plan(Method::ByRequests, "New factor=2, B, A factor=3 set=1"));
    assert!(cluster.slot("A").status().has(Status::ERROR));
    assert_eq!(cluster.slot("B").elected(), 2);
    assert_eq!((cluster.slot("A").load_factor(), cluster.slot("A").lbset()), (300, 1));
    assert_eq!(cluster.slot("New").status(), Status::INIT);
}

#[test]
fn flags_follow_the_file_at_a_restart() {
    let mut cluster = Cluster::by_requests("A, B status=D");
    cluster.set("A", Status::DRAIN, Status::default());
    transition::apply(cluster.slot("B"), Event::ExchangeFailed, cluster.now);
    cluster.restart(2, plan(Method::ByRequests, "A status=H, B status=E"));
    assert_eq!(cluster.slot("A").status(), Status::INIT.with(Status::HOT_STANDBY));
    assert_eq!(cluster.slot("B").status(), Status::INIT.with(Status::ERROR));
    cluster.restart(3, plan(Method::ByRequests, "A status=E, B"));
    assert_eq!(cluster.slot("A").status(), Status::INIT);
}

#[test]
fn what_failed_its_checks_stays_out_as_long_as_it_is_checked() {
    let check = margay::config::health::HealthCheck {
        method: margay::config::health::CheckMethod::Tcp,
        interval: std::time::Duration::from_secs(1),
        passes: 1,
        fails: 1,
        uri: String::new(),
        expression: None,
        timeout: std::time::Duration::from_secs(1),
        source: None,
    };
    let mut checked = plan(Method::ByRequests, "A, B");
    checked.members[0].health = Some(check);
    let mut cluster = Cluster::by_requests("A, B");
    transition::apply(cluster.slot("A"), Event::ChecksFailed, cluster.now);
    cluster.restart(2, checked);
    assert!(cluster.slot("A").status().has(Status::HC_FAIL));
    cluster.expect("B B");
    cluster.restart(3, plan(Method::ByRequests, "A, B"));
    assert_eq!(cluster.slot("A").status(), Status::INIT);
}

#[test]
fn a_plain_worker_never_enters_the_error_state() {
    let mut plan = plan(Method::ByRequests, "A, plain");
    plan.balancers[0].members = vec![MemberId(0)];
    let mut cluster = Cluster::by_requests("A");
    cluster.restart(2, plan);
    transition::apply(cluster.slot("plain"), Event::ConnectFailed, cluster.now);
    assert!(cluster.slot("plain").status().is_usable());
}

#[test]
fn a_configuration_too_large_for_the_region_is_refused() {
    let members = (0..=margay::shared::MEMBERS).map(|n| format!("M{n}")).collect::<Vec<_>>().join(",");
    let cluster = Cluster::by_requests("A");
    let large = plan(Method::ByRequests, &members);
    let error = Bindings::attach(&large, &cluster.region, 2, cluster.now).unwrap_err();
    let room = margay::shared::MEMBERS;
    let numbers = format!("room for {room} members, the configuration names {}", room + 1);
    assert!(error.to_string().contains(&numbers), "{error}");
}
