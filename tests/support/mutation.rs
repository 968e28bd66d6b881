// SPDX-License-Identifier: Apache-2.0
//! Seeded cases for the fuzz tests, and recorded answers of containers to be changed in them.
//!
//! `MARGAY_FUZZ_CASES` sets the number of cases, `MARGAY_FUZZ_SEED` the seed of the first one; a failure prints the seed
//! of its case, so that `MARGAY_FUZZ_SEED=<seed> MARGAY_FUZZ_CASES=1` repeats it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use margay::base::rng::Rng;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}

/// Runs `case` with one seed after another.
pub fn run(default_cases: u64, case: impl Fn(&mut Rng)) {
    let first = number("MARGAY_FUZZ_SEED", 1);
    for seed in first..first + number("MARGAY_FUZZ_CASES", default_cases) {
        let result = catch_unwind(AssertUnwindSafe(|| case(&mut Rng::seeded(seed))));
        if let Err(panic) = result {
            eprintln!("repeat with MARGAY_FUZZ_SEED={seed} MARGAY_FUZZ_CASES=1");
            resume_unwind(panic);
        }
    }
}

/// One of them.
pub fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[index(rng, from.len())]
}

/// A number below `bound`; 0 for a bound of 0.
pub fn index(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).unwrap()
}

pub fn byte(rng: &mut Rng) -> u8 {
    rng.next_u64().to_le_bytes()[0]
}

/// A conversation as a list of payloads.
pub type Script = Vec<Vec<u8>>;

/// The recorded answers, with long data cut short so that mutations meet the structure.
pub fn corpus() -> Vec<Script> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/ajp/tomcat");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "bin"));
    files.sort();
    let scripts: Vec<Script> = files.iter().map(|file| script(&std::fs::read(file).unwrap())).collect();
    assert!(scripts.len() > 60, "the captures are there");
    scripts
}

fn script(mut bytes: &[u8]) -> Script {
    let mut payloads = Vec::new();
    while let [b'A', b'B', high, low, rest @ ..] = bytes {
        let (payload, after) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        payloads.push(shortened(payload));
        bytes = after;
    }
    payloads
}

fn shortened(payload: &[u8]) -> Vec<u8> {
    match payload {
        [3, _, _, data @ ..] if data.len() > 9 => [&[3, 0, 8], &data[..8], &[0]].concat(),
        _ => payload[..payload.len().min(300)].to_vec(),
    }
}

/// Values that sit at the edges of lengths, codes and statuses.
const EDGES: [u16; 16] =
    [0, 1, 2, 99, 100, 199, 200, 999, 1000, 0x1ffc, 0x1ffd, 0xA000, 0xA001, 0xA00B, 0xA00C, 0xFFFF];

fn mutate(rng: &mut Rng, payload: &mut Vec<u8>) {
    let at = index(rng, payload.len());
    match rng.below(7) {
        0 if !payload.is_empty() => payload[at] ^= 1 << rng.below(8),
        1 if !payload.is_empty() => payload[at] = byte(rng),
        2 => payload.truncate(at),
        3 => payload.insert(at, byte(rng)),
        4 if !payload.is_empty() => _ = payload.remove(at),
        5 if at + 2 <= payload.len() => {
            payload[at..at + 2].copy_from_slice(&pick(rng, &EDGES).to_be_bytes());
        }
        _ if at + 2 <= payload.len() => {
            let old = u16::from_be_bytes([payload[at], payload[at + 1]]);
            let new = if rng.below(2) == 0 { old.wrapping_add(1) } else { old.wrapping_sub(1) };
            payload[at..at + 2].copy_from_slice(&new.to_be_bytes());
        }
        _ => {}
    }
}

/// Changes whole packets: leave out, repeat, take from another conversation.
fn splice(rng: &mut Rng, script: &mut Script, corpus: &[Script]) {
    if script.is_empty() {
        return;
    }
    let at = index(rng, script.len());
    match rng.below(3) {
        0 => _ = script.remove(at),
        1 => script.insert(at, script[at].clone()),
        _ => {
            let other = pick(rng, corpus);
            script.insert(at, pick(rng, other).clone());
        }
    }
}

fn framed(rng: &mut Rng, script: &Script) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in script {
        let length = u16::try_from(payload.len()).unwrap();
        let length = if rng.below(40) == 0 { *pick(rng, &EDGES) } else { length };
        bytes.extend_from_slice(b"AB");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(payload);
    }
    if rng.below(8) == 0 {
        mutate(rng, &mut bytes);
    }
    bytes
}

/// A recorded conversation with packets left out, repeated and exchanged, and bytes of them changed.
pub fn mutated_answer(rng: &mut Rng, corpus: &[Script]) -> Vec<u8> {
    let mut script = pick(rng, corpus).clone();
    for _ in 0..rng.below(3) {
        splice(rng, &mut script, corpus);
    }
    for _ in 0..rng.below(4) {
        let count = script.len();
        if let Some(payload) = script.get_mut(index(rng, count)) {
            mutate(rng, payload);
        }
    }
    framed(rng, &script)
}
