// SPDX-License-Identifier: Apache-2.0
//! The rules of the house: imports go down the floors, unsafe code stays in its two rooms and says why it holds, files
//! stay readable.

use std::fs;
use std::path::{Path, PathBuf};

/// For each room, the rooms it may use.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("base", &[]),
    ("wire", &["base"]),
    ("config", &["wire", "base"]),
    ("shared", &["base"]),
    ("balance", &["config", "shared", "wire", "base"]),
    ("backend", &["config", "shared", "wire", "base"]),
    ("proxy", &["balance", "backend", "config", "shared", "wire", "base"]),
    ("health", &["balance", "backend", "config", "shared", "wire", "base"]),
    ("status", &["balance", "config", "shared", "base"]),
    ("agent", &["status", "backend", "balance", "config", "shared", "wire", "base"]),
    ("cli", &["agent", "wire", "base"]),
    ("httpd", &["status", "proxy", "health", "balance", "backend", "config", "shared", "wire", "base"]),
];

const WITH_UNSAFE: [&str; 2] = ["shared", "httpd"];
const LONGEST_FILE: usize = 800;
/// Lines above an `unsafe` in which its reason must stand.
const REASON_WITHIN: usize = 6;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the house") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).expect("a readable file")
}

/// The room a file belongs to; `None` for `lib.rs`.
fn room(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(source()).expect("a file of src");
    let mut parts = inside.components();
    let first = parts.next()?.as_os_str().to_str()?.to_owned();
    parts.next().map(|_| first)
}

/// The rooms a file names, tests included, comments not.
fn rooms_used(text: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            used.push((number + 1, name));
        }
    }
    used
}

#[test]
fn imports_go_down_the_floors() {
    let mut complaints = Vec::new();
    for file in rust_files(&source()) {
        let Some(room) = room(&file) else { continue };
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            panic!("{room} is a new room: say in tests/house.rs on which floor it stands");
        };
        for (line, used) in rooms_used(&text(&file)) {
            if used != room && !allowed.contains(&used.as_str()) {
                complaints.push(format!("{}:{line} uses {used}", file.display()));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    for (room, _) in MAY_USE {
        let front = text(&source().join(room).join("mod.rs"));
        let forbids = front.contains("#![forbid(unsafe_code)]");
        assert_eq!(forbids, !WITH_UNSAFE.contains(&room), "src/{room}/mod.rs: #![forbid(unsafe_code)]");
    }
}

#[test]
fn every_unsafe_block_says_why_it_holds() {
    let mut complaints = Vec::new();
    for file in rust_files(&source()) {
        let text = text(&file);
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !code.contains("unsafe {") && !code.contains("unsafe impl") {
                continue;
            }
            let above = &lines[number.saturating_sub(REASON_WITHIN)..=number];
            if !above.iter().any(|line| line.contains("SAFETY:")) {
                complaints.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(complaints.is_empty(), "no SAFETY line above:\n{}", complaints.join("\n"));
}

#[test]
fn files_begin_with_their_licence_and_purpose_and_stay_readable() {
    for file in rust_files(&source()) {
        let text = text(&file);
        let name = file.display();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("// SPDX-License-Identifier: Apache-2.0"), "{name}");
        assert!(
            lines.next().is_some_and(|line| line.starts_with("//! ")),
            "{name} does not say what it is for"
        );
        assert!(text.lines().count() <= LONGEST_FILE, "{name} has more than {LONGEST_FILE} lines");
    }
}
