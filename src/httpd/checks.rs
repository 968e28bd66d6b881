// SPDX-License-Identifier: Apache-2.0
//! Health checks in a child process: their lines in httpd's log, their conditions in httpd's syntax, their end.
//!
//! The threads of checks are not waited for when a child ends. So that none of them calls httpd while its pools are being
//! destroyed, every such call goes through a [`Gate`], which is closed first.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use once_cell::sync::OnceCell;

use super::{ffi, log, pool};
use crate::backend::probe::HttpAnswer;
use crate::config::Plan;
use crate::config::health::Expression;
use crate::health::{Checker, Checks, Host, Listener, Report, Weight};

/// The checks of this child.
static CHECKER: OnceCell<Running> = OnceCell::new();

/// What runs beside the requests, and the gate to httpd.
struct Running {
    checker: Option<Checker>,
    listener: Option<Listener>,
    gate: Arc<Gate>,
}

/// Lets threads call httpd until it is closed.
#[derive(Debug, Default)]
struct Gate {
    closed: AtomicBool,
    inside: AtomicU32,
}

impl Gate {
    /// `None` once the gate is closed.
    fn pass<T>(&self, call: impl FnOnce() -> T) -> Option<T> {
        self.inside.fetch_add(1, SeqCst);
        let result = (!self.closed.load(SeqCst)).then(call);
        self.inside.fetch_sub(1, SeqCst);
        result
    }

    /// Waits for calls under way, but not for long: this may run in a signal handler of prefork, whose thread may hold
    /// what a call waits for. No lock is taken for the same reason.
    fn close(&self) {
        const STEP: Duration = Duration::from_millis(1);
        self.closed.store(true, SeqCst);
        for _ in 0..200 {
            if self.inside.load(SeqCst) == 0 {
                return;
            }
            std::thread::sleep(STEP);
        }
    }
}

/// A condition as httpd parsed it, in memory that lives as long as the child.
#[derive(Debug)]
struct Parsed(*const c_void);

// SAFETY: httpd only reads a parsed expression when it evaluates one.
unsafe impl Send for Parsed {}
// SAFETY: as above.
unsafe impl Sync for Parsed {}

#[derive(Debug)]
struct Httpd {
    gate: Arc<Gate>,
    /// By text. The plan may be older than httpd's configuration, so it holds none of httpd's memory.
    conditions: HashMap<String, Parsed>,
}

impl Host for Httpd {
    fn report(&self, report: &Report) {
        say(&self.gate, report);
    }

    fn is_true(&self, expression: &Expression, answer: &HttpAnswer) -> Result<bool, String> {
        let Some(Parsed(condition)) = self.conditions.get(&expression.text) else {
            return Err("httpd no longer understands it".to_owned());
        };
        // SAFETY: the condition was made by `parse` from memory that lives until the gate is closed.
        let result = self.gate.pass(|| unsafe { evaluate(*condition, answer) });
        result.unwrap_or_else(|| Err("the process ends".to_owned()))
    }
}

fn say(gate: &Gate, report: &Report) {
    let level = match report.weight() {
        Weight::Warning => ffi::APLOG_WARNING,
        Weight::Notice => ffi::APLOG_NOTICE,
        Weight::Info => ffi::APLOG_INFO,
    };
    let text = report.to_string();
    gate.pass(|| log::main_server(level, &text));
}

/// # Safety
/// `condition` is one of `parse`, in live memory.
unsafe fn evaluate(condition: *const c_void, answer: &HttpAnswer) -> Result<bool, String> {
    let headers: Vec<ffi::margay_header> = answer
        .headers
        .iter()
        .map(|(name, value)| ffi::margay_header {
            name: name.as_ptr().cast(),
            name_length: name.len(),
            value: value.as_ptr().cast(),
            value_length: value.len(),
        })
        .collect();
    let mut why: [c_char; 256] = [0; 256];
    // SAFETY: all pointers and lengths belong together, and the shim copies what it is given; `why` gets a zero at its end.
    unsafe {
        let result = ffi::margay_expression_true(
            condition,
            c_int::from(answer.status),
            headers.as_ptr(),
            headers.len(),
            answer.body.as_ptr().cast(),
            answer.body.len(),
            why.as_mut_ptr(),
            why.len(),
        );
        match result {
            0 => Ok(false),
            1.. => Ok(true),
            _ => Err(CStr::from_ptr(why.as_ptr()).to_string_lossy().into_owned()),
        }
    }
}

