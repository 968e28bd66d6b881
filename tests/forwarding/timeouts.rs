// SPDX-License-Identifier: Apache-2.0
//! Members that do not answer in time.

use std::time::Duration;

use margay::proxy::Outcome;

use crate::ajp_peer::{After, Conn, Peer};
use crate::ajp_text::{self, Head};
use crate::exchange::FakeExchange;
use crate::play::{balanced, balancer, play};
use crate::stage::{Stage, until};

fn silent(conn: &mut Conn, head: &Head) -> std::io::Result<After> {
    conn.read_body(head, 8186)?;
    conn.wait_for_close(Duration::from_secs(60));
    Ok(After::Close)
}

/// A silent A with a short limit and a living B with a long one.
fn impatient(member: &str, pass: &str) -> (Stage, Peer, Peer) {
    let (a, b) = (Peer::start(silent), Peer::named("B"));
    let mut stage =
        balancer(&[format!("{} {member}", a.url()), format!("{} timeout=30 {member}", b.url())], pass);
    stage.timeout = Duration::from_millis(50);
    (stage, a, b)
}

#[test]
fn without_a_ping_a_silent_member_is_out_and_the_request_moves_if_it_may() {
    let (stage, a, b) = impatient("", "");
    let mut exchange = FakeExchange::get().session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert_eq!(exchange.text(), "B");
    assert_eq!(exchange.log_ids(), ["MGY3102", "MGY2005"]);
    assert!(stage.is_in_error(0));
    until("the connection to be closed", || a.closed() == 1);
    assert_eq!(b.requests(), 1);
}

#[test]
fn a_silent_member_does_not_make_a_post_move() {
    let (stage, a, b) = impatient("", "");
    let mut exchange = FakeExchange::with_body("POST", b"order").session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(500));
    until("the request to be seen", || a.requests() == 1);
    assert_eq!(b.requests(), 0);
    assert!(stage.is_in_error(0));
}

#[test]
fn with_an_answered_ping_a_slow_request_is_not_the_members_fault() {
    for method in ["GET", "POST"] {
        let (stage, a, b) = impatient("ping=10", "");
        let mut exchange = FakeExchange::with_body(method, b"order").session("A");
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(504));
        until("the request to be seen", || a.requests() == 1);
        assert_eq!(b.requests(), 0);
        assert!(!stage.is_in_error(0));
    }
}

#[test]
fn failontimeout_takes_the_member_out_even_after_an_answered_ping() {
    let (stage, a, _b) = impatient("ping=10", "failontimeout=on");
    let mut exchange = FakeExchange::get().session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(504));
    assert!(stage.is_in_error(0));
    until("the request to be seen", || a.requests() == 1);
}

#[test]
fn a_member_that_falls_silent_within_its_answer_has_it_cut() {
    let (stage, a, b) = impatient("", "");
    a.set_script(|conn, head| {
        let part = [ajp_text::headers_packet(200, &[]), ajp_text::chunk_packet(b"part")].concat();
        conn.send(&part)?;
        silent(conn, head)
    });
    let mut exchange = FakeExchange::get().session("A");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert!(exchange.is_cut());
    assert_eq!((exchange.text().as_str(), b.requests()), ("part", 0));
}

#[test]
fn the_members_own_timeout_goes_before_the_servers() {
    let a = Peer::start(|conn, _| {
        std::thread::sleep(Duration::from_millis(100));
        conn.answer(200, &[], &[b"late"])
    });
    let mut stage = balanced(&[&a], "timeout=30", "");
    stage.timeout = Duration::from_millis(10);
    let mut exchange = FakeExchange::get();
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert_eq!(exchange.text(), "late");
}
