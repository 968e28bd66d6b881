// SPDX-License-Identifier: Apache-2.0
//! The response head on its way to the client: which headers pass, which are turned back to this server.

use super::exchange::{Exchange, ResponseLine};
use super::rewrite;
use crate::config::Plan;
use crate::config::plan::SectionId;
use crate::wire::ajp::ResponseHead;

/// The sections that apply to a request, outermost first.
#[derive(Debug, Clone, Copy)]
pub struct Sections<'a> {
    pub plan: &'a Plan,
    /// Server-level values of the site.
    pub defaults: SectionId,
    pub inner: &'a [SectionId],
}

impl<'a> Sections<'a> {
    pub fn iter(self) -> impl Iterator<Item = &'a crate::config::plan::Section> + Clone {
        std::iter::once(self.defaults).chain(self.inner.iter().copied()).map(move |id| self.plan.section(id))
    }
}

/// Hands status and headers to the exchange; the Content-Length, if the member gave one valid number.
pub fn give_head<E: Exchange>(
    exchange: &mut E,
    head: &ResponseHead<'_>,
    sections: Sections<'_>,
    scratch: &mut Vec<u8>,
) -> Option<u64> {
    // Tomcat writes the digits of the status because AJP wants a phrase; they say nothing.
    let reason = head.reason.filter(|reason| !reason.is_empty() && !reason.iter().all(u8::is_ascii_digit));
    let content_length = head.content_length;
    exchange.response_line(ResponseLine { status: head.status, reason, content_length });
    for (name, value) in head.headers() {
        if is_framing(name) {
            continue;
        }
        if rewrite::names_a_url(name) {
            match rewrite::url(sections.plan, sections.iter(), value, scratch) {
                None => exchange.response_header(name, value),
                Some(false) => exchange.response_header(name, scratch),
                Some(true) => {
                    let mut whole = Vec::new();
                    exchange.own_url(scratch, &mut whole);
                    exchange.response_header(name, &whole);
                }
            }
        } else if name.eq_ignore_ascii_case(b"Set-Cookie")
            && rewrite::cookie(sections.iter(), value, scratch).is_some()
        {
            exchange.response_header(name, scratch);
        } else {
            exchange.response_header(name, value);
        }
    }
    content_length
}

/// Headers about the connection between us and the member, which the server writes anew for its own (RFC 9110, 7.6.1).
fn is_framing(name: &[u8]) -> bool {
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
