// SPDX-License-Identifier: Apache-2.0
//! What a failed try means: for the member, for the request, for the log.

use std::borrow::Cow;

use super::attempt::{Failure, Stage};
use super::exchange::{BodyError, Exchange, Level, Note};
use crate::backend::{BackendError, NotSecure};
use crate::balance::retry::{Body, Phase, Repeat, Verdict};
use crate::balance::transition::Event;
use crate::config::plan::{Balancer, Member, Scheme};
use crate::wire::ajp::EncodeError;
use crate::wire::http1::{self, DecodeError};

/// What to do after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The response is out, or cut.
    Done,
    Answer(u16),
    /// The client's fault; the value of [`BodyError`].
    Client(i32),
    /// Another member, or this answer if there is none.
    OtherMember {
        or_else: u16,
    },
}

/// A judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The same member on a new connection; the kept one had ended.
    SameMemberFresh,
    /// What happens to the member's state, and to the request.
    Next { event: Option<Event>, next: Next },
}

/// The facts a judgement needs beside the failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub member: &'a Member,
    pub balancer: Option<&'a Balancer>,
    pub idempotent: bool,
    /// All that was sent of the body can be sent again.
    pub body_at_hand: bool,
}

/// What the page of an error says about a failure, where it says more than usual. A client that `named` the host itself
/// may know what is wrong with it.
pub(super) fn explanation(failure: &Failure, member: &Member, named: bool) -> Option<Cow<'static, str>> {
    let Failure::Backend { error, stage } = failure else { return None };
    match error {
        BackendError::Resolve { host, .. } if named => Some(format!("DNS lookup failure for: {host}").into()),
        BackendError::Blocked { .. } => Some("Connect to remote machine blocked".into()),
        error if member.scheme != Scheme::Ajp => usual_explanation(error, *stage).map(Cow::Borrowed),
        _ => None,
    }
}

fn usual_explanation(error: &BackendError, stage: Stage) -> Option<&'static str> {
    match error {
        BackendError::NoContinue => Some("Timeout on 100-Continue"),
        _ if matches!(stage, Stage::NotSent | Stage::StaleNotSent | Stage::Passed) => None,
        BackendError::Closed | BackendError::Timeout => Some("Error reading from remote server"),
        BackendError::MalformedHttp(error) => match error {
            DecodeError::StatusLine => Some("Corrupt status line returned by remote server"),
            DecodeError::TooManyInterim { .. } => Some("Too many (10) interim responses from origin server"),
            DecodeError::UnwantedSwitch => Some("Unexpected Upgrade"),
            _ => None,
        },
        _ => None,
    }
}

