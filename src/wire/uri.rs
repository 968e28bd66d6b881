// SPDX-License-Identifier: Apache-2.0
//! Writing request paths for a member.
//!
//! Paths are bytes. httpd has decoded and normalised them before these functions see them; the query string is never
//! touched.

/// What `AllowEncodedSlashes` left in the decoded path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EncodedSlashes {
    /// `Off` and `On`: everything is decoded, so each `%` stands for itself.
    #[default]
    Decoded,
    /// `NoDecode`: `%2F` and `%2f` are slashes the client had encoded.
    Kept,
}

/// True for the bytes that go to the member as they are; all others are written as `%XX`.
const IS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"~$-_.+!*'(),;:@&=/";
    let mut index = 0;
    while index < marks.len() {
        table[marks[index] as usize] = true;
        index += 1;
    }
    table
};

/// Appends the decoded path to `out` in mod_proxy's canonical encoding.
///
/// A `%` that is not part of a kept `%2F` becomes `%25`.
pub fn encode_path(decoded: &[u8], slashes: EncodedSlashes, out: &mut Vec<u8>) {
    let mut rest = decoded;
    while !rest.is_empty() {
        let plain = rest.iter().position(|byte| !IS_PLAIN[usize::from(*byte)]).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        rest = match rest {
            [b'%', b'2', b'F' | b'f', after @ ..] if slashes == EncodedSlashes::Kept => {
                out.extend_from_slice(&rest[..3]);
                after
            }
            [byte, after @ ..] => {
                out.extend_from_slice(&escape(*byte));
                after
            }
            [] => rest,
        };
    }
}

