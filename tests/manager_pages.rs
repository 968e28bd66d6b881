// SPDX-License-Identifier: Apache-2.0
//! The pages of balancer-manager compared with stored ones, and changes made to shared state, without a server.

#[path = "support/conf.rs"]
mod conf;

use std::path::Path;

use margay::balance::{Bindings, Event, transition};
use margay::base::clock::Moment;
use margay::base::status::Status;
use margay::config::Plan;
use margay::config::plan::SiteId;
use margay::shared::{MemberSlot, Region, ShortText};
use margay::status::snapshot;
use margay::status::view::State;
use margay::status::{Change, Form, Frame, NotJoined, Outcome, Params, html, xml};

const NOW: Moment = Moment(1_795_333_791_000);
const FILE: &str = "\
<Proxy balancer://c>
BalancerMember ajp://127.0.0.1:18801 route=A loadfactor=1.5 ping=2 timeout=30 acquire=300 flushpackets=auto retry=20 keepalive=on
BalancerMember ajp://127.0.0.1:18802/ctx route=B redirect=A lbset=3 status=+H disablereuse=on connectiontimeout=5500ms iobuffersize=9000 min=1 smax=3 max=10 ttl=60
ProxySet stickysession=JSESSIONID|jsessionid nonce=N&\"<x timeout=3 scolonpathdelim=on maxattempts=4
</Proxy>
<Proxy balancer://second-one>
BalancerMember ajp://127.0.0.1:18803
ProxySet lbmethod=bytraffic nonce=None
</Proxy>
ProxyPass /app balancer://c
ProxyPass /other/ balancer://second-one/
";

struct Stage {
    plan: Plan,
    region: Region,
    bindings: Bindings,
}

impl Stage {
    fn new(file: &str) -> Stage {
        let plan = plan(file);
        let region = Region::private().unwrap();
        let bindings = Bindings::attach(&plan, &region, 1, NOW).unwrap();
        Stage { plan, region, bindings }
    }

    fn restart(&mut self, file: &str) {
        self.plan = plan(file);
        self.bindings = Bindings::attach(&self.plan, &self.region, 2, NOW).unwrap();
    }

    fn state(&self) -> State<'_> {
        let (plan, region, bindings) = (&self.plan, &self.region, &self.bindings);
        State { plan, region, bindings, site: SiteId(0), threads: 25, now: NOW }
    }

    fn slot(&self, member: usize) -> &MemberSlot {
        let id = self.plan.balancers[0].members[member];
        self.region.member(self.bindings.member(id))
    }

    /// Makes a change to the first balancer, and says what came of it.
    fn change(&self, form: &str) -> Vec<String> {
        let (state, params) = (self.state(), Params::parse(form.as_bytes()));
        let balancer = state.find_balancer("C").expect("the balancer");
        let member = params.get("w").and_then(|url| state.find_member(balancer, url));
        match Change::of(&params).apply(&state, balancer, member) {
            Outcome::Done(applied) => applied.into_iter().map(|change| change.0).collect(),
            Outcome::NotJoined(_, why) => panic!("{why}"),
            Outcome::Busy => panic!("nobody else changes anything"),
        }
    }
}

fn plan(file: &str) -> Plan {
    let read = conf::read(file);
    read.plan.unwrap_or_else(|| panic!("{:?}", read.findings))
}

fn frame() -> Frame {
    Frame {
        server_name: "front.example".into(),
        server_version: "Apache/2.4".into(),
        server_built: "2026-11-12T08:58:41".into(),
        path: "/b m".into(),
        url: "http://front.example/b%20m".into(),
        balancers_inherited: true,
        rules_inherited: false,
        persisted: false,
        conditions: Default::default(),
    }
}

#[track_caller]
fn assert_is_stored(page: &str, name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/manager").join(name);
    let stored = std::fs::read_to_string(&file).expect("a stored page");
    for (number, (line, expected)) in page.lines().zip(stored.lines()).enumerate() {
        assert_eq!(line, expected, "{name}, line {}", number + 1);
    }
    assert_eq!(page, stored);
}

/// A cluster in which something has happened.
fn lived_in() -> Stage {
    let stage = Stage::new(FILE);
    let (a, b) = (stage.slot(0), stage.slot(1));
    a.count_elected();
    a.add_bytes_read(1536);
    a.add_bytes_written(570);
    a.add_lbstatus(-50);
    transition::apply(b, Event::ConnectFailed, Moment(NOW.0 - 90_000));
    transition::apply(b, Event::ForcedRecovery, Moment(NOW.0 - 1000));
    stage
}

