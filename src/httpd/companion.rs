// SPDX-License-Identifier: Apache-2.0
//! The agent that httpd starts (`MargayAgent On`): begun by the parent, watched, begun again, ended with the parent.
//!
//! It is in a session of its own, so that signals for httpd's group do not meet it, and runs as `User` and `Group`. It goes on over
//! restarts: it sees a new configuration in shared memory, and is handed the new error log. One that hangs is killed: in synchronous
//! mode Tomcats wait for it at every request.

use std::ffi::{CString, c_char, c_int, c_void};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{ffi, log, pool};
use crate::base::clock::Moment;
use crate::config::agent::{AgentPlan, CONFIG, PROGRAMS};
use crate::shared::{AgentSeen, Link, Region};

/// Who ran for so long was not badly set up: it is begun again at once.
const LONG: Duration = Duration::from_secs(60);
/// The longest wait before it is begun again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// An agent that beat before and is silent for so long hangs.
const HANGS: Duration = Duration::from_secs(10);
/// How long the agent has to write what it knows when httpd ends.
const PATIENCE: Duration = Duration::from_secs(5);
/// The descriptor that the agent finds its socket at.
const SOCKET: c_int = 3;
/// Exit status of a child that could not become the agent.
const CANNOT_RUN: c_int = 127;

/// What is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    program: CString,
    config: Option<CString>,
}

#[derive(Debug)]
struct Running {
    pid: libc::pid_t,
    wanted: Wanted,
    began: Instant,
    /// It was told to wait for so long first.
    wait: Duration,
    link: Link,
    /// Its beat when it was looked at, and since when that is the same.
    seen: Option<(Moment, Instant)>,
}

#[derive(Debug)]
struct Companion {
    /// The parent: children have a copy of this, and must leave it alone.
    owner: u32,
    wanted: Option<Wanted>,
    running: Option<Running>,
    region: Option<&'static Region>,
    /// A pool that lives as long as the parent.
    pool: *mut ffi::apr_pool_t,
}

// SAFETY: the pool is used by the parent's only thread.
unsafe impl Send for Companion {}

static COMPANION: Mutex<Companion> =
    Mutex::new(Companion { owner: 0, wanted: None, running: None, region: None, pool: ptr::null_mut() });

fn companion() -> MutexGuard<'static, Companion> {
    COMPANION.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does what the configuration says: begins the agent, ends it, or tells the one that runs of the new log.
///
/// # Safety
/// httpd's own argument of `post_config`, in the parent.
pub(super) unsafe fn follow(main: *mut ffi::server_rec, plan: &AgentPlan, region: &'static Region) {
    // SAFETY: the server and its process live as long as the parent.
    let (wanted, process_pool) = unsafe {
        let process = (*main).process;
        (plan.starts.then(|| wanted(plan, (*process).pconf)).flatten(), (*process).pool)
    };
    let mut companion = companion();
    if companion.owner != std::process::id() {
        if wanted.is_none() {
            return;
        }
        (companion.owner, companion.region, companion.pool) =
            (std::process::id(), Some(region), process_pool);
        // SAFETY: the function ignores its argument.
        unsafe { pool::at_end(process_pool, ptr::null_mut(), end) };
    }
    companion.wanted = wanted;
    let is_same =
        companion.running.as_ref().map(|running| Some(&running.wanted) == companion.wanted.as_ref());
    match (is_same, &companion.running) {
        (Some(true), Some(running)) => running.tell_log(),
        // Its end begins the next one.
        (Some(false), Some(running)) => signal(running.pid, libc::SIGTERM),
        _ => companion.begin(Duration::ZERO),
    }
}

