// SPDX-License-Identifier: Apache-2.0
//! Reading httpd's error log: nothing at `warn` or worse may stand there that the test did not announce.

/// The part of a line that says module and level, e.g. `proxy:error`.
fn level(line: &str) -> Option<&str> {
    let tag = line.split('[').nth(2)?.split(']').next()?;
    tag.rsplit(':').next()
}

/// Is it a line that an administrator would have to look at?
pub fn is_alarming(line: &str) -> bool {
    matches!(level(line), Some("warn" | "error" | "crit" | "alert" | "emerg")) || is_crash(line)
}

/// A child that ended by a signal nobody sent on purpose (httpd logs it at notice).
pub fn is_crash(line: &str) -> bool {
    ["AH00050", "AH00051", "AH00052"].iter().any(|id| line.contains(id)) || line.contains("panicked at")
}

/// The alarming lines that contain none of the `allowed` texts.
pub fn unexpected<'a>(log: &'a str, allowed: &[&str]) -> Vec<&'a str> {
    log.lines()
        .filter(|line| is_alarming(line))
        .filter(|line| !allowed.iter().any(|text| line.contains(text)))
        .collect()
}
