// SPDX-License-Identifier: Apache-2.0
//! The vault in a folder, by fjall: a journal that every group of changes goes to, whole or not at all, and sorted files behind it.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use tracing::warn;

use super::record::{Batch, SessionWrite, read_head};
use super::sync::Sync;
use super::torn::Journal;
use super::{About, Loaded, Vault, VaultError};
use crate::agent::replica::{Held, Key, Names};

/// Bytes of blocks that are kept in memory: everything is in the replica, so next to nothing is read.
const CACHE: u64 = 2 << 20;
/// Bytes of changes that wait in memory to be sorted into files, for each kind of record.
const SORTED_AT: u64 = 2 << 20;
/// Sorted files that are merged into one: next to nothing is read, so there may be more of them than usual.
const MERGED_AT: u8 = 12;
/// Bytes of all journals; below this fjall takes none.
const JOURNALS: u64 = 64 << 20;

/// A vault in a folder.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// `None` after a failure: what is in memory and what is on disk may differ, so it is opened anew.
    open: Option<Open>,
}

struct Open {
    /// First, because it must end before the vault is closed.
    sync: Sync,
    database: Database,
    sessions: Keyspace,
    attributes: Keyspace,
    about: Keyspace,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Open")
    }
}

impl Store {
    /// Opens the folder, or makes it, readable by its owner only.
    ///
    /// # Errors
    /// Another agent has it, it is damaged, or the system refuses.
    pub fn open(path: &Path) -> Result<Store, VaultError> {
        let failed =
            |error: std::io::Error| VaultError::Open { path: path.to_owned(), why: error.to_string() };
        let parent = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(parent) = parent {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        if path.is_file() {
            let why = "it is a file; a vault is a folder".to_owned();
            return Err(VaultError::Open { path: path.to_owned(), why });
        }
        // Session contents are like passwords.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
        Ok(Store { path: path.to_owned(), open: Some(open(path)?) })
    }

    /// Opens a folder that is there.
    ///
    /// # Errors
    /// As [`Store::open`], or there is no vault.
    pub fn open_existing(path: &Path) -> Result<Store, VaultError> {
        match path.is_dir() {
            true => Store::open(path),
            false => Err(VaultError::Open { path: path.to_owned(), why: "there is no vault".to_owned() }),
        }
    }

    /// Moves a damaged vault aside, so that an empty one can take its place. Nothing is deleted. Answers where it is now.
    ///
    /// # Errors
    /// The system refuses.
    pub fn move_aside(path: &Path, now: i64) -> Result<PathBuf, VaultError> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{now}"));
        let aside = PathBuf::from(name);
        let failed =
            |error: std::io::Error| VaultError::Open { path: path.to_owned(), why: error.to_string() };
        fs::rename(path, &aside).map_err(failed)?;
        Ok(aside)
    }

    fn damaged(&self, why: impl std::fmt::Display) -> VaultError {
        VaultError::Damaged { path: self.path.clone(), why: why.to_string() }
    }
}

/// Damaged files must not end the agent with a panic of the library that reads them.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, VaultError>) -> Result<T, VaultError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(VaultError::Damaged { path: path.to_owned(), why: "its files contradict each other".to_owned() })
    })
}

/// Opens a vault; one that only its last group keeps from that, without it.
fn open(path: &Path) -> Result<Open, VaultError> {
    let refusal = match open_as_it_is(path) {
        Err(refusal @ VaultError::Damaged { .. }) => refusal,
        result => return result,
    };
    let Ok(Some(journal)) = Journal::newest(path) else { return Err(refusal) };
    if let Some(cut) = journal.last_group
        && journal.cut(cut).is_ok()
        && let Ok(open) = open_as_it_is(path)
    {
        warn!(vault = %path.display(), "the last write to the vault was torn and is left out");
        return Ok(open);
    }
    let _ = journal.restore();
    Err(refusal)
}

fn open_as_it_is(path: &Path) -> Result<Open, VaultError> {
    let refused = |error: fjall::Error| match error {
        fjall::Error::Locked => VaultError::Held { path: path.to_owned() },
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))
            if is_of_system(&error) =>
        {
            VaultError::Open { path: path.to_owned(), why: error.to_string() }
        }
        error => VaultError::Damaged { path: path.to_owned(), why: error.to_string() },
    };
    let options = || {
        let strategy = Leveled::default().with_l0_threshold(MERGED_AT);
        KeyspaceCreateOptions::default().max_memtable_size(SORTED_AT).compaction_strategy(Arc::new(strategy))
    };
    guarded(path, || {
        let builder = Database::builder(path).cache_size(CACHE).max_journaling_size(JOURNALS);
        let database = builder.worker_threads(1).open().map_err(refused)?;
        let keyspace = |name| database.keyspace(name, options).map_err(refused);
        let (sessions, attributes, about) =
            (keyspace("sessions")?, keyspace("attributes")?, keyspace("about")?);
        let sync = Sync::start(database.clone())
            .map_err(|error| VaultError::Open { path: path.to_owned(), why: error.to_string() })?;
        Ok(Open { sync, database, sessions, attributes, about })
    })
}

/// Did the system refuse, and is it not the content of a file that is wrong?
fn is_of_system(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
    !matches!(error.kind(), InvalidData | InvalidInput | NotFound | UnexpectedEof)
}

