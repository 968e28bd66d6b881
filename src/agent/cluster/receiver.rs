// SPDX-License-Identifier: Apache-2.0
//! Takes connections of other members, and frames from them (`NioReceiver`).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tracing::{debug, warn};

use crate::wire::cluster::frame::{self, Body};
use crate::wire::cluster::{ChannelData, ClusterError, Identity, Options};

/// What a connection tells.
#[derive(Debug)]
pub enum Incoming {
    Message(Box<ChannelData>),
    /// The last member that sent something over a connection closed it: it may have died.
    Closed(Identity),
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

/// Serves connections in a thread of its own, until nobody listens to `to`: a user's request may wait for an acknowledgement, and
/// must not wait for whatever else the agent does.
///
/// # Errors
/// The system has no thread.
pub fn start(
    listener: TcpListener,
    limit: usize,
    connections: usize,
    to: mpsc::Sender<Incoming>,
) -> io::Result<()> {
    let listener = listener.into_std()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = async move {
        let listener = TcpListener::from_std(listener)?;
        let all = to.clone();
        tokio::select! {
            () = serve(listener, limit, connections, all) => {}
            () = to.closed() => {}
        }
        io::Result::Ok(())
    };
    let thread = std::thread::Builder::new().name("receiver".to_owned());
    thread.spawn(move || {
        if let Err(error) = runtime.block_on(serve) {
            warn!(%error, "no connections are taken");
        }
    })?;
    Ok(())
}

/// Serves connections for ever.
async fn serve(listener: TcpListener, limit: usize, connections: usize, to: mpsc::Sender<Incoming>) {
    let room = Arc::new(Semaphore::new(connections));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot take a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let to = to.clone();
        tokio::spawn(async move {
            let mut sender = None;
            match read_frames(stream, limit, &to, &mut sender).await {
                Ok(()) => {}
                Err(Broken::Io(error)) => debug!(%peer, %error, "a connection of a member broke"),
                Err(Broken::Frame(error)) => {
                    warn!(%peer, %error, "a connection is closed: what came over it is no traffic of a cluster");
                }
            }
            if let Some(sender) = sender {
                let _ = to.send(Incoming::Closed(sender)).await;
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

async fn read_frames(
    mut stream: TcpStream,
    limit: usize,
    to: &mpsc::Sender<Incoming>,
    sender: &mut Option<Identity>,
) -> Result<(), Broken> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(64 << 10);
    loop {
        let mut used = 0;
        while let Some((body, length)) = frame::next(&buffer[used..], limit)? {
            used += length;
            let Body::Message(body) = body else { continue };
            let message = ChannelData::read(body)?;
            // Before anything else is done with it: in synchronous mode a user's request waits for this.
            if message.options.has(Options::USE_ACK) {
                stream.write_all(&frame::ACK).await?;
            }
            *sender = Some(message.sender.identity());
            if to.send(Incoming::Message(Box::new(message))).await.is_err() {
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
