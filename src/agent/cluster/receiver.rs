// SPDX-License-Identifier: Apache-2.0
//! Takes connections of other members, and frames from them (`NioReceiver`).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use crate::agent::settings;
use crate::wire::cluster::frame::{self, Body};
use crate::wire::cluster::{ChannelData, ClusterError, Identity, Options};

/// Messages that wait for the hub.
const WAITING: usize = 4096;
/// For how long nothing may move while as many wait as may. A request waits for the next acknowledgement meanwhile.
const STUCK: Duration = Duration::from_millis(2500);
/// How often the port is tried that was ours before.
const AGAIN: Duration = Duration::from_millis(100);

/// What connections tell.
#[derive(Debug)]
pub enum Incoming {
    /// What came, and the room that it takes until it is dropped.
    Message(Box<ChannelData>, Room),
    /// The last member that sent something over a connection closed it: it may have died.
    Closed(Identity),
    /// For a while nothing could be taken.
    Missed,
}

/// Bytes of what waits.
#[derive(Debug)]
pub struct Room {
    _bytes: OwnedSemaphorePermit,
}

/// How much is taken.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a frame; of all that wait, twice as many.
    pub frame: usize,
    pub connections: usize,
    pub waiting: usize,
    pub stuck: Duration,
}

impl Limits {
    pub fn of(settings: &settings::Receiver) -> Limits {
        let settings::Receiver { max_frame, max_connections, .. } = settings;
        Limits { frame: *max_frame, connections: *max_connections, waiting: WAITING, stuck: STUCK }
    }

    /// Semaphores count no further.
    fn bytes(self) -> u32 {
        u32::try_from(self.frame.saturating_mul(2)).unwrap_or(u32::MAX).max(1)
    }
}

