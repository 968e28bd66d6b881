// SPDX-License-Identifier: Apache-2.0
//! From a configuration that was read to children that serve by it.
//!
//! check: statements to a plan, so that `-t` sees every finding. post_config: the plan gets its places in shared memory.
//! child_init: a lane, empty pools. A configuration of ours that cannot be used refuses the start; at a restart the last
//! good plan stays in force.

use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use once_cell::sync::OnceCell;

use super::heartbeats::Source;
use super::pass::{Names, Pass, ServerConf, is_first_pass};
use super::pattern::Pattern;
use super::runtime::{Child, Runtime};
use super::{checks, companion, dialect, ffi, forward, handover, jk, keep, log, pool, tree};
use crate::base::clock::{Clock, SystemClock};
use crate::config::jk::lost_workers;
use crate::config::{Facts, Finding, SiteFacts};
use crate::shared::Region;

const REFUSED: c_int = 500;
const ACCEPTED: c_int = ffi::OK as c_int;

/// The memory all processes share, for the whole life of the parent.
static REGION: OnceCell<Region> = OnceCell::new();

/// The plan in force in the parent; children inherit it by fork.
static IN_FORCE: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);

/// What this child serves by.
static CHILD: OnceCell<Child> = OnceCell::new();

/// This child's plan, pools and lane; `None` in the parent.
pub(super) fn child() -> Option<&'static Child> {
    CHILD.get()
}

fn in_force() -> Option<Arc<Runtime>> {
    IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The plan in force and its shared state, in the parent.
pub(super) fn in_force_with_region() -> Option<(Arc<Runtime>, &'static Region)> {
    Some((in_force()?, REGION.get()?))
}

/// Compiles what was read and reports all findings.
///
/// # Safety
/// httpd's own argument of `check_config`: the main server of the pass.
pub(super) unsafe fn check_config(main: *mut ffi::server_rec) -> c_int {
    // SAFETY: the pass is ours alone while the parent's only thread checks it.
    let pass = unsafe { ServerConf::of(main).pass() };
    // SAFETY: as above. This also names the servers, by which the last good plan finds them.
    let facts = unsafe { facts(main, pass) };
    if let Some(dialect) = dialect::contested() {
        if pass.errors.is_empty() {
            log::server(log::ERROR, &format!("MGY0901: {}", dialect.contested()));
        }
        report(&pass.errors);
        return refuse_or_keep(pass);
    }
    if is_test() {
        dialect::report();
    }
    let outcome = pass.draft.compile(&facts);
    let expressions = outcome.plan.iter().flat_map(|plan| &plan.expressions);
    for compiled in expressions.map(Pattern::compile) {
        match compiled {
            Ok(pattern) => pass.patterns.push(pattern),
            Err(finding) => pass.errors.push(finding),
        }
    }
    if let (Some(last), Some(plan), false) = (in_force(), &outcome.plan, is_test()) {
        pass.errors.extend(lost_workers(&last.plan.jk, &plan.jk));
    }
    report(&pass.errors);
    report(&outcome.findings);
    pass.plan = outcome.plan.filter(|_| pass.errors.is_empty());
    if pass.plan.is_none() { refuse_or_keep(pass) } else { ACCEPTED }
}

/// True for `-t`, which ends after the check.
fn is_test() -> bool {
    // SAFETY: a plain question.
    unsafe { ffi::ap_state_query(ffi::AP_SQ_RUN_MODE as c_int) == ffi::AP_SQ_RM_CONFIG_TEST as c_int }
}

fn report(findings: &[Finding]) {
    for finding in findings {
        log::server(log::of_severity(finding.severity), &format!("{}: {finding}", finding.origin));
    }
}

/// At a start there is nothing to fall back to.
fn refuse_or_keep(pass: &mut Pass) -> c_int {
    pass.plan = None;
    if is_first_pass() || in_force().is_none() { REFUSED } else { ACCEPTED }
}

/// # Safety
/// As [`check_config`].
unsafe fn facts(main: *mut ffi::server_rec, pass: &mut Pass) -> Facts {
    let mut facts = Facts { sites: vec![SiteFacts::default(); pass.site_count()], ..Facts::default() };
    let mut server = main;
    // SAFETY: httpd's list of servers and its tree live while the configuration is checked.
    unsafe {
        while !server.is_null() {
            let id = ServerConf::of(server).site;
            let index = id.0 as usize;
            pass.servers.push((key_of(server), id));
            // A virtual host without a line of ours has the main server's value, and is not a site of its own.
            if let Some(site) = facts.sites.get_mut(index).filter(|_| index > 0 || server == main) {
                let timeout = u64::try_from((*server).timeout).unwrap_or(0);
                *site = SiteFacts { timeout: Duration::from_micros(timeout), key: key_of(server) };
            }
            server = (*server).next;
        }
        let tree = tree::look(main);
        facts.handlers = tree.handlers;
        facts.managed = tree.managed;
        facts.tls_engines = Some(tree.tls_engines);
        pass.stamps = jk::files::read(&pass.draft, &mut facts, (*(*main).process).pconf);
        facts.guards = Some(tree.guards);
        let resolved = pass.draft.names_to_resolve().map(|name| (name.to_owned(), forward::addresses(name)));
        facts.addresses = Some(resolved.collect());
    }
    facts
}

/// Address, port and name: the same after a restart.
unsafe fn key_of(server: *const ffi::server_rec) -> String {
    // SAFETY: a server of httpd's list.
    unsafe {
        let server = &*server;
        let mut key = format!("{}:{}", pool::string(server.server_hostname), server.port);
        let mut address = server.addrs;
        while !address.is_null() {
            key.push_str(&format!(" {}:{}", pool::string((*address).virthost), (*address).host_port));
            address = (*address).next;
        }
        key
    }
}

/// Puts the plan into force for the children to come.
///
/// # Safety
/// httpd's own argument of `post_config`.
pub(super) unsafe fn post_config(main: *mut ffi::server_rec) -> c_int {
    if is_first_pass() {
        return ACCEPTED;
    }
    super::guard::install_hook();
    dialect::report();
    // SAFETY: as in `check_config`.
    let pass = unsafe { ServerConf::of(main).pass() };
    // SAFETY: as above.
    if let Err(text) = unsafe { publish(main, pass) } {
        log::server(log::ERROR, &text);
        if !keep_last_good(&pass.names()) {
            return REFUSED;
        }
    }
    if let Some(runtime) = in_force() {
        // SAFETY: as above; the pool is that of this configuration.
        unsafe { jk::log::open(&runtime.plan.jk, (*(*main).process).pconf) };
        if let Some(region) = REGION.get() {
            // SAFETY: as above; this is the parent.
            unsafe {
                companion::follow(main, &runtime.plan.agent, region);
                handover::follow(main, &runtime.plan.agent);
            }
        }
    }
    ACCEPTED
}

/// # Safety
/// As [`post_config`].
unsafe fn publish(main: *mut ffi::server_rec, pass: &mut Pass) -> Result<(), String> {
    let is_start = in_force().is_none();
    let region = match REGION.get_or_try_init(Region::create) {
        Ok(region) => region,
        Err(error) => return Err(format!("MGY0902: no shared memory for the state of members: {error}")),
    };
    let Some(plan) = pass.plan.take() else {
        return Err("MGY0903: the configuration that was read has errors (see the lines above)".to_owned());
    };
    let generation = generation();
    let patterns = std::mem::take(&mut pass.patterns);
    let runtime = Runtime::new(plan, patterns, pass.names(), region, generation, SystemClock.now())
        .map_err(|full| format!("MGY0904: {full}"))?
        .with_stamps(std::mem::take(&mut pass.stamps));
    for (balancer, url) in runtime.bindings().left_out() {
        let text = format!(
            "MGY4006: {url} joined balancer://{balancer} while the server ran, and leaves it now: growth= has no room for it any \
             more. Write a larger growth=, or BalancerMember {url}"
        );
        log::server(log::WARNING, &text);
    }
    super::manager::give_nonces(&runtime, region);
    // SAFETY: the caller vouches for `main`.
    unsafe { keep::begin(main, &runtime, region, is_start) };
    region.retire(region.oldest_generation().unwrap_or(generation));
    *IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(runtime));
    Ok(())
}

