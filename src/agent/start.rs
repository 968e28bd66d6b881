// SPDX-License-Identifier: Apache-2.0
//! From the settings to a running member: vault, sockets, signals.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use super::cluster::{self, Health, Look, Report, Request, Stack, Start};
use super::control::{self, Facts};
use super::health::{self, Way};
use super::notify::{notify, watchdog};
use super::replica::Replica;
use super::settings::{Bind, Membership, Settings, SettingsError};
use super::vault::{Store, Vault, VaultError, Writer};

/// Why the agent cannot run.
#[derive(Debug)]
pub enum StartError {
    File { path: PathBuf, error: io::Error },
    Settings(SettingsError),
    Vault(VaultError),
    Listen { address: IpAddr, port: u16, tries: u16, error: io::Error },
    Group { error: io::Error, address: SocketAddr },
    Io(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "{} cannot be read: {error}", path.display()),
            Self::Settings(error) => error.fmt(f),
            Self::Vault(error) => error.fmt(f),
            Self::Listen { address, port, tries, error } => write!(
                f,
                "no port from {port} to {} at {address} can be listened on: {error}; [receiver] address and port say where",
                u32::from(*port) + u32::from(*tries).max(1) - 1
            ),
            Self::Group { error, address } => write!(
                f,
                "the group {address} cannot be joined: {error}; [membership] bind names the address of the interface to use, and \
                 multicast = false with [[membership.static]] does without"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

/// Reads the configuration file.
///
/// # Errors
/// It cannot be read, or says something that cannot work.
pub fn read_settings(path: &Path) -> Result<Settings, StartError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| StartError::File { path: path.to_owned(), error })?;
    Settings::read(&text, &path.display().to_string()).map_err(StartError::Settings)
}

/// The address to listen on and announce, and why that one.
///
/// # Errors
/// No interface leads anywhere.
pub fn address(settings: &Settings) -> Result<(IpAddr, String), StartError> {
    let membership = &settings.membership;
    let group = SocketAddr::new(membership.address, membership.port);
    match (settings.receiver.address, membership.bind) {
        (Bind::Address(address), _) => Ok((address, "[receiver] address says so".to_owned())),
        (Bind::Auto, Bind::Address(address)) => Ok((address, "[membership] bind says so".to_owned())),
        (Bind::Auto, Bind::Auto) => cluster::own_address(target(membership).unwrap_or(group))
            .map_err(|error| StartError::Group { error, address: group }),
    }
}

/// Without multicast: a member that is known by its address.
fn target(membership: &Membership) -> Option<SocketAddr> {
    let mut members = membership.members.iter().filter(|_| !membership.multicast);
    members.find_map(|member| Some(SocketAddr::new(member.host.parse().ok()?, member.port)))
}

/// Runs the agent until a signal ends it.
///
/// # Errors
/// It cannot begin.
pub fn run(settings: Settings, way: Way) -> Result<(), StartError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Io)?;
    runtime.block_on(serve(settings, way))
}

async fn serve(settings: Settings, way: Way) -> Result<(), StartError> {
    let mut end = signal(SignalKind::terminate()).map_err(StartError::Io)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Io)?;
    // A limit on the size of files then fails a write, as a full disk does, and does not end the agent.
    let _too_large = signal(SignalKind::from_raw(libc::SIGXFSZ)).map_err(StartError::Io)?;
    let (to_hub, requests) = mpsc::channel(64);
    let (reports, report) = watch::channel(Report::default());
    let (ready, is_ready) = oneshot::channel();
    let start = prepare(settings).await?;
    serve_control(&start, &to_hub, &report);
    let health = health::start(way, report.clone()).map_err(StartError::Io)?;
    let hub = tokio::spawn(cluster::run(start, requests, reports, ready));
    let telling = tokio::spawn(tell(is_ready, report));
    let watched = watchdog().map(|every| tokio::spawn(show_life(every, to_hub.clone())));
    tokio::select! {
        _ = end.recv() => {}
        _ = interrupt.recv() => {}
    }
    telling.abort();
    if let Some(watched) = watched {
        watched.abort();
    }
    notify("STOPPING=1\nSTATUS=Sessions are being written.");
    if let Some(health) = health {
        health.stop().await;
    }
    let (done, stopped) = oneshot::channel();
    if to_hub.send(Request::Stop(done)).await.is_ok() {
        let _ = stopped.await;
    }
    match hub.await {
        Ok(result) => result.map_err(StartError::Io),
        Err(error) => Err(StartError::Io(io::Error::other(error))),
    }
}

