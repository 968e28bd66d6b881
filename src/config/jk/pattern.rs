// SPDX-License-Identifier: Apache-2.0
//! Patterns of rules: `*` is any run of bytes, `?` exactly one; both may be slashes.

/// Does the whole of `path` fit the pattern? Time grows with the product of the two lengths at most.
pub fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when the literal part after the last star does not fit: one byte further.
    let mut retry: Option<(usize, usize)> = None;
    while t < path.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == path[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else { return false };
                retry = Some((after_star, from + 1));
                (p, t) = (after_star, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Is the byte one of the two special ones?
pub fn is_special(byte: &u8) -> bool {
    matches!(byte, b'*' | b'?')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_is_any_run_and_a_question_mark_one_byte() {
        for (pattern, path, fits) in [
            ("/a/*", "/a/", true),
            ("/a/*", "/a/b/c", true),
            ("/a/*", "/a", false),
            ("/*.do", "/q/x.do", true),
            ("/*.do", "/x.do.do", true),
            ("/*.do", "/x.dot", false),
            ("/a/??.html", "/a/ab.html", true),
            ("/a/??.html", "/a/abc.html", false),
            ("/a?b", "/a/b", true),
            ("/*a*b", "/xaxbxb", true),
            ("/**", "/", true),
            ("/a", "/a", true),
            ("/a", "/A", false),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), path.as_bytes()), fits, "{pattern} {path}");
        }
    }

    /// The definition, word by word.
    fn naive(pattern: &[u8], path: &[u8]) -> bool {
        match (pattern, path) {
            ([], rest) => rest.is_empty(),
            ([b'*', after @ ..], _) => (0..=path.len()).any(|skip| naive(after, &path[skip..])),
            ([b'?', after @ ..], [_, rest @ ..]) => naive(after, rest),
            ([byte, after @ ..], [first, rest @ ..]) => byte == first && naive(after, rest),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_the_definition_says(pattern in "[ab/*?]{0,8}", path in "[ab/]{0,10}") {
            let (pattern, path) = (pattern.as_bytes(), path.as_bytes());
            prop_assert_eq!(matches(pattern, path), naive(pattern, path));
        }
    }
}