/// Binds the first free port of a range.
///
/// # Errors
/// All are taken, or the address is not ours.
pub async fn bind(address: IpAddr, port: u16, tries: u16) -> io::Result<TcpListener> {
    let mut last = io::Error::other("no port to try");
    for offset in 0..tries.max(1) {
        let Some(port) = port.checked_add(offset) else { break };
        match TcpListener::bind(SocketAddr::new(address, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Serves connections in a thread of its own, until nobody listens any more: a user's request may wait for an acknowledgement, and
/// must not wait for whatever else the agent does.
///
/// # Errors
/// The system has no thread.
pub fn start(listener: TcpListener, limits: Limits) -> io::Result<mpsc::Receiver<Incoming>> {
    let (to, incoming) = mpsc::channel(limits.waiting);
    let listener = listener.into_std()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bytes = Arc::new(Semaphore::new(limits.bytes() as usize));
    let hub = Arc::new(Hub { to, bytes, limits, stuck: Notify::new() });
    let serve = async move {
        let listener = TcpListener::from_std(listener)?;
        tokio::select! {
            served = serve_while_heard(listener, &hub) => served,
            () = hub.to.closed() => Ok(()),
        }
    };
    let thread = std::thread::Builder::new().name("receiver".to_owned());
    thread.spawn(move || {
        if let Err(error) = runtime.block_on(serve) {
            warn!(%error, "no connections are taken");
        }
    })?;
    Ok(incoming)
}

/// Who is told.
#[derive(Debug)]
struct Hub {
    to: mpsc::Sender<Incoming>,
    bytes: Arc<Semaphore>,
    limits: Limits,
    /// Nothing moves any more.
    stuck: Notify,
}

impl Hub {
    /// Hands over a message. False if there is nobody to take it.
    async fn hear(&self, message: ChannelData) -> bool {
        let length = u32::try_from(message.payload.len()).unwrap_or(u32::MAX).min(self.limits.bytes());
        let bytes = Arc::clone(&self.bytes);
        let handed_over = timeout(self.limits.stuck, async {
            let _bytes = bytes.acquire_many_owned(length).await.ok()?;
            self.to.send(Incoming::Message(Box::new(message), Room { _bytes })).await.ok()
        });
        match handed_over.await {
            Ok(handed_over) => handed_over.is_some(),
            Err(_) => {
                self.stuck.notify_one();
                false
            }
        }
    }
}

/// Serves connections for ever, but for the time in which nobody takes what comes. A member that can connect counts as alive in a
/// Tomcat, which then waits at each request; one that refuses does not.
async fn serve_while_heard(mut listener: TcpListener, hub: &Arc<Hub>) -> io::Result<()> {
    let address = listener.local_addr()?;
    loop {
        // With it all its connections end.
        let mut connections = JoinSet::new();
        tokio::select! {
            () = serve(listener, hub, &mut connections) => return Ok(()),
            () = hub.stuck.notified() => {}
        }
        connections.shutdown().await;
        error!(
            "the agent stands still; members are refused until it goes on, so that no request waits for it"
        );
        let Ok(all) = hub.to.reserve_many(hub.limits.waiting).await else { return Ok(()) };
        drop(all);
        if hub.to.send(Incoming::Missed).await.is_err() {
            return Ok(());
        }
        listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(error) => debug!(%error, "the port is not free yet"),
            }
            tokio::time::sleep(AGAIN).await;
        };
        info!(%address, "members reach the agent again");
    }
}

async fn serve(listener: TcpListener, hub: &Arc<Hub>, connections: &mut JoinSet<()>) {
    let room = Arc::new(Semaphore::new(hub.limits.connections));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let hub = Arc::clone(hub);
        connections.spawn(async move {
            let mut sender = None;
            match read_frames(stream, &hub, &mut sender).await {
                Ok(()) => {}
                Err(Broken::Io(error)) => debug!(%peer, %error, "a connection of a member broke"),
                Err(Broken::Frame(error)) => {
                    warn!(%peer, %error, "a connection is closed: what came over it is no traffic of a cluster");
                }
            }
            if let Some(sender) = sender {
                let _ = hub.to.send(Incoming::Closed(sender)).await;
            }
            drop(permit);
        });
    }
}

enum Broken {
    Io(io::Error),
    Frame(ClusterError),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ClusterError> for Broken {
    fn from(error: ClusterError) -> Self {
        Self::Frame(error)
    }
}

async fn read_frames(mut stream: TcpStream, hub: &Hub, sender: &mut Option<Identity>) -> Result<(), Broken> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(64 << 10);
    loop {
        let mut used = 0;
        while let Some((body, length)) = frame::next(&buffer[used..], hub.limits.frame)? {
            used += length;
            let Body::Message(body) = body else { continue };
            let message = ChannelData::read(body)?;
            // Before anything else is done with it: in synchronous mode a user's request waits for this.
            if message.options.has(Options::USE_ACK) {
                stream.write_all(&frame::ACK).await?;
            }
            *sender = Some(message.sender.identity());
            if !hub.hear(message).await {
                return Ok(());
            }
        }
        buffer.drain(..used);
        if buffer.is_empty() && buffer.capacity() > 1 << 20 {
            buffer = Vec::with_capacity(64 << 10);
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return if buffer.is_empty() { Ok(()) } else { Err(ClusterError::Truncated("a frame").into()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cluster::Member;
    use std::io::{Read, Write};
    use std::net::Ipv4Addr;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A receiver that nobody listens to until the test does.
    fn receiver(waiting: usize, frame: usize, stuck: Duration) -> (SocketAddr, mpsc::Receiver<Incoming>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = bind(Ipv4Addr::LOCALHOST.into(), 0, 1).await.unwrap();
            let address = listener.local_addr().unwrap();
            (address, start(listener, Limits { frame, connections: 10, waiting, stuck }).unwrap())
        })
    }

    struct Sender(std::net::TcpStream);

    impl Sender {
        fn to(address: SocketAddr) -> io::Result<Sender> {
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Sender(stream))
        }

        /// Sends a message of that many bytes and waits for its acknowledgement.
        fn send(&mut self, length: usize) -> io::Result<()> {
            let message = ChannelData {
                options: Options::default().with(Options::USE_ACK),
                timestamp: 1,
                unique_id: [1; 16],
                sender: Member::new("127.0.0.1:4000".parse().unwrap(), [1; 16]),
                payload: vec![7; length],
            };
            self.0.write_all(&message.to_frame())?;
            let mut answer = frame::ACK;
            answer.fill(0);
            self.0.read_exact(&mut answer)?;
            assert_eq!(answer, frame::ACK);
            Ok(())
        }
    }

    fn wait_until(condition: impl Fn() -> bool) {
        let start = std::time::Instant::now();
        while !condition() {
            assert!(start.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn an_acknowledgement_does_not_wait_for_the_hub() {
        let (address, mut incoming) = receiver(50, 1 << 20, Duration::MAX);
        let mut senders = [Sender::to(address).unwrap(), Sender::to(address).unwrap()];
        for _ in 0..25 {
            senders.iter_mut().for_each(|sender| sender.send(800).unwrap());
        }
        let came = (0..50).filter(|_| matches!(incoming.blocking_recv(), Some(Incoming::Message(..))));
        assert_eq!(came.count(), 50);
    }

    #[test]
    fn members_are_refused_while_nothing_is_taken_and_served_again_afterwards() {
        let (address, mut incoming) = receiver(3, 1 << 20, Duration::from_millis(50));
        let mut sender = Sender::to(address).unwrap();
        let acknowledged = (0..10).take_while(|_| sender.send(800).is_ok()).count();
        // The one that did not fit was acknowledged before that was known.
        assert_eq!(acknowledged, 4);
        wait_until(|| Sender::to(address).is_err());

        let messages = (0..3).filter(|_| matches!(incoming.blocking_recv(), Some(Incoming::Message(..))));
        assert_eq!(messages.count(), 3);
        assert!(matches!(incoming.blocking_recv(), Some(Incoming::Missed)));
        wait_until(|| Sender::to(address).is_ok());
        Sender::to(address).unwrap().send(800).unwrap();
    }

    #[test]
    fn bytes_that_wait_are_counted() {
        let (address, mut incoming) = receiver(1000, 1 << 20, Duration::from_millis(50));
        let mut sender = Sender::to(address).unwrap();
        let acknowledged = (0..100).take_while(|_| sender.send(500 << 10).is_ok()).count();
        assert_eq!(acknowledged, 5);
        let mut waiting = 0;
        while let Some(Incoming::Message(message, _)) = incoming.blocking_recv() {
            waiting += message.payload.len();
        }
        assert_eq!(waiting, 4 * (500 << 10));
    }
}
