// SPDX-License-Identifier: Apache-2.0
//! `margay sessions export` and `import`: what a Tomcat without cluster keeps, StandardManager's SESSIONS.ser and the folder of
//! FileStore.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::arguments::Format;
use super::error::CliError;
use super::list::{Source, load};
use crate::agent::control::read_stored_bytes;
use crate::agent::control::{Answer, Question, Stored, from_hexadecimal, stored, to_hexadecimal};
use crate::agent::now;
use crate::agent::replica::{Key, Limits, Replica};
use crate::agent::vault::{Batch, Store, Vault};
use crate::wire::cluster::{SessionState, read_all_stored, read_stored, write_all_stored, write_stored};
use crate::wire::stream::{Verdicts, decode_utf8, encode_utf8};

/// Bytes of one value: what a file holds was in a Tomcat's memory before.
const LIMIT: usize = 1 << 30;
/// How FileStore names its files.
const ENDING: &str = ".session";

pub(super) fn export(source: &Source, format: Format, context: &str, to: &Path) -> Result<(), CliError> {
    let all = exported(source, context)?;
    let count = all.len();
    let unread = all.iter().filter(|session| session.unreadable_changes > 0).count();
    match format {
        Format::SessionsSer => write_one(&all, to)?,
        Format::FileStore => write_folder(&all, to)?,
    }
    println!("{count} sessions of {context} were written to {}.", to.display());
    if count == 0 {
        eprintln!("margay: no session has the context {context}; margay status lists those that there are");
    }
    if unread > 0 {
        eprintln!(
            "margay: {unread} of them have changes that only the application can read; these are not in what was written"
        );
    }
    Ok(())
}

fn exported(source: &Source, context: &str) -> Result<Vec<Stored>, CliError> {
    match source {
        Source::Agent(agent) => {
            let mut all = Vec::new();
            agent.ask(&Question::Export { context: context.to_owned() }, |answer| {
                if let Answer::Stored(stored) = answer {
                    all.push(stored);
                }
            })?;
            Ok(all)
        }
        Source::Vault(path) => {
            let name = encode_utf8(context);
            let all = load(path)?;
            Ok(all
                .iter()
                .filter(|(key, _)| *key.context == *name)
                .map(|(key, kept)| stored(&key.id, kept))
                .collect())
        }
    }
}

fn bytes(session: &Stored) -> Result<Vec<u8>, CliError> {
    from_hexadecimal(&session.stored)
        .ok_or_else(|| CliError::Other("the agent's answer cannot be read".to_owned()))
}

fn write_one(all: &[Stored], to: &Path) -> Result<(), CliError> {
    let mut states: Vec<SessionState> = Vec::with_capacity(all.len());
    for session in all {
        let state = read_stored(&bytes(session)?, &mut Verdicts::default(), LIMIT);
        states.push(state.map_err(|error| CliError::Other(format!("a session cannot be written: {error}")))?);
    }
    write_new(to, &write_all_stored(states.iter()))
}

fn write_folder(all: &[Stored], to: &Path) -> Result<(), CliError> {
    // Ids came over the network.
    if let Some(bad) = all.iter().find(|session| !is_file_name(&session.id)) {
        let why = format!("the session id {:?} makes no file name; use --format sessions.ser", bad.id);
        return Err(CliError::Other(why));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(|error| CliError::file(to, error))?;
    for session in all {
        write_new(&to.join(format!("{}{ENDING}", session.id)), &bytes(session)?)?;
    }
    Ok(())
}

fn is_file_name(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+!~".contains(&byte);
    !id.is_empty() && !id.starts_with('.') && id.bytes().all(is_plain)
}

/// For its owner only, never in the place of something else.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| CliError::file(path, error))
}

