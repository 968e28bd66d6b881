// SPDX-License-Identifier: Apache-2.0
//! Hands a request that has a worker to the core, and the core's outcome to httpd.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::time::{Duration, Instant};

use once_cell::sync::Lazy;

use super::exchange::{JkRequest, say};
use super::site::{Here, is_kept_away, variable};
use super::state::{self, Mapped};
use super::translate::{self, Mapping};
use super::{notes, status, uri};
use crate::config::jk::plan::{JkTarget, RuleExtensions};
use crate::config::jk::{NamedWorker, read_worker};
use crate::config::origin::Origin;
use crate::httpd::lifecycle::child;
use crate::httpd::runtime::Child;
use crate::httpd::{ffi, pool};
use crate::proxy::exchange::Level;
use crate::proxy::jk::{JkJob, JkVariables, forward_jk};
use crate::proxy::{Outcome, Scratch};

const OK: c_int = ffi::OK as c_int;
const DECLINED: c_int = ffi::DECLINED;
const INTERNAL_ERROR: c_int = 500;

thread_local! {
    /// Taken while a request runs: a filter may start another request inside it, which then gets buffers of its own.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
    static PATH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Where a variable's value is said to come from.
static ENVIRONMENT: Lazy<Origin> = Lazy::new(|| Origin::new("(environment)", 0));

/// Forwards a request whose handler is mod_jk's or a directory's, or declines.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn handle(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller vouches for `r` throughout.
    unsafe {
        let (Some(child), Some(here)) = (child(), Here::of(r)) else { return DECLINED };
        if is_directory(r) && !here.site.options.forward_directories || is_kept_away(r) {
            return DECLINED;
        }
        let Some(mapped) = mapped(r, &here) else { return DECLINED };
        let name = state::worker_noted(r).unwrap_or_default();
        if (*r).proxyreq != 0 {
            let name = String::from_utf8_lossy(name);
            say(
                r,
                &here,
                Level::Error,
                "MGY5102",
                format_args!("a proxy request for worker {name} is not allowed"),
            );
            return INTERNAL_ERROR;
        }
        let Some(target) = mapped.target else {
            let name = String::from_utf8_lossy(name);
            say(
                r,
                &here,
                Level::Error,
                "MGY5103",
                format_args!(
                    "there is no worker {name} in worker.list (mod_jk: Could not find a worker for worker name={name})"
                ),
            );
            return INTERNAL_ERROR;
        };
        notes::note(r, c"JK_WORKER_TYPE", target.type_name());
        let start = Instant::now();
        let answer = match target {
            JkTarget::Status(id) => status::answer(r, child, &here, id),
            JkTarget::Ajp(_) | JkTarget::Balancer(_) => forward(r, child, &here, &mapped, target),
        };
        notes::note_duration(r, start.elapsed());
        answer
    }
}

unsafe fn is_directory(r: *const ffi::request_rec) -> bool {
    // SAFETY: the caller vouches for `r`, which has a handler.
    unsafe { pool::bytes((*r).handler) != b"jakarta-servlet" }
}

/// The worker by the rule that was found, by the variable, or by the rules.
unsafe fn mapped(r: *mut ffi::request_rec, here: &Here) -> Option<Mapped> {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        if state::worker_noted(r).is_some()
            && let Some(mapped) = Mapped::of(r)
        {
            return Some(mapped);
        }
        let noted = state::worker_noted(r);
        match noted.or_else(|| variable(r, &here.site.indicators.worker)) {
            Some(text) => name_worker(r, here, &String::from_utf8_lossy(text)),
            None => {
                if !matches!(translate::map(r, here), Mapping::Worker) {
                    return None;
                }
            }
        }
        Mapped::of(r)
    }
}

/// The worker that a variable names, with extensions behind it.
unsafe fn name_worker(r: *mut ffi::request_rec, here: &Here, text: &str) {
    let NamedWorker { worker, extensions, findings } = read_worker(text, here.jk, &ENVIRONMENT);
    let target = state::target_of(here.jk, &worker);
    let name = text.split(';').next().unwrap_or_default().trim();
    // SAFETY: the caller vouches for `r`; `release` takes exactly the pointer of the box.
    unsafe {
        for finding in &findings {
            say(
                r,
                here,
                Level::Warning,
                finding.id,
                format_args!("{}: {finding}", here.site.indicators.worker),
            );
        }
        let kept = Box::into_raw(Box::new(extensions));
        pool::at_end((*r).pool, kept.cast(), release);
        state::mark(r, target, name, kept, (*r).uri);
    }
}

unsafe extern "C" fn release(extensions: *mut c_void) -> ffi::apr_status_t {
    // SAFETY: `name_worker` made the pointer, and the pool calls this once.
    drop(unsafe { Box::from_raw(extensions.cast::<RuleExtensions>()) });
    0
}

unsafe fn forward(
    r: *mut ffi::request_rec,
    child: &Child,
    here: &Here,
    mapped: &Mapped,
    target: JkTarget,
) -> c_int {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let mut path = PATH.take();
    path.clear();
    // SAFETY: the caller vouches for `r`.
    let answer = unsafe {
        uri::write(r, here, mapped.original(r), &mut path);
        let job = JkJob {
            target,
            extensions: mapped.extensions(),
            uri: &path,
            options: here.site.options,
            variables: variables(r, here),
        };
        match JkRequest::new(r, child, *here) {
            Err(status) => status,
            Ok(mut exchange) => match forward_jk(&child.world(), &job, &mut exchange, &mut scratch) {
                Outcome::Done => OK,
                Outcome::Answer(status) => c_int::from(status),
                Outcome::Client(status) => {
                    // What is left of a body that could not be read must not be taken for the next request.
                    (*(*r).connection).keepalive = ffi::AP_CONN_CLOSE;
                    status
                }
            },
        }
    };
    SCRATCH.set(Some(scratch));
    PATH.set(path);
    answer
}

/// Variables that change how this one request is carried.
unsafe fn variables<'r>(r: *const ffi::request_rec, here: &Here) -> JkVariables<'r> {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        let is_on = |name: &str| variable(r, name).is_some_and(|value| value != b"0");
        let timeout = variable(r, "JK_REPLY_TIMEOUT").and_then(|text| {
            let text = std::str::from_utf8(text).ok()?.trim();
            text.parse::<u64>().ok()
        });
        JkVariables {
            reply_timeout: timeout.map(|limit| (limit > 0).then(|| Duration::from_millis(limit))),
            sticky_ignore: is_on("JK_STICKY_IGNORE"),
            stateless: is_on("JK_STATELESS"),
            route: variable(r, "JK_ROUTE").filter(|route| !route.is_empty()),
            ignore_content_length: variable(r, &here.site.indicators.ignore_cl).is_some(),
            malformed_is_500: variable(r, "margay-jk-500").is_some(),
        }
    }
}