#[test]
fn pages_are_those_of_stock_and_escape_everything() {
    let stage = lived_in();
    let shown = stage.state().balancers();
    assert_is_stored(&xml::page(&shown), "page.xml");
    assert_is_stored(&html::page(&frame(), &shown, None), "page.html");
    let member = Form::Member(&shown[0], &shown[0].members[0]);
    assert_is_stored(&html::page(&frame(), &shown[..1], Some(member)), "member.html");
    assert_is_stored(&html::page(&frame(), &shown[1..], Some(Form::Balancer(&shown[0]))), "balancer.html");
}

#[test]
fn a_member_that_was_not_proven_alive_is_not_shown_as_ok() {
    let stage = lived_in();
    assert!(stage.slot(1).status().is_usable());
    let shown = stage.state().balancers();
    assert_eq!(shown[0].members[1].status.to_string(), "Init Err Stby ");
    transition::apply(stage.slot(1), Event::Alive, NOW);
    assert_eq!(stage.state().balancers()[0].members[1].status.to_string(), "Init Stby Ok ");
}

#[test]
fn an_administrators_flag_does_not_prove_a_member_alive() {
    let stage = lived_in();
    stage.change("w=ajp://127.0.0.1:18802/ctx&w_status_N=1");
    assert_eq!(stage.state().balancers()[0].members[1].status.to_string(), "Init Drn Err Stby ");
}

#[test]
fn a_change_says_what_it_changed_and_only_that() {
    let stage = Stage::new(FILE);
    let same = "w=ajp://127.0.0.1:18801&w_lf=1.50&w_ls=0&w_wr=A&w_rr=&w_status_D=0&w_status_I=0&b_tmo=3&b_max=4&b_sforce=0\
                &b_lbm=byrequests&b_ss=JSESSIONID|jsessionid";
    assert_eq!(stage.change(same), Vec::<String>::new());
    assert!(stage.slot(0).last_change().1 != margay::shared::Reason::Admin);
    let applied = stage.change(
        "w=AJP://127.0.0.1:18801/x&w_lf=2&w_ls=7&w_wr=new&w_rr=B&w_status_D=1&b_tmo=9&b_max=0&b_sforce=1",
    );
    assert_eq!(
        applied,
        [
            "load factor \"2.00\" (was \"1.50\")",
            "lbset \"7\" (was \"0\")",
            "route \"new\" (was \"A\")",
            "redirect \"B\" (was \"\")",
            "status \"Init Dis\" (was \"Init Ok\")",
            "timeout \"9\" (was \"3\")",
            "maxattempts \"0\" (was \"4\")",
            "nofailover \"On\" (was \"Off\")",
        ]
    );
    let shown = &stage.state().balancers()[0];
    let member = &shown.members[0];
    assert_eq!((member.route.as_str(), member.redirect.as_str(), member.lbset), ("new", "B", 7));
    assert_eq!((shown.timeout, shown.max_attempts, shown.no_failover), (9, Some(0), true));
}

#[test]
fn a_new_load_factor_begins_the_sharing_anew() {
    let stage = Stage::new(FILE);
    stage.slot(1).add_lbstatus(7);
    stage.change("w=ajp://127.0.0.1:18801&w_lf=3");
    assert_eq!((stage.slot(0).lbstatus(), stage.slot(1).lbstatus()), (300, 100));
    stage.change("b_lbm=bybusyness");
    assert_eq!((stage.slot(0).lbstatus(), stage.slot(1).lbstatus()), (0, 0));
}

