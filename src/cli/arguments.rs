// SPDX-License-Identifier: Apache-2.0
//! What may be written behind `margay`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::client::Client;
use super::error::CliError;
use super::list::Source;
use crate::agent::settings::Settings;
use crate::agent::start;

/// The companion of the Margay module: joins Tomcat's cluster and keeps every session.
#[derive(Parser)]
#[command(name = "margay", version)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Joins the cluster and keeps its sessions until it is told to stop.
    Agent {
        /// The configuration file; without it Tomcat's own defaults count.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Only says what the configuration means, and whether it can work.
        #[arg(long)]
        check: bool,
        /// Moves a damaged vault aside and begins with an empty one. Nothing is deleted.
        #[arg(long, conflicts_with = "check")]
        recover: bool,
        /// The descriptor that httpd leaves open for the agent it starts.
        #[arg(long, hide = true)]
        httpd: Option<i32>,
        /// Seconds to wait before beginning, after an earlier one ended too soon.
        #[arg(long, hide = true, default_value_t = 0)]
        after: u64,
    },
    /// How the running agent is: its vault, what it keeps, whom it sees.
    Status {
        #[command(flatten)]
        place: Place,
        #[arg(long, help = JSON)]
        json: bool,
    },
    /// The members of the cluster that the running agent sees.
    Members {
        #[command(flatten)]
        place: Place,
        #[arg(long, help = JSON)]
        json: bool,
    },
    /// Sessions that are kept: by the running agent, or with --vault in the vault of one that does not run.
    Sessions {
        #[command(subcommand)]
        command: Sessions,
    },
}

const JSON: &str = "One line of JSON for each, for scripts";
const CONTEXT: &str = "Name of the session manager: localhost#/app, or /app with a cluster inside of a host";

#[derive(Subcommand)]
pub(super) enum Sessions {
    /// One line for each session.
    List {
        #[command(flatten)]
        from: Origin,
        #[arg(long, help = CONTEXT)]
        context: Option<String>,
        /// Whole ids. Who has one has the session.
        #[arg(long)]
        full_ids: bool,
        #[arg(long, help = JSON)]
        json: bool,
    },
    /// One session with its attributes.
    Show {
        #[command(flatten)]
        from: Origin,
        /// The id, or how it begins.
        id: String,
        #[arg(long, help = CONTEXT)]
        context: Option<String>,
        /// Also what attributes hold: users' data.
        #[arg(long)]
        values: bool,
        /// The whole id. Who has it has the session.
        #[arg(long)]
        full_ids: bool,
        #[arg(long, help = JSON)]
        json: bool,
    },
    /// Writes the sessions of an application as a Tomcat without cluster loads them.
    Export {
        #[command(flatten)]
        from: Origin,
        #[arg(long, value_enum)]
        format: Format,
        #[arg(long, help = CONTEXT)]
        context: String,
        /// The file SESSIONS.ser, or the folder of FileStore. Nothing there is overwritten.
        #[arg(long)]
        to: PathBuf,
    },
    /// Reads the sessions that a Tomcat without cluster wrote. Those that are known stay as they are.
    Import {
        #[command(flatten)]
        from: Origin,
        #[arg(long, value_enum)]
        format: Format,
        #[arg(long, help = CONTEXT)]
        context: String,
        /// The file SESSIONS.ser, or the folder of FileStore.
        #[arg(long = "from")]
        input: PathBuf,
    },
}

/// In what a Tomcat without cluster keeps sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One file of StandardManager.
    #[value(name = "sessions.ser")]
    SessionsSer,
    /// A folder of PersistentManager with FileStore: a file for each session.
    #[value(name = "filestore")]
    FileStore,
}

/// Which agent.
#[derive(Args)]
pub(super) struct Place {
    /// The agent's configuration file, for its [control] socket; without it the default socket counts.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The agent's control socket.
    #[arg(long)]
    socket: Option<PathBuf>,
}

impl Place {
    pub fn agent(&self) -> Result<Client, CliError> {
        let socket = match (&self.socket, &self.config) {
            (Some(socket), _) => socket.clone(),
            (None, Some(config)) => start::read_settings(config)?.control.socket,
            (None, None) => Settings::default().control.socket,
        };
        Ok(Client::new(socket))
    }
}

/// Which sessions: those of an agent or of a vault.
#[derive(Args)]
pub(super) struct Origin {
    #[command(flatten)]
    place: Place,
    /// The vault of an agent that does not run.
    #[arg(long)]
    vault: Option<PathBuf>,
}

impl Origin {
    pub fn source(&self) -> Result<Source, CliError> {
        match &self.vault {
            Some(vault) => Ok(Source::Vault(vault.clone())),
            None => Ok(Source::Agent(self.place.agent()?)),
        }
    }
}
