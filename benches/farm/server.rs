// SPDX-License-Identifier: Apache-2.0
//! A front end while it runs: started in the foreground, found ready, ended by its process id whatever happens.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::front::{BackEnd, FrontEnd, Mpm, Program, Site, Size};
use crate::parts::Parts;

const PAUSE: Duration = Duration::from_millis(10);
const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Everything servers are started with.
pub struct Yard<'a> {
    pub parts: &'a Parts,
    pub ajp_port: u16,
    pub http_port: u16,
    /// The directory of this run; every server gets one of its own in it.
    pub dir: PathBuf,
    pub is_root: bool,
}

/// Why there is no figure.
#[derive(Clone)]
pub enum Failure {
    /// A part is missing on this machine.
    Skipped(String),
    /// The front end did not start, gave a wrong answer or none.
    Wrong(String),
}

/// A running front end. Dropping it ends it.
pub struct Server {
    child: Child,
    prefix: PathBuf,
    pub port: u16,
}

impl Yard<'_> {
    /// The port the back end of `front` listens on.
    pub fn back_end_port(&self, front: &FrontEnd) -> Option<u16> {
        match front.talks_to {
            BackEnd::Ajp => Some(self.ajp_port),
            BackEnd::Http => Some(self.http_port),
            BackEnd::None => None,
        }
    }

    /// Starts a front end; with `trace` under strace, which writes all calls to that file.
    pub fn start(
        &self,
        front: &FrontEnd,
        mpm: Mpm,
        size: Size,
        trace: Option<&Path>,
    ) -> Result<Server, Failure> {
        let kind = if trace.is_some() { "traced" } else { mpm.name() };
        let prefix = self.dir.join(format!("{kind}-{}", front.name.replace([' ', ',', '(', ')'], "")));
        let port = self.set_up(front, mpm, size, &prefix).map_err(Failure::Skipped)?;
        let mut command = dies_with_parent();
        if let Some(file) = trace {
            // -I 2: strace can be ended; the second setpriv ends the server with it.
            command.args(["strace", "-f", "-qq", "-I", "2", "-o"]).arg(file);
            command.args(["setpriv", "--pdeathsig", "TERM"]);
        }
        self.add_program(&mut command, front.program, &prefix).map_err(Failure::Skipped)?;
        let child = spawn(command, &prefix).map_err(Failure::Wrong)?;
        Server { child, prefix, port }.when_ready().map_err(Failure::Wrong)
    }

    /// Makes the directory and the configuration file; returns the port to listen on.
    fn set_up(&self, front: &FrontEnd, mpm: Mpm, size: Size, prefix: &Path) -> Result<u16, String> {
        fs::create_dir_all(prefix).map_err(|e| format!("cannot create {}: {e}", prefix.display()))?;
        let port = free_port()?;
        let Yard { parts, ajp_port, http_port, is_root, .. } = *self;
        front.write_config(&Site { parts, ajp_port, http_port, port, prefix, mpm, size, is_root })?;
        Ok(port)
    }

    fn add_program(&self, command: &mut Command, program: Program, prefix: &Path) -> Result<(), String> {
        match program {
            Program::Httpd => {
                command.arg(&self.parts.httpd).arg("-DFOREGROUND").arg("-d").arg(prefix).arg("-f")
            }
            Program::Nginx => command
                .arg(self.parts.nginx.as_ref().map_err(String::clone)?)
                .arg("-p")
                .arg(prefix)
                .arg("-e")
                .arg(prefix.join("error.log"))
                .arg("-c"),
            Program::Haproxy => {
                let haproxy = self.parts.haproxy.as_ref().map_err(String::clone)?;
                if let Some(libraries) = &haproxy.libraries {
                    command.env("LD_LIBRARY_PATH", libraries);
                }
                command.arg(&haproxy.file).arg("-db").arg("-f")
            }
        }
        .arg(prefix.join("server.conf"));
        Ok(())
    }
}

/// The kernel ends what follows when this process ends, also by Ctrl-C or SIGKILL.
fn dies_with_parent() -> Command {
    let mut command = Command::new("setpriv");
    // httpd's prefork ends its whole process group; ours must not be in it.
    command.args(["--pdeathsig", "TERM"]).process_group(0);
    command
}

fn spawn(mut command: Command, prefix: &Path) -> Result<Child, String> {
    let log = prefix.join("stderr.log");
    let stderr = File::create(&log).map_err(|e| format!("cannot create {}: {e}", log.display()))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    command.spawn().map_err(|e| format!("cannot run setpriv (package util-linux): {e}"))
}

/// A port nobody uses now. The kernel hands out others first before it gives this one again.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|e| format!("no free port: {e}"))
}

impl Server {
    /// The process whose children do the work.
    pub fn parent(&self) -> u32 {
        let file = fs::read_to_string(self.prefix.join("server.pid")).ok();
        file.and_then(|text| text.trim().parse().ok()).unwrap_or(self.child.id())
    }

    /// The last line the server logged that is more than a notice.
    pub fn last_complaint(&self) -> String {
        let read = |name| fs::read_to_string(self.prefix.join(name)).unwrap_or_default();
        let text = read("stderr.log") + &read("error.log");
        text.lines().rfind(|line| !line.contains(":notice]")).unwrap_or("nothing in its log").to_owned()
    }

    fn when_ready(mut self) -> Result<Server, String> {
        let begin = Instant::now();
        loop {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Ok(self);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("did not start ({status}): {}", self.last_complaint()));
            }
            if begin.elapsed() > START_LIMIT {
                return Err(format!(
                    "not ready after {} s: {}",
                    START_LIMIT.as_secs(),
                    self.last_complaint()
                ));
            }
            sleep(PAUSE);
        }
    }

    fn is_over_within(&mut self, limit: Duration) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            sleep(PAUSE);
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_over_within(PAUSE) {
            return;
        }
        // The processes may end between the question and the signal; there is nothing to do about an error then.
        let _ = kill(Pid::from_raw(self.parent().cast_signed()), Signal::SIGTERM);
        if !self.is_over_within(STOP_LIMIT) {
            let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}