/// Absolute paths, by httpd's rule.
unsafe fn wanted(plan: &AgentPlan, pool: *mut ffi::apr_pool_t) -> Option<Wanted> {
    let absolute = |path: &str| {
        let path = CString::new(path).ok()?;
        // SAFETY: the caller vouches for the pool; the text is copied.
        let full = unsafe { pool::some_bytes(ffi::ap_server_root_relative(pool, path.as_ptr())) };
        CString::new(full.unwrap_or(path.as_bytes())).ok()
    };
    let is_there = |path: &&str| fs::exists(path).unwrap_or(false);
    let usual = PROGRAMS.into_iter().find(is_there).unwrap_or(PROGRAMS[0]);
    let config = plan.config.as_deref().or_else(|| Some(CONFIG).filter(is_there));
    Some(Wanted {
        program: absolute(plan.program.as_deref().unwrap_or(usual))?,
        config: config.and_then(absolute),
    })
}

/// httpd's main loop saw the end of the agent. The status is what httpd makes of it: the program's own, or the number of a signal.
pub(super) fn ended(pid: libc::pid_t, status: c_int) {
    let mut companion = companion();
    let Some(running) = companion.running.take_if(|running| running.pid == pid) else { return };
    if companion.owner != std::process::id() || is_stopping() || companion.wanted.is_none() {
        return;
    }
    if companion.wanted.as_ref() != Some(&running.wanted) {
        return companion.begin(Duration::ZERO);
    }
    if status == CANNOT_RUN || libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == CANNOT_RUN {
        let program = running.wanted.program.to_string_lossy();
        let text = format!(
            "MGY0931: the agent could not be started: {program} cannot be run; the next restart of httpd tries again"
        );
        return log::main_server(log::ERROR, &text);
    }
    let wait = next_wait(running.wait, running.began.elapsed());
    let when = if wait.is_zero() { "now".to_owned() } else { format!("in {} s", wait.as_secs()) };
    log::main_server(
        log::WARNING,
        &format!(
            "MGY0932: the agent (pid {pid}) ended with status {status}; it is started again {when}. Until then only httpd itself notices when \
             a member fails"
        ),
    );
    companion.begin(wait);
}

/// Kills the agent if it hangs; httpd's main loop then sees its end.
pub(super) fn look() {
    let mut companion = companion();
    let is_ours = companion.owner == std::process::id() && companion.wanted.is_some();
    let (Some(region), true) = (companion.region, is_ours && !is_stopping()) else { return };
    let Some(running) = &mut companion.running else { return };
    let of_it = region.agent().seen().filter(|seen| libc::pid_t::try_from(seen.pid) == Ok(running.pid));
    if !hangs(&mut running.seen, of_it, Instant::now()) {
        return;
    }
    running.seen = None;
    log::main_server(
        log::WARNING,
        &format!(
            "MGY0937: the agent (pid {}) has been silent for {} s and is killed; Tomcats may wait for it",
            running.pid,
            HANGS.as_secs()
        ),
    );
    signal(running.pid, libc::SIGKILL);
}

/// By what was seen before and is seen now. Time in which the machine sleeps does not count.
fn hangs(before: &mut Option<(Moment, Instant)>, seen: Option<AgentSeen>, now: Instant) -> bool {
    let beat = seen.and_then(|seen| seen.beat);
    let since = match (*before, beat) {
        (Some((known, since)), Some(beat)) if known == beat => since,
        _ => now,
    };
    *before = beat.map(|beat| (beat, since));
    now.duration_since(since) >= HANGS
}

/// How long the next one waits first: at once after a long life, else longer each time.
fn next_wait(waited: Duration, lived: Duration) -> Duration {
    if lived.saturating_sub(waited) >= LONG {
        return Duration::ZERO;
    }
    (waited * 2).clamp(Duration::from_secs(1), LONGEST_WAIT)
}

fn is_stopping() -> bool {
    let mut state: c_int = 0;
    // SAFETY: a plain question with room for the answer.
    unsafe { ffi::ap_mpm_query(ffi::AP_MPMQ_MPM_STATE as c_int, &raw mut state) };
    state == ffi::AP_MPMQ_STOPPING as c_int
}

