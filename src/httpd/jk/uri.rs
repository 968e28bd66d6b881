// SPDX-License-Identifier: Apache-2.0
//! The path that is sent, in the form `JkOptions` asks for.

use super::site::{Here, variable};
use crate::config::jk::plan::UriForm;
use crate::httpd::{ffi, pool};
use crate::wire::as_sent::encode_as_sent;
use crate::wire::uri::{EncodedSlashes, encode_path};

/// With this variable a path is encoded as mod_jk does it: `%2F` becomes `%252F` and `%3B` becomes `;`.
const AS_MOD_JK: &str = "margay-jk-uri";

/// Appends the path to `out`; `decoded` is what the request's was before it was normalised.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn write(r: *mut ffi::request_rec, here: &Here, decoded: &[u8], out: &mut Vec<u8>) {
    // SAFETY: the caller vouches for `r`; its texts live as long as it does.
    unsafe {
        match here.site.options.uri {
            UriForm::Proxy if is_usual(r) => encode_path(decoded, EncodedSlashes::Decoded, out),
            UriForm::Proxy if variable(r, AS_MOD_JK).is_some() => {
                encode_path(decoded, EncodedSlashes::Decoded, out);
            }
            UriForm::Proxy => {
                let kept = ffi::margay_keeps_encoded_slashes(r) != 0;
                let slashes = if kept { EncodedSlashes::Kept } else { EncodedSlashes::Decoded };
                encode_as_sent(as_received(r), decoded, slashes, out);
            }
            UriForm::Compat => out.extend_from_slice(decoded),
            UriForm::Unparsed => {
                let raw = as_received(r);
                out.extend_from_slice(if raw.first() == Some(&b'/') { raw } else { decoded });
            }
            UriForm::Escaped => {
                let text = pool::text((*r).pool, &[decoded]);
                out.extend_from_slice(pool::bytes(ffi::margay_escape_path((*r).pool, text)));
            }
        }
    }
}

/// Nothing of the path was encoded, or nobody can tell.
unsafe fn is_usual(r: *const ffi::request_rec) -> bool {
    // SAFETY: the caller vouches for `r`.
    unsafe { !pool::bytes((*r).unparsed_uri).contains(&b'%') }
}

/// The path as the client sent it, without scheme, host and query string.
unsafe fn as_received<'r>(r: *const ffi::request_rec) -> &'r [u8] {
    // SAFETY: the caller vouches for `r`.
    path_of(unsafe { pool::bytes((*r).unparsed_uri) })
}

fn path_of(target: &[u8]) -> &[u8] {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    match path.windows(3).position(|three| three == b"://") {
        Some(at) if path.first() != Some(&b'/') => {
            let rest = &path[at + 3..];
            rest.iter().position(|byte| *byte == b'/').map_or(b"/", |slash| &rest[slash..])
        }
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn the_path_is_what_stands_between_host_and_query() {
        for (target, path) in [
            ("/a/b?x=/y", "/a/b"),
            ("http://h:80/a?b", "/a"),
            ("http://h", "/"),
            ("/a://b", "/a://b"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(path_of(target.as_bytes()), path.as_bytes(), "{target}");
        }
    }
}
