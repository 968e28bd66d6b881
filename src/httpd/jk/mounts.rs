// SPDX-License-Identifier: Apache-2.0
//! Mount files that are read again while the server runs.
//!
//! The time stamp of a file is looked at when a request comes, at most once in `JkMountFileReload`. A request takes no lock
//! unless the rules have changed since the same thread looked last.

use std::cell::RefCell;
use std::fs;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use once_cell::sync::OnceCell;

use super::log;
use super::site::Here;
use crate::config::Severity;
use crate::config::jk::mounts::JkMounts;
use crate::config::jk::plan::{JkLogLevel, JkMountFile, JkPlan};
use crate::config::jk::read_mount_file;
use crate::config::plan::SiteId;
use crate::httpd::log as error_log;

/// When the files of the plan were last changed as far as it knows; noted by the parent.
pub(in crate::httpd) type Stamps = Vec<(String, SystemTime)>;

/// The mount files of this process, by site; the last entry is that of virtual hosts without any line of ours.
static WATCHED: OnceCell<Vec<Option<Watched>>> = OnceCell::new();

thread_local! {
    /// The rules this thread looked at last, with their place and number.
    static SEEN: RefCell<Vec<(usize, u64, Arc<JkMounts>)>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
struct Watched {
    path: String,
    /// Microseconds.
    interval: i64,
    /// When the file is to be looked at, in microseconds since 1970.
    next: AtomicI64,
    /// Counts how often rules were replaced; 0: those of the plan are in force.
    number: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    changed: Option<SystemTime>,
    rules: Option<Arc<JkMounts>>,
    /// A file that cannot be read is said once.
    is_missing: bool,
}

/// The rules of a server as they are now.
pub(super) enum Mounts {
    /// Those of the plan.
    Plan(&'static JkMounts),
    /// With the file as it was read again.
    Renewed(Arc<JkMounts>),
}

impl Mounts {
    pub fn get(&self) -> &JkMounts {
        match self {
            Mounts::Plan(mounts) => mounts,
            Mounts::Renewed(mounts) => mounts,
        }
    }
}

/// Begins to watch the files of the plan this process serves by.
pub(in crate::httpd) fn watch(plan: &'static JkPlan, stamps: &Stamps) {
    if plan.is_used {
        let all = plan.sites.iter().chain([&plan.bare]);
        let _ = WATCHED.set(
            all.map(|site| site.mount_file.as_ref().and_then(|file| Watched::new(file, stamps))).collect(),
        );
    }
}

/// The rules for a request that came at `now`, in microseconds since 1970.
pub(super) fn of(here: &Here, now: i64) -> Mounts {
    let plan = Mounts::Plan(&here.site.mounts);
    let Some(all) = WATCHED.get().filter(|_| here.site.mount_file.is_some()) else { return plan };
    let place = if here.is_main { here.id.0 as usize } else { all.len() - 1 };
    let Some(watched) = all.get(place).and_then(Option::as_ref) else { return plan };
    watched.look_if_due(here, now);
    match watched.number.load(Acquire) {
        0 => plan,
        number => watched.renewed(place, number).map_or(plan, Mounts::Renewed),
    }
}

impl Watched {
    fn new(file: &JkMountFile, stamps: &Stamps) -> Option<Watched> {
        let interval = i64::try_from(file.reload?.as_micros()).ok()?;
        let changed = stamps.iter().find(|(path, _)| *path == file.path).map(|(_, changed)| *changed);
        Some(Watched {
            path: file.path.clone(),
            interval,
            next: AtomicI64::new(now().saturating_add(interval)),
            number: AtomicU64::new(0),
            state: Mutex::new(State { changed, rules: None, is_missing: false }),
        })
    }

    /// One of the threads that find the time come looks; the others go on with the rules that are there.
    fn look_if_due(&self, here: &Here, now: i64) {
        let due = self.next.load(Relaxed);
        if now < due || self.next.compare_exchange(due, now + self.interval, AcqRel, Relaxed).is_err() {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match fs::metadata(&self.path).and_then(|found| found.modified()) {
            Ok(changed) if state.changed == Some(changed) => {}
            Ok(changed) => match fs::read(&self.path) {
                Ok(bytes) => {
                    state.changed = Some(changed);
                    state.is_missing = false;
                    state.rules = Some(Arc::new(self.read(here, &String::from_utf8_lossy(&bytes))));
                    self.number.fetch_add(1, AcqRel);
                }
                Err(error) => self.missing(here.id, &mut state, &error),
            },
            Err(error) => self.missing(here.id, &mut state, &error),
        }
    }

    fn read(&self, here: &Here, text: &str) -> JkMounts {
        let (rules, findings) = read_mount_file(text, &self.path, here.jk);
        for finding in &findings {
            let level =
                if finding.severity == Severity::Notice { JkLogLevel::Info } else { JkLogLevel::Warn };
            say(here.id, level, finding.id, &format!("{}: {finding}", finding.origin));
        }
        let count = rules.len();
        let mounts = here.site.mounts.with_file(rules);
        say(here.id, JkLogLevel::Info, "MGY5011", &format!("{} was read again: {count} rules", self.path));
        mounts
    }

    fn missing(&self, site: SiteId, state: &mut State, error: &std::io::Error) {
        if !state.is_missing {
            state.is_missing = true;
            let text =
                format!("JkMountFile {} cannot be read: {error}; its rules stay as they were", self.path);
            say(site, JkLogLevel::Error, "MGY5012", &text);
        }
    }

    /// The rules with this number or newer ones.
    fn renewed(&self, place: usize, number: u64) -> Option<Arc<JkMounts>> {
        SEEN.with_borrow_mut(|seen| {
            if let Some((_, known, rules)) = seen.iter().find(|(of, ..)| *of == place)
                && *known == number
            {
                return Some(Arc::clone(rules));
            }
            let rules = self.state.lock().unwrap_or_else(PoisonError::into_inner).rules.clone()?;
            seen.retain(|(of, ..)| *of != place);
            seen.push((place, number, Arc::clone(&rules)));
            Some(rules)
        })
    }
}

/// Says it in the log of the server, and what is wrong in httpd's too.
fn say(site: SiteId, level: JkLogLevel, id: &'static str, text: &str) {
    let log = log::of_child().and_then(|logs| logs.site(site));
    let written = log.is_some_and(|log| log.write(level, id, text, None));
    if !written || level >= JkLogLevel::Error {
        let number = if level >= JkLogLevel::Error { error_log::ERROR } else { error_log::NOTICE };
        error_log::main_server(number, &format!("{id}: {text}"));
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
