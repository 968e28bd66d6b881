// SPDX-License-Identifier: Apache-2.0
//! The `JkLogFile`: lines in mod_jk's form, written by every process with one call each.
//!
//! Files are opened by the parent before it starts children, so that they may lie where only it can write. Servers that
//! name the same file share it.

use std::cell::Cell;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::request_log::Format;
use super::stamp::Stamp;
use once_cell::sync::OnceCell;

use crate::config::jk::plan::{JkLog, JkLogLevel, JkPlan};
use crate::config::plan::SiteId;
use crate::httpd::{ffi, log};

/// Used when no line names a file, relative to ServerRoot.
const DEFAULT_FILE: &str = "logs/mod_jk.log";

thread_local! {
    /// A line that is being made.
    static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The logs of the plan in force; children inherit them by fork.
static IN_FORCE: Mutex<Option<Arc<JkLogs>>> = Mutex::new(None);

/// The logs of all servers, by site.
#[derive(Debug, Default)]
pub(in crate::httpd) struct JkLogs {
    sites: Vec<SiteLog>,
}

/// The log of one server.
#[derive(Debug)]
pub(super) struct SiteLog {
    /// `None`: it could not be opened; lines go to httpd's error log.
    file: Option<Arc<File>>,
    level: JkLogLevel,
    stamp: Stamp,
    pub format: Option<Format>,
}

/// Those of this child.
static HERE: OnceCell<Arc<JkLogs>> = OnceCell::new();

/// Makes the logs in force those of this child; from now on a look at them takes no lock.
pub(in crate::httpd) fn settle() {
    if let Some(logs) = in_force() {
        let _ = HERE.set(logs);
    }
}

/// The logs of this child.
pub(super) fn of_child() -> Option<&'static JkLogs> {
    HERE.get().map(|logs| &**logs)
}

/// The logs in force.
pub(in crate::httpd) fn in_force() -> Option<Arc<JkLogs>> {
    IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Opens the logs of a plan for the children to come. What cannot be opened is said in httpd's error log.
///
/// # Safety
/// `pool` is the configuration's, in the parent's only thread.
pub(in crate::httpd) unsafe fn open(plan: &JkPlan, pool: *mut ffi::apr_pool_t) {
    // SAFETY: the caller vouches for the pool.
    let logs = plan.is_used.then(|| Arc::new(unsafe { JkLogs::open(plan, pool) }));
    if let Some(main) = logs.as_ref().and_then(|logs| logs.site(SiteId(0))) {
        let text = format!("Margay {} speaks for mod_jk", env!("CARGO_PKG_VERSION"));
        main.write(JkLogLevel::Info, "MGY5001", &text, None);
    }
    *IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner) = logs;
}

impl JkLogs {
    unsafe fn open(plan: &JkPlan, pool: *mut ffi::apr_pool_t) -> JkLogs {
        let mut opened: Vec<(String, Option<Arc<File>>)> = Vec::new();
        let site = |log: &JkLog| {
            let name = log.file.clone().unwrap_or_else(|| DEFAULT_FILE.to_owned());
            let known = opened.iter().find(|(known, _)| *known == name).map(|(_, file)| file.clone());
            let file = known.unwrap_or_else(|| {
                // SAFETY: the caller vouches for the pool.
                let file = unsafe { open_one(&name, log.file.is_none(), pool) };
                opened.push((name, file.clone()));
                file
            });
            SiteLog {
                file,
                level: log.level,
                stamp: Stamp::new(&log.stamp),
                format: log.request_format.as_deref().map(Format::new),
            }
        };
        JkLogs { sites: plan.sites.iter().map(|of| &of.log).map(site).collect() }
    }

    pub(super) fn site(&self, site: SiteId) -> Option<&SiteLog> {
        self.sites.get(site.0 as usize)
    }
}

