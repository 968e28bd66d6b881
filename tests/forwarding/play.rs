// SPDX-License-Identifier: Apache-2.0
//! What the tests of this program share: stages with one or two scripted members, and requests through them.

use std::cell::Cell;
use std::io;

use margay::proxy::{Outcome, Scratch};

use crate::ajp_peer::{After, Conn, Peer};
use crate::ajp_text::{self, Head};
use crate::exchange::FakeExchange;
use crate::stage::Stage;

/// A plain worker, with these parameters.
pub fn solo(peer: &Peer, parameters: &str) -> Stage {
    Stage::new(&format!("ProxyPass / {}/ {parameters}", peer.url()))
}

/// A sticky balancer `c` over the members A, B, C… with the parameters `member`, and `pass` behind `ProxyPass`.
pub fn balanced(members: &[&Peer], member: &str, pass: &str) -> Stage {
    let members: Vec<String> = members.iter().map(|peer| format!("{} {member}", peer.url())).collect();
    balancer(&members, pass)
}

/// The same with each member's URL and parameters.
pub fn balancer(members: &[String], pass: &str) -> Stage {
    let mut text = String::from("<Proxy balancer://c>\n");
    for (member, route) in members.iter().zip(["A", "B", "C", "D"]) {
        text.push_str(&format!("BalancerMember {member} route={route}\n"));
    }
    text.push_str(&format!("</Proxy>\nProxyPass / balancer://c/ stickysession=JSESSIONID {pass}"));
    Stage::new(&text)
}

thread_local! {
    /// Kept between requests, as the server's threads do: what one leaves may not touch the next.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Carries the request and checks what holds for every request.
pub fn play(stage: &Stage, path: &str, exchange: &mut FakeExchange) -> Outcome {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let outcome = stage.forward(path, exchange, &mut scratch);
    SCRATCH.set(Some(scratch));
    exchange.assert_orderly();
    if outcome != Outcome::Done {
        assert_eq!(exchange.writes().count(), 0, "the server is to answer, but a response has begun");
    }
    outcome
}

/// A GET that is expected to be answered in full; gives the body.
pub fn text_of_get(stage: &Stage, path: &str) -> String {
    let mut exchange = FakeExchange::get();
    assert_eq!(play(stage, path, &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    assert!(exchange.is_complete(), "{:?}", exchange.calls);
    exchange.text()
}

/// A script that sends these bytes whatever is asked, and goes on.
pub fn sends(bytes: Vec<u8>) -> impl Fn(&mut Conn, &Head) -> io::Result<After> + Send + Sync {
    move |conn, head| {
        conn.read_body(head, 8186)?;
        conn.send(&bytes)?;
        Ok(After::Keep)
    }
}

/// A script that reads the request with its body and hangs up.
pub fn hangs_up(conn: &mut Conn, head: &Head) -> io::Result<After> {
    conn.read_body(head, 8186)?;
    Ok(After::Close)
}

/// A whole response as bytes.
pub fn response(status: u16, headers: &[(&str, &str)], chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes = ajp_text::headers_packet(status, headers);
    for chunk in chunks {
        bytes.extend(ajp_text::chunk_packet(chunk));
    }
    bytes.extend(ajp_text::end_packet(true));
    bytes
}
