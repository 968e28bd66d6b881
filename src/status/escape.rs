// SPDX-License-Identifier: Apache-2.0
//! Text made harmless for the places it is written to, and numbers and times in the forms of the manager.

use std::fmt::Write;

use crate::base::clock::Moment;

/// Text in HTML or XML, inside or outside of quotes. Only plain ASCII comes out, so no character set can change it.
pub fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            ' '..='~' => out.push(c),
            // Control characters may not be in an XML document in any form.
            c if c.is_control() => out.push('?'),
            c => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
        }
    }
    out
}

/// As [`markup`], for places that single quotes do not end: they stay.
pub fn text(text: &str) -> String {
    markup(text).replace("&#39;", "'")
}

/// A value in the query string of a link. The manager decodes values twice, so what has to be escaped is escaped twice;
/// the bytes of usual names stay as they are.
pub fn query_value(text: &str) -> String {
    percent(&percent(text, b"/:@[]"), b"/:@[]")
}

/// A value of a hidden field: browsers escape it once, the manager decodes it twice.
pub fn hidden_value(text: &str) -> String {
    markup(&text.replace('%', "%25"))
}

/// A decoded URL path.
pub fn path(text: &str) -> String {
    percent(text, b"/:@;,+=!$*()")
}

pub(super) fn percent(text: &str, allowed: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || allowed.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A number of bytes in four characters: `570 `, `1.5K`, ` 12M`.
pub fn size(bytes: u64) -> String {
    const TURN: u64 = 973;
    if bytes < TURN {
        return format!("{bytes:3} ");
    }
    let mut rest = bytes;
    for unit in ["K", "M", "G", "T", "P"] {
        let tenths = (rest % 1024 * 10 + 512) / 1024 + rest / 1024 * 10;
        if tenths < 100 {
            return format!("{}.{}{unit}", tenths / 10, tenths % 10);
        }
        if rest / 1024 < TURN {
            return format!("{:3}{unit}", (rest + 512) / 1024);
        }
        rest /= 1024;
    }
    format!("{:3}E", (rest + 512) / 1024)
}

/// A load factor or another number kept in hundredths.
pub fn hundredths(number: u32) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

/// As in HTTP headers: `Sun, 22 Nov 2026 07:49:51 GMT`.
pub fn date(moment: Moment) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = moment.0 / 1000;
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (mut year, mut rest) = (1970, day);
    while rest >= days_of_year(year) {
        rest -= days_of_year(year);
        year += 1;
    }
    let mut month = 0;
    while rest >= days_of_month(year, month) {
        rest -= days_of_month(year, month);
        month += 1;
    }
    format!(
        "{}, {:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[(day % 7) as usize],
        rest + 1,
        MONTHS[month],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: u64, month: usize) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_means_something_in_markup_comes_through() {
        assert_eq!(markup("a<b>&\"'\u{e4}\n"), "a&lt;b&gt;&amp;&quot;&#39;&#228;?");
        assert_eq!(hidden_value("50%\""), "50%25&quot;");
    }

    #[test]
    fn usual_names_stay_readable_in_links_and_others_survive_two_decodings() {
        assert_eq!(query_value("ajp://127.0.0.1:8009/ctx"), "ajp://127.0.0.1:8009/ctx");
        assert_eq!(query_value("a&b"), "a%2526b");
        assert_eq!(path("/b m\"/x"), "/b%20m%22/x");
    }

    #[test]
    fn sizes_take_four_characters() {
        for (bytes, text) in [
            (0, "  0 "),
            (570, "570 "),
            (972, "972 "),
            (973, "1.0K"),
            (1536, "1.5K"),
            (10_240, " 10K"),
            (996_000, "973K"),
            (1 << 20, "1.0M"),
            (u64::MAX, " 16E"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(date(Moment(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(Moment(1_795_333_791_000)), "Sun, 22 Nov 2026 07:49:51 GMT");
        assert_eq!(date(Moment(1_709_164_800_999)), "Thu, 29 Feb 2024 00:00:00 GMT");
    }
}
