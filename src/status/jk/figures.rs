// SPDX-License-Identifier: Apache-2.0
//! Numbers and times in the forms of the status worker.

use std::fmt::Write;

/// A moment in seconds since 1970, and how far the server's own time is ahead of UTC then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    pub unix: u64,
    /// Seconds east of Greenwich.
    pub offset: i32,
}

impl Stamp {
    /// `20261122074641`
    pub fn compact(self) -> String {
        let [year, month, day, hour, minute, second] = self.parts();
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
    }

    /// `2026-11-22 07:46:41 +0000`
    pub fn long(self) -> String {
        let [year, month, day, hour, minute, second] = self.parts();
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} {}", self.zone())
    }

    /// `+0000`
    pub fn zone(self) -> String {
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.unsigned_abs() / 60;
        format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }

    fn parts(self) -> [i64; 6] {
        let local = i64::try_from(self.unix).unwrap_or(0) + i64::from(self.offset);
        let (day, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil(day);
        [year, month, day, second / 3600, second / 60 % 60, second % 60]
    }
}

/// Year, month and day of a day counted from 1970. Counted in eras of 400 years that begin in March, so that a leap day is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// A count and how many there were per second since the last reset: `7 (7/sec)`. Without time there is no rate, shown as -1.
pub fn count(number: u64, seconds: u64) -> String {
    let mut out = number.to_string();
    let _ = match number.checked_div(seconds) {
        Some(rate) => write!(out, " ({rate}/sec)"),
        None => write!(out, " (-1/sec)"),
    };
    out
}

/// A number of bytes and its rate: `1.5K (1.5K/sec)`, `406  (406 /sec)`, `0  (-/sec)`.
pub fn traffic(bytes: u64, seconds: u64) -> String {
    let rate = bytes.checked_div(seconds).map_or_else(|| "-".to_owned(), size);
    format!("{} ({rate}/sec)", size(bytes))
}

fn size(bytes: u64) -> String {
    crate::status::escape::size(bytes).trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_server() {
        let stamp = Stamp { unix: 1_795_333_601, offset: 0 };
        assert_eq!(stamp.compact(), "20261122074641");
        assert_eq!(stamp.long(), "2026-11-22 07:46:41 +0000");
        assert_eq!(Stamp { offset: 5 * 3600 + 1800, ..stamp }.long(), "2026-11-22 13:16:41 +0530");
        assert_eq!(Stamp { offset: -8 * 3600, ..stamp }.long(), "2026-11-21 23:46:41 -0800");
        assert_eq!(Stamp { unix: 1_709_164_800, offset: 0 }.compact(), "20240229000000");
        assert_eq!(Stamp::default().compact(), "19700101000000");
    }

    #[test]
    fn rates_need_time() {
        assert_eq!((count(7, 2), count(0, 0)), ("7 (3/sec)".into(), "0 (-1/sec)".into()));
        assert_eq!(traffic(1507, 1), "1.5K (1.5K/sec)");
        assert_eq!(traffic(406, 1), "406  (406 /sec)");
        assert_eq!(traffic(0, 0), "0  (-/sec)");
    }
}
