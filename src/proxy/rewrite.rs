// SPDX-License-Identifier: Apache-2.0
//! `ProxyPassReverse` and the cookie rules: response headers that name a member are turned back to this server.

use crate::config::Plan;
use crate::config::plan::{CookieRule, ReverseFrom, ReverseRule, Section};

/// Headers that `ProxyPassReverse` looks at.
pub fn names_a_url(header: &[u8]) -> bool {
    let known: &[u8] = match header.len() {
        3 => b"URI",
        8 => b"Location",
        11 => b"Destination",
        16 => b"Content-Location",
        _ => return false,
    };
    header.eq_ignore_ascii_case(known)
}

/// Rewrites a URL header by the first rule that matches; sections outermost first. `None`: nothing matches. Otherwise
/// the text is in `out`, and true means that it still lacks the server's scheme and name.
pub fn url<'s>(
    plan: &Plan,
    sections: impl Iterator<Item = &'s Section>,
    value: &[u8],
    out: &mut Vec<u8>,
) -> Option<bool> {
    sections.flat_map(|section| &section.reverse).find_map(|rule| {
        let rest = rest_after(plan, rule, value)?;
        let public = rule.public.as_bytes();
        // A public path of just `/` takes no second slash from a member's URL without a path.
        let bare = matches!(&rule.internal, ReverseFrom::Balancer { path, .. } if path.is_empty());
        let rest = if bare && public == b"/" { rest.strip_prefix(b"/").unwrap_or(rest) } else { rest };
        out.clear();
        out.extend_from_slice(public);
        out.extend_from_slice(rest);
        Some(!is_absolute(out))
    })
}

/// What follows the part of `value` that the rule covers.
fn rest_after<'v>(plan: &Plan, rule: &ReverseRule, value: &'v [u8]) -> Option<&'v [u8]> {
    match &rule.internal {
        ReverseFrom::Prefix(prefix) => strip_prefix_any_case(value, prefix.as_bytes()),
        ReverseFrom::Path(path) => strip_prefix_any_case(path_of(value)?, path.as_bytes()),
        ReverseFrom::Balancer { id, path } => plan.met(plan.balancer(*id)).find_map(|member| {
            // What stands in front of the bar is this server's way to the member, not the member's name.
            let name = member.name.rsplit('|').next().unwrap_or_default().as_bytes();
            if path.is_empty() {
                return strip_prefix_any_case(value, name);
            }
            let name = name.strip_suffix(b"/").unwrap_or(name);
            strip_prefix_any_case(value, name)?.strip_prefix(path.as_bytes())
        }),
    }
}

/// The path of an absolute URL, or the value itself if it is a path.
fn path_of(value: &[u8]) -> Option<&[u8]> {
    if value.first() == Some(&b'/') {
        return Some(value);
    }
    let scheme_end = value.windows(3).position(|part| part == b"://")?;
    let authority = &value[scheme_end + 3..];
    authority.iter().position(|&byte| byte == b'/').map(|slash| &authority[slash..])
}

fn is_absolute(url: &[u8]) -> bool {
    let scheme = url.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
    scheme > 0 && url[0].is_ascii_alphabetic() && url.get(scheme) == Some(&b':')
}

fn strip_prefix_any_case<'v>(value: &'v [u8], prefix: &[u8]) -> Option<&'v [u8]> {
    let (head, rest) = value.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Rewrites the `path` and `domain` attributes of a `Set-Cookie` value. `None`: nothing changes.
pub fn cookie<'s>(
    sections: impl Iterator<Item = &'s Section> + Clone,
    value: &[u8],
    out: &mut Vec<u8>,
) -> Option<()> {
    let path = attribute(value, b"path").and_then(|(at, text)| {
        let mut rules = sections.clone().flat_map(|section| &section.cookie_path);
        rules.find(|rule| text.starts_with(rule.internal.as_bytes())).map(|rule| (at, text.len(), rule))
    });
    let domain = attribute(value, b"domain").and_then(|(at, text)| {
        let mut rules = sections.flat_map(|section| &section.cookie_domain);
        let covers = |rule: &&CookieRule| strip_prefix_any_case(text, rule.internal.as_bytes()).is_some();
        rules.find(covers).map(|rule| (at, text.len(), rule))
    });
    let mut changes = [path, domain];
    changes.sort_by_key(|change| change.map(|(at, ..)| at));
    if changes.iter().all(Option::is_none) {
        return None;
    }
    out.clear();
    let mut copied = 0;
    for (at, length, rule) in changes.into_iter().flatten() {
        out.extend_from_slice(&value[copied..at]);
        out.extend_from_slice(rule.public.as_bytes());
        copied = at + length;
    }
    out.extend_from_slice(&value[copied..]);
    Some(())
}

