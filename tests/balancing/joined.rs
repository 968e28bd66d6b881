// SPDX-License-Identifier: Apache-2.0
//! Members that join while the server runs: who they are to a choice, what restarts keep of them, and what they cost.

use std::time::Duration;

use margay::balance::{Bindings, Chooser, RequestView, Tried, members};
use margay::base::clock::Moment;
use margay::base::status::Status;
use margay::config::plan::{MemberId, SiteId};
use margay::config::{Directive, Draft, Facts, Origin, Place, Plan};
use margay::shared::{MemberSlot, Region, ShortText};

use crate::allocation::taken_by;
use crate::cluster::BALANCER;

const NOW: Moment = Moment(1_790_000_000_000);

/// A plan with the members of `lines` in `balancer://c`.
fn plan(lines: &str) -> Plan {
    let mut draft = Draft::new();
    let site = draft.site("main server", None);
    let section = draft.proxy_container(site, "balancer://c", Origin::new("httpd.conf", 1)).ok();
    for (line, text) in (2..).zip(lines.lines()) {
        let (name, args) = text.trim().split_once(' ').unwrap();
        let place = Place { site, section };
        let directive = Directive::from_name(name).unwrap();
        draft.directive(directive, place, args, Origin::new("httpd.conf", line)).unwrap();
    }
    assert_eq!(site, SiteId(0));
    draft.compile(&Facts::default()).plan.unwrap()
}

struct Stage {
    plan: Plan,
    region: Region,
    bindings: Bindings,
    generation: u32,
}

impl Stage {
    fn new(lines: &str) -> Stage {
        let (plan, region) = (plan(lines), Region::private().unwrap());
        let bindings = Bindings::attach(&plan, &region, 1, NOW).unwrap();
        Stage { plan, region, bindings, generation: 1 }
    }

    fn restart(&mut self, lines: &str) {
        self.generation += 1;
        self.plan = plan(lines);
        self.bindings = Bindings::attach(&self.plan, &self.region, self.generation, NOW).unwrap();
    }

    /// Another process that serves by the same configuration.
    fn other_process(&self, lines: &str) -> (Plan, Bindings) {
        (plan(lines), self.bindings.clone())
    }

    /// Lets a member join, enabled and with a route.
    fn join(&self, url: &str, route: &str) {
        let mut places = self.plan.balancer(BALANCER).places();
        let free =
            places.find(|id| !self.region.place(self.bindings.member(*id)).is_taken()).expect("a free place");
        let slot = self.bindings.member(free);
        let administrator = self.region.administer(Duration::ZERO).unwrap();
        assert!(administrator.take_place(self.region.place(slot), url));
        let route = ShortText::of(route.as_bytes()).unwrap();
        administrator.set_route(self.region.member_changes(slot), &route);
        let enabled = |state: margay::shared::State| Some(state.with_status(Status::INIT));
        self.region.member(slot).update(NOW, margay::shared::Reason::Admin, enabled);
    }

    fn ids(&self) -> Vec<MemberId> {
        members(&self.plan, &self.region, &self.bindings, self.plan.balancer(BALANCER)).collect()
    }

    fn names(&self) -> Vec<&str> {
        self.ids().into_iter().map(|id| self.plan.member(id).name.as_str()).collect()
    }

    /// Who has no place any more since the last restart.
    fn left_out(&self) -> Vec<String> {
        let left_out = self.bindings.left_out().iter();
        left_out.map(|(balancer, url)| format!("{balancer} {url}")).collect()
    }

    fn slot(&self, at: usize) -> &MemberSlot {
        self.region.member(self.bindings.member(self.ids()[at]))
    }

    fn chooser(&self) -> Chooser<'_> {
        Chooser { plan: &self.plan, region: &self.region, bindings: &self.bindings }
    }
}

/// Who gets a request with this route.
fn chosen(chooser: &Chooser<'_>, route: &str) -> MemberId {
    let cookie = format!("S=x.{route}");
    let view = RequestView { path: b"/", query: None, cookies: std::iter::once(cookie.as_bytes()) };
    let sticky = chooser.in_force(BALANCER).sticky().expect("names");
    let session = chooser.session(BALANCER, &sticky, &view);
    chooser.choose(BALANCER, session.as_ref(), &Tried::default(), NOW).unwrap().member
}

const GROWING: &str = "BalancerMember ajp://a route=A\nProxySet growth=2 stickysession=S";

#[test]
fn who_joins_is_met_by_every_process_and_chosen_as_all_others() {
    let stage = Stage::new(GROWING);
    let (other, bindings) = stage.other_process(GROWING);
    stage.join("ajp://b:8010", "B");
    assert_eq!(stage.names(), ["ajp://a", "ajp://b:8010"]);
    let theirs = Chooser { plan: &other, region: &stage.region, bindings: &bindings };
    for chooser in [stage.chooser(), theirs] {
        let b = chosen(&chooser, "B");
        assert_eq!((chooser.plan.member(b).host.as_str(), chooser.plan.member(b).port), ("b", 8010));
        assert_eq!(chooser.plan.member(chosen(&chooser, "A")).name, "ajp://a");
    }
    let turns: Vec<&str> = (0..4)
        .map(|_| stage.chooser().choose(BALANCER, None, &Tried::default(), NOW).unwrap().member)
        .map(|id| stage.plan.member(id).name.as_str())
        .collect();
    assert_eq!(turns.iter().filter(|name| **name == "ajp://b:8010").count(), 2, "{turns:?}");
}

