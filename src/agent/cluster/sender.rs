// SPDX-License-Identifier: Apache-2.0
//! Sends frames to members (`PooledParallelSender`): one connection for each, messages in their order.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::stack::Stack;
use crate::wire::cluster::frame::{self, Body, PROBE};
use crate::wire::cluster::{ChannelData, ClusterError, Identity, Member, Options};

/// `connectTimeout` of TcpFailureDetector.
const CONNECT: Duration = Duration::from_millis(1000);
/// A starting Tomcat may be busy with what it was sent before.
const ACKNOWLEDGE: Duration = Duration::from_secs(30);

/// Why a message did not arrive.
#[derive(Debug)]
pub enum SendError {
    Connect(io::Error),
    Broken(io::Error),
    NoAcknowledgement,
    Message(ClusterError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::NoAcknowledgement => write!(f, "no acknowledgement in {} seconds", ACKNOWLEDGE.as_secs()),
            Self::Message(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

/// The connection to one member; who has the lock sends.
type Connection = Arc<Mutex<Option<TcpStream>>>;

/// Connections to members. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    stack: Arc<std::sync::Mutex<Stack>>,
    connections: Arc<std::sync::Mutex<HashMap<Identity, Connection>>>,
}

impl Sender {
    pub fn new(stack: Arc<std::sync::Mutex<Stack>>) -> Sender {
        Sender { stack, connections: Arc::default() }
    }

    /// Sends a payload as a message of `own`; with [`Options::USE_ACK`] returns when it is acknowledged.
    ///
    /// # Errors
    /// It did not arrive, also not the second time.
    pub async fn send(
        &self,
        own: &Member,
        to: &Member,
        options: Options,
        payload: Vec<u8>,
    ) -> Result<(), SendError> {
        let identity = to.identity();
        let mut unique_id = [0; 16];
        getrandom::fill(&mut unique_id).map_err(|_| SendError::Message(ClusterError::Decrypt))?;
        let place = {
            let mut connections = self.connections.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Arc::clone(connections.entry(identity).or_default())
        };
        let mut place = place.lock().await;
        let frames = self.frames(own, &identity, options, &payload, unique_id)?;
        let result = exchange(&mut place, to.address(), &frames, options).await;
        if result.is_ok() {
            return Ok(());
        }
        // Once more on a new connection, as Tomcat does; the id tells that it is the same message.
        *place = None;
        let needs_new_bytes = self.lock().needs_new_bytes();
        let again =
            if needs_new_bytes { self.frames(own, &identity, options, &payload, unique_id)? } else { frames };
        let result = exchange(&mut place, to.address(), &again, options).await;
        if result.is_err() {
            *place = None;
        }
        result
    }

    fn frames(
        &self,
        own: &Member,
        to: &Identity,
        options: Options,
        payload: &[u8],
        unique_id: [u8; 16],
    ) -> Result<Vec<Vec<u8>>, SendError> {
        let timestamp = crate::agent::now();
        let (payloads, more) =
            self.lock().apply(to, payload.to_vec(), timestamp).map_err(SendError::Message)?;
        let frame = |payload| {
            let sender = own.clone();
            ChannelData { options: options.with(more), timestamp, unique_id, sender, payload }.to_frame()
        };
        Ok(payloads.into_iter().map(frame).collect())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stack> {
        self.stack.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A member is gone: its connection is closed.
    pub fn forget(&self, member: &Identity) {
        self.connections.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(member);
        self.lock().forget(member);
    }
}

async fn exchange(
    place: &mut Option<TcpStream>,
    address: SocketAddr,
    frames: &[Vec<u8>],
    options: Options,
) -> Result<(), SendError> {
    if place.as_ref().is_some_and(is_closed) {
        *place = None;
    }
    let stream = match place {
        Some(stream) => stream,
        None => place.insert(connect(address, CONNECT).await.map_err(SendError::Connect)?),
    };
    for frame in frames {
        stream.write_all(frame).await.map_err(SendError::Broken)?;
        if options.has(Options::USE_ACK) {
            timeout(ACKNOWLEDGE, acknowledged(stream)).await.map_err(|_| SendError::NoAcknowledgement)??;
        }
    }
    Ok(())
}

/// Has the other side closed it? The first bytes written after that would be lost without an error.
fn is_closed(stream: &TcpStream) -> bool {
    let mut byte = [0];
    match stream.try_read(&mut byte) {
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        // End, or an acknowledgement that nobody asked for.
        Ok(_) => true,
    }
}

async fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = timeout(limit, TcpStream::connect(address)).await;
    let stream = stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn acknowledged(stream: &mut TcpStream) -> Result<(), SendError> {
    let mut buffer = Vec::with_capacity(64);
    loop {
        if stream.read_buf(&mut buffer).await.map_err(SendError::Broken)? == 0 {
            return Err(SendError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        match frame::next(&buffer, 1024).map_err(SendError::Message)? {
            Some((Body::Ack, _)) => return Ok(()),
            Some((Body::FailAck, _)) => return Err(SendError::Broken(io::Error::other("it was refused"))),
            Some((Body::Message(_), _)) => {
                return Err(SendError::Message(ClusterError::Mark("an acknowledgement")));
            }
            None => {}
        }
    }
}

/// Asks whether somebody takes connections at a member's address within `limit`, as `TcpFailureDetector` does.
///
/// # Errors
/// Nobody does.
pub async fn probe(own: &Member, to: SocketAddr, limit: Duration) -> io::Result<()> {
    let mut stream = connect(to, limit).await?;
    let mut unique_id = [0; 16];
    getrandom::fill(&mut unique_id).map_err(io::Error::other)?;
    let message = ChannelData {
        options: Options::BYTES,
        timestamp: crate::agent::now(),
        unique_id,
        sender: own.clone(),
        payload: PROBE.to_vec(),
    };
    timeout(limit, stream.write_all(&message.to_frame())).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.shutdown().await
}
