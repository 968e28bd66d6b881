// SPDX-License-Identifier: Apache-2.0
//! System calls for each small request, counted by strace on a server with one child.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::case::CALLS_CASE;
use crate::front::{FrontEnd, Mpm, Size};
use crate::load::{Load, Until};
use crate::server::{Failure, Yard};

const WARM_UP: u64 = 20;
const REQUESTS: u64 = 200;

/// Calls for each request.
pub struct Calls {
    pub towards_back_end: f64,
    pub total: f64,
}

/// Why nothing can be counted, if so.
pub fn check_strace() -> Result<(), String> {
    let status = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err("strace is not installed".to_owned())
    }
}

/// Runs `front` with one prefork child (one worker for nginx) under strace.
pub fn count(yard: &Yard, front: &FrontEnd) -> Result<Calls, Failure> {
    let file = yard.dir.join("trace");
    let server = yard.start(front, Mpm::Prefork, Size::OneChild, Some(&file))?;
    let run = || -> Result<(usize, usize), String> {
        let mut load = Load::connect(server.port, CALLS_CASE, 1)?;
        load.run(Until::Requests(WARM_UP))?;
        let begin = settled_len(&file)?;
        load.run(Until::Requests(REQUESTS))?;
        Ok((begin, settled_len(&file)?))
    };
    let (begin, end) = run().map_err(|e| Failure::Wrong(format!("{e}; log: {}", server.last_complaint())))?;
    drop(server);
    let text = fs::read_to_string(&file).map_err(|e| Failure::Skipped(format!("no trace: {e}")))?;
    Ok(Trace::new(yard.back_end_port(front)).count(&text, begin..end))
}

/// The length of the trace once the server has come to rest and the trace stays as long as it is.
fn settled_len(file: &Path) -> Result<usize, String> {
    let len = || fs::metadata(file).map(|data| data.len() as usize).map_err(|e| format!("no trace: {e}"));
    let mut before = len()?;
    loop {
        sleep(Duration::from_millis(100));
        let now = len()?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
}

/// Follows which descriptors of which process are connections to the back end.
struct Trace {
    /// How strace writes the back end's port.
    port: Option<String>,
    sockets: HashSet<(String, u32)>,
}

impl Trace {
    fn new(port: Option<u16>) -> Trace {
        Trace { port: port.map(|port| format!("htons({port})")), sockets: HashSet::new() }
    }

    fn count(mut self, text: &str, window: std::ops::Range<usize>) -> Calls {
        let parent = text.split(' ').next().unwrap_or_default();
        let (mut at, mut total, mut towards_back_end) = (0, 0_u32, 0_u32);
        for line in text.split_inclusive('\n') {
            let is_inside = window.contains(&at);
            at += line.len();
            // Signals, exits and the second halves of calls have no "name(" after the process id.
            let Some((pid, call)) = line.split_once(' ').map(|(pid, rest)| (pid, rest.trim_start())) else {
                continue;
            };
            let Some((name, arguments)) = call.split_once('(').filter(|(name, _)| is_call_name(name)) else {
                continue;
            };
            let is_towards = self.follow(pid, name, arguments);
            if is_inside && pid != parent {
                total += 1;
                towards_back_end += u32::from(is_towards);
            }
        }
        let each = |n: u32| f64::from(n) / REQUESTS as f64;
        Calls { towards_back_end: each(towards_back_end), total: each(total) }
    }

    /// Whether the call is about a connection to the back end.
    fn follow(&mut self, pid: &str, name: &str, arguments: &str) -> bool {
        let fds = descriptors(name, arguments);
        if let (Some(&fd), "connect", Some(port)) = (fds.first(), name, &self.port)
            && arguments.contains(port.as_str())
        {
            self.sockets.insert((pid.to_owned(), fd));
            return true;
        }
        let is_towards = fds.iter().any(|&fd| self.sockets.contains(&(pid.to_owned(), fd)));
        if let (Some(&fd), "close") = (fds.first(), name) {
            self.sockets.remove(&(pid.to_owned(), fd));
        }
        is_towards
    }
}

fn is_call_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The descriptors a call is about: its first argument, those in a poll set, the third argument of epoll_ctl.
fn descriptors(name: &str, arguments: &str) -> Vec<u32> {
    let number = |text: &str| -> Option<u32> {
        let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok()
    };
    match name {
        "poll" | "ppoll" => {
            let set = arguments.split(']').next().unwrap_or_default();
            set.split("{fd=").skip(1).filter_map(number).collect()
        }
        "epoll_ctl" => arguments.split(", ").nth(2).and_then(number).into_iter().collect(),
        _ => number(arguments).into_iter().collect(),
    }
}
