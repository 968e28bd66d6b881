// SPDX-License-Identifier: Apache-2.0
//! Requests that no rule maps: `JkAutoAlias` serves files of web applications, `JkStripSession` takes the session away.

/// What becomes of a path under `JkAutoAlias`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Alias<'a> {
    /// Nothing: it names no context.
    None,
    /// Nobody may see it: WEB-INF and META-INF, and what leads out of the folder.
    Hidden,
    /// A file of this context, if the directory is there; else it may be an archive.
    Context { name: &'a [u8], is_archive: bool },
}

/// Looks at a path without runs of slashes.
pub(super) fn alias(path: &[u8]) -> Alias<'_> {
    let Some(rest) = path.strip_prefix(b"/").filter(|rest| !rest.is_empty()) else { return Alias::None };
    let mut segments = rest.split(|byte| *byte == b'/');
    let name = segments.next().unwrap_or_default();
    let child = segments.next();
    // `%2F..%2F` becomes this where AllowEncodedSlashes is On.
    if rest.split(|byte| *byte == b'/').any(|segment| segment == b"..") {
        return Alias::Hidden;
    }
    if child.is_some_and(|child| {
        [&b"WEB-INF"[..], b"META-INF"].iter().any(|hidden| child.eq_ignore_ascii_case(hidden))
    }) {
        return Alias::Hidden;
    }
    let is_archive = name.len() > b".war".len() && name[name.len() - 4..].eq_ignore_ascii_case(b".war");
    Alias::Context { name, is_archive }
}

/// The path with runs of slashes made one.
pub(super) fn single_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || out.last() != Some(&b'/') {
            out.push(*byte);
        }
    }
    out
}

/// The path without the first `;jsessionid…`, up to the next parameter or segment; `None` if there is none.
pub(super) fn without_session(path: &[u8], mark: &[u8]) -> Option<Vec<u8>> {
    let at = path.windows(mark.len().max(1)).position(|window| window == mark)?;
    let rest = &path[at + mark.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b';' | b'/')).unwrap_or(rest.len());
    Some([&path[..at], &rest[end..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_is_the_context_and_private_folders_are_hidden() {
        let context = |name, is_archive| Alias::Context { name, is_archive };
        for (path, becomes) in [
            ("/", Alias::None),
            ("", Alias::None),
            ("*", Alias::None),
            ("/ctx", context(b"ctx".as_slice(), false)),
            ("/ctx/a/b.txt", context(b"ctx", false)),
            ("/ctx/Web-Inf/web.xml", Alias::Hidden),
            ("/ctx/META-INF", Alias::Hidden),
            ("/ctx/../../etc/passwd", Alias::Hidden),
            ("/ctx/a/WEB-INF", context(b"ctx", false)),
            ("/shop.WAR", context(b"shop.WAR", true)),
            ("/.war", context(b".war", false)),
        ] {
            assert_eq!(alias(path.as_bytes()), becomes, "{path}");
        }
    }

    #[test]
    fn only_the_session_is_taken_away() {
        for (path, becomes) in [
            ("/f.txt;jsessionid=1.a", Some("/f.txt")),
            ("/a;jsessionid=1/b;x=2", Some("/a/b;x=2")),
            ("/a;x=1;jsessionid=2;y=3", Some("/a;x=1;y=3")),
            ("/a;x=1", None),
        ] {
            let found = without_session(path.as_bytes(), b";jsessionid");
            assert_eq!(found.map(|path| String::from_utf8(path).unwrap()).as_deref(), becomes, "{path}");
        }
    }

    #[test]
    fn runs_of_slashes_become_one() {
        assert_eq!(single_slashes(b"//a///b/"), b"/a/b/");
    }
}
