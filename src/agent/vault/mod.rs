// SPDX-License-Identifier: Apache-2.0
//! Where sessions survive the agent: one small trait, and a thread that writes what changed in groups.

mod record;
mod store;
mod sync;
mod torn;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::agent::replica::{Kept, Key};

pub use record::{Batch, SessionWrite};
pub use store::Store;
pub use writer::{Writer, Written};

/// What a vault knows beside sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Our id in the cluster. It must stay the same over restarts: a new one at the same address leaves a second member behind.
    pub unique_id: [u8; 16],
    /// When the agent was known to run last; milliseconds since 1970.
    pub last_running: i64,
    /// Do the nodes tell of every request?
    pub reports_requests: bool,
    /// The `jvmRoute` of a node by its address and id, as learnt from its session ids.
    pub routes: BTreeMap<String, String>,
}

/// Everything a vault held.
#[derive(Debug, Default)]
pub struct Loaded {
    /// `None`: the vault is new.
    pub about: Option<About>,
    pub sessions: Vec<(Key, Kept)>,
    /// Records that could not be read and were left out.
    pub damaged: usize,
}

/// Why a vault cannot be used.
#[derive(Debug)]
pub enum VaultError {
    /// Another agent has it.
    Held { path: PathBuf },
    /// The folder cannot be opened or made.
    Open { path: PathBuf, why: String },
    /// Nothing can be written: most likely the disk is full.
    Write { why: String },
    /// What is there cannot be read.
    Damaged { path: PathBuf, why: String },
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { path } => write!(
                f,
                "the vault {} is in use by another agent: two cannot share one; give this one a path of its own",
                path.display()
            ),
            Self::Open { path, why } => write!(f, "the vault {} cannot be opened: {why}", path.display()),
            Self::Write { why } => write!(f, "sessions cannot be written to the vault: {why}"),
            Self::Damaged { path, why } => write!(
                f,
                "the vault {} is damaged and was left as it is: {why}; margay agent --recover moves it aside, deletes nothing, and \
                 begins with an empty one, which live Tomcats fill again",
                path.display()
            ),
        }
    }
}

impl std::error::Error for VaultError {}

/// A place that keeps sessions. A database can be one too.
pub trait Vault: Send {
    /// Everything in it.
    ///
    /// # Errors
    /// It cannot be read at all; single records that cannot are left out.
    fn load(&mut self) -> Result<Loaded, VaultError>;

    /// Writes all of a batch or nothing of it; when it returns, a crash of the agent loses nothing of it.
    ///
    /// # Errors
    /// Nothing was written.
    fn write(&mut self, batch: &Batch) -> Result<(), VaultError>;
}