#[test]
fn changes_survive_a_restart_until_the_file_says_something_else_about_the_value() {
    let mut stage = Stage::new(FILE);
    stage.change(
        "w=ajp://127.0.0.1:18801&w_lf=9&w_ls=5&w_wr=new&w_rr=B&w_status_D=1&b_tmo=9&b_ss=S|s&b_lbm=bybusyness&b_sforce=1",
    );
    stage.restart(&FILE.replace("retry=20", "retry=21"));
    let shown = &stage.state().balancers()[0];
    let (member, names) = (&shown.members[0], ("S".to_owned(), "s".to_owned()));
    assert_eq!((member.load_factor, member.lbset, member.route.as_str()), (900, 5, "new"));
    assert!(member.status.has(Status::DISABLED));
    assert_eq!((shown.timeout, shown.method, shown.no_failover), (9, "bybusyness", true));
    assert_eq!(shown.sticky, Some(names));

    stage.restart(
        &FILE
            .replace("route=A loadfactor=1.5", "route=A2 loadfactor=1.6 status=+R")
            .replace("timeout=3 ", "timeout=4 ")
            .replace("JSESSIONID|jsessionid", "X"),
    );
    let shown = &stage.state().balancers()[0];
    let member = &shown.members[0];
    assert_eq!((member.load_factor, member.lbset, member.route.as_str()), (160, 5, "A2"));
    assert_eq!((member.redirect.as_str(), member.status), ("B", Status::INIT.with(Status::HOT_SPARE)));
    assert_eq!((shown.timeout, shown.method, shown.no_failover), (4, "bybusyness", true));
    assert_eq!(shown.sticky, Some(("X".into(), "X".into())));
}

#[test]
fn a_balancer_without_a_written_nonce_has_none_until_one_is_made() {
    let stage =
        Stage::new("<Proxy balancer://c>\nBalancerMember ajp://a\n</Proxy>\nProxyPass / balancer://c/\n");
    let state = stage.state();
    let id = state.find_balancer("c").unwrap();
    assert_eq!(state.nonce(id), "");
    let nonce = ShortText::of(b"made").unwrap();
    let changes = stage.region.balancer_changes(stage.bindings.balancer(id));
    stage.region.administer(std::time::Duration::ZERO).unwrap().set_nonce(changes, &nonce);
    assert_eq!(state.nonce(id), "made");
    // `None` in the file is empty too, and an empty nonce is never right.
    let stage = Stage::new(FILE);
    let state = stage.state();
    assert_eq!(state.nonce(state.find_balancer("second-one").unwrap()), "");
}

#[test]
fn a_snapshot_brings_back_what_was_changed_and_what_failed() {
    let file = format!("BalancerPersist On\n{FILE}");
    let stage = Stage::new(&file);
    let a = "w=ajp://127.0.0.1:18801&w_lf=2.5&w_ls=9&w_wr=a%2525 b=c&w_rr=&w_status_N=1&b_tmo=0&b_max=0&b_sforce=1";
    stage.change(a);
    stage.change("w=ajp://127.0.0.1:18802/ctx&w_status_H=0&b_ss=S|&b_lbm=bytraffic");
    stage.slot(1).count_elected();
    transition::apply(stage.slot(1), Event::ConnectFailed, Moment(NOW.0 - 5000));
    let text = snapshot::write(&stage.state()).expect("a server that keeps its state");

    let other = Stage::new(&file.replace("loadfactor=1.5", "loadfactor=4"));
    assert_eq!(snapshot::restore(&other.state(), &text), Some(5));
    let (before, after) = (stage.state().balancers(), other.state().balancers());
    assert_eq!(
        html::page(&frame(), &after, None).replace("07:49:51 GMT: changed by an administrator", ""),
        html::page(&frame(), &before, None).replace("07:49:51 GMT: changed by an administrator", "")
    );
    assert_eq!(after[0].members[0].route, "a% b=c");
    assert_eq!(after[0].members[1].changed, (Moment(NOW.0 - 5000), margay::shared::Reason::ConnectFailed));
    assert_eq!(snapshot::write(&other.state()), Some(text));
}

#[test]
fn a_snapshot_that_is_damaged_or_of_others_changes_nothing_else() {
    let file = format!("BalancerPersist On\n{FILE}");
    let stage = Stage::new(&file);
    assert_eq!(snapshot::restore(&stage.state(), "something else"), None);
    stage.change("w=ajp://127.0.0.1:18801&w_lf=2.5&w_wr=x&b_tmo=8");
    let text = snapshot::write(&stage.state()).expect("a snapshot");
    for end in 0..text.len() {
        let other = Stage::new(&file);
        snapshot::restore(&other.state(), &text[..end]);
        let shown = &other.state().balancers()[0];
        assert!([3, 8].contains(&shown.timeout) && [150, 250].contains(&shown.members[0].load_factor));
    }
    let foreign = text.replace("member ", "member f").replace("balancer ", "balancer f");
    assert_eq!(snapshot::restore(&Stage::new(&file).state(), &foreign), Some(0));
    assert_eq!(snapshot::write(&Stage::new(FILE).state()), None, "nobody asked for it");
}

