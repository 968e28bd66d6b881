// SPDX-License-Identifier: Apache-2.0
//! Questions to the running agent.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::error::CliError;
use crate::agent::control::{Answer, Question, Stored};

/// An agent that does not answer for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The agent at a socket.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
}

impl Client {
    pub fn new(socket: PathBuf) -> Client {
        Client { socket }
    }

    /// Asks, and gives each line of the answer but the last.
    pub fn ask(&self, question: &Question, take: impl FnMut(Answer)) -> Result<(), CliError> {
        self.ask_with(question, &[], take)
    }

    /// Asks with sessions behind the question.
    pub fn ask_with(
        &self,
        question: &Question,
        sessions: &[Stored],
        mut take: impl FnMut(Answer),
    ) -> Result<(), CliError> {
        let broken = |error| CliError::Broken { socket: self.socket.clone(), error };
        let stream = UnixStream::connect(&self.socket)
            .map_err(|error| CliError::NoAgent { socket: self.socket.clone(), error })?;
        let send = || -> io::Result<()> {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            write_line(&stream, question)?;
            sessions.iter().try_for_each(|session| write_line(&stream, session))
        };
        // An agent that refuses may have stopped reading: its answer says more than the failure.
        let sent = send();
        for line in BufReader::new(&stream).lines() {
            let line = line.map_err(broken)?;
            match serde_json::from_str(&line).map_err(|error| broken(error.into()))? {
                Answer::End {} => return Ok(()),
                Answer::Refused { why } => return Err(CliError::Refused(why)),
                answer => take(answer),
            }
        }
        sent.map_err(broken)?;
        Err(broken(io::ErrorKind::UnexpectedEof.into()))
    }
}

fn write_line(mut stream: &UnixStream, what: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stream.write_all(&line)
}
