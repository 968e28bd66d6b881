// SPDX-License-Identifier: Apache-2.0
//! Traffic that does not wait for answers before it goes on: each request has its moment, and is late from then on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::{Client, Response};
use super::load::expect_ok;
use super::{PATIENCE, wait_until};

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// When it was due.
    pub due: Instant,
    /// From then until its answer was complete.
    pub took: Duration,
    /// A complete 200, or what it was.
    pub answer: Result<Response, String>,
}

impl Asked {
    fn end(&self) -> Instant {
        self.due + self.took
    }

    /// What of its time no request of `witnesses` waited at the same time.
    ///
    /// A machine that has no processor to spare delays those as well: what they waited is not the fault of what only this one met.
    pub fn own_delay(&self, witnesses: &[Asked]) -> Duration {
        let meets = |other: &&Asked| other.due <= self.end() && self.due <= other.end();
        let shared = witnesses.iter().filter(meets).map(|other| other.took).max().unwrap_or_default();
        self.took.saturating_sub(shared)
    }
}

/// Clients with a connection each that is kept, and cookies.
pub struct Steady {
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Asked>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Steady {
    /// Each client asks for `target` every `period`.
    pub fn start(
        clients: impl IntoIterator<Item = Client>,
        target: &'static str,
        period: Duration,
    ) -> Steady {
        let mut steady = Steady { stop: Arc::default(), asked: Arc::default(), threads: Vec::new() };
        for mut client in clients {
            let (stop, asked) = (steady.stop.clone(), steady.asked.clone());
            steady.threads.push(std::thread::spawn(move || {
                let mut due = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let answer = expect_ok(client.get(target));
                    let one = Asked { due, took: due.elapsed(), answer };
                    asked.lock().expect("no panic while held").push(one);
                    due += period;
                }
            }));
        }
        steady
    }

    /// Waits until `count` more are answered.
    pub fn wait_for_more(&self, count: usize) {
        let answered = || self.asked.lock().expect("no panic while held").len();
        let goal = answered() + count;
        wait_until("the traffic to go on", PATIENCE, || answered() >= goal);
    }

    /// All requests, in the order of their moments.
    pub fn stop(mut self) -> Vec<Asked> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client does not panic");
        }
        let mut asked = std::mem::take(&mut *self.asked.lock().expect("no panic while held"));
        asked.sort_by_key(|one| one.due);
        asked
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
