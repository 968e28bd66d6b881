// SPDX-License-Identifier: Apache-2.0
//! Why a command could not do its work.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::agent::start::StartError;
use crate::agent::vault::VaultError;

/// Each says what to do.
#[derive(Debug)]
pub(super) enum CliError {
    Start(StartError),
    Vault(VaultError),
    /// Nobody listens at the socket.
    NoAgent {
        socket: PathBuf,
        error: io::Error,
    },
    /// The agent broke off.
    Broken {
        socket: PathBuf,
        error: io::Error,
    },
    /// The agent says no.
    Refused(String),
    File {
        path: PathBuf,
        error: io::Error,
    },
    Other(String),
}

impl CliError {
    pub fn file(path: &Path, error: io::Error) -> CliError {
        Self::File { path: path.to_owned(), error }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Vault(error @ VaultError::Held { .. }) => {
                write!(f, "{error}; of an agent that runs ask without --vault")
            }
            Self::Vault(error) => error.fmt(f),
            Self::NoAgent { socket, error } if error.kind() == io::ErrorKind::PermissionDenied => write!(
                f,
                "the control socket {} is not for this user: only root and the user of the agent may ask",
                socket.display()
            ),
            Self::NoAgent { socket, error } => write!(
                f,
                "no agent listens at {}: {error}; start one with systemctl start margay-agent or margay agent --config FILE, or name \
                 the socket of the one that runs with --socket or --config",
                socket.display()
            ),
            Self::Broken { socket, error } => {
                write!(f, "the agent at {} broke off: {error}", socket.display())
            }
            Self::Refused(why) => write!(f, "the agent refuses: {why}"),
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<VaultError> for CliError {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}
