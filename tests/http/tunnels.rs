// SPDX-License-Identifier: Apache-2.0
//! Connections that become tunnels.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use margay::proxy::Outcome;

use crate::exchange::{Call, FakeExchange};
use crate::http_peer::{After, Conn, Head, Peer};
use crate::play::{play, solo};

const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Own: 1\r\n\r\n";

fn echoes(conn: &mut Conn, head: &Head) -> std::io::Result<After> {
    assert_eq!(head.get("Connection").as_deref(), Some("Upgrade"));
    assert_eq!(head.get("Upgrade").as_deref(), Some("websocket"));
    conn.send(SWITCH)?;
    loop {
        let data = conn.read_some()?;
        if data.is_empty() {
            conn.send(b"bye")?;
            return Ok(After::Close);
        }
        conn.send(&data)?;
    }
}

fn asking(client: UnixStream) -> FakeExchange {
    let mut exchange = FakeExchange::get().header("Connection", "Upgrade").header("Upgrade", "websocket");
    exchange.socket = Some(client);
    exchange
}

#[test]
fn bytes_go_both_ways_until_both_sides_end() {
    let peer = Peer::start(echoes);
    let stage = solo(&peer, "upgrade=WebSocket");
    let (mut client, server) = UnixStream::pair().unwrap();
    let sent = crate::play::pattern(2_000_000);
    let mut exchange = asking(server);
    let talk = sent.clone();
    let got = std::thread::scope(|scope| {
        let mut writer = client.try_clone().unwrap();
        scope.spawn(move || {
            writer.write_all(&talk).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let reader = scope.spawn(move || {
            let mut got = Vec::new();
            client.read_to_end(&mut got).unwrap();
            got
        });
        assert_eq!(play(&stage, "/ws", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
        reader.join().unwrap()
    });
    assert_eq!(got.len(), sent.len() + 3);
    assert!(got.starts_with(&sent) && got.ends_with(b"bye"));
    assert_eq!(exchange.status(), Some(101));
    assert_eq!(exchange.response_header("Upgrade"), Some("websocket"));
    assert_eq!(exchange.response_header("Connection"), Some("Upgrade"));
    assert_eq!(exchange.response_header("X-Own"), Some("1"));
    assert_eq!(exchange.calls.last(), Some(&Call::Tunnel));
    crate::stage::until("the connection to be closed", || peer.closed() == 1);
}

#[test]
fn a_member_that_speaks_at_once_is_heard() {
    let peer = Peer::start(|conn, _| {
        conn.send(&[SWITCH, b"hello"].concat())?;
        Ok(After::Close)
    });
    let stage = solo(&peer, "upgrade=ANY");
    let (mut client, server) = UnixStream::pair().unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut exchange = asking(server);
    assert_eq!(play(&stage, "/ws", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    drop(exchange);
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert_eq!(got, "hello");
}

#[test]
fn a_ws_url_upgrades_without_being_told() {
    let peer = Peer::start(echoes);
    let stage = crate::stage::Stage::new(&format!("ProxyPass / ws://127.0.0.1:{}/", peer.port()));
    let (client, server) = UnixStream::pair().unwrap();
    drop(client);
    assert_eq!(play(&stage, "/ws", &mut asking(server)), Outcome::Done);
    assert_eq!(peer.requests(), 1);
}

#[test]
fn only_what_the_worker_allows_is_asked_for() {
    for parameters in ["", "upgrade=NONE", "upgrade=h2c"] {
        let peer = Peer::named("A");
        let stage = solo(&peer, parameters);
        let (_client, server) = UnixStream::pair().unwrap();
        let mut exchange = asking(server);
        assert_eq!(play(&stage, "/ws", &mut exchange), Outcome::Done);
        let head = peer.seen().remove(0).head;
        assert_eq!((head.get("Upgrade"), head.get("Connection").as_deref()), (None, Some("Keep-Alive")));
    }
}

#[test]
fn a_switch_to_something_else_is_refused() {
    let peer = Peer::sending("HTTP/1.1 101 Ok\r\nUpgrade: h2c\r\n\r\n", After::Close);
    let stage = solo(&peer, "upgrade=ANY");
    let (_client, server) = UnixStream::pair().unwrap();
    assert_eq!(play(&stage, "/ws", &mut asking(server)), Outcome::Answer(502));
}

#[test]
fn a_member_that_stays_with_http_is_answered_as_ever() {
    let peer = Peer::start(|conn, _| conn.answer("403 No", &[], b"no"));
    let stage = solo(&peer, "upgrade=websocket");
    let (_client, server) = UnixStream::pair().unwrap();
    let mut exchange = asking(server);
    assert_eq!(play(&stage, "/ws", &mut exchange), Outcome::Done);
    assert_eq!((exchange.status(), exchange.text().as_str()), (Some(403), "no"));
}

#[test]
fn without_half_close_a_tunnel_ends_with_either_side() {
    let peer = Peer::start(|conn, _| {
        conn.send(SWITCH)?;
        // Nothing is said any more, but the connection stays open until this server ends it.
        conn.read_some()?;
        conn.read_some()?;
        Ok(After::Close)
    });
    let stage = solo(&peer, "upgrade=WebSocket timeout=60");
    let (mut client, server) = UnixStream::pair().unwrap();
    let mut exchange = asking(server).variable("proxy-nohalfclose", "1");
    client.write_all(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let start = std::time::Instant::now();
    assert_eq!(play(&stage, "/ws", &mut exchange), Outcome::Done, "{:?}", exchange.lines());
    assert!(start.elapsed().as_secs() < 30, "the idle time was waited for");
}