pub(super) fn import(source: &Source, format: Format, context: &str, from: &Path) -> Result<(), CliError> {
    let states = match format {
        Format::SessionsSer => {
            let bytes = fs::read(from).map_err(|error| CliError::file(from, error))?;
            read_all_stored(&bytes, &mut Verdicts::default(), LIMIT)
                .map_err(|error| unreadable(from, &error))?
        }
        Format::FileStore => read_folder(from)?,
    };
    let count = states.len();
    let known = match source {
        Source::Agent(agent) => {
            let stored = |state: &SessionState| Stored {
                id: decode_utf8(&state.id),
                stored: to_hexadecimal(&write_stored(state)),
                unreadable_changes: 0,
            };
            let sessions: Vec<_> = states.iter().map(stored).collect();
            let question = Question::Import { context: context.to_owned(), sessions: count };
            let mut already = 0;
            agent.ask_with(&question, &sessions, |answer| {
                if let Answer::Imported { known, .. } = answer {
                    already = known;
                }
            })?;
            already
        }
        Source::Vault(path) => import_into(path, context, &states)?,
    };
    println!("{} sessions of {context} were taken from {}.", count - known, from.display());
    if known > 0 {
        eprintln!("margay: {known} were known already and stay as they are");
    }
    Ok(())
}

fn unreadable(path: &Path, error: &crate::wire::cluster::ClusterError) -> CliError {
    CliError::Other(format!("{}: no sessions of a Tomcat: {error}", path.display()))
}

fn read_folder(folder: &Path) -> Result<Vec<SessionState>, CliError> {
    let failed = |error| CliError::file(folder, error);
    let mut states = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !path.to_string_lossy().ends_with(ENDING) {
            continue;
        }
        let bytes = fs::read(&path).map_err(|error| CliError::file(&path, error))?;
        let state = read_stored(&bytes, &mut Verdicts::default(), LIMIT);
        states.push(state.map_err(|error| unreadable(&path, &error))?);
    }
    Ok(states)
}

/// Answers how many sessions were known.
fn import_into(vault: &Path, context: &str, states: &[SessionState]) -> Result<usize, CliError> {
    let mut store = Store::open(vault)?;
    let mut replica = Replica::new(Limits { value: LIMIT, total: usize::MAX, ..Limits::default() });
    for (key, kept) in store.load()?.sessions {
        replica.restore(key, kept);
    }
    let (context, now) = (encode_utf8(context), now());
    let mut known = 0;
    for state in states {
        let (id, kept) = read_stored_bytes(&write_stored(state), LIMIT, now)
            .map_err(|error| CliError::Other(error.to_string()))?;
        known += usize::from(!replica.import(Key::new(&context, &id), kept, now));
    }
    let changes = replica.take_changes(usize::MAX);
    store.write(&Batch::of(&changes, &replica))?;
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::stream::Value;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("margay-archive-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn states() -> Vec<SessionState> {
        let state = |id: &str| {
            let mut state = SessionState::new(id.into(), 1_700_000_000_000, 1800);
            state.attributes = vec![(b"cart".to_vec(), Value::string(b"three things"))];
            state
        };
        vec![state("AA.node1"), state("BB.node2")]
    }

    #[test]
    fn what_is_imported_into_a_vault_can_be_exported_in_both_formats() {
        let folder = folder("both");
        let first = folder.join("SESSIONS.ser");
        fs::write(&first, write_all_stored(states().iter())).unwrap();
        let source = Source::Vault(folder.join("vault"));
        import(&source, Format::SessionsSer, "localhost#/app", &first).unwrap();
        let store = folder.join("store");
        export(&source, Format::FileStore, "localhost#/app", &store).unwrap();
        assert!(store.join("AA.node1.session").exists());
        let again = Source::Vault(folder.join("vault2"));
        import(&again, Format::FileStore, "localhost#/app", &store).unwrap();
        let last = folder.join("again.ser");
        export(&again, Format::SessionsSer, "localhost#/app", &last).unwrap();
        let bytes = fs::read(&last).unwrap();
        let read = read_all_stored(&bytes, &mut Verdicts::default(), LIMIT).unwrap();
        let mut ids: Vec<_> = read.iter().map(|state| state.id.clone()).collect();
        ids.sort();
        assert_eq!(ids, [b"AA.node1".to_vec(), b"BB.node2".to_vec()]);
        assert_eq!(read[0].attributes, states()[0].attributes);
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = folder("there");
        let file = folder.join("SESSIONS.ser");
        fs::write(&file, "mine").unwrap();
        assert!(write_new(&file, b"ours").is_err());
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn ids_from_the_network_leave_no_folder() {
        for id in ["", "../etc/passwd", "a/b", ".hidden", "a\0b"] {
            assert!(!is_file_name(id), "{id:?}");
        }
        assert!(is_file_name("0123456789ABCDEF.node1"));
    }
}
