// SPDX-License-Identifier: Apache-2.0
//! `JkLogStampFormat`: strftime's letters, with `%Q` for milliseconds and `%q` for microseconds.

use std::ffi::CString;
use std::time::Duration;

use crate::httpd::ffi;

/// What the time stamp of a line looks like.
#[derive(Debug)]
pub(super) struct Stamp {
    head: CString,
    fraction: Option<Fraction>,
    tail: CString,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fraction {
    /// `%Q`: three digits.
    Milliseconds,
    /// `%q`: six digits.
    Microseconds,
}

impl Stamp {
    /// Only the first `%Q` or `%q` counts.
    pub fn new(format: &str) -> Stamp {
        let text = |part: &str| CString::new(part).unwrap_or_default();
        match place_of_fraction(format) {
            Some((at, fraction)) => {
                Stamp { head: text(&format[..at]), fraction: Some(fraction), tail: text(&format[at + 2..]) }
            }
            None => Stamp { head: text(format), fraction: None, tail: CString::default() },
        }
    }

    /// Appends the stamp of a moment, counted from 1970.
    pub fn write(&self, moment: Duration, out: &mut Vec<u8>) {
        let seconds = moment.as_secs();
        local_time(&self.head, seconds, out);
        match self.fraction {
            Some(Fraction::Milliseconds) => digits(moment.subsec_millis(), 3, out),
            Some(Fraction::Microseconds) => digits(moment.subsec_micros(), 6, out),
            None => {}
        }
        local_time(&self.tail, seconds, out);
    }
}

/// The first of the two letters that is one: `%%Q` is a percent sign and a letter.
fn place_of_fraction(format: &str) -> Option<(usize, Fraction)> {
    let bytes = format.as_bytes();
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'%') {
        at += found;
        match bytes.get(at + 1) {
            Some(b'Q') => return Some((at, Fraction::Milliseconds)),
            Some(b'q') => return Some((at, Fraction::Microseconds)),
            _ => at = (at + 2).min(bytes.len()),
        }
    }
    None
}

fn digits(number: u32, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        out.push(b'0' + u8::try_from(number / 10u32.pow(place) % 10).unwrap_or(0));
    }
}

fn local_time(format: &CString, seconds: u64, out: &mut Vec<u8>) {
    if format.is_empty() {
        return;
    }
    let mut room = [0u8; 256];
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    // SAFETY: there is as much room as is told, and the format is a C string.
    let length =
        unsafe { ffi::margay_local_time(room.as_mut_ptr().cast(), room.len(), format.as_ptr(), seconds) };
    out.extend_from_slice(&room[..length.min(room.len())]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fraction_is_found_and_no_percent_sign_is_taken_for_one() {
        assert_eq!(place_of_fraction("[%T.%Q %q]"), Some((4, Fraction::Milliseconds)));
        assert_eq!(place_of_fraction("%q %Q"), Some((0, Fraction::Microseconds)));
        assert_eq!(place_of_fraction("%%Q %%"), None);
        assert_eq!(place_of_fraction("%"), None);
        assert_eq!(place_of_fraction("%%%Q"), Some((2, Fraction::Milliseconds)));
    }

    #[test]
    fn fractions_have_all_their_digits() {
        let mut out = Vec::new();
        digits(7, 3, &mut out);
        out.push(b' ');
        digits(123_456, 6, &mut out);
        assert_eq!(out, b"007 123456");
    }
}
