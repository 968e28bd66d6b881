// SPDX-License-Identifier: Apache-2.0
//! The kinds of sections httpd has, as far as our directives care, and which requests a `<Proxy>` section is for.

use super::plan::SectionId;

/// What kind of section surrounds a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SectionKind {
    Location,
    /// Also `<Location ~ …>`.
    LocationMatch,
    Proxy,
    ProxyMatch,
    Directory,
    DirectoryMatch,
    Files,
    FilesMatch,
    If,
}

impl SectionKind {
    /// The keyword as messages show it.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Location => "<Location>",
            Self::LocationMatch => "<LocationMatch>",
            Self::Proxy => "<Proxy>",
            Self::ProxyMatch => "<ProxyMatch>",
            Self::Directory => "<Directory>",
            Self::DirectoryMatch => "<DirectoryMatch>",
            Self::Files => "<Files>",
            Self::FilesMatch => "<FilesMatch>",
            Self::If => "<If>",
        }
    }

    pub fn is_proxy(self) -> bool {
        matches!(self, Self::Proxy | Self::ProxyMatch)
    }

    pub fn is_location(self) -> bool {
        matches!(self, Self::Location | Self::LocationMatch)
    }

    /// Sections about URLs, where rules may stand.
    pub fn is_url_space(self) -> bool {
        self.is_proxy() || self.is_location()
    }
}

/// A `<Proxy>` section, matched against the target of a request as `ProxyPass` or a rewrite left it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxySection {
    pub section: SectionId,
    /// The section's URL without quotes and without a leading `proxy:`.
    pub url: String,
    /// True: a shell pattern over the whole target. False: a prefix of it.
    pub pattern: bool,
}

impl ProxySection {
    /// Is the section for this target (`balancer://c/path`, without `proxy:`)?
    ///
    /// Letter case counts, as in mod_proxy, but not in the name of a balancer: that is looked up in lower case, and rules
    /// about access must not depend on how a line spells it.
    pub fn matches(&self, target: &str) -> bool {
        const BALANCER: &str = "balancer://";
        if self.pattern {
            return glob(self.url.as_bytes(), target.as_bytes());
        }
        let is_balancer =
            self.url.get(..BALANCER.len()).is_some_and(|start| start.eq_ignore_ascii_case(BALANCER));
        let name_end = match is_balancer {
            true => self.url[BALANCER.len()..].find('/').map_or(self.url.len(), |at| at + BALANCER.len()),
            false => 0,
        };
        let (name, path) = self.url.split_at(name_end);
        let start = target.get(..name_end);
        start.is_some_and(|start| start.eq_ignore_ascii_case(name)) && target[name_end..].starts_with(path)
    }
}

/// Shell pattern over the whole text; `*` also crosses slashes. A backslash hides the next character.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
        } else if let Some(next) = one(&pattern[p..], text[t]) {
            p += next;
            t += 1;
        } else if let Some((behind_star, from)) = retry {
            p = behind_star;
            t = from + 1;
            retry = Some((behind_star, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|rest| *rest == b'*')
}

/// Length of the pattern's first element if it matches the character.
fn one(pattern: &[u8], c: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => match set(&pattern[1..], c) {
            Some((true, length)) => Some(length + 1),
            Some((false, _)) => None,
            None => (c == b'[').then_some(1),
        },
        b'\\' if pattern.len() > 1 => (pattern[1] == c).then_some(2),
        plain => (plain == c).then_some(1),
    }
}

/// Does `[…]`, without its opening bracket, hold the character, and how long is it? `None`: it is not closed.
fn set(pattern: &[u8], c: u8) -> Option<(bool, usize)> {
    let negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let first = usize::from(negated);
    let (mut at, mut found) = (first, false);
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            return Some((found != negated, at + 1));
        }
        let range =
            pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|high| *high != b']');
        let high = if range { pattern[at + 2] } else { low };
        found |= (low..=high).contains(&c);
        at += if range { 3 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(url: &str, target: &str) -> bool {
        let pattern = url.contains(['*', '?', '[']);
        ProxySection { section: SectionId(1), url: url.into(), pattern }.matches(target)
    }

    #[test]
    fn a_plain_url_is_a_prefix() {
        assert!(matches("ajp://h:8009/adm", "ajp://h:8009/admin"));
        assert!(matches("ajp://h", "ajp://h:8010/x"));
        assert!(matches("balancer://cl", "balancer://cluster/x"));
        assert!(!matches("AJP://h/", "ajp://h/"));
        assert!(!matches("balancer://c/app", "balancer://c/App"));
    }

    #[test]
    fn the_name_of_a_balancer_has_no_letter_case() {
        assert!(matches("balancer://C", "balancer://c/x"));
        assert!(matches("balancer://c/x", "BALANCER://C/x/y"));
    }

    #[test]
    fn a_pattern_covers_the_whole_target() {
        assert!(matches("*", "balancer://c/"));
        assert!(matches("balancer://*/admin*", "balancer://c/x/admin/y"));
        assert!(matches("ajp://h?/[a-c]*", "ajp://h1/b/c"));
        assert!(!matches("ajp://h?/[!a-c]*", "ajp://h1/b/c"));
        assert!(!matches("ajp://h*/x", "ajp://h1/x/y"));
        assert!(matches("a[*", "a[b"));
    }
}
