// SPDX-License-Identifier: Apache-2.0
//! What a failed attempt means: for the member, for the request, for the log.
//!
//! mod_jk repeats any method that fails before an answer. Here a request that a container may have begun is repeated only
//! if its method does no harm twice; for the others the options of `recovery_options` can only forbid more.

use std::fmt;

use super::job::JkExchange;
use crate::backend::BackendError;
use crate::balance::jk::JkResult;
use crate::config::jk::plan::{Recovery, StatusVerdict};
use crate::proxy::attempt::{Failure, Stage};
use crate::proxy::exchange::{BodyError, Level};
use crate::proxy::judge::{ids_of, log_client_failed, log_client_gone};
use crate::wire::ajp::{DecodeError, EncodeError};

/// What to do after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The response is out, or cut.
    Done,
    Answer(u16),
    /// The client's fault; the value of [`BodyError`].
    Client(i32),
}

/// A judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judgement {
    pub result: JkResult,
    pub ending: Ending,
    /// The request may be sent again, to this member or another.
    pub again: bool,
    /// A kept connection had ended: once more on a new one, which costs no attempt.
    pub fresh: bool,
}

/// The facts beside the failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    /// Name of the worker, for the log.
    pub name: &'a str,
    pub method: &'a [u8],
    /// The method does no harm twice.
    pub idempotent: bool,
    /// All that was sent of the body can be sent again.
    pub body_at_hand: bool,
    pub recovery: Recovery,
    /// A malformed message is answered 500, as by mod_jk.
    pub malformed_is_500: bool,
    /// The head of the answer had come.
    pub has_head: bool,
    /// `reply_timeout` was the limit that counts.
    pub reply_timeout: bool,
}

