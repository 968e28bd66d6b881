// SPDX-License-Identifier: Apache-2.0
//! The head of a request to an HTTP member: what is the connection's goes, what this server has to say is added.

use super::attempt::Attempt;
use super::exchange::{Exchange, Request};
use super::http_body::BodyFraming;
use super::outward;
use crate::config::plan::{Member, Via};
use crate::wire::http1::{EncodeError, RequestWriter, decimal, is_hop_by_hop, lists};

/// How the request is sent; decided before anything is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// `force-proxy-request-1.0`.
    pub old: bool,
    /// The connection may be kept afterwards.
    pub keep: bool,
    pub framing: BodyFraming,
    /// `Expect: 100-continue` goes to the member, and the body waits for its answer.
    pub expect: bool,
    /// The member sees what the client wrote of it.
    pub passes_expect: bool,
    /// The client asked for a protocol that the member may switch to.
    pub upgrade: bool,
}

/// The client's value of a header, of the first if there are several.
pub(super) fn client_header<'e, E: Exchange>(exchange: &'e E, wanted: &[u8]) -> Option<&'e [u8]> {
    exchange.headers().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

/// Appends the head to `out`.
///
/// # Errors
/// Something in it would not stay in its line; `out` is as before.
pub(super) fn write<E: Exchange>(
    exchange: &E,
    attempt: &Attempt<'_>,
    manner: &Manner,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let request = exchange.request();
    let minor = u8::from(!manner.old);
    let mut head = RequestWriter::begin(out, request.method, attempt.uri, request.query, minor);
    write_host(&mut head, exchange, attempt);
    let added = Added::of(attempt);
    let names_headers =
        exchange.headers().any(|(name, value)| name.eq_ignore_ascii_case(b"Connection") && has_names(value));
    let (mut seen, mut expects) = ([false; 4], false);
    for (name, value) in exchange.headers() {
        let named = names_headers && is_named(exchange, name);
        if let Some(which) = added.index(name) {
            // Written once, with all values of the client in front, where the client has its first.
            if !named && !std::mem::replace(&mut seen[which], true) {
                added.write(&mut head, which, exchange, &request, true);
            }
        } else if attempt.remote.is_some() && name.eq_ignore_ascii_case(b"Proxy-Authorization") {
            // Said to the other proxy below, and to nobody behind it.
        } else if name.eq_ignore_ascii_case(b"Expect") {
            if manner.passes_expect && !named {
                head.header(name, value);
                expects = true;
            }
        } else if !named && passes(name, exchange, &request, attempt.http.via) {
            head.header(name, value);
        }
    }
    for (which, is_written) in seen.into_iter().enumerate() {
        if which == FORWARDED_FOR && manner.expect && !expects {
            head.header(b"Expect", b"100-Continue");
        }
        if added.has(which) && !is_written {
            added.write(&mut head, which, exchange, &request, false);
        }
    }
    if let Some(remote) = attempt.remote.filter(|_| !attempt.member.scheme.is_tls())
        && let Some(value) = outward::credentials(remote, exchange)
    {
        head.header(b"Proxy-Authorization", value);
    }
    match manner.framing {
        BodyFraming::None => {}
        BodyFraming::Length(length) => head.header(b"Content-Length", decimal(length, &mut [0; 20])),
        BodyFraming::Chunked => head.header(b"Transfer-Encoding", b"chunked"),
    }
    write_connection(&mut head, exchange, manner);
    head.finish()
}

/// Does a Connection header name headers, not only what to do with the connection?
fn has_names(value: &[u8]) -> bool {
    crate::wire::http1::tokens(value)
        .any(|token| !token.eq_ignore_ascii_case(b"keep-alive") && !token.eq_ignore_ascii_case(b"close"))
}

fn is_named<E: Exchange>(exchange: &E, name: &[u8]) -> bool {
    let mut connections = exchange.headers().filter(|(known, _)| known.eq_ignore_ascii_case(b"Connection"));
    connections.any(|(_, value)| lists(value, name))
}

/// Does a header of the client go to the member as it is?
fn passes<E: Exchange>(name: &[u8], exchange: &E, request: &Request<'_>, via: Via) -> bool {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    match name.len() {
        _ if is_hop_by_hop(name) => false,
        3 if is(b"Via") => via != Via::Block,
        4 if is(b"Host") => false,
        // Whoever logged in here need not show the member how.
        19 if is(b"Proxy-Authorization") => {
            request.user.is_none() || exchange.variable(c"Proxy-Chain-Auth").is_some()
        }
        // A part of a page must come whole, whatever the client has of the page.
        8 | 13 | 17 | 19 if request.is_subrequest => {
            !(is(b"If-Match")
                || is(b"If-Range")
                || is(b"If-None-Match")
                || is(b"If-Modified-Since")
                || is(b"If-Unmodified-Since"))
        }
        _ => true,
    }
}