impl Case<'_> {
    /// Judges a failure and logs it.
    pub fn judge<E: Exchange>(&self, failure: Failure, exchange: &mut E) -> Judgement {
        match failure {
            Failure::Backend { error, stage } => self.judge_backend(&error, stage, exchange),
            Failure::Encode(error) => Judgement::of(self.judge_encode(error, exchange)),
            Failure::EncodeHttp(error) => Judgement::of(self.judge_encode_http(error, exchange)),
            Failure::NoBody => Judgement::of(Next::Answer(502)),
            Failure::Status { status, .. } => Judgement::of(Next::Answer(status)),
            Failure::Client { error: BodyError(status), stage } => {
                log_client_failed(&self.member.name, exchange);
                if stage == Stage::Passed {
                    exchange.cut();
                    return Judgement::of(Next::Done);
                }
                Judgement::of(Next::Client(status))
            }
            Failure::Gone => {
                log_client_gone(&self.member.name, exchange);
                Judgement::of(Next::Done)
            }
        }
    }

    fn judge_encode<E: Exchange>(&self, error: EncodeError, exchange: &E) -> Next {
        let (status, id) = match error {
            EncodeError::UriCharacter { .. } | EncodeError::UriStart => (403, "MGY3203"),
            EncodeError::Order { .. } => (500, "MGY3205"),
            _ => (400, "MGY3204"),
        };
        exchange.log(Level::Error, id, format_args!("request for {} refused: {error}", self.member.name));
        Next::Answer(status)
    }

    fn judge_encode_http<E: Exchange>(&self, error: http1::EncodeError, exchange: &E) -> Next {
        let (status, id) = match error {
            http1::EncodeError::Target { .. } => (403, "MGY3203"),
            _ => (400, "MGY3204"),
        };
        exchange.log(Level::Error, id, format_args!("request for {} refused: {error}", self.member.name));
        Next::Answer(status)
    }

    fn judge_backend<E: Exchange>(&self, error: &BackendError, stage: Stage, exchange: &mut E) -> Judgement {
        if let BackendError::Blocked { host, word } = error {
            let text = format_args!("{host} is not asked: ProxyBlock {word} covers it (AH00916)");
            exchange.log(Level::Warning, "MGY3208", text);
            return Judgement::of(Next::Answer(403));
        }
        let timed_out = matches!(error, BackendError::Timeout);
        if timed_out {
            exchange.note(Note::TimedOut);
        }
        let phase = self.phase(stage, timed_out);
        let body = if self.body_at_hand { Body::Whole } else { Body::Gone };
        let repeat = Repeat { idempotent: self.idempotent, body };
        let verdict = match self.member.scheme {
            Scheme::Ajp => repeat.verdict(phase),
            _ => http_verdict(error, phase, repeat.verdict(phase)),
        };
        if verdict == Verdict::SameMember {
            let (level, id) = match error {
                BackendError::Stray => (Level::Warning, "MGY3108"),
                _ => (Level::Debug, "MGY3001"),
            };
            exchange.log(
                level,
                id,
                format_args!(
                    "a kept connection to {} is not used: {error}; a new one is opened (AH00951)",
                    self.member.name
                ),
            );
            return Judgement::SameMemberFresh;
        }
        self.log_failure(error, stage, exchange);
        if stage == Stage::Passed {
            exchange.cut();
            return Judgement::of(Next::Done);
        }
        let next = match verdict {
            Verdict::NextMember { or_else } => Next::OtherMember { or_else: status_for(error, or_else) },
            Verdict::Answer(status) => Next::Answer(status_for(error, status)),
            Verdict::SameMember | Verdict::CutOff => Next::Answer(502),
        };
        let event = if stage == Stage::Stale { None } else { self.event(error, phase, timed_out) };
        // A member that breaks off an HTTP answer stays in service: that may be the application's doing.
        let keeps_serving = self.member.scheme != Scheme::Ajp && event == Some(Event::ExchangeFailed);
        let event = event.filter(|_| !keeps_serving);
        Judgement::Next { event, next }
    }

    fn phase(&self, stage: Stage, timed_out: bool) -> Phase {
        match stage {
            Stage::NotSent => Phase::NotConnected,
            Stage::StaleNotSent => Phase::ConnectionStaleBeforeSend,
            // The request may have arrived; only one that does no harm twice is sent again.
            Stage::Stale if self.idempotent => Phase::ConnectionStaleBeforeSend,
            Stage::Stale => Phase::SentNothingAnswered,
            Stage::Sent if timed_out && self.member.ping.is_some() => Phase::SentNothingInTimeAfterPong,
            Stage::Sent => Phase::SentNothingAnswered,
            Stage::Passed => Phase::PassedToClient,
        }
    }

    /// What the failure does to the member. A busy member is not a broken one, nor is one at work on a slow request after
    /// it answered a ping, nor one whose connections were closed while they were idle.
    fn event(&self, error: &BackendError, phase: Phase, timed_out: bool) -> Option<Event> {
        let fail_on_timeout = self.balancer.is_some_and(|balancer| balancer.fail_on_timeout);
        match error {
            BackendError::Busy { .. } => None,
            _ if timed_out && fail_on_timeout => Some(Event::FailOnTimeout),
            _ if phase == Phase::SentNothingInTimeAfterPong => None,
            _ if phase == Phase::NotConnected => Some(Event::ConnectFailed),
            _ => Some(Event::ExchangeFailed),
        }
    }

    fn log_failure<E: Exchange>(&self, error: &BackendError, stage: Stage, exchange: &E) {
        let (id, stock) = ids_of(error, stage);
        let consequence = match stage {
            Stage::Passed => "; the response is cut",
            _ => "",
        };
        exchange.log(
            Level::Error,
            id,
            format_args!(
                "{}member {}: {error}{consequence} ({stock})",
                balancer_prefix(self.balancer),
                self.member.name
            ),
        );
    }
}

