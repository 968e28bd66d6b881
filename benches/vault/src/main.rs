// SPDX-License-Identifier: Apache-2.0
//! Which store keeps the sessions: redb or fjall, under the agent's own load. `docs/architecture.md` says what came of it.
//!
//! `margay-vault-bench FOLDER [SESSIONS] [DELTAS_PER_SECOND] [SECONDS]`: every 5 ms the changes of that time are one group
//! that must be on disk before the next. Each change is a head of 90 bytes and an attribute of 800.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redb::{ReadableDatabase, ReadableTable, TableDefinition};

const HEADS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("sessions");
const ATTRIBUTES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("attributes");
const GROUP: Duration = Duration::from_millis(5);

type Failure = Box<dyn std::error::Error>;

trait Store: Sized {
    const NAME: &'static str;
    fn open(path: &Path) -> Result<Self, Failure>;
    /// All of these or none, on disk when it returns.
    fn write(&mut self, keys: &[u64], value: &[u8]) -> Result<(), Failure>;
    /// Reads everything: how many heads and attributes.
    fn load(&mut self) -> Result<(usize, usize), Failure>;
}

struct Redb(redb::Database);

impl Store for Redb {
    const NAME: &'static str = "redb";

    fn open(path: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(path)?;
        Ok(Redb(redb::Database::builder().set_cache_size(16 << 20).create(path.join("file"))?))
    }

