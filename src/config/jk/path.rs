// SPDX-License-Identifier: Apache-2.0
//! The path that rules are compared with: what a servlet container makes of the decoded path.

/// The path leads above the root; the request is answered 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AboveRoot;

/// `path` without path parameters, runs of slashes, `.` and `..`; `room` takes the result if anything changes, so that a
/// caller who keeps it allocates nothing. A path that does not begin with a slash stays as it is.
///
/// # Errors
/// [`AboveRoot`].
pub fn normalised<'a>(path: &'a [u8], room: &'a mut Vec<u8>) -> Result<&'a [u8], AboveRoot> {
    if path.first() != Some(&b'/') || is_normal(path) {
        return Ok(path);
    }
    room.clear();
    without_parameters(path, room);
    resolve_dots(room)?;
    Ok(room)
}

/// Is there nothing to do?
fn is_normal(path: &[u8]) -> bool {
    // Most bytes are neither, so that one look at each is enough.
    let mut after_slash = false;
    for (at, byte) in path.iter().enumerate() {
        match byte {
            b';' => return false,
            b'/' if after_slash => return false,
            b'.' if after_slash && is_dots(&path[at..]) => return false,
            _ => {}
        }
        after_slash = *byte == b'/';
    }
    true
}

/// Does a segment `.` or `..` begin here?
fn is_dots(rest: &[u8]) -> bool {
    matches!(rest, [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..])
}

/// Each segment up to its `;`.
fn without_parameters(path: &[u8], room: &mut Vec<u8>) {
    let mut in_parameter = false;
    for byte in path {
        in_parameter = match byte {
            b'/' => false,
            b';' => true,
            _ => in_parameter,
        };
        if !in_parameter {
            room.push(*byte);
        }
    }
}

/// Works through the segments in place. What is kept always ends in a slash until the last segment comes.
fn resolve_dots(path: &mut Vec<u8>) -> Result<(), AboveRoot> {
    let (mut read, mut kept) = (1, 1);
    while read < path.len() {
        let end = path[read..].iter().position(|byte| *byte == b'/').map_or(path.len(), |at| read + at);
        match &path[read..end] {
            b"" | b"." => {}
            b".." => {
                let parent = path[..kept - 1].iter().rposition(|byte| *byte == b'/');
                kept = parent.ok_or(AboveRoot)? + 1;
            }
            _ => {
                let with_slash = (end + 1).min(path.len());
                path.copy_within(read..with_slash, kept);
                kept += with_slash - read;
            }
        }
        read = end + 1;
    }
    path.truncate(kept);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(path: &str) -> Result<String, AboveRoot> {
        let mut room = Vec::new();
        normalised(path.as_bytes(), &mut room).map(|path| String::from_utf8(path.to_vec()).unwrap())
    }

    #[test]
    fn parameters_runs_and_dots_go() {
        for (path, normal) in [
            ("/a/b", "/a/b"),
            ("/a;x=1/y;z", "/a/y"),
            ("//a///b", "/a/b"),
            ("/a/./b/.", "/a/b/"),
            ("/a/..;/x.do", "/x.do"),
            ("/a/b/..", "/a/"),
            ("/a/b/../../c", "/c"),
            ("/.a/..b/c.", "/.a/..b/c."),
            ("/;x/a", "/a"),
            ("/;", "/"),
            ("/a/", "/a/"),
            ("/", "/"),
            ("", ""),
            ("*", "*"),
            ("a/../..", "a/../.."),
        ] {
            assert_eq!(of(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn above_the_root_is_refused() {
        for path in ["/..", "/../x", "/a/../../x", "/a/..;/..;x/y", "//.."] {
            assert_eq!(of(path), Err(AboveRoot), "{path}");
        }
    }

    #[test]
    fn a_usual_path_is_not_copied() {
        let mut room = Vec::new();
        let path = b"/shop/cart.jsp";
        assert_eq!(normalised(path, &mut room).unwrap().as_ptr(), path.as_ptr());
        assert_eq!(room.capacity(), 0);
    }

    proptest! {
        #[test]
        fn the_result_needs_no_second_pass(path in "/[a./;]{0,16}") {
            if let Ok(once) = of(&path) {
                prop_assert_eq!(of(&once), Ok(once.clone()));
                prop_assert!(!once.contains("//") && !once.contains(';'), "{}", once);
            }
        }
    }
}
