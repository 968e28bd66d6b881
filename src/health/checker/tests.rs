// SPDX-License-Identifier: Apache-2.0
//! Checks of scripted members, with everything but httpd.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::config::health::CheckMethod;
use crate::config::{Directive, Draft, Facts, Origin, Place};
use crate::shared::CheckValue;

/// Takes the lines, and decides by the answer's body.
#[derive(Clone, Default)]
struct Desk(Arc<Mutex<Vec<String>>>);

impl Desk {
    fn said(&self, text: &str) -> usize {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.contains(text)).count()
    }
}

impl Host for Desk {
    fn report(&self, report: &Report) {
        self.0.lock().unwrap().push(report.to_string());
    }

    fn is_true(&self, expression: &Expression, answer: &HttpAnswer) -> Result<bool, String> {
        match &answer.body[..] {
            b"panic" => panic!("on purpose"),
            b"odd" => Err("it is odd".into()),
            body => Ok(body == expression.text.as_bytes()),
        }
    }

    fn secure(
        &self,
        _: MemberId,
        _: OwnedFd,
        _: &[u8],
        _: Duration,
    ) -> Result<Box<dyn Transport>, NotSecure> {
        Err(NotSecure::Missing)
    }
}

/// Members by port, each with these words behind its URL.
fn checks(region: &'static Region, generation: u32, lines: &[(Directive, String)]) -> Checks {
    let mut draft = Draft::new();
    let place = Place { site: draft.site("main server", None), section: None };
    for (directive, args) in lines {
        draft.directive(*directive, place, args, Origin::new("t", 1)).unwrap();
    }
    let plan = draft.compile(&Facts::default()).plan.unwrap();
    let bindings = Bindings::attach(&plan, region, generation, SystemClock.now()).unwrap();
    Checks { plan: Arc::new(plan), bindings, region, me: Owner { pid: 10, generation } }
}

fn member(port: u16, words: &str) -> (Directive, String) {
    (Directive::BalancerMember, format!("balancer://c ajp://127.0.0.1:{port} {words}"))
}

fn region() -> &'static Region {
    // As in a child process: it lives as long as the threads of the checks, which nobody waits for.
    Box::leak(Box::new(Region::private().unwrap()))
}

fn start(checks: Checks) -> (Checker, Desk) {
    let desk = Desk::default();
    (Checker::start(checks, desk.clone()).unwrap().expect("something to check"), desk)
}

#[track_caller]
fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A member that does the same with every connection; counts them.
fn listen(script: impl Fn(TcpStream) + Send + Sync + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let (counting, script) = (Arc::clone(&count), Arc::new(script));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counting.fetch_add(1, AcqRel);
            let script = Arc::clone(&script);
            thread::spawn(move || script(stream));
        }
    });
    (port, count)
}

#[test]
fn without_checks_no_thread_is_started() {
    let checks = checks(region(), 1, &[member(1, "")]);
    assert!(Checker::start(checks, Desk::default()).unwrap().is_none());
}

#[test]
fn the_first_check_comes_one_interval_after_the_start() {
    let (port, count) = listen(drop);
    let started = Instant::now();
    let (checker, _) = start(checks(region(), 1, &[member(port, "hcmethod=TCP hcinterval=300ms")]));
    wait_until(|| count.load(Acquire) == 1);
    assert!(started.elapsed() >= Duration::from_millis(300));
    checker.stop();
}

#[test]
fn a_stopped_checker_starts_nothing_and_leaves_the_checks_to_others() {
    let (port, count) = listen(drop);
    let region = region();
    let words = "hcmethod=TCP hcinterval=100ms";
    let (checker, _) = start(checks(region, 1, &[member(port, words)]));
    wait_until(|| count.load(Acquire) >= 2);
    checker.stop();
    wait_until(|| region.checker().owner().is_none() && Arc::strong_count(&checker.work) == 1);
    let (other, _) =
        start(Checks { me: Owner { pid: 11, generation: 1 }, ..checks(region, 1, &[member(port, words)]) });
    let before = count.load(Acquire);
    wait_until(|| count.load(Acquire) >= before + 2);
    other.stop();
}

#[test]
fn the_threads_of_an_older_configuration_end_by_themselves() {
    let (port, count) = listen(drop);
    let region = region();
    let words = "hcmethod=TCP hcinterval=100ms";
    let (old, _) = start(checks(region, 1, &[member(port, words)]));
    wait_until(|| count.load(Acquire) >= 1);
    checks(region, 2, &[member(port, "")]);
    wait_until(|| region.checker().owner().is_none() && Arc::strong_count(&old.work) == 1);
}

#[test]
fn with_size_0_one_check_runs_after_the_other() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let script = {
        let most = Arc::clone(&most);
        move |mut stream: TcpStream| {
            most.fetch_max(now.fetch_add(1, AcqRel) + 1, AcqRel);
            let _ = stream.read(&mut [0; 64]);
            thread::sleep(Duration::from_millis(20));
            now.fetch_sub(1, AcqRel);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        }
    };
    let (one, count) = listen(script);
    let member = |name: &str| {
        let words = "hcmethod=HEAD hcinterval=100ms";
        (Directive::BalancerMember, format!("balancer://c ajp://127.0.0.1:{one}/{name} {words}"))
    };
    let size = (Directive::ProxyHCTPsize, "0".to_owned());
    let (checker, desk) = start(checks(region(), 1, &[size, member("a"), member("b"), member("c")]));
    wait_until(|| count.load(Acquire) >= 9);
    assert_eq!(most.load(Acquire), 1);
    assert_eq!(desk.said("failed"), 0);
    checker.stop();
}