    fn write(&mut self, keys: &[u64], value: &[u8]) -> Result<(), Failure> {
        let transaction = self.0.begin_write()?;
        {
            let mut heads = transaction.open_table(HEADS)?;
            let mut attributes = transaction.open_table(ATTRIBUTES)?;
            for key in keys {
                let (head, attribute) = names(*key);
                heads.insert(&*head, &value[..90])?;
                attributes.insert(&*attribute, value)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn load(&mut self) -> Result<(usize, usize), Failure> {
        let transaction = self.0.begin_read()?;
        let mut counts = [0; 2];
        for (at, table) in [HEADS, ATTRIBUTES].into_iter().enumerate() {
            for entry in transaction.open_table(table)?.iter()? {
                let (_, value) = entry?;
                counts[at] += usize::from(!value.value().is_empty());
            }
        }
        Ok((counts[0], counts[1]))
    }
}

struct Fjall {
    database: fjall::Database,
    heads: fjall::Keyspace,
    attributes: fjall::Keyspace,
}

impl Store for Fjall {
    const NAME: &'static str = "fjall";

    fn open(path: &Path) -> Result<Self, Failure> {
        let database = fjall::Database::builder(path).cache_size(16 << 20).open()?;
        let heads = database.keyspace("sessions", fjall::KeyspaceCreateOptions::default)?;
        let attributes = database.keyspace("attributes", fjall::KeyspaceCreateOptions::default)?;
        Ok(Fjall { database, heads, attributes })
    }

    fn write(&mut self, keys: &[u64], value: &[u8]) -> Result<(), Failure> {
        let mut batch = self.database.batch();
        for key in keys {
            let (head, attribute) = names(*key);
            batch.insert(&self.heads, head, &value[..90]);
            batch.insert(&self.attributes, attribute, value);
        }
        batch.commit()?;
        Ok(self.database.persist(fjall::PersistMode::SyncData)?)
    }

    fn load(&mut self) -> Result<(usize, usize), Failure> {
        let mut counts = [0; 2];
        for (at, keyspace) in [&self.heads, &self.attributes].into_iter().enumerate() {
            for entry in keyspace.iter() {
                counts[at] += usize::from(!entry.value()?.is_empty());
            }
        }
        Ok((counts[0], counts[1]))
    }
}

/// Key of a session's head, and of its attribute.
fn names(key: u64) -> (Vec<u8>, Vec<u8>) {
    let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let head = format!("localhost#/app {mixed:016X}{mixed:016X}.node1").into_bytes();
    let attribute = [&head, b" cart".as_slice()].concat();
    (head, attribute)
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// User and system time of this process so far, in milliseconds.
fn cpu() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    (field(11) + field(12)) * 10
}

fn of_file(name: &str, key: &str) -> u64 {
    let text = fs::read_to_string(name).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("0");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn size(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => size(&entry.path()),
        Ok(about) => about.blocks() * 512,
        Err(_) => 0,
    }).sum()
}

fn measure<S: Store>(folder: &Path, sessions: u64, rate: u64, seconds: u64) -> Result<(), Failure> {
    let path = folder.join(S::NAME);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path)?;
    let memory = of_file("/proc/self/status", "VmRSS:");
    let mut store = S::open(&path)?;
    let mut value = vec![0_u8; 800];
    let mut random = Random(1);
    value.iter_mut().for_each(|byte| *byte = random.next() as u8);
    let begin = Instant::now();
    for first in (0..sessions).step_by(1000) {
        store.write(&(first..(first + 1000).min(sessions)).collect::<Vec<_>>(), &value)?;
    }
    println!("{:6} fill {sessions} sessions: {} ms, {} MiB", S::NAME, begin.elapsed().as_millis(), size(&path) >> 20);

    let (cpu_before, written_before) = (cpu(), of_file("/proc/self/io", "write_bytes:"));
    let begin = Instant::now();
    let (mut took, mut due, mut done) = (Vec::new(), 0_u64, 0_u64);
    while begin.elapsed() < Duration::from_secs(seconds) {
        due = (begin.elapsed().as_micros() as u64 * rate / 1_000_000).max(due);
        let keys: Vec<u64> = (done..due).map(|_| random.next() % sessions).collect();
        done = due;
        let start = Instant::now();
        if !keys.is_empty() {
            store.write(&keys, &value)?;
            took.push(start.elapsed());
        }
        std::thread::sleep(GROUP.saturating_sub(start.elapsed()));
    }
    took.sort();
    let at = |part: usize| took.get((took.len() - 1) * part / 1000).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let written = of_file("/proc/self/io", "write_bytes:") - written_before;
    println!(
        "{:6} {rate}/s: {done} deltas in {} groups, ms 50% {:.1} 99% {:.1} longest {:.1}; {} us of CPU and {} bytes written each; {} MiB on disk, {} MiB memory",
        S::NAME, took.len(), at(500), at(990), at(1000),
        (cpu() - cpu_before) * 1000 / done.max(1), written / done.max(1), size(&path) >> 20,
        of_file("/proc/self/status", "VmRSS:").saturating_sub(memory) >> 10,
    );
    drop(store);

    let begin = Instant::now();
    let counts = S::open(&path)?.load()?;
    println!("{:6} open and read {counts:?}: {} ms", S::NAME, begin.elapsed().as_millis());
    Ok(())
}

/// What is left when the end of the file that was written last is not what was written.
fn tear<S: Store>(folder: &Path) -> Result<(), Failure> {
    let torn = folder.join(format!("{}-torn", S::NAME));
    for (what, cut) in [("last 100 bytes cut off", true), ("last 100 bytes other ones", false)] {
        let _ = fs::remove_dir_all(&torn);
        let mut store = S::open(&torn)?;
        for group in 0..200_u64 {
            store.write(&(group * 10..group * 10 + 10).collect::<Vec<_>>(), &[group as u8; 800])?;
        }
        // As `kill -9` leaves it: nothing is closed.
        let copy = folder.join("copy");
        let _ = fs::remove_dir_all(&copy);
        copy_all(&torn, &copy)?;
        drop(store);
        let last = last_written(&copy).ok_or("no file")?;
        let mut bytes = fs::read(&last)?;
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        if cut {
            bytes.truncate(end.saturating_sub(100));
        } else {
            bytes[end.saturating_sub(100)..end].fill(0x5a);
        }
        fs::write(&last, bytes)?;
        let outcome = std::panic::catch_unwind(|| S::open(&copy).and_then(|mut store| store.load()).map_err(|error| error.to_string()));
        println!("{:6} {what} of {}: {outcome:?} of 2000", S::NAME, last.display());
    }
    Ok(())
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { files(&entry.path(), all) } else { all.push(entry.path()) }
    }
}

fn last_written(folder: &Path) -> Option<PathBuf> {
    let mut all = Vec::new();
    files(folder, &mut all);
    let journal = all.iter().find(|file| file.extension().is_some_and(|end| end == "jnl"));
    journal.cloned().or_else(|| all.into_iter().max_by_key(|file| fs::metadata(file).map_or(0, |about| about.len())))
}

fn copy_all(from: &Path, to: &Path) -> Result<(), Failure> {
    let mut all = Vec::new();
    files(from, &mut all);
    for file in all {
        let copy = to.join(file.strip_prefix(from)?);
        fs::create_dir_all(copy.parent().ok_or("no folder")?)?;
        fs::copy(file, copy)?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let mut number = |default: u64| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (sessions, rate, seconds) = (number(100_000), number(10_000), number(10));
    measure::<Redb>(&folder, sessions, rate, seconds)?;
    measure::<Fjall>(&folder, sessions, rate, seconds)?;
    tear::<Redb>(&folder)?;
    tear::<Fjall>(&folder)
}