fn write_host<E: Exchange>(head: &mut RequestWriter<'_>, exchange: &E, attempt: &Attempt<'_>) {
    let preserve = attempt.sections.innermost(|section| section.preserve_host).unwrap_or(false);
    let member = attempt.member;
    match (preserve, client_header(exchange, b"Host")) {
        (true, Some(host)) => head.header(b"Host", host),
        (true, None) => head.header(b"Host", exchange.request().own_name),
        (false, _) => write_authority(head, member),
    }
}

fn write_authority(head: &mut RequestWriter<'_>, member: &Member) {
    let host = member.host.as_bytes();
    let (open, close): (&[u8], &[u8]) = if host.contains(&b':') { (b"[", b"]") } else { (b"", b"") };
    let mut digits = [0; 20];
    let (colon, port): (&[u8], &[u8]) = match member.port == member.scheme.default_port() {
        true => (b"", b""),
        false => (b":", decimal(u64::from(member.port), &mut digits)),
    };
    head.header_of(b"Host", [open, host, close, colon, port]);
}

fn write_connection<E: Exchange>(head: &mut RequestWriter<'_>, exchange: &E, manner: &Manner) {
    if manner.upgrade
        && let Some(protocols) = client_header(exchange, b"Upgrade")
    {
        head.header(b"Connection", b"Upgrade");
        head.header(b"Upgrade", protocols);
    } else if !manner.old {
        head.header(b"Connection", if manner.keep { b"Keep-Alive" } else { b"close" });
    }
}

/// The headers this server adds to those of proxies before it.
struct Added<'a> {
    via: Via,
    forwarded: bool,
    software: &'a [u8],
}

const VIA: usize = 0;
const FORWARDED_FOR: usize = 1;
const FORWARDED_HOST: usize = 2;
const NAMES: [&[u8]; 4] = [b"Via", b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Forwarded-Server"];

impl<'a> Added<'a> {
    fn of(attempt: &Attempt<'a>) -> Self {
        let add = attempt.sections.innermost(|section| section.add_headers).unwrap_or(true);
        // Whoever asks through a forward proxy is nobody's business behind it.
        let add = add && !attempt.sections.forward;
        Self { via: attempt.http.via, forwarded: add, software: attempt.http.software }
    }

    fn has(&self, which: usize) -> bool {
        if which == VIA { matches!(self.via, Via::On | Via::Full) } else { self.forwarded }
    }

    /// Which of them a header of the client is.
    fn index(&self, name: &[u8]) -> Option<usize> {
        if !matches!(name.len(), 3 | 15 | 16 | 18) {
            return None;
        }
        (0..NAMES.len()).find(|which| self.has(*which) && name.eq_ignore_ascii_case(NAMES[*which]))
    }

    fn write<E: Exchange>(
        &self,
        head: &mut RequestWriter<'_>,
        which: usize,
        exchange: &E,
        request: &Request<'_>,
        with_those_of_client: bool,
    ) {
        let mut digits = [0; 20];
        let nothing: &[u8] = b"";
        let mut ours = [nothing; VIA_PARTS];
        match which {
            VIA => ours = via_parts(request, self.via, self.software, &mut digits),
            FORWARDED_FOR => ours[0] = request.remote_addr,
            FORWARDED_HOST => match client_header(exchange, b"Host") {
                Some(host) => ours[0] = host,
                None if with_those_of_client => {}
                None => return,
            },
            _ => ours[0] = request.own_name,
        }
        let name = NAMES[which];
        if !with_those_of_client {
            let parts = if which == VIA { VIA_PARTS } else { 1 };
            return head.header_of(name, ours.into_iter().take(parts));
        }
        let theirs = exchange.headers().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let comma: &[u8] = b", ";
        let mut is_first = true;
        let theirs = theirs.flat_map(|(_, value)| {
            let joint = if std::mem::replace(&mut is_first, false) { b"" } else { comma };
            [joint, value]
        });
        let has_theirs = exchange.headers().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let joint = if has_theirs && !ours[0].is_empty() { comma } else { nothing };
        head.header_of(name, theirs.chain([joint]).chain(ours));
    }
}

const VIA_PARTS: usize = 8;

/// This server in a Via header: `1.1 name:port (software)`, the port only if it is not the usual one.
pub(super) fn via_parts<'w>(
    request: &Request<'w>,
    via: Via,
    software: &'w [u8],
    digits: &'w mut [u8; 20],
) -> [&'w [u8]; VIA_PARTS] {
    let version = request.protocol.strip_prefix(b"HTTP/").unwrap_or(b"1.1");
    let usual = if request.is_tls { 443 } else { 80 };
    let (colon, port): (&[u8], &[u8]) = match request.own_port {
        port if port == usual => (b"", b""),
        port => (b":", decimal(u64::from(port), digits)),
    };
    let (open, software, close): (&[u8], &[u8], &[u8]) = match via {
        Via::Full => (b" (", software, b")"),
        _ => (b"", b"", b""),
    };
    [version, b" ", request.own_name, colon, port, open, software, close]
}