/// A file that is appended to, or the standard input of a program.
unsafe fn open_one(name: &str, is_default: bool, pool: *mut ffi::apr_pool_t) -> Option<Arc<File>> {
    // SAFETY: the caller vouches for the pool.
    let opened = match name.strip_prefix('|') {
        Some(program) => unsafe { open_program(program.trim_start(), pool) },
        None => {
            let path = unsafe { super::files::below_root(pool, name) };
            open_file(&path)
        }
    };
    match opened {
        Ok(file) => Some(Arc::new(file)),
        Err(error) => {
            let level = if is_default { log::NOTICE } else { log::ERROR };
            let said = if is_default { "no JkLogFile is set, and the default " } else { "JkLogFile " };
            let text =
                format!("MGY5002: {said}{name} cannot be opened: {error}; its lines go to the error log");
            log::server(level, &text);
            None
        }
    }
}

fn open_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

unsafe fn open_program(program: &str, pool: *mut ffi::apr_pool_t) -> std::io::Result<File> {
    let program = CString::new(program).map_err(|_| std::io::Error::other("its name has a zero byte"))?;
    // SAFETY: the caller vouches for the pool; httpd keeps the descriptor open while we copy it.
    unsafe {
        match ffi::margay_piped_log(pool, program.as_ptr()) {
            fd if fd >= 0 => BorrowedFd::borrow_raw(fd).try_clone_to_owned().map(File::from),
            _ => Err(std::io::Error::other("the program cannot be started")),
        }
    }
}

impl SiteLog {
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    pub fn is_enabled(&self, level: JkLogLevel) -> bool {
        level >= self.level
    }

    /// Writes a line of the module. False if there is no file to write to.
    pub fn write(&self, level: JkLogLevel, id: &str, text: &str, request: Option<&[u8]>) -> bool {
        if !self.is_enabled(level) {
            return self.file.is_some();
        }
        self.line(|line| {
            // SAFETY: a plain question.
            let thread = unsafe { libc::pthread_self() };
            let _ = write!(line, "[{}:{thread}] ", std::process::id());
            if let Some(request) = request {
                line.push(b'[');
                line.extend_from_slice(request);
                line.extend_from_slice(b"] ");
            }
            let _ = writeln!(line, "[{}] margay::{id} (0): {}", name(level), one_line(text));
        })
    }

    /// Writes a line of `JkRequestLogFormat`, whatever the level.
    pub fn write_request(&self, make: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.line(|line| {
            make(line);
            line.push(b'\n');
        })
    }

    fn line(&self, make: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(file) = &self.file else { return false };
        let mut line = LINE.take();
        line.clear();
        self.stamp.write(now(), &mut line);
        make(&mut line);
        // Nobody could be told of a disk that is full.
        let _ = (&**file).write_all(&line);
        LINE.set(line);
        true
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

const fn name(level: JkLogLevel) -> &'static str {
    match level {
        JkLogLevel::Trace => "trace",
        JkLogLevel::Debug => "debug",
        JkLogLevel::Info => "info",
        JkLogLevel::Warn => "warn",
        JkLogLevel::Error => "error",
        JkLogLevel::Emerg => "emerg",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(file: &Path, level: JkLogLevel) -> SiteLog {
        SiteLog { file: Some(Arc::new(open_file(file).unwrap())), level, stamp: Stamp::new(""), format: None }
    }

    #[test]
    fn a_line_is_in_the_form_of_mod_jk_and_below_the_level_there_is_none() {
        let path = std::env::temp_dir().join(format!("margay-jk-log-{}", std::process::id()));
        let log = to(&path, JkLogLevel::Info);
        assert!(log.write(JkLogLevel::Debug, "MGY1", "not this", None));
        assert!(log.write(JkLogLevel::Error, "MGY2", "two\nlines", None));
        assert!(log.write_request(|line| line.extend_from_slice(b"lb 200")));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (head, rest) = text.split_once("] ").unwrap();
        assert!(head.starts_with(&format!("[{}:", std::process::id())), "{head}");
        assert_eq!(rest, "[error] margay::MGY2 (0): two lines\nlb 200\n");
    }

    #[test]
    fn without_a_file_the_caller_is_told() {
        let log = SiteLog { file: None, level: JkLogLevel::Info, stamp: Stamp::new(""), format: None };
        assert!(!log.write(JkLogLevel::Error, "MGY1", "x", None));
    }
}
