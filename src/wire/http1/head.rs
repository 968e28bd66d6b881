// SPDX-License-Identifier: Apache-2.0
//! Words about heads that both directions use.

/// How the body of an answer ends (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What to do with a line of a head that has no colon (`ProxyBadHeader`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadHeader {
    /// The answer is refused.
    #[default]
    IsError,
    /// The line is left out.
    Ignore,
    /// The head ends in front of the line, which begins the body.
    StartBody,
}

/// Limits for the head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest line in bytes, continuations included (`responsefieldsize`).
    pub field: usize,
    /// Longest head in bytes.
    pub head: usize,
    pub bad_header: BadHeader,
}

/// Headers about one connection that never pass a proxy (RFC 9110, 7.6.1), with those that frame a body.
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    let known: &[&[u8]] = match name.len() {
        2 => &[b"TE"],
        7 => &[b"Upgrade", b"Trailer"],
        10 => &[b"Connection", b"Keep-Alive"],
        14 => &[b"Content-Length"],
        16 => &[b"Proxy-Connection"],
        17 => &[b"Transfer-Encoding"],
        _ => return false,
    };
    known.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The words of a list with commas, without blanks around them; empty ones are left out.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
}

/// Does a list name this word, in any letter case?
pub fn lists(value: &[u8], word: &[u8]) -> bool {
    tokens(value).any(|token| token.eq_ignore_ascii_case(word))
}

/// Writes a value that goes on over several lines as one line: the line breaks go, the blanks behind them stay
/// (RFC 9112, 5.2).
pub fn unfold(value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for line in value.split(|byte| *byte == b'\n') {
        out.extend_from_slice(line.trim_ascii_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_without_blanks_and_empty_words() {
        assert_eq!(tokens(b" close ,, X-a,\tTE").collect::<Vec<_>>(), [&b"close"[..], b"X-a", b"TE"]);
        assert!(lists(b"keep-alive, Close", b"close"));
        assert!(!lists(b"closed", b"close"));
        assert!(!lists(b"", b"close"));
    }

    #[test]
    fn continued_lines_become_one() {
        let mut out = Vec::new();
        unfold(b"a b \r\n\tc\r\n  d", &mut out);
        assert_eq!(out, b"a b\tc  d");
    }
}
