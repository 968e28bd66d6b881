// SPDX-License-Identifier: Apache-2.0
//! The session ids of a request, and the routes in them.

use crate::wire::cookie::{self, Case};

/// Between ids in a list: neither a path parameter nor a cookie can contain it.
const SEPARATOR: u8 = b';';

/// Where session ids are looked for.
#[derive(Debug, Clone, Copy)]
pub struct JkSessionNames<'a> {
    /// `session_cookie`
    pub cookie: &'a [u8],
    /// `session_path`, with its `;`
    pub path: &'a [u8],
}

/// Collects the ids of a request into `out`: those that `JK_ROUTE` stands for, else the one in the path, else those of all
/// cookies of the name.
pub fn collect<'c>(
    out: &mut Vec<u8>,
    names: JkSessionNames<'_>,
    route: Option<&[u8]>,
    uri: &[u8],
    cookies: impl Iterator<Item = &'c [u8]>,
) {
    out.clear();
    if let Some(route) = route.filter(|route| !route.is_empty()) {
        out.push(b'.');
        // A separator in it would make two of it.
        out.extend(route.iter().take_while(|byte| **byte != SEPARATOR));
        return;
    }
    if let Some(id) = in_path(uri, names.path) {
        out.extend_from_slice(id);
        return;
    }
    for found in cookie::find_cookie(cookies, names.cookie, Case::Exact) {
        let id = unquoted(found.value);
        if !id.is_empty() {
            if !out.is_empty() {
                out.push(SEPARATOR);
            }
            out.extend_from_slice(id);
        }
    }
}

/// The routes of the ids in a list, in order: what follows the first dot of each.
pub fn routes(ids: &[u8]) -> impl Iterator<Item = &[u8]> {
    ids.split(|byte| *byte == SEPARATOR).filter_map(|id| {
        let dot = id.iter().position(|byte| *byte == b'.')?;
        Some(&id[dot + 1..]).filter(|route| !route.is_empty())
    })
}

fn in_path<'u>(uri: &'u [u8], name: &[u8]) -> Option<&'u [u8]> {
    if name.is_empty() {
        return None;
    }
    uri.windows(name.len()).enumerate().filter(|(_, window)| *window == name).find_map(|(start, _)| {
        let value = uri[start + name.len()..].strip_prefix(b"=")?;
        let end = value.iter().position(|byte| matches!(byte, b';' | b'/' | b'?')).unwrap_or(value.len());
        Some(&value[..end]).filter(|value| !value.is_empty())
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    value.strip_suffix(b"\"").unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: JkSessionNames<'_> = JkSessionNames { cookie: b"JSESSIONID", path: b";jsessionid" };

    fn ids(route: Option<&str>, uri: &str, cookies: &[&str]) -> String {
        let mut out = b"left over".to_vec();
        collect(
            &mut out,
            NAMES,
            route.map(str::as_bytes),
            uri.as_bytes(),
            cookies.iter().map(|c| c.as_bytes()),
        );
        String::from_utf8(out).unwrap()
    }

    fn routes_of(ids: &str) -> Vec<&str> {
        routes(ids.as_bytes()).map(|route| std::str::from_utf8(route).unwrap()).collect()
    }

    #[test]
    fn the_path_goes_before_cookies_and_a_given_route_before_both() {
        let cookies = ["JSESSIONID=2.b"];
        assert_eq!(ids(None, "/y;jsessionid=1.a;q=1", &cookies), "1.a");
        assert_eq!(ids(None, "/y;jsessionid=1.a/more", &[]), "1.a");
        assert_eq!(ids(None, "/y;JSESSIONID=1.a", &cookies), "2.b");
        assert_eq!(ids(Some("r"), "/y;jsessionid=1.a", &cookies), ".r");
        assert_eq!(ids(None, "/y;jsessionids=1;jsessionid=2", &[]), "2");
    }

    #[test]
    fn all_cookies_of_the_name_are_found_in_order_without_quotes() {
        let cookies = ["XJSESSIONID=0.x; JSESSIONID=1.a;JSESSIONID =\"2.b\"", "a=b, JSESSIONID=3.c"];
        assert_eq!(ids(None, "/", &cookies), "1.a;2.b;3.c");
        assert_eq!(ids(None, "/", &["jsessionid=1.a; JSESSIONID="]), "");
    }

    #[test]
    fn the_route_follows_the_first_dot() {
        assert_eq!(routes_of("1.a;2;3.b.c;4.;.d"), ["a", "b.c", "d"]);
    }

    #[test]
    fn names_that_are_empty_find_nothing() {
        let mut out = Vec::new();
        let names = JkSessionNames { cookie: b"", path: b"" };
        collect(&mut out, names, Some(b""), b"/;=1.a", [&b"=2.b"[..]].into_iter());
        assert_eq!(out, b"");
    }
}
