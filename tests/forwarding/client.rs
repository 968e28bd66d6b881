// SPDX-License-Identifier: Apache-2.0
//! Clients that go away, and panics on the way: the connection and the busy count are given back in every case.

use std::panic::{AssertUnwindSafe, catch_unwind};

use margay::proxy::Outcome;
use margay::proxy::exchange::ClientGone;

use crate::ajp_peer::{After, Peer};
use crate::ajp_text;
use crate::exchange::FakeExchange;
use crate::play::{play, solo, text_of_get};
use crate::stage::until;

/// A member that sends a part of its answer, and the rest when it is told.
fn hesitant() -> Peer {
    Peer::start(|conn, head| {
        if head.uri != "/slow" {
            return conn.answer(200, &[], &[b"next"]);
        }
        conn.send(&[ajp_text::headers_packet(200, &[]), ajp_text::chunk_packet(b"part")].concat())?;
        conn.wait_until_told();
        conn.send(&[ajp_text::chunk_packet(b"rest"), ajp_text::end_packet(true)].concat())?;
        Ok(After::Keep)
    })
}

#[test]
fn a_client_that_goes_away_ends_the_connection_to_the_member() {
    let peer = hesitant();
    let stage = solo(&peer, "");
    let mut exchange = FakeExchange::get().on_write(|_, _| Err(ClientGone));
    assert_eq!(play(&stage, "/slow", &mut exchange), Outcome::Done);
    assert_eq!((stage.busy(), exchange.log_ids()), (0, vec!["MGY3202"]));
    assert!(!exchange.is_complete());
    assert_eq!(text_of_get(&stage, "/x"), "next");
    assert_eq!((peer.connections(), stage.slot(0).errors()), (2, 0));
    peer.tell();
    until("the connection to be closed", || peer.closed() >= 1);
}

#[test]
fn a_client_that_goes_away_at_the_end_harms_nobody() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    let mut exchange = FakeExchange::get().on_write(|_, _| Err(ClientGone));
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert_eq!(text_of_get(&stage, "/x"), "A");
}

#[test]
fn a_panic_while_writing_gives_back_connection_and_count() {
    let peer = hesitant();
    let stage = solo(&peer, "max=1 acquire=10");
    let mut exchange = FakeExchange::get().on_write(|_, _| panic!("the server failed"));
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(|| play(&stage, "/slow", &mut exchange)));
    std::panic::set_hook(quiet);
    assert!(result.is_err());
    assert_eq!(stage.busy(), 0);
    assert_eq!(text_of_get(&stage, "/x"), "next");
    assert_eq!(peer.connections(), 2);
}
