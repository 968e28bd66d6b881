// SPDX-License-Identifier: Apache-2.0
//! `JkRequestLogFormat`: a line for each request that a worker got.

use std::ffi::CStr;
use std::io::Write;

use super::site::Here;
use super::{log, state};
use crate::httpd::{ffi, pool};

/// A format, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Format(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Item(u8),
}

/// What a format may ask for.
pub(super) const LETTERS: &[u8] = b"bBHmpqrRsTUvVw";

impl Format {
    /// A letter that means nothing stays as it is written.
    pub fn new(format: &str) -> Format {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut chars = format.chars().peekable();
        while let Some(c) = chars.next() {
            let letter = chars.peek().and_then(|next| u8::try_from(*next).ok());
            match letter {
                Some(b'%') if c == '%' => {
                    chars.next();
                    text.push('%');
                }
                Some(letter) if c == '%' && LETTERS.contains(&letter) => {
                    chars.next();
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(Piece::Item(letter));
                }
                _ => text.push(c),
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Format(pieces)
    }

    /// Appends the line about a request.
    ///
    /// # Safety
    /// `r` is a live request that no other thread touches.
    unsafe fn write(&self, r: *mut ffi::request_rec, out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                // SAFETY: the caller vouches for `r`.
                Piece::Item(letter) => unsafe { item(r, *letter, out) },
            }
        }
    }
}

/// Writes the line of a request that is over, if its server wants one and a worker was found for it.
///
/// # Safety
/// `r` is a live request that no other thread touches.
pub(super) unsafe fn log(r: *mut ffi::request_rec) {
    // SAFETY: the caller vouches for `r`.
    unsafe {
        let Some(here) = Here::of(r) else { return };
        let Some(log) = log::of_child().and_then(|logs| logs.site(here.id)) else { return };
        if let Some(format) = log.format.as_ref().filter(|_| state::worker_noted(r).is_some()) {
            log.write_request(|line| format.write(r, line));
        }
    }
}

unsafe fn item(r: *mut ffi::request_rec, letter: u8, out: &mut Vec<u8>) {
    // SAFETY: the caller vouches for `r`, and its text lives as long.
    unsafe {
        let request = &*r;
        match letter {
            b'b' if request.sent_bodyct == 0 => out.push(b'-'),
            b'B' if request.sent_bodyct == 0 => out.push(b'0'),
            b'b' | b'B' => number(request.bytes_sent, out),
            b'H' => text(pool::bytes(request.protocol), out),
            b'm' => text(pool::bytes(request.method), out),
            b'p' => number(i64::from(ffi::margay_port(r)), out),
            b'q' => {
                if let Some(query) = pool::some_bytes(request.args) {
                    out.push(b'?');
                    out.extend_from_slice(query);
                }
            }
            b'r' => text(pool::bytes(request.the_request), out),
            b's' => number(i64::from(request.status), out),
            b'U' => text(pool::bytes(request.uri), out),
            b'v' => text(pool::bytes((*request.server).server_hostname), out),
            b'V' => text(pool::bytes(ffi::ap_get_server_name(r)), out),
            b'R' => text(note(request, c"JK_WORKER_ROUTE"), out),
            b'T' => text(note(request, c"JK_REQUEST_DURATION"), out),
            _ => text(note(request, c"JK_WORKER_NAME"), out),
        }
    }
}

unsafe fn note<'a>(request: &ffi::request_rec, name: &CStr) -> &'a [u8] {
    // SAFETY: the caller vouches for the request; notes live as long as it does.
    unsafe { pool::bytes(ffi::apr_table_get(request.notes, name.as_ptr())) }
}

fn number(number: i64, out: &mut Vec<u8>) {
    let _ = write!(out, "{number}");
}

/// Nothing is a dash; what could end the line or hide in a terminal is escaped.
fn text(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_empty() {
        out.push(b'-');
    }
    for byte in bytes {
        match byte {
            b' '..=b'~' | 0x80.. => out.push(*byte),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_falls_into_text_and_items() {
        let format = Format::new("%w \"%r\" 100%% %Z%");
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(
            format,
            Format(vec![Piece::Item(b'w'), text(" \""), Piece::Item(b'r'), text("\" 100% %Z%")])
        );
    }

    #[test]
    fn nothing_is_a_dash_and_control_characters_are_shown() {
        let mut out = Vec::new();
        text(b"", &mut out);
        text(b"a\nb", &mut out);
        assert_eq!(out, b"-a\\x0ab");
    }
}
