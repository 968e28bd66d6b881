// SPDX-License-Identifier: Apache-2.0
//! A real `margay agent`, with its configuration, vault and log in a folder of its own.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{PATIENCE, process, profile_dir, wait_until};

/// The agent, killed when this is dropped.
pub struct Agent {
    dir: PathBuf,
    child: Option<Child>,
    starts: u32,
    /// Bytes of the largest file it may write.
    file_limit: Option<u64>,
    /// What it logs.
    level: &'static str,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// What stands in front of its command.
    wrapper: Vec<String>,
    /// Is what it logs read, if not by a file?
    gate: Option<Arc<AtomicBool>>,
    /// Size of a disk that only the agent sees, in the place of its folder.
    disk: Option<String>,
}

impl Agent {
    /// Starts an agent with that configuration and returns at once. `VAULT` in the text is a file in its folder.
    pub fn start(dir: PathBuf, config: &str) -> Agent {
        let mut agent = Agent::prepare(dir, config);
        agent.launch();
        agent
    }

    /// Writes the configuration and starts nothing.
    pub fn prepare(dir: PathBuf, config: &str) -> Agent {
        fs::create_dir_all(&dir).expect("a folder of the agent");
        let agent = Agent {
            dir,
            child: None,
            starts: 0,
            file_limit: None,
            level: "debug",
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
            gate: None,
            disk: None,
        };
        let vault = agent.dir.join("vault");
        let mut config = config.replace("VAULT", &vault.display().to_string());
        if !config.contains("[control]") {
            // The default is one for the whole machine.
            let socket = agent.dir.join("agent.sock");
            config.push_str(&format!("[control]\nsocket = \"{}\"\n", socket.display()));
        }
        fs::write(agent.config_file(), config).expect("agent.toml");
        agent
    }

    /// From the next start on it logs what an administrator sees.
    pub fn set_level(&mut self, level: &'static str) {
        self.level = level;
    }

    /// As [`Agent::start`], with a log that costs little.
    pub fn start_quietly(dir: PathBuf, config: &str) -> Agent {
        let mut agent = Agent::prepare(dir, config);
        agent.level = "info";
        agent.launch();
        agent
    }

    /// More arguments, from the next start on.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    }

    /// From the next start on its log goes through a pipe that is read only while the returned word is true.
    pub fn log_through_gate(&mut self) -> Arc<AtomicBool> {
        Arc::clone(self.gate.insert(Arc::new(AtomicBool::new(true))))
    }

    /// A variable of its environment, from the next start on.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// It runs behind those words, from the next start on: on another host.
    pub fn set_wrapper(&mut self, wrapper: Vec<String>) {
        self.wrapper = wrapper;
    }

    /// From the next start on its vault lies on a disk of that size, which nobody else sees.
    pub fn set_disk(&mut self, size: &str) {
        let before = self.vault();
        self.disk = Some(size.to_owned());
        fs::create_dir_all(self.dir.join("disk")).expect("a folder");
        let config = fs::read_to_string(self.config_file()).expect("agent.toml");
        let config = config.replace(&*before.to_string_lossy(), &self.vault().to_string_lossy());
        fs::write(self.config_file(), config).expect("agent.toml");
    }

    /// Runs a command with the agent's configuration.
    pub fn margay(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.args(arguments).arg("--config").arg(self.config_file());
        command.output().expect("margay (cargo build makes it)")
    }

    /// Runs a command with the agent's vault.
    pub fn margay_at_vault(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.args(arguments).arg("--vault").arg(self.vault());
        command.output().expect("margay (cargo build makes it)")
    }

    /// No file may become larger, from the next start on: what a full disk does.
    pub fn limit_files(&mut self, bytes: Option<u64>) {
        self.file_limit = bytes;
    }

