// SPDX-License-Identifier: Apache-2.0
//! A scripted node of Tomcat's cluster: sends beacons, takes connections, says goodbye or dies.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use margay::wire::cluster::{ChannelData, Event, Member, Options, SHUTDOWN, SessionMessage};

const GROUP: Ipv4Addr = Ipv4Addr::new(228, 0, 0, 4);

/// Milliseconds between beacons.
pub const FREQUENCY: u64 = 100;

/// A node; it dies when this is dropped.
pub struct Node {
    member: Member,
    group: SocketAddr,
    ended: Arc<AtomicBool>,
    silent: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    threads: Vec<JoinHandle<()>>,
}

fn socket() -> UdpSocket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).expect("loopback takes part");
    socket.set_multicast_loop_v4(true).expect("an option");
    socket.into()
}

/// The port of a group that nobody else uses.
pub fn free_group() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its number").port()
}

impl Node {
    /// A node that begins to say that it is there.
    pub fn start(group: u16) -> Node {
        static NUMBER: AtomicU8 = AtomicU8::new(1);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its number");
        let id = [NUMBER.fetch_add(1, Ordering::SeqCst); 16];
        let mut node = Node {
            member: Member { alive: 1000, ..Member::new(address, id) },
            group: SocketAddrV4::new(GROUP, group).into(),
            ended: Arc::default(),
            silent: Arc::default(),
            open: Arc::default(),
            threads: Vec::new(),
        };
        let (ended, open) = (Arc::clone(&node.ended), Arc::clone(&node.open));
        node.threads.push(std::thread::spawn(move || listen(&listener, &ended, &open)));
        let (ended, silent) = (Arc::clone(&node.ended), Arc::clone(&node.silent));
        let (member, group) = (node.member.clone(), node.group);
        node.threads.push(std::thread::spawn(move || {
            let socket = socket();
            while !ended.load(Ordering::SeqCst) && !silent.load(Ordering::SeqCst) {
                let _ = socket.send_to(&member.to_bytes(), group);
                std::thread::sleep(Duration::from_millis(FREQUENCY));
            }
        }));
        node
    }

    /// Where it takes connections.
    pub fn address(&self) -> SocketAddr {
        self.member.address()
    }

    /// Tells the agent at that port, if one listens there, of a session that it made; the connection stays open until one of them ends.
    pub fn make_session(&self, id: &str, agent: u16) {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let now = i64::try_from(elapsed.as_millis()).expect("a clock before the end of time");
        let message = SessionMessage {
            event: Event::Created,
            context: Some(b"localhost#".to_vec()),
            session_id: Some(id.as_bytes().to_vec()),
            unique_id: Some(id.as_bytes().to_vec()),
            time: Some(now),
            payload: None,
        };
        // A message of the same id would be the same message.
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let mut unique_id = self.member.unique_id;
        unique_id[..8].copy_from_slice(&NUMBER.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        let frame = ChannelData {
            options: Options::default(),
            timestamp: now,
            unique_id,
            sender: self.member.clone(),
            payload: message.to_bytes(),
        };
        // It may not be there yet.
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", agent)) else { return };
        let _ = stream.write_all(&frame.to_frame());
        self.open.lock().expect("no panic while held").push(stream);
    }

    /// Sends no more beacons and goes on with its connections.
    pub fn fall_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// Says that it stops, and ends.
    pub fn leave(self) {
        self.only_say_goodbye();
    }

    /// Says that it stops, and goes on with its connections.
    pub fn only_say_goodbye(&self) {
        self.ended.store(true, Ordering::SeqCst);
        let leaving = Member { command: SHUTDOWN.to_vec(), ..self.member.clone() };
        // Behind the last beacon, which may be on its way.
        std::thread::sleep(Duration::from_millis(2 * FREQUENCY));
        socket().send_to(&leaving.to_bytes(), self.group).expect("the group");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.member.address());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        for stream in self.open.lock().expect("no panic while held").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Takes whatever comes and answers nothing.
fn listen(listener: &TcpListener, ended: &AtomicBool, open: &Mutex<Vec<TcpStream>>) {
    for stream in listener.incoming() {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        if let Ok(copy) = stream.try_clone() {
            open.lock().expect("no panic while held").push(copy);
        }
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while matches!(stream.read(&mut buffer), Ok(1..)) {}
        });
    }
}
