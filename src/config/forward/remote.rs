// SPDX-License-Identifier: Apache-2.0
//! `ProxyRemote` and `ProxyRemoteMatch`: other proxies that back ends are asked through.

use crate::config::expression::ExpressionId;
use crate::config::origin::Origin;

/// Another proxy, and what goes through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub origin: Origin,
    pub target: Target,
    /// Lower case, without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// Value of the `Proxy-Authorization` header.
    pub credentials: Option<String>,
    /// `host:port`, for messages and to tell connections apart.
    pub name: String,
}

/// Which requests a [`Remote`] is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `*`.
    All,
    /// Those whose URL has this scheme (lower case).
    Scheme(String),
    /// Those whose URL begins like this; letter case does not count.
    Prefix(String),
    /// `ProxyRemoteMatch`: searched in the URL.
    Expression(ExpressionId),
}

impl Target {
    /// The first word of `ProxyRemote`.
    pub(crate) fn of_word(word: &str) -> Target {
        match word {
            "*" => Target::All,
            _ if word.contains(':') => Target::Prefix(word.to_owned()),
            _ => Target::Scheme(word.to_ascii_lowercase()),
        }
    }
}

impl Remote {
    /// Does a request for `url` go through this proxy? `scheme` is that of the URL before a balancer chose a member.
    /// `search` asks an expression.
    pub fn takes(&self, scheme: &[u8], url: &[u8], search: impl Fn(ExpressionId, &[u8]) -> bool) -> bool {
        match &self.target {
            Target::All => true,
            Target::Scheme(known) => scheme.eq_ignore_ascii_case(known.as_bytes()),
            Target::Prefix(start) => {
                url.get(..start.len()).is_some_and(|part| part.eq_ignore_ascii_case(start.as_bytes()))
            }
            Target::Expression(id) => search(*id, url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_takes_all_or_a_scheme_or_a_prefix_or_what_an_expression_finds() {
        let takes = |target: Target, scheme: &str, url: &str| {
            let origin = Origin::new("t", 1);
            let remote =
                Remote { origin, target, host: "p".into(), port: 1, credentials: None, name: "p:1".into() };
            remote.takes(scheme.as_bytes(), url.as_bytes(), |id, url| id.0 == 7 && url.ends_with(b"x"))
        };
        for (word, scheme, url, expected) in [
            ("*", "ftp", "ftp://h/", true),
            ("HTTP", "http", "http://h/", true),
            ("http", "HTTP", "http://h/", true),
            ("http", "https", "https://h/", false),
            ("balancer", "balancer", "http://member/", true),
            ("http", "balancer", "http://member/", false),
            ("http://H/a", "http", "http://h/AB", true),
            ("http://h/a", "http", "http://h/b", false),
            ("http://h/a", "http", "http://h", false),
            ("http:", "http", "http://h/", true),
        ] {
            assert_eq!(takes(Target::of_word(word), scheme, url), expected, "{word} {url}");
        }
        assert!(takes(Target::Expression(ExpressionId(7)), "http", "http://h/x"));
        assert!(!takes(Target::Expression(ExpressionId(7)), "http", "http://h/y"));
    }
}
