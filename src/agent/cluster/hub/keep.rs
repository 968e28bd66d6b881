// SPDX-License-Identifier: Apache-2.0
//! What is handed to the vault, and what becomes of it.

use tracing::{debug, error, info};

use super::Hub;
use crate::agent::now;
use crate::agent::vault;

/// Bytes that are written at once, roughly: more would only be held twice while the disk is slow.
const GROUP: usize = 1 << 20;

impl Hub {
    pub(super) fn has_to_write(&self) -> bool {
        self.writing.is_none()
            && (self.about_changed || self.replica.has_changes())
            && (self.retry_vault_at == 0 || now() >= self.retry_vault_at)
    }

    pub(super) fn commit(&mut self) {
        let changes = self.replica.take_changes(GROUP);
        let mut batch = vault::Batch::of(&changes, &self.replica);
        // How long sessions are kept after everybody's death hangs on it.
        let reports = self.replica.reports_requests();
        let is_news = std::mem::replace(&mut self.about.reports_requests, reports) != reports;
        if std::mem::take(&mut self.about_changed) || is_news {
            self.about.last_running = now();
            batch.about = Some(self.about.clone());
        }
        self.writing = Some(changes);
        self.vault.write(batch);
    }

    pub(super) fn written(&mut self, written: vault::Written) {
        let changes = self.writing.take();
        match written {
            Ok(()) => {
                self.retry_vault_at = 0;
                if !self.replica.has_changes() {
                    debug!("everything is in the vault");
                }
                if self.health.vault_trouble.take().is_some() {
                    info!("sessions are written to the vault again");
                }
            }
            Err(trouble) => {
                let text = trouble.to_string();
                if self.health.vault_trouble.as_ref() != Some(&text) {
                    error!(error = %text, "sessions are kept in memory only");
                }
                self.health.vault_trouble = Some(text);
                self.retry_vault_at = now() + 1_000;
                self.about_changed = true;
                if let Some(changes) = changes {
                    self.replica.give_back(changes);
                }
            }
        }
    }
}
