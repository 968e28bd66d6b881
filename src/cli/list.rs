// SPDX-License-Identifier: Apache-2.0
//! `margay status`, `members`, `sessions list` and `sessions show`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::client::Client;
use super::error::CliError;
use super::table::{plain, short_id, size, span, table};
use crate::agent::control::{Answer, MemberLine, Question, SessionLine, Status, line};
use crate::agent::now;
use crate::agent::replica::{Kept, Key};
use crate::agent::vault::{Store, Vault};

/// Where sessions are.
pub(super) enum Source {
    Agent(Client),
    /// The vault of an agent that does not run.
    Vault(PathBuf),
}

/// Prints; a reader that has seen enough is no failure.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn print_json(what: &impl serde::Serialize) {
    // What goes into JSON here cannot fail to.
    print(&format!("{}\n", serde_json::to_string(what).unwrap_or_default()));
}

pub(super) fn status(agent: &Client, json: bool) -> Result<(), CliError> {
    agent.ask(&Question::Status {}, |answer| {
        if let Answer::Status(status) = answer {
            if json { print_json(&status) } else { print(&status_text(&status)) }
        }
    })
}

fn status_text(status: &Status) -> String {
    let state = match (&status.vault_trouble, status.ready) {
        (Some(_), _) => "keeps sessions in memory only",
        (None, true) => "ready",
        (None, false) => "starting: not all that can be known is known yet",
    };
    let vault = match &status.vault_trouble {
        Some(why) => format!("{}: {}", status.vault, plain(why)),
        None => status.vault.clone(),
    };
    let mut rows = vec![
        ("Agent", format!("{state} (version {}, process {})", status.version, status.pid)),
        ("Address", status.address.clone()),
        ("Runs for", span(status.uptime)),
        ("Members", status.members.to_string()),
        ("Sessions", format!("{} with {}", status.sessions, size(status.bytes as u64))),
        ("Vault", vault),
        ("Unwritten", format!("{} sessions", status.unwritten)),
    ];
    rows.extend(
        status.contexts.iter().map(|of| ("Context", format!("{}: {}", plain(&of.context), of.sessions))),
    );
    rows.iter().map(|(name, value)| format!("{name:<11}{value}\n")).collect()
}