/// Goes on with the plan before, whose sites and sections are found again by their names.
fn keep_last_good(names: &Names) -> bool {
    let (Some(last), Some(region)) = (in_force(), REGION.get()) else { return false };
    let Ok(kept) = last.renamed(names, region, generation(), SystemClock.now()) else { return false };
    super::manager::give_nonces(&kept, region);
    *IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(kept));
    log::server(
        log::ALERT,
        "MGY0905: Margay goes on with the last good configuration: nothing that was changed in ProxyPass, BalancerMember and \
         their companions is in force. Correct the lines named above and restart gracefully again",
    );
    true
}

fn generation() -> u32 {
    let mut generation: c_int = 0;
    // SAFETY: a plain question with room for the answer.
    unsafe { ffi::ap_mpm_query(ffi::AP_MPMQ_GENERATION as c_int, &raw mut generation) };
    u32::try_from(generation).unwrap_or(0)
}

/// Makes this process a child that serves.
///
/// # Safety
/// httpd's own argument of `child_init`.
pub(super) unsafe fn child_init(pool: *mut ffi::apr_pool_t) {
    super::guard::install_hook();
    let (Some(runtime), Some(region)) = (in_force(), REGION.get()) else { return };
    let child = Child::new(runtime, region, generation());
    let checks = child.checks(generation());
    if !child.is_noted() {
        log::server(
            log::NOTICE,
            "MGY0906: more child processes than Margay keeps count of; if this one is killed, its requests stay counted as busy",
        );
    }
    // SAFETY: the pool is the child's, which no other thread uses yet.
    unsafe {
        child.hear(Source::of(&checks.plan.heartbeat, pool));
        let runtime = Arc::clone(&child.runtime);
        let _ = CHILD.set(child);
        handover::serve(region);
        checks::start(pool, &runtime, checks);
        if let Some(child) = CHILD.get().filter(|child| child.runtime.plan.jk.is_used) {
            jk::log::settle();
            jk::mounts::watch(&child.runtime.plan.jk, child.runtime.stamps());
            jk::watchdog::start(child);
            pool::at_end(pool, std::ptr::null_mut(), jk::watchdog::end);
        }
    }
}

/// Takes back what an ended child had counted as busy.
pub(super) fn child_ended(pid: u32) {
    let Some(region) = REGION.get() else { return };
    region.repair(pid);
    region.end_checks_of(pid);
    if let Some(oldest) = region.oldest_generation() {
        region.retire(oldest);
    }
}
