// SPDX-License-Identifier: Apache-2.0
//! Words of configuration lines: splitting, and the nearest known name for a misspelt one.

/// Splits the argument text of a directive the way httpd does.
///
/// Words end at white space. A word that starts with `"` or `'` runs to the next such quote (or the end of the text);
/// quotes inside a word are plain characters. A backslash hides a backslash, and inside quotes the quote.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { rest: text.trim_start_matches(is_blank) }
    }

    /// What has not been split yet, without leading blanks.
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    fn take(&mut self, end: usize, after: usize) -> &'a str {
        let word = &self.rest[..end];
        self.rest = self.rest[after..].trim_start_matches(is_blank);
        word
    }
}

impl Iterator for Words<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let quote = self.rest.chars().next()?;
        if quote != '"' && quote != '\'' {
            let end = self.rest.find(is_blank).unwrap_or(self.rest.len());
            return Some(unescaped(self.take(end, end), None));
        }
        self.rest = &self.rest[1..];
        let end = closing(self.rest, quote).unwrap_or(self.rest.len());
        let after = (end + 1).min(self.rest.len());
        Some(unescaped(self.take(end, after), Some(quote)))
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

fn closing(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some(at);
        }
        if c == '\\' && chars.clone().next().is_some_and(|(_, next)| next == quote || next == '\\') {
            chars.next();
        }
    }
    None
}

fn unescaped(text: &str, quote: Option<char>) -> String {
    let mut word = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(&next) if c == '\\' && (next == '\\' || Some(next) == quote) => {
                word.push(next);
                chars.next();
            }
            _ => word.push(c),
        }
    }
    word
}

/// The integer at the start of `text` and what follows it: `500ms` is `(500, "ms")`; no digits are 0.
///
/// Numbers too large for the type are cut at its ends.
pub fn leading_integer(text: &str) -> (i64, &str) {
    let text = text.trim_start_matches(is_blank);
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
    if end == 0 {
        return (0, text);
    }
    let size = unsigned[..end]
        .bytes()
        .fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    (if text.starts_with('-') { -size } else { size }, &unsigned[end..])
}

/// `text` in double quotes for a one-line message: control characters are shown as escapes, long texts are cut.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut shown = String::from("\"");
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST {
            shown.push_str("...");
            break;
        }
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown.push('"');
    shown
}

/// The known name most like `word` (letter case ignored), if one is close enough to be a slip of the fingers.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let allowed = match word.len() {
        0..=1 => return None,
        2..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .map(|name| {
            let letters: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
            (distance(&word, &letters), name)
        })
        .filter(|(steps, _)| *steps <= allowed)
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, name)| name)
}

/// Letters to insert, delete, replace or swap with their neighbour to get from one word to the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, &a) in from.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, &b) in to.iter().enumerate() {
            let replaced = above[column] + usize::from(a != b);
            let mut steps = replaced.min(above[column + 1] + 1).min(line[column] + 1);
            if row > 0 && column > 0 && a == to[column - 1] && from[row - 1] == b {
                steps = steps.min(before[column - 1] + 1);
            }
            line.push(steps);
        }
        before = std::mem::replace(&mut above, line);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        Words::new(text).collect()
    }

    #[test]
    fn words_end_at_blanks_and_leading_quotes_protect_them() {
        assert_eq!(split("  / balancer://c/\tnocanon "), ["/", "balancer://c/", "nocanon"]);
        assert_eq!(split(r#""failonstatus=500, 503" x"#), ["failonstatus=500, 503", "x"]);
        assert_eq!(split("'a \"b\"' \"\""), ["a \"b\"", ""]);
        assert!(split("   ").is_empty());
    }

    #[test]
    fn quotes_inside_a_word_are_plain_characters() {
        assert_eq!(split(r#"timeout="30" x"#), [r#"timeout="30""#, "x"]);
        assert_eq!(split(r#""a"b"#), ["a", "b"]);
        assert_eq!(split(r#""open end"#), ["open end"]);
    }

    #[test]
    fn a_backslash_hides_itself_and_the_quote() {
        assert_eq!(split(r#""a\"b\\" c\\d \e"#), [r#"a"b\"#, r"c\d", r"\e"]);
        assert_eq!(split(r#""a\"#), [r"a\"]);
    }

    #[test]
    fn integers_are_read_as_far_as_they_go() {
        assert_eq!(leading_integer("500ms"), (500, "ms"));
        assert_eq!(leading_integer(" -7"), (-7, ""));
        assert_eq!(leading_integer("abc"), (0, "abc"));
        assert_eq!(leading_integer("99999999999999999999").0, i64::MAX);
        assert_eq!(leading_integer("-"), (0, "-"));
    }

    #[test]
    fn slips_of_the_fingers_find_their_name() {
        let known = ["stickysession", "route", "retry", "timeout", "ttl"];
        assert_eq!(nearest("sitckysession", known), Some("stickysession"));
        assert_eq!(nearest("Rotue", known), Some("route"));
        assert_eq!(nearest("tll", known), Some("ttl"));
        assert_eq!(nearest("cookie", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn shown_words_stay_on_one_line() {
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
        assert!(quoted(&"x".repeat(500)).len() < 130);
    }
}
