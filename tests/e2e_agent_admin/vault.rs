// SPDX-License-Identifier: Apache-2.0
//! What is left of a vault whose agent is killed, whose last write is torn, or whose disk is full.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use margay::agent::replica::{Limits, Replica};
use margay::agent::vault::{Batch, Store, Vault, VaultError};
use margay::wire::cluster::{
    Action, Change, Delta, Event, SessionMessage, SessionState, Subject, write_all_stored,
};
use margay::wire::stream::Value;

use crate::support::cluster::Cluster;
use crate::support::{PATIENCE, scratch_dir, wait_until};
use crate::{agent_of, printed, refused};

const SESSIONS: usize = 20;
const VAULT: &str = "MARGAY_TEST_VAULT";

fn message(event: Event, id: usize, payload: Option<Vec<u8>>) -> SessionMessage {
    SessionMessage {
        event,
        context: Some(b"localhost#/app".to_vec()),
        session_id: Some(format!("S{id}.A").into_bytes()),
        unique_id: None,
        time: Some(1_800_000_000_000),
        payload,
    }
}

/// Sets two attributes of all sessions to a number, in one group.
fn write_round(store: &mut Store, replica: &mut Replica, number: i32) -> Result<(), VaultError> {
    for id in 0..SESSIONS {
        replica.apply(&message(Event::Created, id, None), 1_800_000_000_000);
        let set = |name: &str, value: Value| Action {
            subject: Some(Subject::Attribute),
            name: name.into(),
            change: Change::Set(value),
        };
        let text = Value::string(number.to_string().repeat(200).as_bytes());
        let actions = vec![set("left", Value::integer(number)), set("right", text)];
        let delta = Delta { session_id: format!("S{id}.A").into_bytes(), records_all: false, actions };
        replica.apply(&message(Event::Delta, id, Some(delta.to_bytes())), 1_800_000_000_000);
    }
    let changes = replica.take_changes(usize::MAX);
    store.write(&Batch::of(&changes, replica))
}

/// The number that all attributes of all sessions have.
fn number_in(vault: &Path) -> Option<i32> {
    let loaded = Store::open(vault).and_then(|mut store| store.load()).expect("a vault that can be read");
    assert_eq!(loaded.damaged, 0);
    let mut numbers = Vec::new();
    for (_, kept) in &loaded.sessions {
        let attribute = |name: &[u8]| kept.get(name).expect("both attributes").value();
        let number = attribute(b"left").as_integer().expect("a number");
        let text = number.to_string().repeat(200);
        assert_eq!(attribute(b"right").as_string(), Some(text.as_bytes()), "a session of two times");
        numbers.push(number);
    }
    numbers.dedup();
    assert!(
        numbers.len() <= 1 && [0, SESSIONS].contains(&loaded.sessions.len()),
        "half a group: {numbers:?}"
    );
    numbers.pop()
}

#[test]
#[ignore = "the process that the next test kills"]
fn writes_until_it_is_killed() {
    let Some(vault) = std::env::var_os(VAULT) else { return };
    let mut store = Store::open(Path::new(&vault)).expect("a vault");
    let mut replica = Replica::new(Limits::default());
    for (key, kept) in store.load().expect("its sessions").sessions {
        replica.restore(key, kept);
    }
    for number in 1.. {
        write_round(&mut store, &mut replica, number).expect("a disk");
        println!("written {number}");
    }
}

#[test]
fn what_was_written_survives_kill_9_at_any_moment() {
    let vault = scratch_dir("killed").join("vault");
    for round in 0..8_usize {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["vault::writes_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
            .env(VAULT, &vault)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program");
        let mut written = 0;
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let after = [3, 40, 7, 90, 1, 60, 23, 2][round];
        for line in lines {
            if let Some(number) = line.rsplit_once("written ").and_then(|(_, number)| number.parse().ok()) {
                written = number;
            }
            // It goes on writing until the signal arrives: what is under way differs each time.
            if written >= after {
                let _ = child.kill();
            }
        }
        let _ = child.wait();
        let kept = number_in(&vault).expect("sessions");
        assert!(
            kept == written || kept == written + 1,
            "round {round}: {written} was acknowledged, {kept} is there"
        );
    }
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    now.as_millis() as i64
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let into = to.join(file.strip_prefix(from).expect("a file below"));
        std::fs::create_dir_all(into.parent().expect("a folder")).expect("a folder");
        std::fs::copy(&file, into).expect("a copy");
    }
}

