// SPDX-License-Identifier: Apache-2.0
//! Where the heartbeats of `lbmethod=heartbeat` are taken from: mod_heartmonitor's shared memory, our own ear, or a file.

use std::ffi::{c_char, c_int, c_void};
use std::fs;
use std::path::PathBuf;
use std::ptr;
use std::time::Duration;

use super::runtime::Child;
use super::{ffi, log, pool};
use crate::base::clock::{Clock, Moment, SystemClock};
use crate::base::key::Key;
use crate::config::heartbeat::Heartbeat;
use crate::config::plan::{Method, Worker};
use crate::shared::{Beat, HEARTBEATS, Heartbeats, key_of_host};
use crate::wire::heartbeat::storage_lines;

/// mod_heartmonitor's file, if nobody names another.
const FILE: &str = "hb.dat";

/// Where a child looks, in this order.
#[derive(Debug)]
pub(super) enum Source {
    /// mod_heartmonitor's slots.
    Slots,
    /// A process of ours listens.
    Ear,
    /// A file that mod_heartmonitor, or anybody, writes.
    File(PathBuf),
}

impl Source {
    /// # Safety
    /// `pool` is a live pool that no other thread uses now.
    pub unsafe fn of(from: &Heartbeat, pool: *mut ffi::apr_pool_t) -> Source {
        // SAFETY: a plain question.
        if unsafe { ffi::margay_heartbeat_is_attached() } != 0 {
            return Source::Slots;
        }
        if from.listen.is_some() {
            return Source::Ear;
        }
        let file = from.storage.as_deref().unwrap_or(FILE);
        // SAFETY: the caller vouches for the pool.
        let path = unsafe {
            let name = pool::text(pool, &[file.as_bytes()]);
            pool::string(ffi::ap_runtime_dir_relative(pool, name))
        };
        Source::File(PathBuf::from(path))
    }
}

/// Brings up to date what is known of members, if the balancer goes by heartbeats. Stock looks at each request too.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn refresh(r: *mut ffi::request_rec, child: &Child, worker: Worker) {
    let Worker::Balancer(id) = worker else { return };
    let world = child.world();
    if child.method(id) != Method::Heartbeat {
        return;
    }
    let (beats, now) = (world.region.heartbeats(), SystemClock.now());
    match child.heartbeats() {
        Some(Source::File(path)) => match fs::read(path) {
            Ok(text) => take_lines(&text, beats, now),
            Err(error) => {
                beats.keep_only(&[]);
                let path = path.display();
                let text = format!(
                    "MGY2008: lb_heartbeat: Unable to read heartbeats at {path}: {error} (AH01213). Write HeartbeatStorage with \
                     the file of mod_heartmonitor, or HeartbeatListen"
                );
                // SAFETY: the caller vouches for `r`.
                unsafe { log::request(r, log::ERROR, &text) };
            }
        },
        // SAFETY: the caller vouches for `r`.
        Some(Source::Slots) => unsafe { take_slots((*r).pool, beats, now) },
        Some(Source::Ear) | None => {}
    }
}

fn take_lines(text: &[u8], beats: &Heartbeats, now: Moment) {
    let mut keys = Vec::new();
    for (host, fields) in storage_lines(text) {
        let age = Duration::from_secs(u64::from(fields.last_seen.unwrap_or(0)));
        let seen = Moment(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
        let beat = Beat { ready: fields.ready.unwrap_or(0), busy: fields.busy.unwrap_or(0), seen };
        keys.push(key_of_host(host));
        beats.note(key_of_host(host), beat, HEARTBEATS, now);
    }
    beats.keep_only(&keys);
}

/// What a look at the slots collects.
struct Visit<'a> {
    beats: &'a Heartbeats,
    now: Moment,
    keys: Vec<Key>,
}

unsafe fn take_slots(pool: *mut ffi::apr_pool_t, beats: &Heartbeats, now: Moment) {
    let mut visit = Visit { beats, now, keys: Vec::new() };
    // SAFETY: the caller vouches for the pool; `visit` outlives the call.
    unsafe { ffi::margay_heartbeat_read(pool, Some(take_slot), ptr::from_mut(&mut visit).cast()) };
    beats.keep_only(&visit.keys);
}

unsafe extern "C" fn take_slot(
    baton: *mut c_void,
    ip: *const c_char,
    ready: c_int,
    busy: c_int,
    seen: ffi::apr_time_t,
) {
    super::guard::guard((), || {
        // SAFETY: `take_slots` hands over a visit, and the shim a C string, for the time of this call.
        let (visit, ip) = unsafe { (&mut *baton.cast::<Visit>(), pool::string(ip)) };
        let number = |number: c_int| u32::try_from(number).unwrap_or(0);
        let seen = Moment(u64::try_from(seen / 1000).unwrap_or(0));
        let beat = Beat { ready: number(ready), busy: number(busy), seen };
        visit.keys.push(key_of_host(&ip));
        visit.beats.note(key_of_host(&ip), beat, HEARTBEATS, visit.now);
    });
}