/// `%XX`.
pub fn escape(byte: u8) -> [u8; 3] {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    [b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Where the first control character or blank of `raw` stands.
pub fn forbidden_at(raw: &[u8]) -> Option<usize> {
    raw.iter().position(|byte| byte.is_ascii_control() || *byte == b' ')
}

/// A path as a servlet container reads it: without path parameters, with dot segments resolved and slash runs made one.
/// Each segment remembers how it was written.
#[derive(Debug)]
pub struct ServletPath<'a> {
    clean: Vec<u8>,
    /// Where each segment ends in `clean`, and its path parameters, with the leading `;`.
    segments: Vec<(usize, &'a [u8])>,
}

impl<'a> ServletPath<'a> {
    /// Cleans a path that is still encoded. `None`: it does not start with a slash, or climbs above the root.
    pub fn of(path: &'a [u8]) -> Option<Self> {
        let mut kept: Vec<(&[u8], &[u8])> = Vec::new();
        let mut ends_open = false;
        for segment in path.strip_prefix(b"/")?.split(|&byte| byte == b'/') {
            let name_end = segment.iter().position(|&byte| byte == b';').unwrap_or(segment.len());
            let (name, parameters) = segment.split_at(name_end);
            ends_open = name.is_empty() || name == b"." || name == b"..";
            match name {
                b"" | b"." => {}
                b".." => {
                    kept.pop()?;
                }
                _ => kept.push((name, parameters)),
            }
        }
        let mut cleaned = ServletPath { clean: Vec::with_capacity(path.len()), segments: Vec::new() };
        for (name, parameters) in kept {
            cleaned.clean.push(b'/');
            cleaned.clean.extend_from_slice(name);
            cleaned.segments.push((cleaned.clean.len(), parameters));
        }
        if ends_open {
            cleaned.clean.push(b'/');
        }
        Some(cleaned)
    }

    /// The path rules are compared with.
    pub fn path(&self) -> &[u8] {
        &self.clean
    }

    /// What follows the first `matched` bytes of [`path`](Self::path), with its parameters. Those of the last matched
    /// segment are kept if more follows.
    pub fn rest(&self, matched: usize) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut from = matched;
        for &(end, parameters) in self.segments.iter().filter(|(end, _)| *end >= matched) {
            if end == matched && matched == self.clean.len() {
                break;
            }
            rest.extend_from_slice(&self.clean[from..end]);
            rest.extend_from_slice(parameters);
            from = end;
        }
        rest.extend_from_slice(&self.clean[from.min(self.clean.len())..]);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(decoded: &str, slashes: EncodedSlashes) -> String {
        let mut out = Vec::new();
        encode_path(decoded.as_bytes(), slashes, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// What follows `rule` in `path` by servlet rules, where `rule` is a prefix of the clean path.
    fn servlet_rest(rule: &str, path: &str) -> Option<String> {
        let clean = ServletPath::of(path.as_bytes())?;
        clean.path().starts_with(rule.as_bytes()).then(|| String::from_utf8(clean.rest(rule.len())).unwrap())
    }

    #[test]
    fn a_servlet_path_has_no_parameters_dots_and_double_slashes() {
        for (path, clean) in [
            ("/", "/"),
            ("/app;v=1/b", "/app/b"),
            ("/app//a///b/", "/app/a/b/"),
            ("/app/x/../b", "/app/b"),
            ("/app/x;v=1/../y", "/app/y"),
            ("/app/..;/b", "/b"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/a/;x", "/a/"),
        ] {
            let found = ServletPath::of(path.as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(found.path()), clean, "{path}");
        }
        for above_root in ["/..", "/a/../../b", "/..;x/b", "a"] {
            assert!(ServletPath::of(above_root.as_bytes()).is_none(), "{above_root}");
        }
    }

    #[test]
    fn parameters_stay_with_what_follows_the_rule() {
        for (rule, path, rest) in [
            ("/app", "/app;x=1/y", ";x=1/y"),
            ("/app", "/app;x=1", ""),
            ("/app", "/app", ""),
            ("/app", "/app/", "/"),
            ("/app/", "/app;v=1/b", "b"),
            ("/app/", "/app/a;b=c/d;e", "a;b=c/d;e"),
            ("/app/", "/app/a;b=c/", "a;b=c/"),
            ("/", "/a;b", "a;b"),
        ] {
            assert_eq!(servlet_rest(rule, path).as_deref(), Some(rest), "{rule} {path}");
        }
    }

    #[test]
    fn paths_are_encoded_as_mod_proxy_does() {
        for (decoded, expected) in [
            ("a b", "a%20b"),
            ("~u", "~u"),
            ("a&b", "a&b"),
            ("x%y", "x%25y"),
            ("a|b", "a%7Cb"),
            ("a;b=c", "a;b=c"),
            ("/rec/x~$-_.+!*'(),:@&=[]| \"y", "/rec/x~$-_.+!*'(),:@&=%5B%5D%7C%20%22y"),
            ("/rec/über/€.txt", "/rec/%C3%BCber/%E2%82%AC.txt"),
            ("/rec/100% y", "/rec/100%25%20y"),
            ("/a?b#c\\d", "/a%3Fb%23c%5Cd"),
            ("/\u{7f}\n", "/%7F%0A"),
            ("", ""),
        ] {
            assert_eq!(encoded(decoded, EncodedSlashes::Decoded), expected);
        }
    }

    #[test]
    fn kept_slashes_stay_and_a_lone_percent_sign_is_encoded() {
        for (decoded, kept, plain) in [
            ("/rec/a%2Fb", "/rec/a%2Fb", "/rec/a%252Fb"),
            ("/rec/a%2fb", "/rec/a%2fb", "/rec/a%252fb"),
            ("/rec/100% y", "/rec/100%25%20y", "/rec/100%25%20y"),
            ("/%", "/%25", "/%25"),
            ("/%2", "/%252", "/%252"),
            ("/%2E%", "/%252E%25", "/%252E%25"),
        ] {
            assert_eq!(encoded(decoded, EncodedSlashes::Kept), kept);
            assert_eq!(encoded(decoded, EncodedSlashes::Decoded), plain);
        }
    }

    #[test]
    fn control_characters_and_blanks_are_forbidden() {
        assert_eq!(forbidden_at("/a%20b;x=1/ü~".as_bytes()), None);
        for byte in (0..=b' ').chain([0x7f]) {
            assert_eq!(forbidden_at(&[b'/', byte]), Some(1), "{byte:#04x}");
        }
        assert_eq!(forbidden_at(b"/a b\n"), Some(2));
    }

    fn percent_decoded(encoded: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut index = 0;
        while index < encoded.len() {
            if encoded[index] == b'%' {
                let hex = std::str::from_utf8(&encoded[index + 1..index + 3]).unwrap();
                out.push(u8::from_str_radix(hex, 16).unwrap());
                index += 3;
            } else {
                out.push(encoded[index]);
                index += 1;
            }
        }
        out
    }

    proptest! {
        #[test]
        fn decoding_gives_the_path_back(path in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut out = Vec::new();
            encode_path(&path, EncodedSlashes::Decoded, &mut out);
            prop_assert_eq!(forbidden_at(&out), None);
            prop_assert_eq!(percent_decoded(&out), path);
        }

        #[test]
        fn kept_slashes_add_nothing_forbidden(path in "[/%2Ffa ]{0,20}") {
            let mut out = Vec::new();
            encode_path(path.as_bytes(), EncodedSlashes::Kept, &mut out);
            prop_assert_eq!(forbidden_at(&out), None);
            prop_assert_eq!(percent_decoded(&out), path.replace("%2F", "/").replace("%2f", "/").into_bytes());
        }

        #[test]
        fn every_path_is_cleaned_without_panic(path in "[/a.;]{0,12}", cut in 0usize..12) {
            if let Some(clean) = ServletPath::of(path.as_bytes()) {
                prop_assert!(clean.path().starts_with(b"/"));
                prop_assert!(!clean.path().contains(&b';'));
                let rest = clean.rest(cut.min(clean.path().len()));
                prop_assert!(rest.len() <= path.len());
            }
        }
    }
}