impl Case<'_> {
    /// Judges a failure and logs it.
    pub fn judge<E: JkExchange>(&self, failure: &Failure, exchange: &mut E) -> Judgement {
        match failure {
            Failure::Backend { error, stage } => self.judge_backend(error, *stage, exchange),
            Failure::Status { status, verdict } => {
                let marks = *verdict == StatusVerdict::MarkMember;
                let (level, consequence) =
                    if marks { (Level::Error, "") } else { (Level::Info, "; the member stays in service") };
                exchange.log(
                    level,
                    "MGY2004",
                    format_args!(
                        "worker {}: status {status}, which fail_on_status names{consequence}",
                        self.name
                    ),
                );
                let result = if marks { JkResult::HardStatus } else { JkResult::SoftStatus };
                self.of(result, 503).repeated(self.may_repeat())
            }
            Failure::NoBody => self.of(JkResult::NotItsState, 502),
            Failure::Encode(error) => {
                let status = status_of_encode(*error);
                exchange.log(
                    Level::Error,
                    "MGY3204",
                    format_args!("request for worker {} refused: {}", self.name, encode_text(*error)),
                );
                self.of(JkResult::Client, status)
            }
            Failure::EncodeHttp(_) => self.of(JkResult::NotItsState, 500),
            Failure::Client { error: BodyError(status), stage } => {
                log_client_failed(self.name, exchange);
                if *stage == Stage::Passed {
                    exchange.cut();
                    return self.ended(JkResult::Client, Ending::Done);
                }
                self.ended(JkResult::Client, Ending::Client(*status))
            }
            Failure::Gone => {
                log_client_gone(self.name, exchange);
                self.ended(JkResult::Client, Ending::Done)
            }
        }
    }

    fn judge_backend<E: JkExchange>(
        &self,
        error: &BackendError,
        stage: Stage,
        exchange: &mut E,
    ) -> Judgement {
        let is_stale = match stage {
            Stage::StaleNotSent => true,
            Stage::Stale => self.idempotent,
            _ => false,
        };
        if is_stale && self.body_at_hand {
            exchange.log(
                Level::Debug,
                "MGY3001",
                format_args!(
                    "a kept connection to {} is not used: {}; a new one is opened",
                    self.name,
                    self.text(error)
                ),
            );
            let judged = self.of(JkResult::NotItsState, 502).repeated(true);
            return Judgement { fresh: true, ..judged };
        }
        let (id, _) = ids_of(error, stage);
        let consequence = if stage == Stage::Passed { "; the response is cut" } else { "" };
        exchange.log(
            Level::Error,
            id,
            format_args!("worker {}: {}{consequence}", self.name, self.text(error)),
        );
        let is_timeout = matches!(error, BackendError::Timeout);
        let result = match (error, stage) {
            (BackendError::Busy { .. }, _) => JkResult::Busy,
            // The other connections were closed as well, by a restart or by age: that says nothing of the member now.
            (_, Stage::Stale) => JkResult::NotItsState,
            (BackendError::Malformed(cause), _) if is_no_ajp(cause) => JkResult::NotItsState,
            (_, Stage::NotSent | Stage::StaleNotSent) => JkResult::Failed,
            _ if is_timeout && self.reply_timeout => JkResult::ReplyTimeout,
            _ => JkResult::Failed,
        };
        match stage {
            Stage::Passed => {
                exchange.cut();
                self.ended(result, Ending::Done)
            }
            Stage::NotSent | Stage::StaleNotSent => self.of(result, 503).repeated(self.body_at_hand),
            Stage::Stale => self.of(result, 502),
            Stage::Sent => {
                let is_malformed = matches!(error, BackendError::Malformed(cause) if !is_no_ajp(cause));
                let status = match result {
                    JkResult::ReplyTimeout => 504,
                    _ if is_malformed && self.malformed_is_500 => 500,
                    _ => 502,
                };
                let allowed = is_malformed || self.recovery_allows();
                self.of(result, status).repeated(self.may_repeat() && allowed)
            }
        }
    }

    /// The failure with the names of mod_jk's attributes.
    fn text<'e>(&self, error: &'e BackendError) -> impl fmt::Display + 'e {
        let limit = if self.reply_timeout { "reply_timeout" } else { "socket_timeout" };
        fmt::from_fn(move |f| match error {
            BackendError::Busy { max, waited } => write!(
                f,
                "all {max} connections (connection_pool_size) were in use for {} ms (connection_acquire_timeout)",
                waited.as_millis()
            ),
            BackendError::Timeout => write!(f, "the container was silent for longer than {limit} allows"),
            other => write!(f, "{other}"),
        })
    }

    /// May a request be repeated that the container has begun?
    fn may_repeat(&self) -> bool {
        self.idempotent && self.body_at_hand
    }

    fn recovery_allows(&self) -> bool {
        let always = match self.method {
            b"HEAD" => self.recovery.has(Recovery::ALWAYS_HEAD),
            b"GET" => self.recovery.has(Recovery::ALWAYS_GET),
            _ => false,
        };
        let forbidden =
            if self.has_head { Recovery::ABORT_IF_SENT_HEADERS } else { Recovery::ABORT_IF_GOT_REQUEST };
        always || !self.recovery.has(forbidden)
    }

    fn of(&self, result: JkResult, status: u16) -> Judgement {
        self.ended(result, Ending::Answer(status))
    }

    fn ended(&self, result: JkResult, ending: Ending) -> Judgement {
        Judgement { result, ending, again: false, fresh: false }
    }
}

impl Judgement {
    fn repeated(self, again: bool) -> Self {
        Self { again, ..self }
    }
}

/// Bytes that are no packets at all, as from a server that speaks something else.
fn is_no_ajp(error: &DecodeError) -> bool {
    matches!(error, DecodeError::NotAjp { .. } | DecodeError::PacketTooLarge { .. })
}

/// The fault with the name of mod_jk's attribute.
fn encode_text(error: EncodeError) -> impl fmt::Display {
    fmt::from_fn(move |f| match error {
        EncodeError::TooLarge { packet_size, part } => write!(
            f,
            "its head does not fit into one AJP packet of {packet_size} bytes: no room for the {part}; a larger \
             max_packet_size here needs the same packetSize in Tomcat's AJP connector"
        ),
        other => write!(f, "{other}"),
    })
}

fn status_of_encode(error: EncodeError) -> u16 {
    match error {
        EncodeError::TooLarge { .. } | EncodeError::TooLong { .. } => 413,
        EncodeError::UriCharacter { .. } | EncodeError::UriStart => 403,
        EncodeError::Order { .. } => 500,
        _ => 400,
    }
}