fn unwritten(error: impl std::fmt::Display) -> VaultError {
    VaultError::Write { why: error.to_string() }
}

impl Vault for Store {
    fn load(&mut self) -> Result<Loaded, VaultError> {
        let Some(open) = &self.open else { return Err(self.damaged("it is closed")) };
        guarded(&self.path, || {
            let (mut loaded, mut names) = (Loaded::default(), Names::default());
            if let Some(bytes) = open.about.get("about").map_err(|error| self.damaged(error))? {
                loaded.about = postcard::from_bytes(&bytes).ok();
            }
            // Both are sorted by the session, so each is read once.
            let mut attributes = open.attributes.iter().map(fjall::Guard::into_inner).peekable();
            for entry in open.sessions.iter() {
                let (prefix, head) = entry.into_inner().map_err(|error| self.damaged(error))?;
                let read = read_key(&prefix).and_then(|key| Some((read_head(&head)?, key)));
                let Some((mut kept, key)) = read else {
                    loaded.damaged += 1;
                    continue;
                };
                let is_not_behind = |entry: &fjall::Result<fjall::KvPair>| {
                    entry.as_ref().map_or(true, |(name, _)| **name < *prefix || name.starts_with(&prefix))
                };
                let mut is_damaged = false;
                while let Some(entry) = attributes.next_if(is_not_behind) {
                    let (name, value) = entry.map_err(|error| self.damaged(error))?;
                    if let Some(name) = name.strip_prefix(&*prefix) {
                        match Held::from_stored(&value) {
                            Some(held) => kept.set(names.of(name), held),
                            None => is_damaged = true,
                        }
                    }
                }
                // A part of a session is not a session.
                match is_damaged {
                    true => loaded.damaged += 1,
                    false => loaded.sessions.push((key, kept)),
                }
            }
            Ok(loaded)
        })
    }

    fn write(&mut self, batch: &Batch) -> Result<(), VaultError> {
        if self.open.is_none() {
            self.open = Some(open(&self.path)?);
        }
        let Some(open) = &self.open else { return Ok(()) };
        let written = guarded(&self.path, || write(open, batch));
        if written.is_err() {
            self.open = None;
        }
        written
    }
}

fn write(open: &Open, batch: &Batch) -> Result<(), VaultError> {
    // In the hands of the system, which is enough for a death of the agent; the disk follows beside.
    let mut group = open.database.batch().durability(Some(PersistMode::Buffer));
    for (key, write) in &batch.sessions {
        let key = key_of(key);
        match write {
            SessionWrite::Whole { head, attributes } => {
                remove_below(open, &mut group, &key)?;
                for (name, value) in attributes {
                    group.insert(&open.attributes, below(&key, name), value.as_slice());
                }
                group.insert(&open.sessions, key, head.as_slice());
            }
            SessionWrite::Parts { head, attributes } => {
                for (name, value) in attributes {
                    match value {
                        Some(value) => group.insert(&open.attributes, below(&key, name), value.as_slice()),
                        None => group.remove(&open.attributes, below(&key, name)),
                    }
                }
                group.insert(&open.sessions, key, head.as_slice());
            }
            SessionWrite::Remove => {
                remove_below(open, &mut group, &key)?;
                group.remove(&open.sessions, key);
            }
        }
    }
    if let Some(about) = &batch.about {
        group.insert(&open.about, "about", postcard::to_allocvec::<About>(about).map_err(unwritten)?);
    }
    group.commit().map_err(unwritten)?;
    open.sync.wrote().map_err(unwritten)
}

/// Takes all attributes of a session away, if it has been there before.
fn remove_below(open: &Open, group: &mut OwnedWriteBatch, key: &[u8]) -> Result<(), VaultError> {
    if open.sessions.contains_key(key).map_err(unwritten)? {
        for entry in open.attributes.prefix(key) {
            group.remove(&open.attributes, entry.key().map_err(unwritten)?);
        }
    }
    Ok(())
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
    use crate::wire::stream::Value;

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

    fn commit(store: &mut Store, replica: &mut Replica) {
        let changes = replica.take_changes(usize::MAX);
        store.write(&Batch::of(&changes, replica)).unwrap();
    }

    fn sorted(mut sessions: Vec<(Key, Kept)>) -> Vec<(Key, Kept)> {
        for (_, kept) in &mut sessions {
            kept.attributes.sort_by(|one, other| one.0.cmp(&other.0));
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
        commit(&mut store, &mut replica);
        for message in [
            set("a", "y", value("3")),
            set("a", "x", Change::Remove),
            message(Event::Expired, "c", None),
            message(Event::ChangeId, "ab", Some(SessionMessage::of_new_id(b"b"))),
        ] {
            replica.apply(&message, 9);
        }
        commit(&mut store, &mut replica);
        let about = About { unique_id: [3; 16], last_running: 5, ..About::default() };
        store.write(&Batch { about: Some(about.clone()), ..Batch::default() }).unwrap();
        drop(store);
        let loaded = Store::open(&path).unwrap().load().unwrap();
        assert_eq!((loaded.about, loaded.damaged), (Some(about), 0));
        let kept = replica.sessions().map(|(key, kept)| (key, kept.clone()));
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
        let path = folder("private").join("vault");
        let _store = Store::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
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