/// Offset and text of the last attribute of this name: browsers, too, take the last one.
fn attribute<'v>(cookie: &'v [u8], name: &[u8]) -> Option<(usize, &'v [u8])> {
    let mut found = None;
    let mut at = 0;
    for (index, part) in cookie.split(|&byte| byte == b';').enumerate() {
        let blanks = part.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if index > 0
            && let Some(text) =
                strip_prefix_any_case(&part[blanks..], name).and_then(|rest| rest.strip_prefix(b"="))
        {
            found = Some((at + part.len() - text.len(), text));
        }
        at += part.len() + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn origin() -> Origin {
        Origin::new("test.conf", 1)
    }

    fn reverse(public: &str, internal: ReverseFrom) -> Section {
        let rule = ReverseRule { origin: origin(), public: public.into(), internal, has_variables: false };
        Section { reverse: vec![rule], ..Section::default() }
    }

    fn rewritten(section: &Section, value: &str) -> Option<(String, bool)> {
        let mut out = Vec::new();
        let relative = url(&Plan::default(), [section].into_iter(), value.as_bytes(), &mut out)?;
        Some((String::from_utf8(out).unwrap(), relative))
    }

    #[test]
    fn a_prefix_is_compared_without_letter_case_and_whole() {
        let section = reverse("/app/", ReverseFrom::Prefix("http://h:1/back/".into()));
        assert_eq!(rewritten(&section, "http://H:1/Back/foo"), Some(("/app/foo".into(), true)));
        for other in ["http://h:1/back", "http://h/back/foo", "/back/foo", "https://h:1/back/foo"] {
            assert_eq!(rewritten(&section, other), None, "{other}");
        }
    }

    #[test]
    fn a_path_rule_takes_any_host_and_relative_values() {
        let section = reverse("/app/", ReverseFrom::Path("/back/".into()));
        assert_eq!(rewritten(&section, "/back/foo"), Some(("/app/foo".into(), true)));
        assert_eq!(rewritten(&section, "http://other/back/foo"), Some(("/app/foo".into(), true)));
        assert_eq!(rewritten(&section, "back/foo"), None);
    }

    #[test]
    fn an_absolute_public_url_needs_no_server_name() {
        let section = reverse("http://www/", ReverseFrom::Path("/back/".into()));
        assert_eq!(rewritten(&section, "/back/x"), Some(("http://www/x".into(), false)));
    }

    fn cookies(internal: &str, public: &str, domain: bool) -> Section {
        let (internal, public) = (internal.into(), public.into());
        let rule = CookieRule { origin: origin(), internal, public, has_variables: false };
        let mut section = Section::default();
        if domain {
            section.cookie_domain.push(rule)
        } else {
            section.cookie_path.push(rule)
        }
        section
    }

    fn cookie_rewritten(section: &Section, value: &str) -> Option<String> {
        let mut out = Vec::new();
        cookie([section].into_iter(), value.as_bytes(), &mut out)?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_whole_cookie_path_is_replaced() {
        let section = cookies("/back", "/app", false);
        assert_eq!(
            cookie_rewritten(&section, "a=1; Path=/back/sub; Secure").unwrap(),
            "a=1; Path=/app; Secure"
        );
        assert_eq!(cookie_rewritten(&section, "a=1;path=/backend").unwrap(), "a=1;path=/app");
        assert_eq!(cookie_rewritten(&section, "a=1; Path=/Back"), None);
        assert_eq!(cookie_rewritten(&section, "a=1; Path=\"/back\""), None);
        assert_eq!(cookie_rewritten(&section, "path=/back; x=1"), None);
    }

    #[test]
    fn of_several_paths_only_the_last_counts() {
        let section = cookies("/back", "/app", false);
        assert_eq!(
            cookie_rewritten(&section, "a=1; path=/x; path=/back; y").unwrap(),
            "a=1; path=/x; path=/app; y"
        );
        assert_eq!(cookie_rewritten(&section, "a=1; path=/back; path=/x"), None);
    }

    #[test]
    fn path_and_domain_change_together_in_either_order() {
        let mut section = cookies("/back", "/app", false);
        section.cookie_domain = cookies("back.example", "www.example", true).cookie_domain;
        assert_eq!(
            cookie_rewritten(&section, "a=1; domain=BACK.example; path=/back").unwrap(),
            "a=1; domain=www.example; path=/app"
        );
        assert_eq!(
            cookie_rewritten(&section, "a=1; path=/back; domain=back.example").unwrap(),
            "a=1; path=/app; domain=www.example"
        );
    }
}