/// Has httpd parse a condition, in memory of `pool`.
///
/// # Errors
/// httpd's text.
///
/// # Safety
/// `pool` is live and no other thread uses it now.
unsafe fn parse(pool: *mut ffi::apr_pool_t, text: &str) -> Result<*const c_void, String> {
    let copy = CString::new(text).map_err(|_| "it has a zero byte".to_owned())?;
    let mut error: *const c_char = ptr::null();
    // SAFETY: the caller vouches for the pool, into which the text is copied: a parsed expression refers to it.
    unsafe {
        let copy = pool::text(pool, &[copy.as_bytes()]);
        let parsed = ffi::margay_expression_parse(pool, copy, &raw mut error);
        if error.is_null() { Ok(parsed) } else { Err(pool::string(error)) }
    }
}

/// Is the text a condition? For the line that defines it.
///
/// # Errors
/// httpd's text.
///
/// # Safety
/// As [`parse`].
pub(super) unsafe fn is_condition(pool: *mut ffi::apr_pool_t, text: &str) -> Result<(), String> {
    // SAFETY: the caller vouches for the pool.
    unsafe { parse(pool, text) }.map(|_| ())
}

/// Starts the checks of this child, if the plan has any; they end with `pool`.
///
/// # Safety
/// `pool` is the child's own, in `child_init`.
pub(super) unsafe fn start(pool: *mut ffi::apr_pool_t, checks: Checks) {
    let gate = Arc::new(Gate::default());
    // SAFETY: the caller vouches for the pool.
    let host = Httpd { gate: Arc::clone(&gate), conditions: unsafe { conditions(pool, &checks.plan) } };
    let (plan, region, me) = (Arc::clone(&checks.plan), checks.region, checks.me);
    let speaker = Arc::clone(&gate);
    let listener = started(Listener::start(&plan.heartbeat, region, me, move |report| say(&speaker, report)));
    let checker = started(Checker::start(checks, host));
    let is_needed = checker.is_some() || listener.is_some();
    if is_needed && CHECKER.set(Running { checker, listener, gate }).is_ok() {
        // SAFETY: the function ignores its argument.
        unsafe { pool::at_end(pool, ptr::null_mut(), stop) };
    }
}

fn started<T>(result: std::io::Result<Option<T>>) -> Option<T> {
    result.unwrap_or_else(|error| {
        let text = "MGY3306: no thread for health checks or heartbeats; this process leaves them to others";
        log::server(log::ERROR, &format!("{text}: {error}"));
        None
    })
}

unsafe fn conditions(pool: *mut ffi::apr_pool_t, plan: &Plan) -> HashMap<String, Parsed> {
    let checks = plan.members.iter().filter_map(|member| member.health.as_ref());
    let mut known = HashMap::new();
    for expression in checks.filter_map(|check| check.expression.as_ref()) {
        // SAFETY: the caller vouches for the pool.
        if let Ok(parsed) = unsafe { parse(pool, &expression.text) } {
            known.insert(expression.text.clone(), Parsed(parsed));
        }
    }
    known
}

unsafe extern "C" fn stop(_: *mut c_void) -> ffi::apr_status_t {
    super::guard::guard((), || {
        let Some(Running { checker, listener, gate }) = CHECKER.get() else { return };
        gate.close();
        checker.iter().for_each(Checker::stop);
        listener.iter().for_each(Listener::stop);
    });
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_lets_nobody_pass() {
        let gate = Gate::default();
        assert_eq!(gate.pass(|| 1), Some(1));
        gate.close();
        assert_eq!(gate.pass(|| 1), None);
    }

    #[test]
    fn closing_waits_for_a_call_under_way() {
        let gate = Arc::new(Gate::default());
        let (inside, entered) = std::sync::mpsc::channel();
        let theirs = Arc::clone(&gate);
        let caller = std::thread::spawn(move || {
            theirs.pass(|| {
                inside.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(30));
                assert!(theirs.closed.load(SeqCst), "closing has begun");
            })
        });
        entered.recv().unwrap();
        gate.close();
        assert_eq!(gate.inside.load(SeqCst), 0);
        assert!(caller.join().unwrap().is_some());
    }
}
