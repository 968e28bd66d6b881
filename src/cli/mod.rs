// SPDX-License-Identifier: Apache-2.0
//! The program `margay`: arguments, calls to the agent, printing.
#![forbid(unsafe_code)]

mod agent;
mod archive;
mod arguments;
mod check;
mod client;
mod error;
mod list;
mod table;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command, Sessions};
use error::CliError;

/// Runs the program. Exit codes: 0 done, 1 not possible (the reason is on standard error), 2 wrong arguments.
pub fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("margay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), CliError> {
    match arguments.command {
        Command::Agent { config, check, .. } if check => check::check(config.as_deref()),
        Command::Agent { config, recover, httpd, after, .. } => {
            agent::run(config.as_deref(), recover, httpd, after)
        }
        Command::Status { place, json } => list::status(&place.agent()?, json),
        Command::Members { place, json } => list::members(&place.agent()?, json),
        Command::Sessions { command } => match command {
            Sessions::List { from, context, full_ids, json } => {
                list::sessions(&from.source()?, context, full_ids, json)
            }
            Sessions::Show { from, id, context, values, full_ids, json } => {
                list::session(&from.source()?, &id, context, values, full_ids, json)
            }
            Sessions::Export { from, format, context, to } => {
                archive::export(&from.source()?, format, &context, &to)
            }
            Sessions::Import { from, format, context, input } => {
                archive::import(&from.source()?, format, &context, &input)
            }
        },
    }
}
