// SPDX-License-Identifier: Apache-2.0
//! `margay agent --check`: what the configuration means here, and whether it can work.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::agent::read;
use super::error::CliError;
use super::table::size;
use crate::agent::settings::{Receiver, Settings, StaticClass};
use crate::agent::start;
use crate::agent::vault::{Store, VaultError};

/// Prints what each part means; all problems are named before it fails.
pub(super) fn check(config: Option<&Path>) -> Result<(), CliError> {
    let settings = read(config)?;
    let name = config.map_or_else(|| "Tomcat's defaults".to_owned(), |path| path.display().to_string());
    let mut rows = Vec::new();
    let mut problems = Vec::new();
    let mut row = |name: &'static str, answer: Result<String, String>| match answer {
        Ok(text) => rows.push((name, text)),
        Err(why) => problems.push(why),
    };
    let address = start::address(&settings);
    if let Ok((address, _)) = &address {
        row("Ports", ports(*address, &settings.receiver));
    }
    row(
        "Address",
        address.map(|(address, why)| format!("{address}: {why}")).map_err(|error| error.to_string()),
    );
    row("Members", Ok(group(&settings)));
    row("Messages", messages(&settings));
    row("Vault", vault(&settings));
    row("Control", Ok(settings.control.socket.display().to_string()));
    rows.sort_by_key(|(name, _)| {
        ["Address", "Ports", "Members", "Messages", "Vault"]
            .iter()
            .position(|known| known == name)
            .unwrap_or(9)
    });
    for (name, text) in &rows {
        println!("{name:<10}{text}");
    }
    match problems.as_slice() {
        [] => {
            println!("{name}: the agent can run.");
            Ok(())
        }
        all => Err(CliError::Other(format!("{name}: {}", all.join(&format!("\nmargay: {name}: "))))),
    }
}

fn group(settings: &Settings) -> String {
    let membership = &settings.membership;
    let mut text = String::new();
    if membership.multicast {
        text = format!(
            "group {}:{}, a beacon every {} ms, silent for {} ms means dead",
            membership.address, membership.port, membership.frequency, membership.drop_time
        );
    }
    for member in &membership.members {
        let separator = if text.is_empty() { "" } else { "; " };
        text.push_str(&format!("{separator}static {}:{}", member.host, member.port));
    }
    if !membership.members.is_empty() {
        text.push_str(match membership.class {
            StaticClass::Interceptor => " (StaticMembershipInterceptor)",
            StaticClass::Service => " (StaticMembershipService)",
        });
    }
    if !membership.domain.bytes.is_empty() {
        text.push_str(&format!("; only of domain {}", membership.domain.text));
    }
    text
}

fn ports(address: IpAddr, receiver: &Receiver) -> Result<String, String> {
    let mut last = None;
    for offset in 0..receiver.auto_bind.max(1) {
        let Some(port) = receiver.port.checked_add(offset) else { break };
        match TcpListener::bind(SocketAddr::new(address, port)) {
            Ok(_) => {
                return Ok(format!(
                    "{port} is the first free one of {} from {}",
                    receiver.auto_bind.max(1),
                    receiver.port
                ));
            }
            Err(error) => last = Some(error),
        }
    }
    let error = last.map_or_else(|| "none to try".to_owned(), |error| error.to_string());
    Err(format!(
        "[receiver] port {}: none of {} from there can be listened on at {address}: {error}",
        receiver.port,
        receiver.auto_bind.max(1)
    ))
}

fn messages(settings: &Settings) -> Result<String, String> {
    let cipher = settings.cipher().map_err(|error| error.to_string())?;
    let names: Vec<String> =
        settings.interceptors().iter().map(|interceptor| format!("{interceptor:?}")).collect();
    let names = if names.is_empty() { "as they are".to_owned() } else { names.join(", ") };
    let Some((_, encryption)) = cipher.zip(settings.encryption.as_ref()) else { return Ok(names) };
    let form = if encryption.timestamp { "with the time in front" } else { "without the time in front" };
    Ok(format!("{names}; {} {form}, the key can be read", encryption.encryption_algorithm))
}

fn vault(settings: &Settings) -> Result<String, String> {
    let path = &settings.vault.path;
    let nearest = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let why = |error: &dyn std::fmt::Display| format!("[vault] path {}: {error}", path.display());
    if path.exists() && !path.is_dir() {
        return Err(why(&"it is a file; a vault is a folder"));
    }
    if !nearest.is_dir() {
        return Err(why(&format_args!("{} is no folder", nearest.display())));
    }
    access(nearest, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|error| why(&format!("{} cannot be written: {}", nearest.display(), error.desc())))?;
    let about = statvfs(nearest).map_err(|error| why(&error.desc()))?;
    let free = about.blocks_available().saturating_mul(about.fragment_size());
    let state = match path.exists() {
        false => "would be new".to_owned(),
        true => match Store::open_existing(path) {
            Ok(_) => "is there".to_owned(),
            Err(VaultError::Held { .. }) => "is in use by an agent that runs now".to_owned(),
            Err(error) => return Err(error.to_string()),
        },
    };
    let most = settings.vault.max_size;
    let warning = if free < most { "; that is less than maxSize" } else { "" };
    Ok(format!(
        "{} {state}; at most {}, free on its disk {}{warning}",
        path.display(),
        size(most),
        size(free)
    ))
}
