// SPDX-License-Identifier: Apache-2.0
//! The one program: `margay agent`, and the administrator's hands.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use margay::agent::health::Way;
use margay::agent::start;
use tracing_subscriber::EnvFilter;

/// The companion of the Margay module: joins Tomcat's cluster and keeps every session.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Joins the cluster and keeps its sessions until it is told to stop.
    Agent {
        /// The configuration file; without it Tomcat's own defaults count.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Only says what the configuration means, and whether it can work.
        #[arg(long)]
        check: bool,
        /// The descriptor that httpd leaves open for the agent it starts.
        #[arg(long, hide = true)]
        httpd: Option<i32>,
        /// Seconds to wait before beginning, after an earlier one ended too soon.
        #[arg(long, hide = true, default_value_t = 0)]
        after: u64,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("margay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), start::StartError> {
    let Command::Agent { config, check, httpd, after } = arguments.command;
    std::thread::sleep(Duration::from_secs(after));
    let settings = match config {
        Some(path) => start::read_settings(&path)?,
        None => margay::agent::settings::Settings::default(),
    };
    if check {
        let (address, why) = start::address(&settings)?;
        settings.cipher().map_err(start::StartError::Settings)?;
        println!("The agent would be reached at {address}, ports from {}: {why}.", settings.receiver.port);
        return Ok(());
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&settings.log.level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let way = match (httpd, &settings.control.httpd) {
        (Some(number), _) => Way::Inherited(number),
        (None, Some(path)) => Way::Socket(path.clone()),
        (None, None) => Way::None,
    };
    start::run(settings, way)
}