pub(super) fn members(agent: &Client, json: bool) -> Result<(), CliError> {
    let mut all: Vec<MemberLine> = Vec::new();
    agent.ask(&Question::Members {}, |answer| {
        if let Answer::Member(member) = answer {
            all.push(member);
        }
    })?;
    if json {
        all.iter().for_each(print_json);
        return Ok(());
    }
    if all.is_empty() {
        print("No other member was there lately.\n");
        return Ok(());
    }
    let row = |member: &MemberLine| {
        let routes = if member.routes.is_empty() { "-".to_owned() } else { plain(&member.routes.join(", ")) };
        let domain = if member.domain.is_empty() { "-".to_owned() } else { plain(&member.domain) };
        let id = member.id.chars().take(8).collect();
        vec![member.address.clone(), id, routes, domain, span(member.since), member.state.clone()]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    print(&table(&["ADDRESS", "ID", "ROUTE", "DOMAIN", "SINCE", "STATE"], &rows));
    Ok(())
}

/// Everything in the vault of an agent that does not run.
pub(super) fn load(vault: &Path) -> Result<Vec<(Key, Kept)>, CliError> {
    let loaded = Store::open_existing(vault)?.load()?;
    if loaded.damaged > 0 {
        eprintln!("margay: {} records of the vault cannot be read and are left out", loaded.damaged);
    }
    Ok(loaded.sessions)
}

fn find(
    source: &Source,
    context: Option<String>,
    id: Option<String>,
    values: bool,
) -> Result<Vec<SessionLine>, CliError> {
    let mut found = Vec::new();
    match source {
        Source::Agent(agent) => agent.ask(&Question::Sessions { context, id, values }, |answer| {
            if let Answer::Session(session) = answer {
                found.push(session);
            }
        })?,
        Source::Vault(path) => {
            let now = now();
            let all = load(path)?.into_iter().map(|(key, kept)| line(&key, &kept, values, now));
            found.extend(all.filter(|session| {
                context.as_ref().is_none_or(|context| *context == session.context)
                    && id.as_ref().is_none_or(|id| session.id.starts_with(id))
            }));
        }
    }
    Ok(found)
}

fn shorten(sessions: &mut [SessionLine], full_ids: bool) {
    if !full_ids {
        sessions.iter_mut().for_each(|session| session.id = short_id(&session.id));
    }
}

pub(super) fn sessions(
    source: &Source,
    context: Option<String>,
    full_ids: bool,
    json: bool,
) -> Result<(), CliError> {
    let mut all = find(source, context, None, false)?;
    shorten(&mut all, full_ids);
    if json {
        all.iter().for_each(print_json);
        return Ok(());
    }
    if all.is_empty() {
        print("There are no sessions.\n");
        return Ok(());
    }
    let row = |session: &SessionLine| {
        vec![
            plain(&session.context),
            plain(&session.id),
            span(session.age),
            span(session.idle),
            limit(session),
            session.attributes.len().to_string(),
            size(session.bytes as u64),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    print(&table(&["CONTEXT", "SESSION", "AGE", "IDLE", "IDLE LIMIT", "ATTRIBUTES", "SIZE"], &rows));
    Ok(())
}

fn limit(session: &SessionLine) -> String {
    match session.max_inactive {
        ..=0 => "never".to_owned(),
        seconds => span(i64::from(seconds) * 1000),
    }
}

pub(super) fn session(
    source: &Source,
    id: &str,
    context: Option<String>,
    values: bool,
    full_ids: bool,
    json: bool,
) -> Result<(), CliError> {
    // What `list` prints may be given as it is.
    let beginning = id.split('…').next().unwrap_or(id);
    let mut found = find(source, context, Some(beginning.to_owned()), values)?;
    let is_exact = |session: &SessionLine| session.id == id;
    if found.len() > 1 && found.iter().filter(|session| is_exact(session)).count() == 1 {
        found.retain(is_exact);
    }
    shorten(&mut found, full_ids);
    match found.as_slice() {
        [] => Err(CliError::Other(format!("no session begins with {}", plain(beginning)))),
        [session] if json => {
            print_json(session);
            Ok(())
        }
        [session] => {
            print(&session_text(session, values));
            Ok(())
        }
        several => Err(CliError::Other(format!(
            "{} sessions begin with {}; write more of the id, or --context: {}",
            several.len(),
            plain(beginning),
            several
                .iter()
                .take(5)
                .map(|one| format!("{} {}", plain(&one.context), plain(&one.id)))
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

fn session_text(session: &SessionLine, values: bool) -> String {
    let mut rows = vec![
        ("Session", plain(&session.id)),
        ("Context", plain(&session.context)),
        ("Route", plain(session.route.as_deref().unwrap_or("-"))),
        ("Age", span(session.age)),
        ("Idle", format!("{} of {}", span(session.idle), limit(session))),
        ("Logged in", if session.has_principal { "yes" } else { "no" }.to_owned()),
        ("Size", size(session.bytes as u64)),
    ];
    if session.unreadable_changes > 0 {
        let count = session.unreadable_changes;
        rows.push((
            "Unread",
            format!("{count} changes that only the application can read, kept as they came"),
        ));
    }
    let mut text: String = rows.iter().map(|(name, value)| format!("{name:<11}{value}\n")).collect();
    if session.attributes.is_empty() {
        return text;
    }
    text.push('\n');
    let row = |attribute: &crate::agent::control::Attribute| {
        let mut cells = vec![plain(&attribute.name), plain(&attribute.class), size(attribute.bytes as u64)];
        cells.extend(attribute.value.as_deref().map(plain));
        cells
    };
    let rows: Vec<_> = session.attributes.iter().map(row).collect();
    let head: &[&str] =
        if values { &["ATTRIBUTE", "CLASS", "SIZE", "VALUE"] } else { &["ATTRIBUTE", "CLASS", "SIZE"] };
    text.push_str(&table(head, &rows));
    text
}
