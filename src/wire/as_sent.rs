// SPDX-License-Identifier: Apache-2.0
//! Paths that keep what the client had encoded on purpose.
//!
//! httpd hands modules a decoded path. There a `;` may have been `%3B`, and under `AllowEncodedSlashes NoDecode` a `%2F` may
//! have been `%252F`. Encoding such a path again tells the container something else than the client said, so the path
//! that came is decoded once more, remembering these two.

use super::uri::{EncodedSlashes, encode_path, escape};

/// Stands for `%3B` and `%2F` while a path is worked on; httpd lets neither byte into a path that contains them.
const SEMICOLON: u8 = 0;
const SLASH: u8 = 1;

/// Appends `decoded`, encoded again, to `out`. `raw` is the path as it came, without the query string; if it is not what
/// `decoded` was made of, nobody can tell what the client had encoded, and `decoded` counts as it is.
pub fn encode_as_sent(raw: &[u8], decoded: &[u8], slashes: EncodedSlashes, out: &mut Vec<u8>) {
    let speaks = |raw: &[u8]| raw.windows(3).any(|three| three.eq_ignore_ascii_case(b"%3B"));
    if !(speaks(raw) || slashes == EncodedSlashes::Kept && decoded.contains(&b'%')) {
        return encode_path(decoded, EncodedSlashes::Decoded, out);
    }
    match marked(raw, decoded, slashes) {
        None => encode_path(decoded, slashes, out),
        Some(path) => {
            for part in path.split_inclusive(|byte| matches!(*byte, SEMICOLON | SLASH)) {
                let (plain, mark) = match part {
                    [plain @ .., SEMICOLON] => (plain, &escape(b';')[..]),
                    [plain @ .., SLASH] => (plain, &b"%2F"[..]),
                    plain => (plain, &b""[..]),
                };
                encode_path(plain, EncodedSlashes::Decoded, out);
                out.extend_from_slice(mark);
            }
        }
    }
}

/// The decoded path with marks in place of what was encoded; `None` if `raw` does not lead to `decoded`.
fn marked(raw: &[u8], decoded: &[u8], slashes: EncodedSlashes) -> Option<Vec<u8>> {
    let whole = decode(raw, slashes)?;
    let plain = |path: &[u8]| {
        let mut plain = Vec::with_capacity(path.len());
        for byte in path {
            match *byte {
                SEMICOLON => plain.push(b';'),
                SLASH => plain.extend_from_slice(b"%2F"),
                byte => plain.push(byte),
            }
        }
        plain
    };
    let same = |path: &[u8]| {
        let path = plain(path);
        path.len() == decoded.len() && path.iter().zip(decoded).all(|(a, b)| a.eq_ignore_ascii_case(b))
    };
    let mut path = if same(&whole) { whole } else { Some(resolved(&whole)).filter(|path| same(path))? };
    keep_dots_plain(&mut path);
    Some(path)
}

/// `..%3Bx` means `..` to nobody but those who look at the decoded path; there it stays a parameter, as httpd saw it.
fn keep_dots_plain(path: &mut [u8]) {
    for segment in path.split_mut(|byte| *byte == b'/') {
        let end = segment.iter().position(|byte| matches!(*byte, b';' | SEMICOLON)).unwrap_or(segment.len());
        if matches!(&segment[..end], b"" | b"." | b"..") {
            for byte in segment.iter_mut().filter(|byte| **byte == SEMICOLON) {
                *byte = b';';
            }
        }
    }
}

fn decode(raw: &[u8], slashes: EncodedSlashes) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let ([high, low], after) = after.split_first_chunk()?;
        rest = after;
        out.push(match digit(*high)? * 16 + digit(*low)? {
            b';' => SEMICOLON,
            b'/' if slashes == EncodedSlashes::Kept => SLASH,
            // Neither can be told from a mark.
            SEMICOLON | SLASH => return None,
            byte => byte,
        });
    }
    Some(out)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Runs of slashes and dot segments, as httpd treats them.
fn resolved(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_open = false;
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        ends_open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for name in kept {
        out.push(b'/');
        out.extend_from_slice(name);
    }
    if ends_open || out.is_empty() {
        out.push(b'/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::EncodedSlashes::{Decoded, Kept};
    use super::*;
    use proptest::prelude::*;

    fn sent(raw: &str, decoded: &str, slashes: EncodedSlashes) -> String {
        let mut out = Vec::new();
        encode_as_sent(raw.as_bytes(), decoded.as_bytes(), slashes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_the_client_encoded_stays_encoded() {
        for (raw, decoded, slashes, encoded) in [
            ("/a/x.jsp%3Bfoo", "/a/x.jsp;foo", Decoded, "/a/x.jsp%3Bfoo"),
            ("/a/x.jsp%3bfoo;p", "/a/x.jsp;foo;p", Decoded, "/a/x.jsp%3Bfoo;p"),
            ("/a/x%2Fy", "/a/x%2Fy", Kept, "/a/x%2Fy"),
            ("/a/x%2fy", "/a/x%2fy", Kept, "/a/x%2Fy"),
            ("/a/x%252Fy", "/a/x%2Fy", Kept, "/a/x%252Fy"),
            ("/a/100%25%20y", "/a/100% y", Kept, "/a/100%25%20y"),
            ("/a%2Fb;p=%20/./c%C3%BC/../d;s=1", "/a%2Fb;p= /d;s=1", Kept, "/a%2Fb;p=%20/d;s=1"),
            ("//a//x%3By", "/a/x;y", Decoded, "/a/x%3By"),
            ("/a/..;/x%3By", "/a/..;/x;y", Decoded, "/a/..;/x%3By"),
        ] {
            assert_eq!(sent(raw, decoded, slashes), encoded, "{raw}");
        }
    }

    #[test]
    fn dots_before_an_encoded_semicolon_stay_what_rules_saw() {
        assert_eq!(sent("/admin/..%3B/x", "/admin/..;/x", Decoded), "/admin/..;/x");
        assert_eq!(sent("/admin/%3B/x", "/admin/;/x", Decoded), "/admin/;/x");
    }

    #[test]
    fn a_path_that_somebody_changed_counts_as_it_is() {
        assert_eq!(sent("/a%3Bb", "/other;b", Decoded), "/other;b");
        assert_eq!(sent("/a%2Fb", "/other%2Fb", Kept), "/other%2Fb");
        assert_eq!(sent("/a%3B%", "/a;x", Decoded), "/a;x");
    }

    proptest! {
        #[test]
        fn any_bytes_are_bearable(raw in ".*", decoded in ".*") {
            sent(&raw, &decoded, Kept);
            sent(&raw, &decoded, Decoded);
        }
    }
}