    pub fn config_file(&self) -> PathBuf {
        self.dir.join("agent.toml")
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn vault(&self) -> PathBuf {
        self.dir.join(if self.disk.is_some() { "disk/vault" } else { "vault" })
    }

    pub fn log_file(&self) -> PathBuf {
        self.dir.join(format!("log-{}", self.starts))
    }

    /// What it logged since it was started last.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// The process; 0 while there is none.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Starts the process, again with the same configuration and vault.
    pub fn launch(&mut self) {
        self.starts += 1;
        let log = fs::File::create(self.log_file()).expect("its log");
        let log = match &self.gate {
            None => Stdio::from(log),
            Some(gate) => Stdio::from(gated(log, Arc::clone(gate))),
        };
        let mut command = match (self.file_limit, &self.disk) {
            (None, None) => {
                let mut words = self.wrapper.iter().map(PathBuf::from).chain([program()]);
                let mut command = Command::new(words.next().unwrap_or_default());
                command.args(words);
                command
            }
            (None, Some(size)) => {
                let mut command = Command::new("unshare");
                let mount = format!("mount -t tmpfs -o size={size} none \"$0\" && exec \"$@\"");
                command.args(["-m", "sh", "-c", &mount]).arg(self.dir.join("disk")).arg(program());
                command
            }
            (Some(bytes), _) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--fsize={bytes}")).arg(program());
                command
            }
        };
        command
            .args(["agent", "--config"])
            .arg(self.config_file())
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("RUST_LOG", self.level)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command.process_group(0);
        self.child = Some(process::spawn(&mut command, "margay (cargo build makes it)"));
    }

    /// Waits for a line that contains all `words`.
    ///
    /// # Panics
    /// With the log, if it does not come.
    #[track_caller]
    pub fn wait_for(&self, words: &[&str]) {
        let has = |line: &str| words.iter().all(|word| line.contains(word));
        let start = std::time::Instant::now();
        while !self.log().lines().any(has) {
            assert!(start.elapsed() < PATIENCE, "the agent never logged {words:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How many lines contain all `words`.
    pub fn count(&self, words: &[&str]) -> usize {
        self.log().lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// Waits until everything that it heard of a session is on disk; `events` messages of it must have come by then.
    #[track_caller]
    pub fn wait_kept(&self, session: &str, events: usize) {
        let mut seen = String::new();
        let is_kept = || {
            seen = self.log();
            let of_session = |line: &&str| line.contains("session changes") && line.contains(session);
            let lines: Vec<_> = seen.lines().collect();
            let at = lines
                .iter()
                .enumerate()
                .filter(|(_, line)| of_session(line))
                .map(|(at, _)| at)
                .nth(events - 1);
            at.is_some_and(|at| lines[at..].iter().any(|line| line.contains("everything is in the vault")))
        };
        wait_until(
            &format!("{events} changes of {session} in the vault ({})", self.log_file().display()),
            PATIENCE,
            is_kept,
        );
    }

    pub fn kill_9(&mut self) {
        if let Some(mut child) = self.child.take() {
            process::kill(&mut child);
        }
    }

    /// An ordered end. True if it ended by itself.
    pub fn stop(&mut self) -> bool {
        let child = self.child.take();
        child.is_some_and(|mut child| process::end(&mut child, Signal::SIGTERM, Duration::from_secs(10)))
    }

    /// It hangs until [`Agent::resume`].
    pub fn pause(&self) {
        process::signal(self.pid(), Signal::SIGSTOP);
    }

    pub fn resume(&self) {
        process::signal(self.pid(), Signal::SIGCONT);
    }

    /// Has it ended by itself?
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill_9();
    }
}

/// A pipe whose bytes reach the file while the gate is open.
fn gated(mut file: fs::File, gate: Arc<AtomicBool>) -> std::io::PipeWriter {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        loop {
            while !gate.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            match reader.read(&mut bytes) {
                Ok(length @ 1..) => file.write_all(&bytes[..length]).expect("its log"),
                _ => return,
            }
        }
    });
    writer
}

/// The program under test: the file `MARGAY_PROGRAM` names, or the one beside the module.
pub fn program() -> PathBuf {
    std::env::var_os("MARGAY_PROGRAM").map_or_else(|| profile_dir().join("margay"), PathBuf::from)
}
