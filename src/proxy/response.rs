// SPDX-License-Identifier: Apache-2.0
//! The response head on its way to the client: which headers pass, which are turned back to this server.

use super::exchange::{Exchange, Note, ResponseLine};
use super::{reverse_variables, rewrite};
use crate::config::Plan;
use crate::config::plan::{Section, SectionId};
use crate::wire::http1::is_hop_by_hop;

/// The sections that apply to a request, outermost first.
#[derive(Debug, Clone, Copy)]
pub struct Sections<'a> {
    pub plan: &'a Plan,
    /// Server-level values of the site.
    pub defaults: SectionId,
    pub inner: &'a [SectionId],
    /// The request is one of a forward proxy: the client asked the member by its own name, so nothing is turned back.
    pub forward: bool,
}

impl<'a> Sections<'a> {
    pub fn iter(self) -> impl Iterator<Item = &'a crate::config::plan::Section> + Clone {
        std::iter::once(self.defaults).chain(self.inner.iter().copied()).map(move |id| self.plan.section(id))
    }

    /// The innermost value that was said.
    pub fn innermost<T>(self, value: impl Fn(&'a crate::config::plan::Section) -> Option<T>) -> Option<T> {
        self.iter().filter_map(value).last()
    }

    /// Does the server's own error page take the place of the member's? (`ProxyErrorOverride`)
    pub fn overrides(self, status: u16) -> bool {
        status >= 400
            && self
                .innermost(|section| section.error_override.as_ref())
                .is_some_and(|rule| rule.covers(status))
    }
}

/// Hands status and headers to the exchange, but for those about the connection.
pub fn give_head<'h, E: Exchange>(
    exchange: &mut E,
    line: ResponseLine<'_>,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    sections: Sections<'_>,
    scratch: &mut Vec<u8>,
) {
    let reason = line.reason.filter(|reason| says_something(reason));
    exchange.response_line(ResponseLine { reason, ..line });
    for (name, value) in headers.filter(|(name, _)| !is_hop_by_hop(name)) {
        give_header(exchange, name, value, sections, scratch);
    }
}

/// Hands one header to the exchange, turned back to this server where a rule says so.
pub fn give_header<E: Exchange>(
    exchange: &mut E,
    name: &[u8],
    value: &[u8],
    sections: Sections<'_>,
    scratch: &mut Vec<u8>,
) {
    let is_url = rewrite::names_a_url(name);
    if sections.forward || !is_url && !name.eq_ignore_ascii_case(b"Set-Cookie") {
        return exchange.response_header(name, value);
    }
    match reverse_variables::filled(exchange, sections) {
        Some(filled) => turn_back(exchange, name, value, sections.plan, filled.iter(), scratch),
        None => turn_back(exchange, name, value, sections.plan, sections.iter(), scratch),
    }
}

fn turn_back<'s, E: Exchange>(
    exchange: &mut E,
    name: &[u8],
    value: &[u8],
    plan: &Plan,
    sections: impl Iterator<Item = &'s Section> + Clone,
    scratch: &mut Vec<u8>,
) {
    if !rewrite::names_a_url(name) {
        let is_changed = rewrite::cookie(sections, value, scratch).is_some();
        return exchange.response_header(name, if is_changed { scratch } else { value });
    }
    match rewrite::url(plan, sections, value, scratch) {
        None => exchange.response_header(name, value),
        Some(false) => exchange.response_header(name, scratch),
        Some(true) => {
            let mut whole = Vec::new();
            exchange.own_url(scratch, &mut whole);
            exchange.response_header(name, &whole);
        }
    }
}

/// What the server's own page takes over from the member's: the phrase, and on 401 how to log in.
pub fn keep_for_own_page<'h, E: Exchange>(
    exchange: &mut E,
    line: ResponseLine<'_>,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
) {
    exchange.note(Note::Replaced);
    if let Some(reason) = line.reason.filter(|reason| says_something(reason)) {
        exchange.error_reason(line.status, reason);
    }
    if line.status == 401 {
        for (name, value) in headers.filter(|(name, _)| name.eq_ignore_ascii_case(b"WWW-Authenticate")) {
            exchange.error_header(name, value);
        }
    }
}

/// Tomcat writes the digits of the status because AJP wants a phrase; they say nothing.
pub(super) fn says_something(reason: &[u8]) -> bool {
    !reason.is_empty() && !reason.iter().all(u8::is_ascii_digit)
}