fn signal(pid: libc::pid_t, number: c_int) {
    // SAFETY: a child of ours that nobody has waited for yet, so the number is still its own.
    unsafe { libc::kill(pid, number) };
}

/// The parent ends. Children run this too.
unsafe extern "C" fn end(_: *mut c_void) -> ffi::apr_status_t {
    super::guard::guard((), || {
        let mut companion = companion();
        if companion.owner == std::process::id() {
            companion.wanted = None;
            if let Some(running) = companion.running.take() {
                running.end();
            }
        }
    });
    0
}

impl Running {
    fn tell_log(&self) {
        if let Err(error) = self.link.send_log(standard_error()) {
            let text = format!("MGY0933: the agent cannot be told of the new error log: {error}");
            log::main_server(log::WARNING, &text);
        }
    }

    /// Asks it to end, and sees to it that it does.
    fn end(self) {
        // SAFETY: plain calls; the number belongs to our child until it is waited for.
        unsafe {
            ffi::margay_companion_forget();
            libc::kill(self.pid, libc::SIGTERM);
            let deadline = Instant::now() + PATIENCE;
            while libc::waitpid(self.pid, ptr::null_mut(), libc::WNOHANG) == 0 {
                if Instant::now() >= deadline {
                    libc::kill(self.pid, libc::SIGKILL);
                    libc::waitpid(self.pid, ptr::null_mut(), 0);
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// httpd writes its error log to the same file.
fn standard_error() -> BorrowedFd<'static> {
    // SAFETY: httpd has it open as long as it lives.
    unsafe { BorrowedFd::borrow_raw(libc::STDERR_FILENO) }
}

impl Companion {
    fn begin(&mut self, wait: Duration) {
        let Some(wanted) = self.wanted.clone() else { return };
        match self.start(&wanted, wait) {
            Ok((pid, link)) => {
                self.running = Some(Running { pid, wanted, began: Instant::now(), wait, link, seen: None });
                // SAFETY: the pool lives as long as this process.
                unsafe { ffi::margay_companion_watch(self.pool, pid.into()) };
            }
            Err(error) => log::main_server(
                log::ERROR,
                &format!(
                    "MGY0930: the agent was not started: {}: {error}. MargayAgentProgram names the program margay; httpd goes on \
                     without it",
                    wanted.program.to_string_lossy(),
                ),
            ),
        }
    }

    fn start(&self, wanted: &Wanted, wait: Duration) -> io::Result<(libc::pid_t, Link)> {
        let path = wanted.program.to_str().map_err(io::Error::other)?;
        let data = fs::metadata(path)?;
        if !data.is_file() || data.permissions().mode() & 0o111 == 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let (ours, theirs) = Link::pair()?;
        if let Some(region) = self.region {
            ours.send_region(region)?;
        }
        let words = Arguments::of(wanted, wait)?;
        // SAFETY: this process has one thread, so the child may do all that this one may.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: this is the child, and it has nothing else to do.
            0 => unsafe { become_agent(&words, &theirs) },
            pid => Ok((pid, ours)),
        }
    }
}

/// What the program is called with.
#[derive(Debug)]
struct Arguments {
    words: Vec<CString>,
    parent: libc::pid_t,
}

impl Arguments {
    fn of(wanted: &Wanted, wait: Duration) -> io::Result<Arguments> {
        let number = |number: u64| CString::new(number.to_string()).map_err(io::Error::other);
        let mut words = vec![wanted.program.clone(), c"agent".into(), c"--httpd".into()];
        words.push(number(SOCKET.unsigned_abs().into())?);
        if let Some(config) = &wanted.config {
            words.extend([c"--config".into(), config.clone()]);
        }
        if !wait.is_zero() {
            words.extend([c"--after".into(), number(wait.as_secs())?]);
        }
        // SAFETY: a plain question.
        Ok(Arguments { words, parent: unsafe { libc::getpid() } })
    }
}

/// Turns a forked child into the agent.
///
/// # Safety
/// Only in a child that was forked for it, from a process with one thread.
unsafe fn become_agent(arguments: &Arguments, link: &Link) -> ! {
    let mut words: Vec<*const c_char> = arguments.words.iter().map(|word| word.as_ptr()).collect();
    words.push(ptr::null());
    // SAFETY: all texts and lists end with a zero and live until exec; every other call takes numbers.
    unsafe {
        libc::setsid();
        let socket = link.as_fd().as_raw_fd();
        let is_there =
            if socket == SOCKET { libc::fcntl(SOCKET, libc::F_SETFD, 0) } else { libc::dup2(socket, SOCKET) };
        // httpd's sockets and files close on exec; those of other modules may not.
        libc::syscall(libc::SYS_close_range, SOCKET + 1, c_int::MAX, 0);
        if is_there < 0 || libc::chdir(c"/".as_ptr()) < 0 || !drop_privileges() {
            fail("MGY0934: the agent could not take the rights of User and Group");
        }
        // Changing the user takes it away, so it comes after.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
        if libc::getppid() != arguments.parent {
            libc::_exit(0);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::execv(words[0], words.as_ptr());
        fail("MGY0934: the agent could not be run");
    }
}

/// As httpd does for its children.
unsafe fn drop_privileges() -> bool {
    // SAFETY: httpd's own values, which do not change any more; the name is null or a text.
    unsafe {
        if libc::geteuid() != 0 {
            return true;
        }
        let (user, group) = (ffi::ap_unixd_config.user_id, ffi::ap_unixd_config.group_id);
        let name = ffi::ap_unixd_config.user_name;
        let has_groups = if name.is_null() || *name == b'#' as c_char {
            libc::setgroups(1, &raw const group) == 0
        } else {
            libc::initgroups(name, group) == 0
        };
        has_groups && libc::setgid(group) == 0 && libc::setuid(user) == 0
    }
}

fn fail(text: &str) -> ! {
    let error = io::Error::last_os_error();
    eprintln!("{text}: {error}");
    // SAFETY: ends the process at once, without running what httpd has registered for its end.
    unsafe { libc::_exit(CANNOT_RUN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dies_young_waits_longer_each_time() {
        let secs = Duration::from_secs;
        let mut wait = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..8 {
            wait = next_wait(wait, wait + secs(2));
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(next_wait(secs(60), secs(119)), secs(60));
        assert_eq!(next_wait(secs(60), secs(120)), Duration::ZERO);
    }

    #[test]
    fn who_does_not_beat_for_ten_seconds_hangs_if_it_ever_did() {
        let (start, seconds) = (Instant::now(), Duration::from_secs);
        let beat = |at: u64| Some(AgentSeen { pid: 1, nodes: 0, matched: 0, beat: Some(Moment(at)) });
        let mut before = None;
        for after in 0..30 {
            assert!(!hangs(&mut before, None, start + seconds(after)));
        }
        assert!(!hangs(&mut before, beat(1), start + seconds(100)));
        assert!(!hangs(&mut before, beat(2), start + seconds(200)));
        assert!(!hangs(&mut before, beat(2), start + seconds(209)));
        assert!(hangs(&mut before, beat(2), start + seconds(210)));
    }

    #[test]
    fn the_program_is_told_only_what_was_said() {
        let wanted = Wanted { program: c"/bin/margay".into(), config: None };
        let words = |wanted: &Wanted, wait| {
            let arguments = Arguments::of(wanted, Duration::from_secs(wait)).unwrap();
            arguments.words.iter().map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(words(&wanted, 0), "/bin/margay agent --httpd 3");
        let wanted = Wanted { config: Some(c"/etc/agent.toml".into()), ..wanted };
        assert_eq!(words(&wanted, 4), "/bin/margay agent --httpd 3 --config /etc/agent.toml --after 4");
    }
}
