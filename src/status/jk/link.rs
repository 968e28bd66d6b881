// SPDX-License-Identifier: Apache-2.0
//! Links of the HTML pages: they carry the parameters of the request on, as far as they still make sense.

use std::fmt::Write;

use super::query::{Command, Options, Query};
use crate::status::escape::{markup, path, percent};

/// What becomes of a parameter of the request that says a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Carry {
    #[default]
    Keep,
    Drop,
    /// `sw` goes on as `psw`, or back.
    Turn,
}

/// A link to a page of the same status worker.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Link<'a> {
    /// `None` keeps the request's.
    pub command: Option<Command>,
    pub from: Option<Command>,
    pub worker: Option<&'a str>,
    pub member: Option<&'a str>,
    /// `None` keeps the request's.
    pub options: Option<u32>,
    /// Drop the request's `w` though the link names no other.
    pub drops_worker: bool,
    pub sw: Carry,
    pub psw: Carry,
}

impl Link<'_> {
    /// The URL, ready for an attribute in quotes.
    pub fn url(&self, page: &str, query: &Query) -> String {
        let mut out = Writer { text: target(page), separator: "?" };
        self.write_own(&mut out);
        for (name, value) in query.pairs() {
            if let Some(name) = self.carried(name) {
                out.pair(name, value);
            }
        }
        match self.options {
            Some(bits) => out.pair("opt", &bits.to_string()),
            None => {
                let Options(bits) = query.options();
                if bits != 0 {
                    out.pair("opt", &bits.to_string());
                }
            }
        }
        out.text
    }

    fn write_own(&self, out: &mut Writer) {
        let own = [
            ("cmd", self.command.map(Command::name)),
            ("from", self.from.map(Command::name)),
            ("w", self.worker),
            ("sw", self.member),
        ];
        for (name, value) in own {
            if let Some(value) = value {
                out.pair(name, value);
            }
        }
    }

    /// Under which name a parameter of the request goes on.
    fn carried<'n>(&self, name: &'n str) -> Option<&'n str> {
        let carry = match name {
            "opt" | "from" | "att" => return None,
            _ if name.starts_with('v') => return None,
            "cmd" if self.command.is_some() => return None,
            "w" if self.worker.is_some() || self.drops_worker => return None,
            "sw" => self.sw,
            "psw" => self.psw,
            _ => Carry::Keep,
        };
        match carry {
            Carry::Keep => Some(name),
            Carry::Drop => None,
            Carry::Turn => Some(if name == "sw" { "psw" } else { "sw" }),
        }
    }
}

struct Writer {
    text: String,
    separator: &'static str,
}

impl Writer {
    fn pair(&mut self, name: &str, value: &str) {
        let allowed = b"/:@*,;";
        let _ = write!(self.text, "{}{}={}", self.separator, percent(name, allowed), percent(value, allowed));
        self.separator = "&amp;";
    }
}

/// Path of the page, ready for an attribute in quotes.
pub(super) fn target(page: &str) -> String {
    markup(&path(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(link: Link<'_>, query: &str) -> String {
        link.url("/jk", &Query::parse(query.as_bytes()))
    }

    #[test]
    fn values_of_forms_are_not_carried_on() {
        let query = "x=1&re=3&cmd=list&from=list&psw=a&att=b&vwa=1&val0=3&mime=html&opt=40";
        assert_eq!(
            url(Link { options: Some(32), ..Link::default() }, query),
            "/jk?x=1&amp;re=3&amp;cmd=list&amp;psw=a&amp;mime=html&amp;opt=32"
        );
        let dump = Link { command: Some(Command::Dump), ..Link::default() };
        assert_eq!(url(dump, query), "/jk?cmd=dump&amp;x=1&amp;re=3&amp;psw=a&amp;mime=html&amp;opt=40");
        assert_eq!(url(Link::default(), ""), "/jk");
    }

    #[test]
    fn the_member_shown_is_remembered_while_another_page_is_open() {
        let edit = Link {
            command: Some(Command::Edit),
            from: Some(Command::Show),
            worker: Some("b"),
            sw: Carry::Turn,
            ..Link::default()
        };
        assert_eq!(
            url(edit, "mime=html&sw=n1&w=b&cmd=show"),
            "/jk?cmd=edit&amp;from=show&amp;w=b&amp;mime=html&amp;psw=n1"
        );
    }

    #[test]
    fn names_with_strange_characters_stay_one_value() {
        let show = Link { command: Some(Command::Show), worker: Some("a&b\"c"), ..Link::default() };
        assert_eq!(url(show, ""), "/jk?cmd=show&amp;w=a%26b%22c");
        assert_eq!(target("/a\"b<c"), "/a%22b%3Cc");
    }
}