#[test]
fn a_balancer_may_begin_with_nobody() {
    let stage = Stage::new("ProxySet growth=1 stickysession=S");
    let refusal = stage.chooser().choose(BALANCER, None, &Tried::default(), NOW).unwrap_err();
    assert_eq!(refusal.id(), "AH01171");
    stage.join("http://b", "B");
    assert_eq!(stage.plan.member(chosen(&stage.chooser(), "")).name, "http://b");
}

#[test]
fn a_choice_of_a_process_that_has_met_all_members_takes_no_memory() {
    let stage = Stage::new(GROWING);
    stage.join("ajp://b", "B");
    let (chooser, view) =
        (stage.chooser(), RequestView { path: b"/", query: None, cookies: std::iter::once(&b"S=x.B"[..]) });
    let choose = || {
        let sticky = chooser.in_force(BALANCER).sticky().expect("names");
        let session = chooser.session(BALANCER, &sticky, &view);
        let choice = chooser.choose(BALANCER, session.as_ref(), &Tried::default(), NOW).unwrap();
        assert!(choice.by_route);
    };
    choose();
    assert_eq!(taken_by(choose), 0);
}

#[test]
fn restarts_keep_who_joined_with_counters_as_long_as_there_is_room() {
    let mut stage = Stage::new(GROWING);
    stage.join("ajp://b", "B");
    stage.join("ajp://c", "C");
    stage.slot(2).add_bytes_read(7);
    stage.restart(
        "BalancerMember ajp://new\nBalancerMember ajp://a route=A\nProxySet growth=3 stickysession=S",
    );
    assert_eq!(stage.names(), ["ajp://new", "ajp://a", "ajp://b", "ajp://c"]);
    assert_eq!(stage.slot(3).bytes_read(), 7);
    stage.join("ajp://d", "D");
    assert!(stage.left_out().is_empty());
    stage.restart(GROWING);
    assert_eq!(stage.names(), ["ajp://a", "ajp://b", "ajp://c"]);
    assert_eq!(stage.left_out(), ["c ajp://d"]);
    stage.restart("BalancerMember ajp://a route=A");
    assert_eq!(stage.names(), ["ajp://a"]);
    assert_eq!(stage.left_out(), ["c ajp://b", "c ajp://c"]);
    // Who was forgotten does not come back by itself, although children of the old configuration may still know it.
    stage.restart(GROWING);
    assert_eq!(stage.names(), ["ajp://a"]);
    stage.join("ajp://e", "E");
    assert_eq!(stage.names(), ["ajp://a", "ajp://e"]);
}

#[test]
fn who_the_file_names_later_keeps_its_slot_and_gives_the_place_back() {
    let mut stage = Stage::new(GROWING);
    let (old_plan, old_bindings) = stage.other_process(GROWING);
    stage.join("ajp://b", "by-hand");
    stage.join("ajp://c", "C");
    stage.slot(1).add_bytes_read(9);
    let slot = stage.bindings.member(stage.ids()[1]);
    stage.restart(&format!("BalancerMember ajp://b route=B loadfactor=4\n{GROWING}"));
    assert_eq!(stage.names(), ["ajp://b", "ajp://a", "ajp://c"]);
    assert_eq!(stage.bindings.member(stage.ids()[0]), slot);
    assert_eq!((stage.slot(0).bytes_read(), stage.slot(0).load_factor()), (9, 400));
    assert_eq!(stage.slot(0).status(), Status::INIT);
    assert_eq!(stage.plan.member(chosen(&stage.chooser(), "B")).name, "ajp://b");
    stage.join("ajp://d", "D");
    assert_eq!(stage.names(), ["ajp://b", "ajp://a", "ajp://c", "ajp://d"]);
    // A child of the old configuration goes on with the members it had.
    let old = Chooser { plan: &old_plan, region: &stage.region, bindings: &old_bindings };
    let names: Vec<&str> = members(&old_plan, &stage.region, &old_bindings, old_plan.balancer(BALANCER))
        .map(|id| old_plan.member(id).name.as_str())
        .collect();
    assert_eq!(names, ["ajp://a", "ajp://b", "ajp://c"]);
    assert_eq!(old.plan.member(chosen(&old, "C")).name, "ajp://c");
    stage.restart(GROWING);
    assert_eq!(stage.names(), ["ajp://a", "ajp://c", "ajp://d"]);
}

#[test]
fn many_restarts_with_members_that_come_and_go_never_mix_them_up() {
    let mut stage = Stage::new(GROWING);
    for round in 0..50 {
        let joined = format!("ajp://m{round}");
        stage.join(&joined, &format!("R{round}"));
        assert_eq!(stage.names(), ["ajp://a".to_owned(), joined.clone()], "{round}");
        stage.restart(&format!("BalancerMember {joined}\n{GROWING}"));
        assert_eq!(stage.names(), [joined.clone(), "ajp://a".to_owned()], "{round}");
        stage.region.retire(stage.generation);
        stage.restart(GROWING);
        assert_eq!(stage.names(), ["ajp://a"], "{round}");
    }
}
