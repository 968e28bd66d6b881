// SPDX-License-Identifier: Apache-2.0
//! When data goes out: the member waits with the rest of its answer until the client has seen the first part.

use std::sync::Arc;

use margay::proxy::Outcome;
use margay::proxy::exchange::Push;

use crate::ajp_peer::{After, Peer};
use crate::ajp_text;
use crate::exchange::FakeExchange;
use crate::play::{play, solo};

/// A member that sends `first`, waits until told, and ends its answer.
fn in_two_parts(first: Vec<u8>) -> Arc<Peer> {
    Arc::new(Peer::start(move |conn, _| {
        conn.send(&first)?;
        conn.wait_until_told();
        conn.send(&ajp_text::chunk_packet(b"rest"))?;
        conn.send(&ajp_text::end_packet(true))?;
        Ok(After::Keep)
    }))
}

fn head_and_chunk() -> Vec<u8> {
    [ajp_text::headers_packet(200, &[]), ajp_text::chunk_packet(b"first ")].concat()
}

/// Plays a GET; the member goes on when a write with this push has come.
fn told_by(push: Push, parameters: &str, first: Vec<u8>) -> FakeExchange {
    let peer = in_two_parts(first);
    let stage = solo(&peer, parameters);
    let telling = Arc::clone(&peer);
    let mut exchange = FakeExchange::get().on_write(move |_, pushed| {
        if pushed == push {
            telling.tell();
        }
        Ok(())
    });
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    assert!(exchange.is_complete());
    exchange
}

fn pushes(exchange: &FakeExchange) -> Vec<Push> {
    exchange.writes().map(|(_, push)| push).collect()
}

#[test]
fn without_flushing_data_is_passed_on_and_the_server_decides() {
    let exchange = told_by(Push::Buffer, "flushpackets=off", head_and_chunk());
    assert_eq!(exchange.text(), "first rest");
    assert!(!pushes(&exchange).contains(&Push::Flush));
}

#[test]
fn with_flushing_each_part_goes_out_when_it_comes() {
    let exchange = told_by(Push::Flush, "flushpackets=on", head_and_chunk());
    assert_eq!(exchange.text(), "first rest");
}

#[test]
fn automatic_flushing_sends_what_is_held_back_when_nothing_more_comes() {
    let exchange = told_by(Push::Flush, "flushpackets=auto flushwait=5", head_and_chunk());
    assert_eq!(exchange.text(), "first rest");
    let flush = exchange.writes().find(|(_, push)| *push == Push::Flush).unwrap();
    assert!(flush.0.is_empty(), "the data had been passed on before");
}

#[test]
fn a_member_may_ask_for_a_flush() {
    let first = [head_and_chunk(), ajp_text::chunk_packet(b"")].concat();
    let exchange = told_by(Push::Flush, "", first);
    assert_eq!(exchange.text(), "first rest");
}

#[test]
fn a_flush_behind_the_head_sends_the_head() {
    let first = [ajp_text::headers_packet(200, &[]), ajp_text::chunk_packet(b"")].concat();
    let exchange = told_by(Push::Flush, "", first);
    assert_eq!((exchange.text().as_str(), pushes(&exchange)[0]), ("rest", Push::Flush));
}
