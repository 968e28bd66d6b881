// SPDX-License-Identifier: Apache-2.0
//! Does a member's connector answer? Tomcat opens its ports long before it serves, so an open port is no answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::shared::Protocol;
use crate::wire::ajp::{CPING, decode_cpong};

/// A connector on a local network answers in a thousandth of that.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a connector does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It answers as it should.
    Good,
    /// It is too late, or says something else: it may be busy.
    Bad,
    /// Nobody listens: whoever the member is, a request would fail there.
    Refused,
}

/// Asks at all addresses until one answers.
pub async fn ask_all(protocol: Protocol, addresses: &[IpAddr], port: u16) -> Answer {
    let mut refused = 0;
    for address in addresses {
        let asked = timeout(PATIENCE, ask(protocol, SocketAddr::new(*address, port))).await;
        match asked {
            Ok(Ok(true)) => return Answer::Good,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => refused += 1,
            _ => {}
        }
    }
    if refused == addresses.len() { Answer::Refused } else { Answer::Bad }
}

async fn ask(protocol: Protocol, address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    match protocol {
        Protocol::Ajp => {
            stream.write_all(&CPING).await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            Ok(matches!(decode_cpong(&answer), Ok(true)))
        }
        Protocol::Http => {
            let question = format!(
                "OPTIONS * HTTP/1.1\r\nHost: {address}\r\nUser-Agent: margay\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(question.as_bytes()).await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            Ok(&answer == b"HTTP/")
        }
        Protocol::Tcp => Ok(true),
        Protocol::Unknown => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};

    const HERE: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::LOCALHOST)];

    fn asked(protocol: Protocol, port: u16) -> Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask_all(protocol, &HERE, port))
    }

    /// Answers one connection after `n` bytes; nobody is there afterwards.
    fn answering(n: usize, answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut vec![0; n]).unwrap();
            stream.write_all(answer).unwrap();
        });
        port
    }

    #[test]
    fn only_the_right_answer_is_one() {
        assert_eq!(asked(Protocol::Ajp, answering(5, b"AB\x00\x01\x09")), Answer::Good);
        assert_eq!(asked(Protocol::Ajp, answering(5, b"HTTP/")), Answer::Bad);
        assert_eq!(asked(Protocol::Http, answering(16, b"HTTP/1.1 200\r\n\r\n")), Answer::Good);
        assert_eq!(asked(Protocol::Http, answering(16, b"AB\x00\x01\x09")), Answer::Bad);
    }

    #[test]
    fn an_open_port_that_says_nothing_is_told_from_a_closed_one() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        assert_eq!(asked(Protocol::Ajp, port), Answer::Bad);
        drop(silent);
        assert_eq!(asked(Protocol::Tcp, port), Answer::Refused);
    }
}
