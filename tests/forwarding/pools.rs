// SPDX-License-Identifier: Apache-2.0
//! How many connections a process keeps, and for how long.

use std::time::Duration;

use crate::ajp_peer::Peer;
use crate::play::{solo, text_of_get};
use crate::stage::{Stage, until};

#[test]
fn connections_are_kept_between_requests() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    (0..5).for_each(|_| assert_eq!(text_of_get(&stage, "/x"), "A"));
    assert_eq!(peer.connections(), 1);
}

#[test]
fn disablereuse_opens_one_for_each_request() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "disablereuse=on");
    (0..3).for_each(|_| assert_eq!(text_of_get(&stage, "/x"), "A"));
    assert_eq!(peer.connections(), 3);
    until("all to be closed", || peer.closed() == 3);
}

#[test]
fn with_max_a_request_waits_for_its_turn() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "max=1");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20).for_each(|_| assert_eq!(text_of_get(&stage, "/x"), "A")));
        }
    });
    assert_eq!((peer.connections(), peer.requests()), (1, 80));
}

#[test]
fn an_idle_connection_older_than_ttl_is_not_used_again() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "ttl=1");
    assert_eq!(text_of_get(&stage, "/x"), "A");
    assert_eq!(text_of_get(&stage, "/x"), "A");
    assert_eq!(peer.connections(), 1);
    // The age of a connection is what is tested.
    std::thread::sleep(Duration::from_millis(1001));
    assert_eq!(text_of_get(&stage, "/x"), "A");
    assert_eq!(peer.connections(), 2);
    until("the old one to be closed", || peer.closed() == 1);
}

#[test]
fn a_member_with_a_name_is_reached_at_whichever_address_answers() {
    let peer = Peer::named("A");
    let stage = Stage::new(&format!("ProxyPass / ajp://localhost:{}/", peer.port()));
    (0..2).for_each(|_| assert_eq!(text_of_get(&stage, "/x"), "A"));
    assert_eq!(peer.connections(), 1);
}
