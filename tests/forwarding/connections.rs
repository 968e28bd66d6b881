// SPDX-License-Identifier: Apache-2.0
//! Many requests at once: nobody gets the answer to another's request.

use margay::proxy::Outcome;

use crate::ajp_peer::{After, Peer};
use crate::exchange::FakeExchange;
use crate::play::{balanced, play};

/// A member that answers with the path asked for, and now and then hangs up instead.
fn moody() -> Peer {
    Peer::start(|conn, head| {
        conn.read_body(head, 8186)?;
        match head.uri.bytes().map(u32::from).sum::<u32>() % 7 {
            0 => Ok(After::Close),
            _ => {
                conn.answer(200, &[], &[head.uri.as_bytes()])?;
                Ok(if head.uri.ends_with('9') { After::Close } else { After::Keep })
            }
        }
    })
}

#[test]
fn every_answer_belongs_to_its_request() {
    let (a, b) = (moody(), moody());
    // Members that fail stay in service: all four threads keep using both.
    let stage = balanced(&[&a, &b], "status=+I", "");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let stage = &stage;
            scope.spawn(move || {
                for n in 0..100 {
                    let path = format!("/{thread}/{n}");
                    let mut exchange =
                        FakeExchange::with_body(if n % 3 == 0 { "POST" } else { "GET" }, b"body");
                    match play(stage, &path, &mut exchange) {
                        Outcome::Done => assert_eq!(exchange.text(), path),
                        Outcome::Answer(status) => assert!(status >= 500),
                        Outcome::Client(status) => panic!("{status} blames the client"),
                    }
                }
            });
        }
    });
}
