// SPDX-License-Identifier: Apache-2.0
//! In synchronous mode a user's request waits for the agent's acknowledgement, which waits for nothing: not for the disk either.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use margay::agent::cluster::{self, Report, Request, Stack, Start};
use margay::agent::replica::Held;
use margay::agent::settings::Settings;
use margay::agent::vault::{Batch, Loaded, SessionWrite, Vault, VaultError, Writer};
use margay::wire::cluster::{Action, Change, Delta, Subject};
use margay::wire::cluster::{ChannelData, Event, Member, Options, SessionMessage, frame};
use margay::wire::stream::Value;
use tokio::sync::{mpsc, oneshot, watch};

/// A disk that writes a batch when it is told to, and says what it was.
struct Disk {
    begun: Sender<Batch>,
    allowed: Receiver<()>,
}

impl Vault for Disk {
    fn load(&mut self) -> Result<Loaded, VaultError> {
        Ok(Loaded::default())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), VaultError> {
        let _ = self.begun.send(batch.clone());
        let _ = self.allowed.recv();
        Ok(())
    }
}

/// An agent whose disk hangs.
struct Agent {
    address: SocketAddr,
    begun: Receiver<Batch>,
    allow: Sender<()>,
    requests: mpsc::Sender<Request>,
    thread: std::thread::JoinHandle<()>,
}

fn agent() -> Agent {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (begun, batches) = channel();
    let (allow, allowed) = channel();
    let listener = runtime.block_on(cluster::bind(Ipv4Addr::LOCALHOST.into(), 0, 1)).expect("a free port");
    let address = listener.local_addr().expect("its number");
    let mut settings = Settings::read("", "").expect("the defaults");
    settings.membership.multicast = false;
    let start = Start {
        stack: Stack::new(Vec::new(), None, None, settings.receiver.max_frame),
        settings: Arc::new(settings),
        listener,
        group: None,
        elsewhere: Vec::new(),
        address,
        loaded: Loaded::default(),
        vault: Writer::start(Box::new(Disk { begun, allowed })).expect("a thread"),
    };
    let (requests, to_hub) = mpsc::channel(1);
    let thread = std::thread::spawn(move || {
        let (ready, _) = oneshot::channel();
        let (reports, _reported) = watch::channel(Report::default());
        runtime.block_on(cluster::run(start, to_hub, reports, ready)).expect("the agent");
    });
    Agent { address, begun: batches, allow, requests, thread }
}

/// A node of the cluster.
struct Node {
    stream: TcpStream,
    member: Member,
    messages: u64,
}

impl Node {
    fn of(agent: &Agent) -> Node {
        let stream = TcpStream::connect(agent.address).expect("the agent");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
        let member = Member::new("127.0.0.1:9".parse().expect("an address"), [1; 16]);
        Node { stream, member, messages: 0 }
    }

    /// Returns when it is acknowledged.
    fn send(&mut self, event: Event, payload: Option<Vec<u8>>) {
        self.messages += 1;
        let message = SessionMessage {
            event,
            context: Some(b"localhost#".to_vec()),
            session_id: Some(b"S.A".to_vec()),
            unique_id: Some(b"S.A".to_vec()),
            time: Some(1_790_000_000_000),
            payload,
        };
        let mut unique_id = [0; 16];
        unique_id[..8].copy_from_slice(&self.messages.to_be_bytes());
        let data = ChannelData {
            options: Options::default().with(Options::USE_ACK),
            timestamp: 1_790_000_000_000,
            unique_id,
            sender: self.member.clone(),
            payload: message.to_bytes(),
        };
        self.stream.write_all(&data.to_frame()).expect("the connection");
        let mut answer = frame::ACK;
        answer.fill(0);
        self.stream.read_exact(&mut answer).expect("an acknowledgement");
        assert_eq!(answer, frame::ACK);
    }

    fn set(&mut self, number: u32) {
        let value = Value::string(number.to_string().as_bytes());
        let action =
            Action { subject: Some(Subject::Attribute), name: b"n".to_vec(), change: Change::Set(value) };
        let delta = Delta { session_id: b"S.A".to_vec(), records_all: false, actions: vec![action] };
        self.send(Event::Delta, Some(delta.to_bytes()));
    }
}

/// As it lies in the vault?
fn is_the(value: &Value, stored: &[u8]) -> bool {
    Held::from_stored(stored).is_some_and(|held| *held.value() == *value)
}

#[test]
fn acknowledgements_do_not_wait_for_the_disk_and_what_waits_for_it_does_not_grow() {
    let agent = agent();
    let mut node = Node::of(&agent);
    node.send(Event::Created, None);
    agent.begun.recv().expect("the first batch");
    // The disk hangs from now on, for more messages than may wait for the hub.
    for number in 0..10_000 {
        node.set(number);
    }
    agent.allow.send(()).expect("the disk");
    // Everything that happened is one change of one session; the batches before hold what the first one came too early for.
    let last = Value::string(b"9999");
    loop {
        let batch = agent.begun.recv_timeout(Duration::from_secs(60)).expect("the next batch");
        assert!(batch.sessions.len() <= 1, "{batch:?}");
        let is_last = batch.sessions.iter().any(|(_, write)| match write {
            SessionWrite::Parts { attributes, .. } => {
                assert!(attributes.len() <= 1);
                attributes.iter().any(|(_, value)| value.as_deref().is_some_and(|value| is_the(&last, value)))
            }
            SessionWrite::Whole { attributes, .. } => {
                attributes.iter().any(|(_, value)| is_the(&last, value))
            }
            SessionWrite::Remove => false,
        });
        agent.allow.send(()).expect("the disk");
        if is_last {
            break;
        }
    }
    let (done, _stopped) = oneshot::channel();
    drop(agent.allow);
    agent.requests.blocking_send(Request::Stop(done)).expect("the agent");
    agent.thread.join().expect("no panic");
}
