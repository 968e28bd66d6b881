// SPDX-License-Identifier: Apache-2.0
//! The back ends: an AJP and an HTTP server that answer at once, so that the front end is what is measured.
//!
//! One thread for each connection, connections are kept, and a whole response leaves in one send.

use std::collections::HashMap;
use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::body;

/// Whole responses, ready for the wire, by path.
pub type Answers = HashMap<&'static str, Vec<u8>>;

/// A protocol a back end can speak.
pub trait Protocol: Send + Sync + 'static {
    /// The whole response with this status and body.
    fn response(&self, status: u16, body: &[u8]) -> Vec<u8>;

    /// Reads one request with its body. `None` when the peer closed between two requests.
    fn read_request(&self, stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>>;
}

/// What a back end needs to know of a request.
pub struct Request {
    pub path: String,
    /// False if the body was not the pattern of [`body`].
    pub body_is_right: bool,
}

/// Starts a back end on a free loopback port and returns the port. It runs until the process ends.
pub fn start(protocol: impl Protocol) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let paths = ["/1k", "/64k", "/1m"];
    let answers: Answers = paths
        .into_iter()
        .filter_map(|path| Some((path, protocol.response(200, body::of_len(body::reply_len(path)?)))))
        .collect();
    let shared = Arc::new((protocol, answers));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                if let Err(error) = serve(stream, &shared.0, &shared.1) {
                    report(&error);
                }
            });
        }
    });
    Ok(port)
}

fn serve(stream: TcpStream, protocol: &impl Protocol, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    while let Some(request) = protocol.read_request(&mut reader)? {
        match answers.get(request.path.as_str()) {
            _ if !request.body_is_right => writer.write_all(&protocol.response(400, b""))?,
            Some(answer) => writer.write_all(answer)?,
            None => writer.write_all(&protocol.response(404, b""))?,
        }
    }
    Ok(())
}

/// A front end that ends or gives up a connection is its own business; one that breaks the protocol is worth a line.
fn report(error: &io::Error) {
    if error.kind() == io::ErrorKind::InvalidData {
        eprintln!("back end: {error}");
    }
}

/// The error for a peer that breaks the protocol.
pub fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
