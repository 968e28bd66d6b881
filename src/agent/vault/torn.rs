// SPDX-License-Identifier: Apache-2.0
//! A journal whose last group is not what was written: power failed in the middle of it, so that some of its pages are there and
//! others are not. fjall leaves out a group that ends too early, but refuses one with a hole in it; here such a group is cut off.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What stands behind each group in a journal of fjall 3.
const TRAILER: [u8; 4] = *b"FJL\x03";

/// The journal that was written last.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where the last group begins: behind the trailer of the one before. `None`: there is no other.
    pub last_group: Option<usize>,
}

impl Journal {
    /// The newest journal of a vault; `None` if there is none.
    pub fn newest(vault: &Path) -> io::Result<Option<Journal>> {
        let number = |path: &Path| -> Option<u64> {
            let is_journal = path.extension().is_some_and(|ending| ending == "jnl");
            path.file_stem()?.to_str()?.parse().ok().filter(|_| is_journal)
        };
        let mut journals = Vec::new();
        for entry in fs::read_dir(vault)? {
            let path = entry?.path();
            journals.extend(number(&path).map(|number| (number, path)));
        }
        let Some((_, path)) = journals.into_iter().max() else { return Ok(None) };
        let mut bytes = fs::read(&path)?;
        // Room for later groups.
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1));
        let trailers = bytes.windows(TRAILER.len()).enumerate().rev();
        let mut ends = trailers.filter(|(_, window)| *window == TRAILER).map(|(at, _)| at + TRAILER.len());
        let last_group = ends.find(|end| *end < bytes.len());
        Ok(Some(Journal { path, bytes, last_group }))
    }

    /// Leaves out everything behind that place.
    pub fn cut(&self, at: usize) -> io::Result<()> {
        self.write(&self.bytes[..at])
    }

    /// As it was found.
    pub fn restore(&self) -> io::Result<()> {
        self.write(&self.bytes)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).truncate(true).open(&self.path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(name: &str, bytes: &[u8]) -> Journal {
        let vault = std::env::temp_dir().join(format!("margay-torn-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&vault);
        fs::create_dir_all(&vault).unwrap();
        fs::write(vault.join("9.jnl"), b"older").unwrap();
        fs::write(vault.join("10.jnl"), bytes).unwrap();
        Journal::newest(&vault).unwrap().unwrap()
    }

    #[test]
    fn only_the_last_group_of_the_newest_journal_is_cut_off() {
        let whole = journal("whole", b"oneFJL\x03twoFJL\x03threeFJL\x03\0\0\0");
        assert_eq!(whole.last_group, Some(14));
        let open = journal("open", b"oneFJL\x03twoFJL\x03thr");
        assert_eq!(open.last_group, Some(14));
        assert_eq!(journal("only", b"one").last_group, None);
        open.cut(14).unwrap();
        assert_eq!(fs::read(&open.path).unwrap(), b"oneFJL\x03twoFJL\x03");
        open.restore().unwrap();
        assert_eq!(fs::read(&open.path).unwrap(), b"oneFJL\x03twoFJL\x03thr");
    }
}
