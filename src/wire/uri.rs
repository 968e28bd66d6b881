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

fn escape(byte: u8) -> [u8; 3] {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    [b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// True if a raw path or query string holds a control character or a blank and must not be forwarded.
pub fn has_forbidden(raw: &[u8]) -> bool {
    forbidden_at(raw).is_some()
}

/// Where the first control character or blank of `raw` stands.
pub fn forbidden_at(raw: &[u8]) -> Option<usize> {
    raw.iter().position(|byte| byte.is_ascii_control() || *byte == b' ')
}

/// Does the prefix of a `ProxyPass` rule match a decoded path? The result is the offset in `path` of the rest, which is
/// appended to the target as it is.
///
/// A run of slashes in the rule matches any run of slashes in the path. A rule that does not end in `/` matches whole
/// segments only. A path that does not start with `/` is never matched, nor does an empty rule match anything.
pub fn match_prefix(rule: &[u8], path: &[u8]) -> Option<usize> {
    if rule.is_empty() || !path.starts_with(b"/") {
        return None;
    }
    let (mut rule, mut rest) = (rule, path);
    let mut is_after_slash = false;
    while let [first, ..] = rule {
        is_after_slash = *first == b'/';
        if rest.first() != Some(first) {
            return None;
        }
        if is_after_slash {
            rule = skip_slashes(rule);
            rest = skip_slashes(rest);
        } else {
            rule = &rule[1..];
            rest = &rest[1..];
        }
    }
    let ends_segment = is_after_slash || matches!(rest, [] | [b'/', ..]);
    ends_segment.then_some(path.len() - rest.len())
}

fn skip_slashes(text: &[u8]) -> &[u8] {
    let run = text.iter().take_while(|byte| **byte == b'/').count();
    &text[run..]
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

    /// What the member gets for `request`, whose runs of slashes httpd has merged.
    fn mapped(rule: &str, target: &str, request: &str) -> Option<String> {
        let mut path = request.to_owned();
        while path.contains("//") {
            path = path.replace("//", "/");
        }
        match_prefix(rule.as_bytes(), path.as_bytes()).map(|rest| format!("{target}{}", &path[rest..]))
    }

    #[test]
    fn prefix_rules_map_as_documented() {
        for (rule, target, request, expected) in [
            ("/app", "http://h/back", "/app", Some("http://h/back")),
            ("/app", "http://h/back", "/app/", Some("http://h/back/")),
            ("/app", "http://h/back", "/app/x", Some("http://h/back/x")),
            ("/app", "http://h/back", "//app//x", Some("http://h/back/x")),
            ("/app", "http://h/back", "/appx", None),
            ("/app", "http://h/back", "/APP/x", None),
            ("/app", "http://h/back", "/app;p=1", None),
            ("/app/", "http://h/back/", "/app", None),
            ("/app/", "http://h/back", "/app/x", Some("http://h/backx")),
            ("/app", "http://h/back/", "/app/x", Some("http://h/back//x")),
            ("/app", "http://h/back/", "/app", Some("http://h/back/")),
            ("/", "http://h:8080", "/x", Some("http://h:8080x")),
            ("/", "balancer://c", "/x", Some("balancer://cx")),
            ("x", "http://h/", "/x", None),
            ("", "http://h/", "/x", None),
            ("/app", "http://h/back", "*", None),
            ("/app;v=1", "http://h/back", "/app;v=1/b", Some("http://h/back/b")),
        ] {
            assert_eq!(mapped(rule, target, request).as_deref(), expected, "{rule} {target} on {request}");
        }
    }

    #[test]
    fn runs_of_slashes_match_runs_of_any_length() {
        assert_eq!(match_prefix(b"/app", b"//app//x"), Some(5));
        assert_eq!(match_prefix(b"//app", b"/app/x"), Some(4));
        assert_eq!(match_prefix(b"/a//b/", b"///a/b///c"), Some(9));
        assert_eq!(match_prefix(b"/a/b", b"/ab"), None);
        assert_eq!(match_prefix(b"/", b"/"), Some(1));
        assert_eq!(match_prefix(b"/app/", b"/ap"), None);
        assert_eq!(match_prefix(b"x", b"x"), None);
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
        assert!(!has_forbidden("/a%20b;x=1/ü~".as_bytes()));
        for byte in (0..=b' ').chain([0x7f]) {
            assert!(has_forbidden(&[b'/', byte]), "{byte:#04x}");
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
            prop_assert!(!has_forbidden(&out));
            prop_assert_eq!(percent_decoded(&out), path);
        }

        #[test]
        fn kept_slashes_add_nothing_forbidden(path in "[/%2Ffa ]{0,20}") {
            let mut out = Vec::new();
            encode_path(path.as_bytes(), EncodedSlashes::Kept, &mut out);
            prop_assert!(!has_forbidden(&out));
            prop_assert_eq!(percent_decoded(&out), path.replace("%2F", "/").replace("%2f", "/").into_bytes());
        }

        #[test]
        fn what_follows_a_matched_prefix_is_left_alone(rule in "/[a/]{0,6}", rest in "[a/;]{0,6}") {
            let path = format!("{rule}{rest}");
            if let Some(at) = match_prefix(rule.as_bytes(), path.as_bytes()) {
                prop_assert!(at >= rule.len());
                prop_assert!(path[rule.len()..at].bytes().all(|byte| byte == b'/'));
            }
        }
    }
}