#[test]
fn a_torn_last_write_costs_that_group_and_nothing_else() {
    let dir = scratch_dir("torn");
    let vault = dir.join("vault");
    let mut store = Store::open(&vault).expect("a vault");
    let mut replica = Replica::new(Limits::default());
    for number in 1..=30 {
        write_round(&mut store, &mut replica, number).expect("a disk");
    }
    for (tear, spoils) in
        [(1_usize, false), (100, false), (3000, false), (1, true), (500, true), (4000, true)]
    {
        // As a kill leaves it: nothing is closed.
        let torn = dir.join(format!("torn-{tear}-{spoils}"));
        copy(&vault, &torn);
        let journal = files(&torn).into_iter().find(|file| file.extension().is_some_and(|end| end == "jnl"));
        let journal = journal.expect("a journal");
        let mut bytes = std::fs::read(&journal).expect("the journal");
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("something") + 1;
        if spoils {
            bytes[end - tear..end].fill(0x5a);
        } else {
            bytes.truncate(end - tear);
        }
        std::fs::write(&journal, bytes).expect("the journal");
        let kept = number_in(&torn).expect("sessions");
        assert!((29..=30).contains(&kept), "{tear} {spoils}: {kept}");
    }
}

#[test]
fn a_damaged_vault_is_left_as_it_is_until_the_administrator_says_so() {
    let mut agent = agent_of(&Cluster::new());
    let mut store = Store::open(&agent.vault()).expect("a vault");
    write_round(&mut store, &mut Replica::new(Limits::default()), 1).expect("a disk");
    drop(store);
    for file in files(&agent.vault()) {
        if file.file_name().is_some_and(|name| name != "lock") {
            std::fs::write(file, b"nothing of it").expect("a file of the vault");
        }
    }
    let before = files(&agent.vault()).len();
    let why = refused(&agent.margay(&["agent"]));
    assert!(why.contains("is damaged and was left as it is") && why.contains("--recover"), "{why}");
    assert_eq!(files(&agent.vault()).len(), before);
    agent.set_arguments(&["--recover"]);
    agent.launch();
    agent.wait_for(&["the damaged vault was moved aside"]);
    agent.wait_for(&["the agent is ready"]);
    let aside = std::fs::read_dir(agent.dir()).expect("its folder").flatten();
    assert_eq!(aside.filter(|entry| entry.file_name().to_string_lossy().contains(".damaged-")).count(), 1);
}

#[test]
fn a_full_disk_costs_the_disk_only_and_the_agent_recovers() {
    let cluster = Cluster::new();
    let mut agent = agent_of(&cluster);
    // A disk of its own, which only the agent sees.
    agent.set_disk("48m");
    agent.launch();
    agent.wait_for(&["the agent is ready"]);
    let disk = PathBuf::from(format!(
        "/proc/{}/root{}",
        agent.pid(),
        agent.vault().parent().expect("a folder").display()
    ));
    let filler = disk.join("filler");
    let mut free = vec![0_u8; 64 << 20];
    free[0] = 1;
    let _ = std::fs::write(&filler, &free);
    let status = || -> serde_json::Value {
        serde_json::from_str(&printed(&agent.margay(&["status", "--json"]))).expect("JSON")
    };
    let file = agent.dir().join("SESSIONS.ser");
    let fresh: Vec<_> = (0..SESSIONS)
        .map(|id| {
            let mut state = SessionState::new(format!("S{id}.A").into_bytes(), now(), 1800);
            state.attributes.push((b"large".to_vec(), Value::string(&[b'x'; 50_000])));
            state
        })
        .collect();
    std::fs::write(&file, write_all_stored(fresh.iter())).expect("a file");
    let stored = file.to_str().expect("a path");
    let import =
        ["sessions", "import", "--format", "sessions.ser", "--context", "localhost#/app", "--from", stored];
    printed(&agent.margay(&import));
    wait_until("the full disk to be noticed", PATIENCE, || status()["vaultTrouble"].is_string());
    assert!(printed(&agent.margay(&["status"])).contains("keeps sessions in memory only"));
    let sessions = status()["sessions"].as_u64();
    assert_eq!(sessions, Some(SESSIONS as u64));
    assert_eq!(status()["unwritten"].as_u64(), sessions);
    agent.wait_for(&["sessions are kept in memory only"]);
    std::fs::remove_file(&filler).expect("the file that fills the disk");
    agent.wait_for(&["sessions are written to the vault again"]);
    wait_until("everything to be written", PATIENCE, || status()["unwritten"] == 0);
    assert_eq!(status()["vaultTrouble"], serde_json::Value::Null);
    assert_eq!(status()["sessions"].as_u64(), sessions);
}
