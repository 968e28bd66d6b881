// SPDX-License-Identifier: Apache-2.0
//! A proxy that gives tunnels (`CONNECT`) and remembers what it was asked.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct Tunnels {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Tunnels {
    /// One that answers each request with this line before the tunnel begins.
    pub fn start(answer: &'static str) -> Tunnels {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let known = heads.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heads = heads.clone();
                std::thread::spawn(move || serve(stream, answer, &heads));
            }
        });
        Tunnels { port, heads: known }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic in the tunnel").clone()
    }
}

fn serve(mut front: TcpStream, answer: &str, heads: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        front.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    heads.lock().expect("no panic in the tunnel").push(head);
    front.write_all(format!("{answer}\r\n\r\n").as_bytes())?;
    if !answer.contains(" 200") {
        return Ok(());
    }
    let back = TcpStream::connect(target)?;
    let (mut from_back, mut to_front) = (back.try_clone()?, front.try_clone()?);
    let other = std::thread::spawn(move || {
        let _ = io::copy(&mut from_back, &mut to_front);
        let _ = to_front.shutdown(Shutdown::Write);
    });
    let mut to_back = &back;
    let _ = io::copy(&mut front, &mut to_back);
    let _ = back.shutdown(Shutdown::Write);
    let _ = other.join();
    Ok(())
}
