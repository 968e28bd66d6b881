// SPDX-License-Identifier: Apache-2.0
//! Messages that two readers could take for different ones: refused in both directions.

use margay::proxy::Outcome;

use crate::exchange::FakeExchange;
use crate::http_peer::{After, Peer};
use crate::play::{play, solo};

#[test]
fn answers_of_doubtful_length_are_refused() {
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: 5 5",
        "Content-Length: 0x5",
        "Content-Length: 99999999999999999999",
        "Content-Length : 5",
        " Content-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding\t: chunked",
        "Transfer-Encoding: chunked, chunked",
        "X: a\0b\r\nContent-Length: 5",
        "X: a\rContent-Length: 0",
        "X\u{b}: a",
        "X y: a",
        ": a",
    ] {
        let bytes: &'static str = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nhello").leak();
        let peer = Peer::sending(bytes, After::Keep);
        let stage = solo(&peer, "");
        let mut exchange = FakeExchange::get();
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(502), "{lines:?}");
        crate::stage::until("the connection to be closed", || peer.closed() == 1);
    }
}

#[test]
fn answers_in_doubtful_chunks_are_refused_or_cut() {
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\nX: y\n\r\n",
    ] {
        let bytes: &'static str =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").leak();
        let peer = Peer::sending(bytes, After::Keep);
        let stage = solo(&peer, "");
        let mut exchange = FakeExchange::get();
        let outcome = play(&stage, "/x", &mut exchange);
        assert!(outcome == Outcome::Answer(502) || exchange.is_cut(), "{chunks:?}: {outcome:?}");
        crate::stage::until("the connection to be closed", || peer.closed() == 1);
    }
}

#[test]
fn requests_that_would_not_stay_in_their_lines_are_refused() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    let get = FakeExchange::get;
    for (what, mut exchange, status) in [
        ("line break in a value", get().header("X", "a\r\nY: b"), 400),
        ("lone line feed", get().header("X", "a\nY: b"), 400),
        ("zero byte", get().header("X", "a\0"), 400),
        ("blank in a name", get().header("X Y", "a"), 400),
        ("no name", get().header("", "a"), 400),
        ("blank in the query", get().query("a b"), 403),
        ("line break in the query", get().query("a\r\nb"), 403),
        ("blank in the method", FakeExchange::new("GET /y HTTP/1.1\r\nX:"), 400),
    ] {
        assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Answer(status), "{what}");
    }
    assert_eq!(peer.requests(), 0);
}

#[test]
fn the_clients_own_framing_never_reaches_the_member() {
    let peer = Peer::named("A");
    let stage = solo(&peer, "");
    let mut exchange = FakeExchange::with_body("POST", b"hello")
        .header("Content-Length", "3")
        .header("Transfer-Encoding", "chunked")
        .header("Connection", "Content-Length, Host");
    assert_eq!(play(&stage, "/x", &mut exchange), Outcome::Done);
    let seen = peer.seen().remove(0);
    assert_eq!((seen.head.get("Content-Length").as_deref(), seen.head.is_chunked()), (Some("5"), false));
    assert_eq!(seen.head.get("Host").unwrap(), format!("127.0.0.1:{}", peer.port()));
    assert_eq!(seen.body, b"hello");
}
