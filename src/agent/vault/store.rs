// SPDX-License-Identifier: Apache-2.0
//! The vault in one file, by redb: every write is whole or not there, whatever happens meanwhile.

use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use super::record::{Batch, SessionWrite, read_head};
use super::{About, Loaded, Vault, VaultError};
use crate::agent::replica::Key;
use crate::wire::stream::Value;

const SESSIONS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("sessions");
const ATTRIBUTES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("attributes");
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");

/// A vault in a file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// `None` after a failed write: redb takes no more until it is opened again.
    database: Option<Database>,
}

impl Store {
    /// Opens the file, or makes it, readable by its owner only.
    ///
    /// # Errors
    /// Another agent has it, or the system refuses.
    pub fn open(path: &Path) -> Result<Store, VaultError> {
        let failed = |why: String| VaultError::Open { path: PathBuf::from(path), why };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        }
        private(path).map_err(|error| failed(error.to_string()))?;
        Ok(Store { path: path.to_owned(), database: Some(database(path)?) })
    }
}

fn database(path: &Path) -> Result<Database, VaultError> {
    Database::create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => VaultError::Held { path: PathBuf::from(path) },
        error => VaultError::Open { path: PathBuf::from(path), why: error.to_string() },
    })
}

/// Session contents are like passwords.
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

fn unreadable(error: impl std::fmt::Display) -> VaultError {
    VaultError::Read { why: error.to_string() }
}

fn unwritten(error: impl std::fmt::Display) -> VaultError {
    VaultError::Write { why: error.to_string() }
}

impl Vault for Store {
    fn load(&mut self) -> Result<Loaded, VaultError> {
        let mut loaded = Loaded::default();
        let database = self.database.as_ref().ok_or_else(|| unreadable("it is closed"))?;
        let transaction = database.begin_read().map_err(unreadable)?;
        let Ok(about) = transaction.open_table(ABOUT) else { return Ok(loaded) };
        if let Some(bytes) = about.get("about").map_err(unreadable)? {
            loaded.about = postcard::from_bytes(bytes.value()).ok();
        }
        let (Ok(sessions), Ok(attributes)) =
            (transaction.open_table(SESSIONS), transaction.open_table(ATTRIBUTES))
        else {
            return Ok(loaded);
        };
        for entry in sessions.iter().map_err(unreadable)? {
            let (key, head) = entry.map_err(unreadable)?;
            let read = read_key(key.value());
            let Some((key, mut kept)) = read
                .and_then(|key| Some((read_head(&key.id, head.value())?, key)))
                .map(|(kept, key)| (key, kept))
            else {
                loaded.damaged += 1;
                continue;
            };
            let prefix = key_of(&key);
            for entry in attributes.range(prefix.as_slice()..).map_err(unreadable)? {
                let (name, value) = entry.map_err(unreadable)?;
                let Some(name) = name.value().strip_prefix(prefix.as_slice()) else { break };
                kept.state.attributes.push((name.to_vec(), Value::from_bytes(value.value().to_vec())));
            }
            loaded.sessions.push((key, kept));
        }
        Ok(loaded)
    }

    fn write(&mut self, batch: &Batch) -> Result<(), VaultError> {
        let open = match self.database.take() {
            Some(open) => open,
            None => database(&self.path)?,
        };
        commit(&open, batch)?;
        self.database = Some(open);
        Ok(())
    }
}

fn commit(database: &Database, batch: &Batch) -> Result<(), VaultError> {
    let transaction = database.begin_write().map_err(unwritten)?;
    {
        let mut sessions = transaction.open_table(SESSIONS).map_err(unwritten)?;
        let mut attributes = transaction.open_table(ATTRIBUTES).map_err(unwritten)?;
        let mut about = transaction.open_table(ABOUT).map_err(unwritten)?;
        for (key, write) in &batch.sessions {
            let key = key_of(key);
            let head = match write {
                SessionWrite::Whole { head, attributes: all } => {
                    remove_below(&mut attributes, &key)?;
                    for (name, value) in all {
                        attributes
                            .insert(below(&key, name).as_slice(), value.as_slice())
                            .map_err(unwritten)?;
                    }
                    Some(head)
                }
                SessionWrite::Parts { head, attributes: some } => {
                    for (name, value) in some {
                        let name = below(&key, name);
                        match value {
                            Some(value) => {
                                attributes.insert(name.as_slice(), value.as_slice()).map_err(unwritten)?
                            }
                            None => attributes.remove(name.as_slice()).map_err(unwritten)?,
                        };
                    }
                    Some(head)
                }
                SessionWrite::Remove => {
                    remove_below(&mut attributes, &key)?;
                    None
                }
            };
            match head {
                Some(head) => sessions.insert(key.as_slice(), head.as_slice()).map_err(unwritten)?,
                None => sessions.remove(key.as_slice()).map_err(unwritten)?,
            };
        }
        if let Some(of_us) = &batch.about {
            let bytes = postcard::to_allocvec::<About>(of_us).map_err(unwritten)?;
            about.insert("about", bytes.as_slice()).map_err(unwritten)?;
        }
    }
    transaction.commit().map_err(unwritten)
}

