// SPDX-License-Identifier: Apache-2.0
//! What the end-to-end tests share: a real httpd, real Tomcats, scripted AJP peers and an HTTP client.
//!
//! Every server started here lives in a folder of its own under `target/e2e`, is ended by its process id when the
//! value that stands for it is dropped, and listens on loopback only.
#![allow(dead_code)] // each test file is a program of its own and uses a part of this

pub mod agent;
pub mod ajp_peer;
pub mod ajp_text;
pub mod black_hole;
pub mod browser;
pub mod client;
pub mod cluster;
pub mod fault;
pub mod http_peer;
pub mod httpd;
pub mod jk;
pub mod load;
pub mod log;
pub mod manager;
pub mod network;
pub mod node;
pub mod pair;
pub mod process;
pub mod steady;
pub mod tls;
pub mod tomcat;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// How long a condition may take before a test gives up. Generous: the machine may be busy with other builds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds.
///
/// # Panics
/// After `limit`, naming `what`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The folder cargo put this build into: `target/debug` or `target/release`.
pub fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of this program");
    let dir = exe.parent().expect("a folder");
    match dir.file_name().and_then(|name| name.to_str()) {
        Some("deps" | "examples") => dir.parent().expect("a folder").to_path_buf(),
        _ => dir.to_path_buf(),
    }
}

/// The root of the source tree.
pub fn source_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A new empty folder `target/e2e/<name>-<pid>-<n>` for a server that Ctrl-C ends together with the test.
pub fn scratch_dir(name: &str) -> PathBuf {
    process::end_servers_when_interrupted();
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let root = profile_dir().parent().expect("the target folder").join("e2e");
    let dir = root.join(format!("{name}-{}-{number}", network::run_id()));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).expect("an old folder of ours can be removed");
    }
    std::fs::create_dir_all(&dir).expect("a folder below target");
    dir
}

/// A file of the recorded AJP conversations, unpacked when it is stored as `.gz`.
pub fn vector(path: &str) -> Option<Vec<u8>> {
    let path = path.strip_suffix(".gz").unwrap_or(path);
    let file = source_dir().join("tests/vectors/ajp").join(path);
    if let Ok(bytes) = std::fs::read(&file) {
        return Some(bytes);
    }
    let packed = std::fs::read(file.with_file_name(format!("{}.gz", file.file_name()?.to_str()?))).ok()?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut bytes).ok()?;
    Some(bytes)
}

/// Something expensive that the tests of one file share: made by the first, ended with the last that holds it.
///
/// A plain static would never be dropped, and its servers would outlive the test program.
pub struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    pub const fn new() -> Shared<T> {
        Shared(Mutex::new(Weak::new()))
    }

    /// The one that is there, or a new one.
    pub fn get(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut slot = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(value) = slot.upgrade() {
            return value;
        }
        let value = Arc::new(make());
        *slot = Arc::downgrade(&value);
        value
    }
}
