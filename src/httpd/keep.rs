// SPDX-License-Identifier: Apache-2.0
//! The file that keeps the state of balancers over a stop (`BalancerPersist On`): written by the parent when it ends and
//! at restarts, read at the next start.

use std::ffi::c_void;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::runtime::Runtime;
use super::{ffi, lifecycle, log, pool};
use crate::base::clock::{Clock, SystemClock};
use crate::config::plan::SiteId;
use crate::shared::Region;
use crate::status::snapshot;
use crate::status::view::State;

const FILE: &std::ffi::CStr = c"margay.state";

/// The process that writes, and where to.
static KEEPER: Mutex<Option<(u32, PathBuf)>> = Mutex::new(None);

/// Reads what the last run left, if this is the first configuration of this one, and sees to it that this run's state is
/// written.
///
/// # Safety
/// httpd's own argument of `post_config`.
pub(super) unsafe fn begin(
    main: *mut ffi::server_rec,
    runtime: &Runtime,
    region: &'static Region,
    is_start: bool,
) {
    // SAFETY: the server and its process live as long as httpd does; the text is copied.
    let path = unsafe {
        let process = (*main).process;
        if is_start {
            pool::at_end((*process).pool, std::ptr::null_mut(), end);
        }
        pool::string(ffi::ap_runtime_dir_relative((*process).pconf, FILE.as_ptr()))
    };
    let path = PathBuf::from(path);
    if is_start {
        read(&path, &runtime.state(region));
    } else {
        write(&path, &runtime.state(region));
    }
    *KEEPER.lock().unwrap_or_else(PoisonError::into_inner) = Some((std::process::id(), path));
}

/// The process ends. Children run this too, and must not write.
unsafe extern "C" fn end(_: *mut c_void) -> ffi::apr_status_t {
    super::guard::guard((), || {
        let keeper = KEEPER.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((pid, path)) = keeper else { return };
        if pid == std::process::id()
            && let Some((runtime, region)) = lifecycle::in_force_with_region()
        {
            write(&path, &runtime.state(region));
        }
    });
    0
}

fn read(path: &Path, state: &State<'_>) {
    let kept = state.plan.sites.iter().any(|site| site.persist);
    let text = match fs::read_to_string(path) {
        _ if !kept => return,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        text => text,
    };
    let problem = match text.map(|text| snapshot::restore(state, &text)) {
        Ok(Some(_)) => return,
        Ok(None) => "it is not a file of this version".to_owned(),
        Err(error) => error.to_string(),
    };
    log::server(
        log::ERROR,
        &format!("MGY0911: the state of balancers was not read from {}: {problem}", path.display()),
    );
}

/// A file of another name takes its place when it is whole.
fn write(path: &Path, state: &State<'_>) {
    let Some(text) = snapshot::write(state) else { return };
    let draft = path.with_extension("state.new");
    let written = fs::remove_file(&draft)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .and_then(|()| OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft))
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&draft, path));
    if let Err(error) = written {
        log::server(
            log::ERROR,
            &format!("MGY0910: the state of balancers was not written to {}: {error}", path.display()),
        );
    }
}

impl Runtime {
    /// All of the state, seen from outside of requests.
    fn state<'s>(&'s self, region: &'s Region) -> State<'s> {
        State {
            plan: &self.plan,
            region,
            bindings: self.bindings(),
            site: SiteId(0),
            threads: 0,
            now: SystemClock.now(),
        }
    }
}