fn remove_below(
    attributes: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<(), VaultError> {
    let mut end = key.to_vec();
    // A key ends with a zero byte, so that one is the end of everything below it.
    if let Some(last) = end.last_mut() {
        *last = 1;
    }
    attributes.retain_in(key..end.as_slice(), |_, _| false).map_err(unwritten)
}

/// Context and id, each with its length in front, and a zero byte.
fn key_of(key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.context.len() + key.id.len() + 9);
    for part in [&key.context, &key.id] {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.push(0);
    bytes
}

fn below(key: &[u8], name: &[u8]) -> Vec<u8> {
    [key, name].concat()
}

fn read_key(bytes: &[u8]) -> Option<Key> {
    let part = |bytes: &'_ [u8]| -> Option<(Vec<u8>, Vec<u8>)> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        Some((part.to_vec(), rest.to_vec()))
    };
    let (context, rest) = part(bytes)?;
    let (id, rest) = part(&rest)?;
    (rest == [0]).then(|| Key::new(&context, &id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::replica::{Kept, Limits, Replica};
    use crate::wire::cluster::{Action, Change, Delta, Event, SessionMessage, Subject};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("margay-vault-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    fn message(event: Event, id: &str, payload: Option<Vec<u8>>) -> SessionMessage {
        let context = Some(b"localhost#/app".to_vec());
        SessionMessage {
            event,
            context,
            session_id: Some(id.into()),
            unique_id: None,
            time: Some(1),
            payload,
        }
    }

    fn set(id: &str, name: &str, change: Change) -> SessionMessage {
        let action = Action { subject: Some(Subject::Attribute), name: name.into(), change };
        let delta = Delta { session_id: id.into(), records_all: false, actions: vec![action] };
        message(Event::Delta, id, Some(delta.to_bytes()))
    }

    fn keep(store: &mut Store, replica: &mut Replica) {
        let changes = replica.take_changes();
        store.write(&Batch::of(&changes, replica)).unwrap();
    }

    fn sorted(mut sessions: Vec<(Key, Kept)>) -> Vec<(Key, Kept)> {
        for (_, kept) in &mut sessions {
            kept.state.attributes.sort_by(|one, other| one.0.cmp(&other.0));
        }
        sessions.sort_by(|one, other| one.0.cmp(&other.0));
        sessions
    }

    #[test]
    fn what_was_written_is_there_after_opening_it_again() {
        let path = folder("again").join("vault");
        let mut replica = Replica::new(Limits::default());
        let mut store = Store::open(&path).unwrap();
        assert!(store.load().unwrap().sessions.is_empty());
        let value = |text: &str| Change::Set(Value::string(text.as_bytes()));
        for message in [
            message(Event::Created, "a", None),
            set("a", "x", value("1")),
            message(Event::Created, "ab", None),
            set("ab", "x", value("2")),
            message(Event::Created, "c", None),
        ] {
            replica.apply(&message, 7);
        }
        keep(&mut store, &mut replica);
        for message in [
            set("a", "y", value("3")),
            set("a", "x", Change::Remove),
            message(Event::Expired, "c", None),
            message(Event::ChangeId, "ab", Some(SessionMessage::of_new_id(b"b"))),
        ] {
            replica.apply(&message, 9);
        }
        keep(&mut store, &mut replica);
        let about = About { unique_id: [3; 16], last_running: 5, ..About::default() };
        store.write(&Batch { about: Some(about.clone()), ..Batch::default() }).unwrap();
        drop(store);
        let loaded = Store::open(&path).unwrap().load().unwrap();
        assert_eq!((loaded.about, loaded.damaged), (Some(about), 0));
        let kept =
            replica.sessions().map(|(context, kept)| (Key::new(context, &kept.state.id), kept.clone()));
        assert_eq!(sorted(loaded.sessions), sorted(kept.collect()));
    }

    #[test]
    fn a_vault_that_another_agent_has_is_refused() {
        let path = folder("held").join("vault");
        let _first = Store::open(&path).unwrap();
        assert!(matches!(Store::open(&path), Err(VaultError::Held { .. })));
    }

    #[test]
    fn a_vault_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let path = folder("private").join("vault");
        let _store = Store::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn keys_come_back_and_never_run_into_each_other() {
        for (context, id) in [("", ""), ("a", "b"), ("a\0", "b"), ("", "a\0b")] {
            let key = Key::new(context.as_bytes(), id.as_bytes());
            assert_eq!(read_key(&key_of(&key)), Some(key));
        }
        assert_eq!(read_key(b"short"), None);
    }
}
