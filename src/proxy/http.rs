// SPDX-License-Identifier: Apache-2.0
//! One exchange over HTTP/1.1.

mod answer;

use std::time::Duration;

use answer::Found;

use super::attempt::{Answered, Attempt, Buffers, Failure, Stage, first_bytes};
use super::exchange::{Exchange, Level, ResponseLine};
use super::http_body::BodyFraming;
use super::http_head::{self, Manner, client_header};
use super::request_body::{BodyFailure, RequestBody};
use super::response::{Sections, give_header};
use super::{secure, tunnel};
use crate::backend::buffer::Received;
use crate::backend::{BackendError, Connection, Lease, Receiver, SendTime};
use crate::config::plan::Via;
use crate::wire::ajp::BodyLength;
use crate::wire::http1::{self, DecodeError, Limits, ResponseHead, is_hop_by_hop, lists};

/// Longest head taken, in bytes.
const LONGEST_HEAD: usize = 65536;

/// So many interim answers in a row are too many; the last is still passed on.
const MOST_INTERIM: u32 = 10;

/// Is it the member who says whether the client is to send its body (`Expect: 100-continue`)? Then nothing is read ahead.
pub(super) fn leaves_body_to_member<E: Exchange>(exchange: &E, sections: Sections<'_>) -> bool {
    let request = exchange.request();
    request.body != BodyLength::None
        && request.body != BodyLength::Known(0)
        && request.protocol != b"HTTP/1.0"
        && passes_expect(exchange, sections)
        && client_header(exchange, b"Expect").is_some_and(|value| lists(value, b"100-continue"))
}

/// Does the member see the client's `Expect`? (`Proxy100Continue`)
fn passes_expect<E: Exchange>(exchange: &E, sections: Sections<'_>) -> bool {
    sections.innermost(|section| section.pass_continue).unwrap_or(true)
        && exchange.variable(c"force-proxy-request-1.0").is_none()
        && client_header(exchange, b"Expect").is_some()
}

/// Carries the request to the member and the answer to the client.
pub(super) fn run<E: Exchange>(
    attempt: &Attempt<'_>,
    exchange: &mut E,
    body: &mut RequestBody,
    buffers: Buffers<'_>,
    connected: impl FnOnce(),
) -> Result<Answered, Failure> {
    let Buffers { packet, text, receiver } = buffers;
    let manner = manner(attempt, exchange, body)?;
    packet.clear();
    http_head::write(exchange, attempt, &manner, packet).map_err(Failure::EncodeHttp)?;
    let mut lease = attempt.pool.acquire().map_err(Failure::at(Stage::NotSent))?;
    if exchange.request().is_first && exchange.variable(c"proxy-initial-not-pooled").is_some() {
        lease.discard();
    }
    let connection = secure::connect(attempt, exchange, &mut lease).map_err(Failure::at(Stage::NotSent))?;
    connected();

    receiver.clear();
    body.begin_try();
    let mut talk = Talk {
        attempt,
        client_waits: manner.passes_expect,
        manner,
        body,
        text,
        receiver,
        asked: SendTime::now(),
        reused: connection.is_reused(),
        heard: false,
        interims: 0,
        lines: 0,
        found: None,
    };
    talk.send(exchange, connection, packet)?;
    let head = talk.final_head(exchange, connection)?;
    let lines = talk.lines;
    exchange.answered(head.status, connection.source_port());
    let answered = match head.status {
        101 => talk.tunnel(exchange, lease, &head),
        _ => talk.receive(exchange, lease, &head),
    }?;
    // Stock counts status lines and bodies as read from the member; bytraffic goes by it.
    Ok(Answered { received: answered.received + lines, ..answered })
}

/// Decides how the request is sent.
fn manner<E: Exchange>(
    attempt: &Attempt<'_>,
    exchange: &mut E,
    body: &mut RequestBody,
) -> Result<Manner, Failure> {
    let old = exchange.variable(c"force-proxy-request-1.0").is_some();
    let by_length = exchange.variable(c"proxy-sendcl").is_some()
        && exchange.variable(c"proxy-sendchunked").is_none()
        && exchange.variable(c"proxy-sendchunks").is_none();
    if body.framing() == BodyFraming::Chunked && (old || by_length) {
        // The length must be told first, so all of it must be here first.
        body.read_all(exchange).map_err(|error| Failure::Client { error, stage: Stage::NotSent })?;
    }
    body.extra_line = exchange.variable(c"proxy-sendextracrlf").is_some();
    let framing = body.framing();
    let has_body = !matches!(framing, BodyFraming::None | BodyFraming::Length(0));
    let may_be_kept = attempt.member.pool.reuse
        && exchange.variable(c"proxy-nokeepalive").is_none()
        && !exchange.request().is_subrequest;
    Ok(Manner {
        old,
        keep: may_be_kept && !old,
        framing,
        expect: !old
            && has_body
            && (attempt.member.ping.is_some() || leaves_body_to_member(exchange, attempt.sections)),
        passes_expect: passes_expect(exchange, attempt.sections),
        upgrade: !old && wants_upgrade(exchange, &attempt.member.upgrade),
    })
}