pub(super) fn log_client_failed<E: Exchange>(name: &str, exchange: &E) {
    exchange.log(
        Level::Info,
        "MGY3201",
        format_args!("the client did not deliver its request body; the connection to {name} is closed"),
    );
}

pub(super) fn log_client_gone<E: Exchange>(name: &str, exchange: &E) {
    exchange.log(
        Level::Info,
        "MGY3202",
        format_args!("the client went away; the connection to {name} is closed"),
    );
}

/// The id of a failure in the log, and stock's.
pub(super) fn ids_of(error: &BackendError, stage: Stage) -> (&'static str, &'static str) {
    match (error, stage) {
        (BackendError::Busy { .. }, _) => ("MGY3002", "AH00941"),
        (BackendError::Resolve { .. }, _) => ("MGY3003", "AH00898"),
        (BackendError::Connect { .. } | BackendError::ConnectSocket { .. }, _) => ("MGY3004", "AH00957"),
        (BackendError::Secure(NotSecure::Missing), _) => ("MGY3009", "AH01144"),
        (BackendError::Secure(NotSecure::Off), _) => ("MGY3009", "AH00961"),
        (BackendError::Secure(_), _) => ("MGY3010", "AH02003"),
        (BackendError::Ping { .. }, _) => ("MGY3005", "AH01012"),
        (BackendError::NoContinue, _) => ("MGY3007", "AH01102"),
        (_, Stage::Passed) => ("MGY3104", "AH00893"),
        (BackendError::MalformedHttp(_), _) => ("MGY3109", "AH01102"),
        (BackendError::Malformed(_) | BackendError::Stray, _) => ("MGY3103", "AH01030"),
        (BackendError::Timeout, _) => ("MGY3102", "AH00992"),
        (_, Stage::NotSent | Stage::StaleNotSent) => ("MGY3006", "AH00896"),
        _ => ("MGY3101", "AH00992"),
    }
}

impl Judgement {
    fn of(next: Next) -> Self {
        Self::Next { event: None, next }
    }
}

/// Stock's status, but for answers that are no AJP and names that do not resolve.
fn status_for(error: &BackendError, stock: u16) -> u16 {
    match error {
        BackendError::Malformed(_) | BackendError::MalformedHttp(_) | BackendError::Stray => 502,
        BackendError::Resolve { .. } | BackendError::Secure(_) => 500,
        _ => stock,
    }
}

/// Over HTTP a broken answer is 502. Silence and bytes that are no HTTP are answers of their own, which the next member
/// would only repeat; a connection that ended is not.
fn http_verdict(error: &BackendError, phase: Phase, of_ajp: Verdict) -> Verdict {
    if matches!(phase, Phase::NotConnected | Phase::ConnectionStaleBeforeSend | Phase::PassedToClient) {
        return of_ajp;
    }
    let is_answer =
        matches!(error, BackendError::Timeout | BackendError::MalformedHttp(_) | BackendError::Stray);
    match of_ajp {
        Verdict::NextMember { .. } if is_answer => Verdict::Answer(502),
        Verdict::NextMember { .. } => Verdict::NextMember { or_else: 502 },
        Verdict::Answer(_) => Verdict::Answer(502),
        other => other,
    }
}

/// `balancer://name: ` in front of a message, if there is a balancer.
pub(super) fn balancer_prefix(balancer: Option<&Balancer>) -> impl std::fmt::Display + '_ {
    std::fmt::from_fn(move |f| match balancer {
        Some(balancer) => write!(f, "balancer://{}: ", balancer.name),
        None => Ok(()),
    })
}
