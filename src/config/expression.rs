// SPDX-License-Identifier: Apache-2.0
//! Rules with regular expressions: what a match puts into the target.
//!
//! The expressions themselves are httpd's to compile and to ask, so that a pattern means what it means there.

use super::origin::Origin;

/// Index into [`Plan::expressions`](super::Plan).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ExpressionId(pub u32);

/// A regular expression of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    pub origin: Origin,
    pub pattern: String,
    /// Name of the directive where its text of an error names it.
    pub directive: Option<&'static str>,
}

/// How many groups a target can name, the whole match (`$0`) included.
pub const GROUPS: usize = 10;

/// Where each group lies in the text that matched; `None` for one that took no part.
pub type Groups = [Option<(usize, usize)>; GROUPS];

/// Does the text name a group?
pub(crate) fn names_groups(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| pair[0] == b'$' && pair[1].is_ascii_digit())
}

/// Appends `target` with its groups filled in; if that changes nothing, the whole `subject` follows it. A backslash hides
/// the character behind it, and `&` stands for itself.
pub fn fill(target: &str, subject: &[u8], groups: &Groups, out: &mut Vec<u8>) {
    let start = out.len();
    let mut rest = target.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'$', digit @ b'0'..=b'9', after @ ..] => {
                let group = groups[usize::from(digit - b'0')];
                out.extend_from_slice(group.and_then(|(from, to)| subject.get(from..to)).unwrap_or_default());
                after
            }
            [b'\\', hidden, after @ ..] => {
                out.push(*hidden);
                after
            }
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
        };
    }
    if out[start..] == *target.as_bytes() {
        out.extend_from_slice(subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(target: &str, subject: &str, groups: &[(usize, usize)]) -> String {
        let mut all = [None; GROUPS];
        for (place, group) in groups.iter().enumerate() {
            all[place] = Some(*group);
        }
        let mut out = Vec::new();
        fill(target, subject.as_bytes(), &all, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn groups_are_filled_in_and_everything_else_stays() {
        let groups = [(0, 6), (1, 2), (3, 6)];
        for (target, expected) in [
            ("ajp://h/$1/$2", "ajp://h/a/b&c"),
            ("ajp://h$0", "ajp://h/a/b&c"),
            ("ajp://h/$1&$9x", "ajp://h/a&x"),
            ("ajp://h/\\$1", "ajp://h/$1"),
            ("ajp://h/$", "ajp://h/$/a/b&c"),
            ("ajp://h/img", "ajp://h/img/a/b&c"),
        ] {
            assert_eq!(filled(target, "/a/b&c", &groups), expected, "{target}");
        }
    }

    #[test]
    fn a_group_that_took_no_part_is_empty() {
        assert_eq!(filled("ajp://h/$1", "/x", &[(0, 2)]), "ajp://h/");
        assert_eq!(filled("ajp://h/$1", "/x", &[(0, 2), (5, 9)]), "ajp://h/");
    }
}
