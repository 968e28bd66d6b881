// SPDX-License-Identifier: Apache-2.0
//! The socket where an agent that runs as a service of its own asks for the shared memory (`MargayAgentSocket`).
//!
//! The parent makes it, while it has the rights to; its children answer, each with a thread that waits for connections. Whoever may
//! connect is decided twice: by the rights of the file, and by the user at the other end.

use std::ffi::{CString, c_void};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};

use super::{ffi, log, pool};
use crate::config::agent::{AgentPlan, AgentSocket};
use crate::shared::{Link, Region};

/// So many agents at once are more than anybody has.
const AGENTS: usize = 8;

#[derive(Debug)]
struct Door {
    written: AgentSocket,
    path: PathBuf,
    owner: u32,
    listener: UnixListener,
    /// Who may ask besides root and the user of this process.
    user: Option<u32>,
}

static DOOR: Mutex<Option<Arc<Door>>> = Mutex::new(None);

/// Opens the socket, or closes it, as the configuration says.
///
/// # Safety
/// httpd's own argument of `post_config`, in the parent.
pub(super) unsafe fn follow(main: *mut ffi::server_rec, plan: &AgentPlan) {
    let mut door = DOOR.lock().unwrap_or_else(PoisonError::into_inner);
    if door.as_ref().map(|door| &door.written) == plan.socket.as_ref() {
        return;
    }
    if let Some(old) = door.take() {
        let _ = fs::remove_file(&old.path);
    }
    let Some(written) = &plan.socket else { return };
    // SAFETY: the server and its process live as long as the parent; the text is copied.
    let path = unsafe {
        let process = (*main).process;
        pool::at_end((*process).pool, ptr::null_mut(), end);
        let name = CString::new(written.path.as_str()).unwrap_or_default();
        PathBuf::from(pool::string(ffi::ap_runtime_dir_relative((*process).pconf, name.as_ptr())))
    };
    match open(written, path.clone()) {
        Ok(opened) => *door = Some(Arc::new(opened)),
        Err(error) => log::main_server(
            log::ERROR,
            &format!(
                "MGY0935: no agent can ask for the memory at {}: {error}. MargayAgentSocket names a socket in a folder that exists",
                path.display()
            ),
        ),
    }
}

fn open(written: &AgentSocket, path: PathBuf) -> io::Result<Door> {
    let user =
        match &written.user {
            None => None,
            Some(name) => Some(user_id(name).ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, format!("there is no user {name:?}"))
            })?),
        };
    // One that an earlier run left.
    if fs::symlink_metadata(&path).is_ok_and(|data| data.file_type().is_socket()) {
        fs::remove_file(&path)?;
    }
    let listener = UnixListener::bind(&path)?;
    give(&path, user)?;
    Ok(Door { written: written.clone(), path, owner: std::process::id(), listener, user })
}

/// The file is the agent's user's, or that of httpd's children.
fn give(path: &Path, user: Option<u32>) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    // SAFETY: a plain question; httpd's own value, which does not change any more.
    let (is_root, children) = unsafe { (libc::geteuid() == 0, ffi::ap_unixd_config.user_id) };
    if is_root { chown(path, Some(user.unwrap_or(children)), None) } else { Ok(()) }
}

fn user_id(name: &str) -> Option<u32> {
    if let Ok(number) = name.trim_start_matches('#').parse() {
        return Some(number);
    }
    let name = CString::new(name).ok()?;
    // SAFETY: the name is a text; the parent has one thread, so nobody else asks meanwhile.
    unsafe { libc::getpwnam(name.as_ptr()).as_ref() }.map(|user| user.pw_uid)
}

/// The parent ends. Children run this too.
unsafe extern "C" fn end(_: *mut c_void) -> ffi::apr_status_t {
    super::guard::guard((), || {
        let door = DOOR.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(door) = door.filter(|door| door.owner == std::process::id()) {
            let _ = fs::remove_file(&door.path);
        }
    });
    0
}

/// Answers in this child, for the rest of its life.
pub(super) fn serve(region: &'static Region) {
    let Some(door) = DOOR.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
    // httpd's signals are for its own threads; ours inherits the mask of the one that starts it.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let started =
        thread::Builder::new().name("margay-agents".to_owned()).spawn(move || answer_all(&door, region));
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    if let Err(error) = started {
        let text =
            format!("MGY0936: no thread for agents that ask for the memory; others may answer: {error}");
        log::main_server(log::WARNING, &text);
    }
}

fn answer_all(door: &Door, region: &Region) {
    // An agent knows by the end of the connection that it has to ask again, so connections stay open.
    let mut links: Vec<Link> = Vec::new();
    loop {
        let Ok((stream, _)) = door.listener.accept() else {
            thread::sleep(Duration::from_secs(1));
            continue;
        };
        let link = Link::of(stream);
        if link.peer_user().is_ok_and(|user| may_ask(door, user)) && link.send_region(region).is_ok() {
            if links.len() == AGENTS {
                links.remove(0);
            }
            links.push(link);
        }
    }
}

fn may_ask(door: &Door, user: u32) -> bool {
    // SAFETY: a plain question.
    user == 0 || user == unsafe { libc::geteuid() } || door.user == Some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_known_by_name_and_number() {
        assert_eq!(user_id("root"), Some(0));
        assert_eq!(user_id("#12"), Some(12));
        assert_eq!(user_id("nobody of that name"), None);
    }
}
