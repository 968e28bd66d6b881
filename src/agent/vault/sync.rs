// SPDX-License-Identifier: Apache-2.0
//! Brings what was written to the disk itself, beside the writing: the system keeps it through a death of the agent, but not
//! through one of its own.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use fjall::{Database, PersistMode};

#[derive(Debug, Default)]
struct State {
    is_behind: bool,
    ends: bool,
    trouble: Option<String>,
}

/// A thread that waits for the disk, so that groups need not.
pub(super) struct Sync {
    state: Arc<(Mutex<State>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sync")
    }
}

impl Sync {
    /// # Errors
    /// The system has no thread.
    pub fn start(database: Database) -> std::io::Result<Sync> {
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let shared = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("vault-sync".to_owned()).spawn(move || {
            let (state, changed) = &*shared;
            let mut locked = state.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                while !locked.is_behind && !locked.ends {
                    locked = changed.wait(locked).unwrap_or_else(PoisonError::into_inner);
                }
                if !std::mem::take(&mut locked.is_behind) {
                    return;
                }
                drop(locked);
                let result = database.persist(PersistMode::SyncData);
                locked = state.lock().unwrap_or_else(PoisonError::into_inner);
                locked.trouble = result.err().map(|error| error.to_string());
            }
        })?;
        Ok(Sync { state, thread: Some(thread) })
    }

    /// A group was written. What went wrong with those before is told once.
    ///
    /// # Errors
    /// The disk did not take them.
    pub fn wrote(&self) -> Result<(), String> {
        let (state, changed) = &*self.state;
        let mut locked = state.lock().unwrap_or_else(PoisonError::into_inner);
        locked.is_behind = true;
        changed.notify_one();
        locked.trouble.take().map_or(Ok(()), Err)
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        let (state, changed) = &*self.state;
        state.lock().unwrap_or_else(PoisonError::into_inner).ends = true;
        changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
