// SPDX-License-Identifier: Apache-2.0
//! A member of the cluster as its messages show it: it tells of sessions.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use margay::wire::cluster::frame::ACK;
use margay::wire::cluster::{
    Action, Change, ChannelData, Delta, Event, Member, Options, SessionMessage, Subject,
};
use margay::wire::stream::Value;

/// Of the id in a frame: begin mark, length, options, time, and the length of the id.
const ID_AT: usize = 7 + 4 + 4 + 8 + 4;

pub struct Peer {
    own: Member,
    to: TcpStream,
    sent: u128,
}

fn session_id(number: usize) -> Vec<u8> {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{mixed:016X}{number:016X}.A").into_bytes()
}

fn message(event: Event, context: &str, id: &[u8], payload: Option<Vec<u8>>) -> SessionMessage {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    SessionMessage {
        event,
        context: Some(context.into()),
        session_id: Some(id.to_vec()),
        unique_id: Some([id, b"-1800000000000".as_slice()].concat()),
        time: Some(time.as_millis() as i64),
        payload,
    }
}

impl Peer {
    /// A member that has a connection to the member at that port of this machine.
    pub fn new(port: u16) -> io::Result<Peer> {
        let to = TcpStream::connect(("127.0.0.1", port))?;
        let own = Member { alive: 1000, ..Member::new(to.local_addr()?, [7; 16]) };
        to.set_nodelay(true)?;
        to.set_read_timeout(Some(Duration::from_secs(300)))?;
        Ok(Peer { own, to, sent: 1 << 64 })
    }

    fn frame(&self, message: &SessionMessage, options: Options) -> Vec<u8> {
        let (timestamp, sender) = (message.time.unwrap_or(0), self.own.clone());
        ChannelData { options, timestamp, unique_id: [0; 16], sender, payload: message.to_bytes() }.to_frame()
    }

    /// Sends all frames, and waits until the last is processed.
    fn send_all(&mut self, frames: &[Vec<u8>], count: usize) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(1 << 18);
        for number in 0..count {
            self.sent += 1;
            let at = buffer.len();
            buffer.extend_from_slice(&frames[number % frames.len()]);
            buffer[at + ID_AT..at + ID_AT + 16].copy_from_slice(&self.sent.to_be_bytes());
            if buffer.len() > 1 << 17 {
                self.to.write_all(&buffer)?;
                buffer.clear();
            }
        }
        self.to.write_all(&buffer)?;
        let last = message(Event::Accessed, "nothing", b"nobody", None);
        self.to.write_all(&self.frame(&last, Options::SYNCHRONOUS_ACK))?;
        let mut ack = [0; ACK.len()];
        self.to.read_exact(&mut ack)
    }

    pub fn create(&mut self, context: &str, sessions: usize) -> io::Result<()> {
        let created = |number| message(Event::Created, context, &session_id(number), None);
        let frames: Vec<_> =
            (0..sessions).map(|number| self.frame(&created(number), Options::ASYNCHRONOUS)).collect();
        self.send_all(&frames, sessions)
    }

    /// So many changes of one attribute, one session after the other.
    pub fn change(&mut self, context: &str, sessions: usize, changes: usize, size: usize) -> io::Result<()> {
        let frames: Vec<_> = (0..sessions)
            .map(|number| {
                let text: Vec<u8> = (0..size).map(|at| b'a' + ((at * 7 + number) % 26) as u8).collect();
                let set = Change::Set(Value::string(&text));
                let actions =
                    vec![Action { subject: Some(Subject::Attribute), name: b"cart".to_vec(), change: set }];
                let delta = Delta { session_id: session_id(number), records_all: false, actions };
                let change = message(Event::Delta, context, &session_id(number), Some(delta.to_bytes()));
                self.frame(&change, Options::ASYNCHRONOUS)
            })
            .collect();
        self.send_all(&frames, changes)
    }
}
