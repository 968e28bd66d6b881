// SPDX-License-Identifier: Apache-2.0
//! Health checks in a child process: their lines in httpd's log, their conditions in httpd's syntax, their end.
//!
//! The threads of checks are not waited for when a child ends. So that none of them calls httpd while its pools are being
//! destroyed, every such call goes through a [`Gate`], which is closed first.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use once_cell::sync::OnceCell;

use super::checked_tls::CheckedTls;
use super::gate::Gate;
use super::runtime::Runtime;
use super::{ffi, log, pool};
use crate::backend::probe::HttpAnswer;
use crate::backend::{NotSecure, Transport};
use crate::config::Plan;
use crate::config::health::Expression;
use crate::config::plan::MemberId;
use crate::health::{Checker, Checks, Host, Listener, Report, Weight};

/// The checks of this child.
static CHECKER: OnceCell<Running> = OnceCell::new();

/// What runs beside the requests, and the gate to httpd.
struct Running {
    checker: Option<Checker>,
    listener: Option<Listener>,
    gate: Arc<Gate>,
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
    tls: CheckedTls,
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

    fn secure(
        &self,
        member: MemberId,
        socket: OwnedFd,
        name: &[u8],
        limit: Duration,
    ) -> Result<Box<dyn Transport>, NotSecure> {
        self.tls.secure(&self.gate, member, socket, name, limit)
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
pub(super) unsafe fn start(pool: *mut ffi::apr_pool_t, runtime: &Runtime, checks: Checks) {
    let gate = Arc::new(Gate::default());
    // SAFETY: the caller vouches for the pool.
    let (conditions, tls) = unsafe { (conditions(pool, &checks.plan), CheckedTls::new(pool, runtime)) };
    let host = Httpd { gate: Arc::clone(&gate), conditions, tls };
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
    let written = checks.filter_map(|check| check.expression.as_ref());
    // An administrator may choose any of them while the server runs.
    let named = plan.sites.iter().flat_map(|site| site.conditions.iter());
    let mut known = HashMap::new();
    for expression in written.chain(named) {
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