/// What came of letting a member join.
fn join(stage: &Stage, url: &str) -> Result<(), NotJoined> {
    let state = stage.state();
    let change = Change::of(&Params::parse(format!("b_wyes=1&b_nwrkr={url}").as_bytes()));
    let balancer = state.find_balancer("c").expect("the balancer");
    match change.apply(&state, balancer, None) {
        Outcome::Done(_) => Ok(()),
        Outcome::NotJoined(_, why) => Err(why),
        Outcome::Busy => panic!("nobody else changes anything"),
    }
}

fn growing(growth: u32) -> String {
    FILE.replace("maxattempts=4", &format!("maxattempts=4 growth={growth}"))
}

#[test]
fn members_join_until_all_places_are_taken() {
    let stage = Stage::new(&growing(2));
    let url = |text: &str| text.to_owned();
    assert_eq!(join(&stage, "AJP://Three"), Ok(()));
    let known = NotJoined::Known { url: url("ajp://three/x"), member: url("ajp://three") };
    assert_eq!((join(&stage, "ajp://three/x"), known.stock_id()), (Err(known), "AH10164"));
    assert!(
        matches!(join(&stage, "nonsense"), Err(why @ NotJoined::BadUrl { .. }) if why.stock_id() == "AH10163")
    );
    let long = format!("ajp://three/{}", "x".repeat(255));
    assert!(matches!(join(&stage, &long), Err(NotJoined::BadUrl { .. })));
    assert_eq!(join(&stage, "http://four:8080/app"), Ok(()));
    assert_eq!(join(&stage, "ajp://five"), Err(NotJoined::Full { url: url("ajp://five"), places: 2 }));

    let shown = stage.state().balancers().remove(0);
    assert_eq!((shown.max_members, shown.members.len(), shown.has_room), (4, 4, false));
    let joined = &shown.members[3];
    assert_eq!(
        (joined.name.as_str(), joined.host.as_str(), joined.port),
        ("http://four:8080/app", "four", 8080)
    );
    assert_eq!((joined.status.to_string().as_str(), joined.load_factor), ("Init Dis ", 100));
    assert_eq!(stage.change("w=ajp://three&w_lf=2&w_status_D=0").len(), 2);
    assert!(html::page(&frame(), &[shown], None).contains("<td>4 [4 Used]</td>"));
}

#[test]
fn a_snapshot_brings_back_who_joined() {
    let stage = Stage::new(&growing(3).replace("ProxyPass /app", "BalancerPersist On\nProxyPass /app"));
    for url in ["ajp://three", "unix:/run/app.sock|http://localhost/"] {
        assert_eq!(join(&stage, url), Ok(()));
    }
    stage.change("w=ajp://three&w_lf=2&w_status_D=0&w_hm=CPING&w_hi=5s&w_hp=2&w_hf=3&w_hu=/up");
    let text = snapshot::write(&stage.state()).expect("a snapshot");

    let again = Stage::new(&growing(3).replace("ProxyPass /app", "BalancerPersist On\nProxyPass /app"));
    assert!(snapshot::restore(&again.state(), &text).is_some());
    assert_eq!(xml::page(&again.state().balancers()), xml::page(&stage.state().balancers()));
    assert_eq!(snapshot::write(&again.state()), Some(text.clone()));
    // A file that names one of them by now goes before what was kept.
    let declared = format!("{}BalancerMember balancer://c ajp://three route=C\n", growing(3))
        .replace("ProxyPass /app", "BalancerPersist On\nProxyPass /app");
    let later = Stage::new(&declared);
    assert!(snapshot::restore(&later.state(), &text).is_some());
    let names: Vec<String> =
        later.state().balancers()[0].members.iter().map(|member| member.name.clone()).collect();
    assert_eq!(names[2..], ["ajp://three", "unix:/run/app.sock|http://localhost/"]);
    assert_eq!(later.state().balancers()[0].members[2].load_factor, 100);
}

#[test]
fn a_process_of_an_older_configuration_gives_no_place_that_the_newest_has_not() {
    let mut stage = Stage::new(&growing(1));
    let old = stage.bindings.clone();
    stage.restart(FILE);
    let state = State { plan: &plan(&growing(1)), bindings: &old, ..stage.state() };
    let change = Change::of(&Params::parse(b"b_wyes=1&b_nwrkr=ajp://late"));
    let balancer = state.find_balancer("c").expect("the balancer");
    assert!(matches!(change.apply(&state, balancer, None), Outcome::NotJoined(_, NotJoined::Full { .. })));
}