/// Did the client ask for a protocol of the list?
fn wants_upgrade<E: Exchange>(exchange: &E, allowed: &str) -> bool {
    if allowed.is_empty() || !exchange.request().can_upgrade {
        return false;
    }
    client_header(exchange, b"Upgrade").is_some_and(|wanted| {
        !wanted.is_empty()
            && (allowed.eq_ignore_ascii_case("ANY")
                || allowed.as_bytes().eq_ignore_ascii_case(wanted)
                || lists(allowed.as_bytes(), wanted))
    })
}

/// A request under way on one connection.
struct Talk<'t> {
    attempt: &'t Attempt<'t>,
    manner: Manner,
    /// The client may be waiting to be told to send its body.
    client_waits: bool,
    body: &'t mut RequestBody,
    text: &'t mut Vec<u8>,
    receiver: &'t mut Receiver,
    asked: SendTime,
    reused: bool,
    /// Something of the answer has come.
    heard: bool,
    interims: u32,
    /// Bytes of the status lines so far.
    lines: u64,
    /// What the last look for more of the body found, if it was no data.
    found: Option<Found>,
}

impl Talk<'_> {
    /// Sends head and body. Returns before the body's end when the member has answered that it does not want it.
    fn send<E: Exchange>(
        &mut self,
        exchange: &mut E,
        connection: &mut Connection,
        head: &[u8],
    ) -> Result<(), Failure> {
        let framing = self.manner.framing;
        let mut sent = 0;
        let result = match self.manner.expect {
            true => {
                self.body.sent += head.len() as u64;
                connection.send(&mut [std::io::IoSlice::new(head)], &mut sent).map_err(BackendError::of_io)
            }
            false => self.body.send_start(exchange, connection, head, framing, &mut sent),
        };
        if let Err(error) = result {
            if sent < head.len() || !self.answered_anyway(connection, &error) {
                return Err(Failure::Backend {
                    error,
                    stage: Attempt::unsent(sent, head.len(), self.reused),
                });
            }
            return Ok(());
        }
        if self.manner.expect {
            if !self.is_body_wanted(exchange, connection)? {
                return Ok(());
            }
            if let Err(error) = self.body.send_start(exchange, connection, &[], framing, &mut 0) {
                return self.stop_or_fail(connection, error);
            }
        }
        let mut decided = false;
        while !self.body.is_sent() {
            if !decided && self.has_spoken(connection) {
                if self.is_refused_early(exchange, connection)? {
                    return Ok(());
                }
                decided = true;
            }
            match self.body.send_more(exchange, connection, framing) {
                Ok(()) => {}
                Err(BodyFailure::Client(error)) => return Err(Failure::Client { error, stage: Stage::Sent }),
                Err(BodyFailure::Backend(error)) => return self.stop_or_fail(connection, error),
            }
        }
        Ok(())
    }

    /// The member took no more; if it has said why, that is the answer.
    fn stop_or_fail(&mut self, connection: &mut Connection, error: BackendError) -> Result<(), Failure> {
        if self.heard || self.answered_anyway(connection, &error) {
            return Ok(());
        }
        let stage = if self.reused { Stage::Stale } else { Stage::Sent };
        Err(Failure::Backend { error, stage })
    }

    fn answered_anyway(&mut self, connection: &mut Connection, error: &BackendError) -> bool {
        !matches!(error, BackendError::Timeout) && self.hear(connection).is_ok()
    }

    /// Waits for the answer to `Expect: 100-continue`: false if it is a final one.
    fn is_body_wanted<E: Exchange>(
        &mut self,
        exchange: &mut E,
        connection: &mut Connection,
    ) -> Result<bool, Failure> {
        if let Some(limit) = self.attempt.member.ping {
            connection.limit(limit).map_err(|error| self.lost(BackendError::of_io(error)))?;
        }
        let wanted = loop {
            let head = match self.head(connection) {
                Ok(head) => head,
                // The member has the head, but not the body without which it can do nothing.
                Err(Failure::Backend { error: BackendError::Timeout, .. }) => {
                    return Err(Failure::Backend { error: BackendError::NoContinue, stage: Stage::NotSent });
                }
                Err(failure) => return Err(failure),
            };
            if head.status >= 200 || head.status == 101 {
                break false;
            }
            self.pass_interim(exchange, &head)?;
            if head.status == 100 {
                break true;
            }
        };
        connection.limit(self.attempt.timeout).map_err(|error| self.lost(BackendError::of_io(error)))?;
        Ok(wanted)
    }

    /// Is there something of an answer? Looks without waiting.
    fn has_spoken(&mut self, connection: &Connection) -> bool {
        if connection.transport().is_none() {
            return connection.wait_readable(Duration::ZERO);
        }
        // A socket with TLS is readable also when TLS has something to say of its own.
        match self.receiver.fill_now(connection) {
            Ok(Some(Received::Data)) => {
                self.heard = true;
                true
            }
            Ok(None) => false,
            _ => true,
        }
    }

    /// An answer that came before the body's end: an error makes the rest of the body useless, anything else may be the
    /// first part of what becomes of the body.
    fn is_refused_early<E: Exchange>(
        &mut self,
        exchange: &mut E,
        connection: &mut Connection,
    ) -> Result<bool, Failure> {
        loop {
            let head = self.head(connection)?;
            if head.status >= 200 {
                return Ok(head.status >= 400);
            }
            if head.status == 101 {
                return Ok(false);
            }
            self.pass_interim(exchange, &head)?;
            if self.receiver.window().is_empty() {
                return Ok(false);
            }
        }
    }

    /// The head of the answer itself, which stays in the buffer.
    fn final_head<E: Exchange>(
        &mut self,
        exchange: &mut E,
        connection: &mut Connection,
    ) -> Result<ResponseHead, Failure> {
        loop {
            let head = self.head(connection)?;
            match head.status {
                101 if self.is_wanted_switch(exchange, &head) => return Ok(head),
                101 => return Err(self.malformed(DecodeError::UnwantedSwitch)),
                200.. => return Ok(head),
                _ => self.pass_interim(exchange, &head)?,
            }
        }
    }

    fn is_wanted_switch<E: Exchange>(&self, exchange: &E, head: &ResponseHead) -> bool {
        self.manner.upgrade && self.body.is_sent() && self.names_wanted_protocol(exchange, head)
    }

    fn names_wanted_protocol<E: Exchange>(&self, exchange: &E, head: &ResponseHead) -> bool {
        let mut theirs =
            head.fields(self.receiver.window()).filter(|(name, _)| name.eq_ignore_ascii_case(b"Upgrade"));
        let wanted = client_header(exchange, b"Upgrade").unwrap_or_default();
        theirs.any(|(_, value)| value.eq_ignore_ascii_case(wanted) || lists(wanted, value))
    }

    /// Reads on until there is a whole head at the start of the buffer.
    fn head(&mut self, connection: &mut Connection) -> Result<ResponseHead, Failure> {
        let limits = Limits {
            field: self.attempt.member.response_field_size,
            head: LONGEST_HEAD,
            bad_header: self.attempt.http.bad_header,
        };
        loop {
            let window = self.receiver.window();
            match http1::read_head(&window[..window.len().min(LONGEST_HEAD)], &limits) {
                Ok(Some(head)) => {
                    self.lines += head.line as u64;
                    return Ok(head);
                }
                Ok(None) => self.hear(connection)?,
                Err(error) => return Err(self.malformed(error)),
            }
        }
    }

    fn hear(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        if !self.heard {
            first_bytes(connection, self.receiver, self.asked, self.reused)?;
            self.heard = true;
            return Ok(());
        }
        match self.receiver.fill(connection) {
            Ok(Received::Data) => Ok(()),
            Ok(_) => Err(self.lost(self.closed())),
            Err(error) => Err(self.lost(match BackendError::of_io(error) {
                BackendError::Closed => self.closed(),
                other => other,
            })),
        }
    }

    /// The connection ended where the head should go on.
    fn closed(&self) -> BackendError {
        let has_first_line = self.receiver.window().trim_ascii_start().contains(&b'\n');
        if has_first_line { BackendError::HeadCut } else { BackendError::Closed }
    }

    fn lost(&self, error: BackendError) -> Failure {
        Failure::Backend { error, stage: Stage::Sent }
    }

    /// What is no good answer may have been sent before the question, unless somebody looked.
    fn doubted(&self, stage: Stage) -> Stage {
        if stage == Stage::Sent && self.reused && !self.attempt.careful && self.interims == 0 {
            Stage::Stale
        } else {
            stage
        }
    }

    fn malformed(&self, error: DecodeError) -> Failure {
        Failure::Backend { error: error.into(), stage: self.doubted(Stage::Sent) }
    }

    /// Passes an interim answer on, if the client is to see it, and takes it off the buffer.
    fn pass_interim<E: Exchange>(&mut self, exchange: &mut E, head: &ResponseHead) -> Result<(), Failure> {
        self.interims += 1;
        let wanted = match exchange.variable(c"proxy-interim-response") {
            None => head.status != 100 || self.client_waits,
            Some(word) => word.eq_ignore_ascii_case(b"RFC"),
        };
        if wanted {
            self.give_head(exchange, head);
            exchange.send_interim();
        }
        self.receiver.consume(head.used);
        if self.interims >= MOST_INTERIM {
            return Err(self.malformed(DecodeError::TooManyInterim { limit: MOST_INTERIM - 1 }));
        }
        Ok(())
    }

    /// Hands status and headers to the exchange, but for those about the connection.
    fn give_head<E: Exchange>(&mut self, exchange: &mut E, head: &ResponseHead) {
        let window = self.receiver.window();
        let content_length = head.content_length;
        // Who says nothing wants nothing said.
        let reason = head.reason(window).or(head.has_no_reason().then_some(b""));
        exchange.response_line(ResponseLine { status: head.status, reason, content_length });
        let named = |name: &[u8]| {
            let mut connections =
                head.fields(window).filter(|(known, _)| known.eq_ignore_ascii_case(b"Connection"));
            head.names_headers && connections.any(|(_, value)| lists(value, name))
        };
        let (mut unfolded, mut has_type) = (Vec::new(), false);
        for (name, value) in head.fields(window) {
            // Of several the first counts.
            if name.eq_ignore_ascii_case(b"Content-Type") && std::mem::replace(&mut has_type, true) {
                continue;
            }
            if is_hop_by_hop(name) || name.eq_ignore_ascii_case(b"Proxy-Authenticate") || named(name) {
                continue;
            }
            let value = match value.contains(&b'\n') {
                true => {
                    http1::unfold(value, &mut unfolded);
                    &unfolded
                }
                false => value,
            };
            give_header(exchange, name, value, self.attempt.sections, self.text);
        }
        if matches!(self.attempt.http.via, Via::On | Via::Full) {
            self.give_via(exchange);
        }
        if head.status >= 200 && self.manner.upgrade && self.names_wanted_protocol(exchange, head) {
            self.give_upgrade(exchange, head);
        }
    }

    /// The protocol the member switches to, or would.
    fn give_upgrade<E: Exchange>(&self, exchange: &mut E, head: &ResponseHead) {
        exchange.response_header(b"Connection", b"Upgrade");
        let window = self.receiver.window();
        let protocol = head.fields(window).find(|(name, _)| name.eq_ignore_ascii_case(b"Upgrade"));
        if let Some((name, value)) = protocol {
            exchange.response_header(name, value);
        }
    }

    fn give_via<E: Exchange>(&mut self, exchange: &mut E) {
        let (via, software) = (self.attempt.http.via, self.attempt.http.software);
        self.text.clear();
        let request = exchange.request();
        for part in http_head::via_parts(&request, via, software, &mut [0; 20]) {
            self.text.extend_from_slice(part);
        }
        exchange.response_header(b"Via", self.text);
    }

    /// Hands the 101 to the client and carries bytes both ways until the end.
    fn tunnel<E: Exchange>(
        mut self,
        exchange: &mut E,
        mut lease: Lease<'_>,
        head: &ResponseHead,
    ) -> Result<Answered, Failure> {
        self.give_head(exchange, head);
        self.give_upgrade(exchange, head);
        self.receiver.consume(head.used);
        exchange.open_tunnel()?;
        let Some(connection) = lease.connection() else {
            return Err(Failure::Backend { error: BackendError::Closed, stage: Stage::Passed });
        };
        let idle = self.attempt.timeout.max(exchange.client_timeout());
        let half_close = exchange.variable(c"proxy-nohalfclose").is_none();
        let passed = tunnel::run(exchange, connection, self.receiver, idle, half_close);
        exchange.log(
            Level::Debug,
            "MGY3008",
            format_args!(
                "the tunnel to {} ended ({:?}): {} bytes to the member, {} to the client",
                self.attempt.member.name, passed.end, passed.to_member, passed.to_client
            ),
        );
        self.body.sent += passed.to_member;
        Ok(Answered { status: 101, received: passed.to_client, replaced: false })
    }
}
