// SPDX-License-Identifier: Apache-2.0
//! Members that the agent has taken out: passed over while it is heard, and never at the cost of a request.

use std::time::Duration;

use margay::base::status::Status;
use margay::shared::{LAPSE, Reason};

use crate::cluster::Cluster;

const AGENT: u64 = 7;
const ROUTE_A: &str = "JSESSIONID=s.A";

trait Heard {
    fn beat(&self);
    fn lose(&self, names: &str);
}

impl Heard for Cluster {
    fn beat(&self) {
        let agent = self.region.agent();
        assert!(agent.claim(AGENT, 1, self.now) && agent.beat(AGENT, self.now));
    }

    fn lose(&self, names: &str) {
        self.beat();
        for name in names.chars() {
            self.slot(&name.to_string()).take_out(self.now, Reason::NodeDead);
        }
    }
}

#[test]
fn who_is_gone_gets_nothing_and_its_sessions_move() {
    let cluster = Cluster::by_requests("A, B, C").sticky();
    cluster.lose("A");
    cluster.expect("B C B C");
    assert_eq!(cluster.request_with(ROUTE_A).0, "B");
    cluster.slot("A").put_back(cluster.now, Reason::NodeBack);
    assert_eq!(cluster.request_with(ROUTE_A).0, "A");
}

#[test]
fn a_session_whose_member_is_lost_goes_to_one_that_has_a_copy() {
    let mut cluster = Cluster::by_requests("A, B, C, D set=1, E").sticky();
    for name in ["A", "D", "E"] {
        cluster.slot(name).set_node(true, name != "A");
    }
    let of = |route: &str| format!("JSESSIONID=s.{route}");
    let ask = |cluster: &Cluster, route: &str| cluster.request_with(&of(route)).0;
    cluster.lose("A");
    for _ in 0..3 {
        assert_eq!(ask(&cluster, "A"), "E", "B and C serve too, but do not know the session");
    }
    cluster.expect("B C E");
    cluster.lose("E");
    assert_eq!(ask(&cluster, "A"), "D", "in another set, but it has a copy");
    assert_eq!(ask(&cluster, "B"), "B");
    cluster.lose("B");
    assert_eq!(ask(&cluster, "B"), "C", "nobody has a copy of what B alone had");
    cluster.kill("D");
    assert_eq!(ask(&cluster, "A"), "C", "without a copy, rather than not at all");
    // An agent that is not heard says nothing of copies either.
    cluster.slot("A").put_back(cluster.now, Reason::NodeBack);
    cluster.kill("A");
    cluster.slot("D").put_back(cluster.now, Reason::NodeBack);
    cluster.pass(LAPSE + Duration::from_millis(1));
    assert_ne!(ask(&cluster, "A"), "D");
}

#[test]
fn what_a_silent_agent_said_lapses() {
    let mut cluster = Cluster::by_requests("A, B").sticky();
    cluster.lose("A");
    cluster.pass(LAPSE);
    assert_eq!(cluster.request_with(ROUTE_A).0, "B");
    cluster.pass(Duration::from_millis(1));
    assert_eq!(cluster.request_with(ROUTE_A).0, "A");
}

#[test]
fn the_agent_alone_never_takes_out_all() {
    let mut cluster = Cluster::by_requests("A, B").sticky();
    cluster.lose("AB");
    assert_eq!(cluster.request_with(ROUTE_A).0, "A");
    cluster.slot("B").put_back(cluster.now, Reason::NodeBack);
    cluster.kill("B");
    assert_eq!(cluster.request_with("").0, "A", "who fails is followed by who is gone");
    assert!(cluster.slot("B").status().has(Status::ERROR));
    assert_eq!(cluster.request_with("").0, "A", "and where the others have failed, nobody else is left");
}

#[test]
fn a_session_that_may_not_move_finds_out_itself() {
    let cluster = Cluster::by_requests("A, B").sticky().with(|balancer| balancer.no_failover = true);
    cluster.lose("A");
    assert_eq!(cluster.request_with(ROUTE_A).0, "A");
    assert_eq!(cluster.request_with("").0, "B");
}

#[test]
fn standbys_spares_and_further_sets_take_the_place_of_who_is_gone() {
    let cluster = Cluster::by_requests("A, B status=H");
    cluster.lose("A");
    cluster.expect("B B");
    let cluster = Cluster::by_requests("A, B status=R, C");
    cluster.lose("A");
    cluster.expect("C B C");
    let cluster = Cluster::by_requests("A, B set=1");
    cluster.lose("A");
    cluster.expect("B B");
}

#[test]
fn a_redirect_is_followed_to_who_is_there() {
    let cluster = Cluster::by_requests("A redirect=C, B, C").sticky();
    cluster.lose("A");
    for _ in 0..3 {
        assert_eq!(cluster.request_with(ROUTE_A).0, "C");
    }
}

#[test]
fn what_an_administrator_stopped_stays_stopped() {
    let cluster = Cluster::by_requests("A, B");
    cluster.set("B", Status::STOPPED, Status::default());
    cluster.lose("A");
    cluster.expect("A A");
}
