// SPDX-License-Identifier: Apache-2.0
//! The thread that writes: the disk may be slow, and nobody waits for it.

use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::record::Batch;
use super::{Vault, VaultError};

/// What came of a batch.
pub type Written = Result<(), VaultError>;

/// Writes one batch after the other.
#[derive(Debug)]
pub struct Writer {
    batches: Option<std::sync::mpsc::Sender<Batch>>,
    /// One answer for each batch, in order.
    pub done: mpsc::UnboundedReceiver<Written>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn start(mut vault: Box<dyn Vault>) -> std::io::Result<Writer> {
        let (batches, inbox) = std::sync::mpsc::channel::<Batch>();
        let (answers, done) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name("vault".to_owned()).spawn(move || {
            while let Ok(batch) = inbox.recv() {
                if answers.send(vault.write(&batch)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Writer { batches: Some(batches), done, thread: Some(thread) })
    }

    /// Hands over a batch. The caller keeps to one at a time: what changes meanwhile makes the next.
    pub fn write(&self, batch: Batch) {
        if let Some(batches) = &self.batches {
            let _ = batches.send(batch);
        }
    }

    /// Waits until everything is written.
    pub fn finish(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}