#[test]
fn conditions_decide_and_a_bug_costs_one_check() {
    let bodies = ["good", "bad", "odd", "panic", "good"];
    let turn = Arc::new(AtomicUsize::new(0));
    let (port, _) = listen({
        let turn = Arc::clone(&turn);
        move |mut stream| {
            let _ = stream.read(&mut [0; 64]);
            let body = bodies[turn.fetch_add(1, AcqRel).min(4)];
            let _ = stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{body}").as_bytes());
        }
    });
    let condition = (Directive::ProxyHCExpr, "up good".to_owned());
    let words = "hcmethod=GET hcinterval=100ms hcexpr=up";
    let checks = checks(region(), 1, &[condition, member(port, words)]);
    let slot = checks.region.member(checks.bindings.member(MemberId(0)));
    let (checker, desk) = start(checks);
    wait_until(|| desk.said("MGY3302") == 1);
    assert_eq!(desk.said("MGY3301: ajp://127.0.0.1"), 1);
    assert_eq!(desk.said("hcexpr=up does not hold"), 1);
    assert!(!slot.status().has(Status::HC_FAIL));
    assert!(turn.load(Acquire) >= 5, "the panic ended the checks");
    checker.stop();
}

#[test]
fn members_are_named_with_their_balancer_and_the_cause() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let words = "hcmethod=TCP hcinterval=100ms hcfails=2 hcpasses=3";
    let (checker, desk) = start(checks(region(), 1, &[member(closed, words)]));
    wait_until(|| desk.said("MGY3301") == 1);
    checker.stop();
    let start = format!(
        "MGY3301: ajp://127.0.0.1:{closed} of balancer://c failed its health check 2 times (TCP): no connection"
    );
    assert_eq!(desk.said(&start), 1, "{:?}", desk.0);
    assert_eq!(desk.said("until 3 checks were good (AH03303)"), 1);
}

#[test]
fn a_hanging_member_is_not_checked_again_before_its_check_ends() {
    let open = Arc::new(Mutex::new(HashMap::new()));
    let (port, count) = listen({
        let open = Arc::clone(&open);
        move |stream| {
            let number = open.lock().unwrap().len();
            open.lock().unwrap().insert(number, stream);
        }
    });
    let (quick, others) = listen(drop);
    let hanging = member(port, "hcmethod=CPING hcinterval=100ms ping=600");
    let (checker, _) = start(checks(region(), 1, &[hanging, member(quick, "hcmethod=TCP hcinterval=100ms")]));
    wait_until(|| others.load(Acquire) >= 10);
    assert_eq!(count.load(Acquire), 1);
    checker.stop();
}

#[test]
fn checks_follow_an_administrator_on_and_off() {
    let ((a, asked_a), (b, asked_b)) = (listen(drop), listen(drop));
    let region = region();
    let lines = [member(a, ""), member(b, "hcmethod=TCP hcinterval=100ms")];
    let checks = checks(region, 1, &lines);
    let slot = checks.bindings.member(MemberId(0));
    let change = |value, number| {
        let administrator = region.administer(Duration::from_secs(60)).unwrap();
        administrator.set_check_number(region.check_changes(slot), value, number);
        region.checker().revise();
    };
    let (checker, _) = start(checks);
    wait_until(|| asked_b.load(Acquire) >= 3);
    assert_eq!(asked_a.load(Acquire), 0);

    change(CheckValue::Interval, 100);
    change(CheckValue::Method, balance::code_of_check(Some(CheckMethod::Tcp)));
    wait_until(|| asked_a.load(Acquire) >= 2);

    change(CheckValue::Method, 0);
    let later = |rounds: usize| {
        let now = asked_b.load(Acquire);
        wait_until(|| asked_b.load(Acquire) >= now + rounds);
        asked_a.load(Acquire)
    };
    let before = later(3);
    // One that was under way may be counted late.
    assert!(later(10) <= before + 1);
    checker.stop();
}

#[test]
fn a_plan_without_checks_has_a_thread_if_they_can_be_switched_on() {
    let mut checks = checks(region(), 1, &[member(1, "")]);
    Arc::get_mut(&mut checks.plan).unwrap().managed = true;
    let (checker, desk) = start(checks);
    assert_eq!(desk.said("MGY3304"), 0);
    checker.stop();
}

#[test]
fn who_joins_is_checked_as_the_administrator_says() {
    let ((a, _), (b, asked_b)) = (listen(drop), listen(drop));
    let region = region();
    let lines = [
        member(a, "hcmethod=TCP hcinterval=100ms"),
        (Directive::ProxySet, "balancer://c growth=1".to_owned()),
    ];
    let checks = checks(region, 1, &lines);
    let place = checks.plan.balancers[0].places().next().unwrap();
    let slot = checks.bindings.member(place);
    let (checker, _) = start(checks);
    let administrator = region.administer(Duration::from_secs(60)).unwrap();
    administrator.take_place(region.place(slot), &format!("ajp://127.0.0.1:{b}"));
    administrator.set_check_number(region.check_changes(slot), CheckValue::Interval, 100);
    let tcp = balance::code_of_check(Some(CheckMethod::Tcp));
    administrator.set_check_number(region.check_changes(slot), CheckValue::Method, tcp);
    region.checker().revise();
    wait_until(|| asked_b.load(Acquire) >= 2);
    checker.stop();
}
