// SPDX-License-Identifier: Apache-2.0
//! CPU time of a process and its children, from `/proc`.

use std::fs;
use std::time::Duration;

/// Length of a tick in `/proc/PID/stat`: USER_HZ, 100 on every architecture Debian builds Rust for.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of `parent`, its living children and the children it has reaped.
pub fn of_family(parent: u32) -> Result<Duration, String> {
    let entries = fs::read_dir("/proc").map_err(|e| format!("cannot read /proc: {e}"))?;
    let ticks: u64 = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(read_stat)
        .filter(|stat| stat.pid == parent || stat.parent == parent)
        .map(|stat| stat.ticks)
        .sum();
    if ticks == 0 {
        return Err(format!("process {parent} has used no CPU time or is gone"));
    }
    Ok(TICK * u32::try_from(ticks).map_err(|_| "CPU time out of range".to_owned())?)
}

struct Stat {
    pid: u32,
    parent: u32,
    ticks: u64,
}

/// `None` for a process that ended meanwhile.
fn read_stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may contain anything.
    let fields: Vec<&str> = text[text.rfind(')')? + 2..].split(' ').collect();
    // Fields 14 to 17 of proc(5): utime, stime, cutime, cstime; the first here is field 3.
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Stat { pid, parent: fields.get(1)?.parse().ok()?, ticks })
}
