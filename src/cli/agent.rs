// SPDX-License-Identifier: Apache-2.0
//! `margay agent`.

use std::path::Path;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::error::CliError;
use crate::agent::health::Way;
use crate::agent::settings::Settings;
use crate::agent::start;
use crate::agent::vault::{Store, Vault, VaultError};

/// Runs the agent until it is told to stop. `recover`: a damaged vault is moved aside first; `httpd`: the descriptor that an httpd
/// which started us left open; `after`: seconds to wait first.
pub(super) fn run(
    config: Option<&Path>,
    recover: bool,
    httpd: Option<i32>,
    after: u64,
) -> Result<(), CliError> {
    std::thread::sleep(Duration::from_secs(after));
    let settings = read(config)?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&settings.log.level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    if recover {
        recover_vault(&settings.vault.path)?;
    }
    let way = match (httpd, &settings.control.httpd) {
        (Some(number), _) => Way::Inherited(number),
        (None, Some(path)) => Way::Socket(path.clone()),
        (None, None) => Way::None,
    };
    Ok(start::run(settings, way)?)
}

pub(super) fn read(config: Option<&Path>) -> Result<Settings, CliError> {
    match config {
        Some(path) => Ok(start::read_settings(path)?),
        None => Ok(Settings::default()),
    }
}

/// A vault that can be read stays.
fn recover_vault(path: &Path) -> Result<(), CliError> {
    match Store::open(path).and_then(|mut store| store.load()) {
        Ok(_) => tracing::info!(vault = %path.display(), "the vault is not damaged and stays"),
        Err(VaultError::Damaged { why, .. }) => {
            let aside = Store::move_aside(path, crate::agent::now())?;
            tracing::warn!(aside = %aside.display(), %why, "the damaged vault was moved aside");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
