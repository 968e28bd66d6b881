// SPDX-License-Identifier: Apache-2.0
//! Parallel clients that ask until told to stop, and remember what failed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::{Client, Response};
use super::{PATIENCE, wait_until};

/// What one client does in a round; an error text is a failed request.
pub type Round = dyn Fn(&mut Client) -> Result<(), String> + Send + Sync;

/// Running clients.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<String>>>,
    slowest: Arc<Mutex<Duration>>,
    threads: Vec<JoinHandle<()>>,
}

/// What a load came to.
#[derive(Debug)]
pub struct Outcome {
    pub requests: u64,
    pub failures: Vec<String>,
    pub slowest: Duration,
}

impl Load {
    /// `clients` threads, each with a cookie-keeping client of its own, repeat `round`.
    pub fn start(
        clients: usize,
        address: SocketAddr,
        round: impl Fn(&mut Client) -> Result<(), String> + Send + Sync + 'static,
    ) -> Load {
        let mut load = Load {
            stop: Arc::default(),
            done: Arc::default(),
            failures: Arc::default(),
            slowest: Arc::default(),
            threads: Vec::new(),
        };
        let round: Arc<Round> = Arc::new(round);
        for _ in 0..clients {
            let (stop, done) = (load.stop.clone(), load.done.clone());
            let (failures, slowest) = (load.failures.clone(), load.slowest.clone());
            let round = round.clone();
            load.threads.push(std::thread::spawn(move || {
                let mut client = Client::with_cookies(address);
                while !stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    if let Err(text) = round(&mut client) {
                        failures.lock().expect("no panic while held").push(text);
                    }
                    let mut worst = slowest.lock().expect("no panic while held");
                    *worst = (*worst).max(start.elapsed());
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        load
    }

    /// How many rounds are done.
    pub fn requests(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until `count` more rounds are done.
    pub fn wait_for_more(&self, count: u64) {
        let goal = self.requests() + count;
        wait_until("the load to go on", PATIENCE, || self.requests() >= goal);
    }

    pub fn stop(mut self) -> Outcome {
        self.end();
        Outcome {
            requests: self.requests(),
            failures: std::mem::take(&mut self.failures.lock().expect("no panic while held")),
            slowest: *self.slowest.lock().expect("no panic while held"),
        }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a round does not panic");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A complete 200, or the text of what it was.
pub fn expect_ok(result: std::io::Result<Response>) -> Result<Response, String> {
    match result {
        Ok(response) if response.status == 200 && response.complete => Ok(response),
        Ok(response) => Err(format!("status {}, complete: {}", response.status, response.complete)),
        Err(error) => Err(format!("no response: {error}")),
    }
}
