// SPDX-License-Identifier: Apache-2.0
//! A port that neither accepts nor refuses, like a host that has lost its power.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::socket::{Backlog, listen};

/// The port; connections to it hang until this is dropped.
pub struct BlackHole {
    listener: TcpListener,
    filling: Vec<TcpStream>,
}

impl BlackHole {
    /// Fills the queue of a port that nobody accepts from, so that the kernel drops every further SYN.
    pub fn open() -> BlackHole {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listen(&listener, Backlog::new(0).expect("an allowed length")).expect("a shorter queue");
        let mut hole = BlackHole { listener, filling: Vec::new() };
        while let Ok(stream) = TcpStream::connect_timeout(&hole.address(), Duration::from_millis(300)) {
            hole.filling.push(stream);
            assert!(hole.filling.len() < 64, "the queue of a port with backlog 0 does not fill");
        }
        hole
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("its number")
    }

    /// `ajp://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("ajp://{}", self.address())
    }
}