/// An agent that nobody can ask still keeps sessions.
fn serve_control(start: &Start, hub: &mpsc::Sender<Request>, report: &watch::Receiver<Report>) {
    let path = &start.settings.control.socket;
    let facts = Facts {
        vault: start.settings.vault.path.display().to_string(),
        started: super::now(),
        value_limit: start.settings.vault.max_value,
    };
    match control::listen(path) {
        Ok(listener) => {
            info!(socket = %path.display(), "the administrator reaches the agent here");
            tokio::spawn(control::serve(listener, facts, hub.clone(), report.clone()));
        }
        Err(error) => error!(%error, "nobody can ask this agent anything"),
    }
}

/// Tells the service manager when the agent is ready, and how many members it sees.
async fn tell(is_ready: oneshot::Receiver<()>, mut report: watch::Receiver<Report>) {
    if is_ready.await.is_err() {
        return;
    }
    notify("READY=1");
    loop {
        let is_alive = |member: &&cluster::MemberReport| !matches!(member.life, cluster::Life::Gone(_));
        let members = report.borrow_and_update().members.values().filter(is_alive).count();
        notify(&format!("STATUS=Keeps the sessions of {members} members."));
        if report.changed().await.is_err() {
            return;
        }
    }
}

/// Tells the service manager that the hub goes on.
async fn show_life(every: Duration, hub: mpsc::Sender<Request>) {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let (done, looked) = oneshot::channel();
        if hub.send(Request::Look(done, Box::new(NoLook))).await.is_err() {
            return;
        }
        if looked.await.is_ok() {
            notify("WATCHDOG=1");
        }
    }
}

/// It is enough that the hub answers.
#[derive(Debug)]
struct NoLook;

impl Look for NoLook {
    fn look(&mut self, _: &Replica, _: &Health) {}
}

/// Opens everything, in the order in which a failure costs least: nothing is announced before it works.
///
/// # Errors
/// As [`run`].
pub async fn prepare(settings: Settings) -> Result<Start, StartError> {
    let cipher = settings.cipher().map_err(StartError::Settings)?;
    let mut store = Store::open(&settings.vault.path).map_err(StartError::Vault)?;
    let loaded = store.load().map_err(StartError::Vault)?;
    let (address, why) = address(&settings)?;
    let receiver = &settings.receiver;
    let listener = cluster::bind(address, receiver.port, receiver.auto_bind).await.map_err(|error| {
        StartError::Listen { address, port: receiver.port, tries: receiver.auto_bind, error }
    })?;
    let announced = listener.local_addr().map_err(StartError::Io)?;
    info!(address = %announced, %why, "members reach the agent here");
    let is_chosen = receiver.address == Bind::Auto && settings.membership.bind == Bind::Auto;
    if address.is_loopback() && is_chosen {
        warn!(
            "only Tomcats on this machine can reach the agent: [receiver] address names one that others can"
        );
    }
    let interface = match settings.membership.bind {
        Bind::Address(interface) => interface,
        Bind::Auto => address,
    };
    let group = match settings.membership.multicast {
        true => Some(cluster::open(&settings.membership, interface).map_err(|error| {
            let address = SocketAddr::new(settings.membership.address, settings.membership.port);
            StartError::Group { error, address }
        })?),
        false => None,
    };
    let mut elsewhere = Vec::new();
    if is_chosen && settings.membership.multicast {
        elsewhere = cluster::for_others(settings.membership.address).map_err(StartError::Io)?;
        let own: Vec<_> =
            elsewhere.iter().filter(|one| one.address == address).map(|one| one.index).collect();
        elsewhere.retain(|interface| !own.contains(&interface.index));
    }
    let stack = Stack::new(settings.interceptors(), cipher, settings.channel.max_size, receiver.max_frame);
    let vault = Writer::start(Box::new(store)).map_err(StartError::Io)?;
    let settings = Arc::new(settings);
    Ok(Start { settings, listener, group, elsewhere, address: announced, stack, loaded, vault })
}
