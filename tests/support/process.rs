// SPDX-License-Identifier: Apache-2.0
//! Processes: who are the children of one, how much memory has it, ending it by its id.

use std::fs;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, Once};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// The processes that were started here and not yet ended.
static STARTED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn started() -> MutexGuard<'static, Vec<u32>> {
    STARTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Starts a server.
///
/// # Panics
/// If it cannot be run; `what` names it and its package.
pub fn spawn(command: &mut Command, what: &str) -> Child {
    let child = command.spawn().unwrap_or_else(|error| panic!("{what} cannot be run: {error}"));
    started().push(child.id());
    child
}

/// From now on Ctrl-C ends the servers before it ends this program: they are in process groups of their own, which
/// the terminal does not reach.
pub fn end_servers_when_interrupted() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let signals = [Signal::SIGINT as i32, Signal::SIGTERM as i32, Signal::SIGHUP as i32];
        let mut signals = signal_hook::iterator::Signals::new(signals).expect("signals that may be caught");
        std::thread::spawn(move || {
            if signals.forever().next().is_some() {
                for &pid in started().iter() {
                    signal(pid, Signal::SIGTERM);
                }
                std::process::exit(130);
            }
        });
    });
}

/// Kills a process of ours and collects its zombie.
pub fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
    started().retain(|&pid| pid != child.id());
}

/// Sends `signal`; a process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    let _ = signal::kill(Pid::from_raw(pid as i32), signal);
}

/// Does the process exist and is it not a zombie?
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

/// The living children of `pid`, zombies left out.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&candidate| stat(candidate).is_some_and(|(state, parent)| parent == pid && state != 'Z'))
        .collect();
    found.sort_unstable();
    found
}

fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = text.get(text.rfind(')')? + 1..)?.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// Memory of a process in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Pages that are in memory.
    pub rss: u64,
    /// The same, shared pages counted in parts.
    pub pss: u64,
    /// Pages that belong to this process alone and were written.
    pub private_dirty: u64,
}

/// The memory of `pid`, zero when it is gone.
pub fn memory(pid: u32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
    };
    Memory { rss: value("Rss:"), pss: value("Pss:"), private_dirty: value("Private_Dirty:") }
}

/// Asks a process of ours to end with `how`, and kills it after `limit`. Its zombie is collected.
///
/// Returns false if it had to be killed.
pub fn end(child: &mut Child, how: Signal, limit: Duration) -> bool {
    if matches!(child.try_wait(), Ok(Some(_))) {
        started().retain(|&pid| pid != child.id());
        return true;
    }
    let orphans = children(child.id());
    signal(child.id(), how);
    let start = Instant::now();
    while start.elapsed() < limit {
        if matches!(child.try_wait(), Ok(Some(_))) {
            started().retain(|&pid| pid != child.id());
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(child);
    for orphan in orphans {
        signal(orphan, Signal::SIGKILL);
    }
    false
}
