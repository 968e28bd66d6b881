// SPDX-License-Identifier: Apache-2.0
//! May a request be sent again, where, and how often. Pure functions.

use super::in_force::InForce;
use crate::config::plan::Balancer;

/// How many more times a request may be given to another member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempts {
    left: u32,
}

impl Attempts {
    /// As [`Attempts::among`] for the members of the file.
    pub fn of(balancer: &Balancer, in_force: &InForce<'_>) -> Attempts {
        Attempts::among(balancer.members.len(), in_force)
    }

    /// `maxattempts` of a balancer with so many members; without it, the other members once each. The first attempt is not counted.
    pub fn among(members: usize, in_force: &InForce<'_>) -> Attempts {
        let others = u32::try_from(members).unwrap_or(u32::MAX).saturating_sub(1);
        Attempts { left: in_force.max_attempts().unwrap_or(others) }
    }

    /// A plain worker is tried once.
    pub fn of_plain_worker() -> Attempts {
        Attempts { left: 0 }
    }

    /// Uses up one further attempt; false if none is left.
    pub fn take(&mut self) -> bool {
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

/// How far an exchange had come when it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// No connection: refused, timed out, none free, or CPing unanswered. The member has seen nothing of the request.
    NotConnected,
    /// A kept connection turned out to be closed before anything of the request was sent.
    ConnectionStaleBeforeSend,
    /// Something was sent, and the answer's headers did not arrive whole.
    SentNothingAnswered,
    /// Something was sent on a connection whose CPing had just been answered, and no headers came in time: the member
    /// is at work, and would do the work twice.
    SentNothingInTimeAfterPong,
    /// Headers arrived, but nothing was passed to the client before the answer broke off.
    HeadersReceivedNotPassed,
    /// The client has got a part of the answer.
    PassedToClient,
}

/// What is left of the request's body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// The request has none.
    None,
    /// All that was read from the client is still here and can be sent from the start.
    Whole,
    /// Parts that went to a member are gone.
    Gone,
}

/// What decides whether a request may be repeated. The query string does not matter: stock refuses to repeat any
/// request that has one, but a query string does not make an idempotent method harmful.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repeat {
    pub idempotent: bool,
    pub body: Body,
}

/// What to do with a request after a failed attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Again on the same member, on a new connection. Costs no attempt.
    SameMember,
    /// Another member, if [`Attempts`] allow it and one is usable; else this answer.
    NextMember { or_else: u16 },
    /// No further attempt: this answer.
    Answer(u16),
    /// The answer to the client must be cut off, so that it is not taken for whole.
    CutOff,
}

/// Methods that may be repeated without asking: GET, HEAD, PUT, DELETE, OPTIONS, TRACE.
pub fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"PUT" | b"DELETE" | b"OPTIONS" | b"TRACE")
}

impl Repeat {
    /// Decides by how far the failed attempt came.
    ///
    /// A request that a member may have begun is repeated only if its method is idempotent and its body is at hand;
    /// nothing is repeated after a byte of the answer went to the client.
    pub fn verdict(self, phase: Phase) -> Verdict {
        let at_hand = self.body != Body::Gone;
        match phase {
            Phase::PassedToClient => Verdict::CutOff,
            Phase::ConnectionStaleBeforeSend if at_hand => Verdict::SameMember,
            Phase::NotConnected if at_hand => Verdict::NextMember { or_else: 503 },
            Phase::NotConnected | Phase::ConnectionStaleBeforeSend => Verdict::Answer(503),
            Phase::SentNothingInTimeAfterPong => Verdict::Answer(504),
            Phase::SentNothingAnswered | Phase::HeadersReceivedNotPassed if self.idempotent && at_hand => {
                Verdict::NextMember { or_else: 503 }
            }
            Phase::SentNothingAnswered | Phase::HeadersReceivedNotPassed => Verdict::Answer(500),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 6] = [
        Phase::NotConnected,
        Phase::ConnectionStaleBeforeSend,
        Phase::SentNothingAnswered,
        Phase::SentNothingInTimeAfterPong,
        Phase::HeadersReceivedNotPassed,
        Phase::PassedToClient,
    ];
    const BODIES: [Body; 3] = [Body::None, Body::Whole, Body::Gone];
    const NEXT: Verdict = Verdict::NextMember { or_else: 503 };

    fn is_sent_again(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::SameMember | Verdict::NextMember { .. })
    }

    fn every_case() -> impl Iterator<Item = (Phase, Repeat)> {
        PHASES.into_iter().flat_map(|phase| {
            BODIES
                .into_iter()
                .flat_map(move |body| [true, false].map(|idempotent| (phase, Repeat { idempotent, body })))
        })
    }

    #[test]
    fn a_post_that_a_member_may_have_begun_is_never_sent_twice() {
        let untouched = [Phase::NotConnected, Phase::ConnectionStaleBeforeSend];
        for (phase, repeat) in every_case().filter(|(phase, _)| !untouched.contains(phase)) {
            assert!(repeat.idempotent || !is_sent_again(repeat.verdict(phase)), "{phase:?} {repeat:?}");
        }
    }

    #[test]
    fn nothing_is_sent_again_after_a_byte_went_to_the_client() {
        for (_, repeat) in every_case() {
            assert_eq!(repeat.verdict(Phase::PassedToClient), Verdict::CutOff);
        }
    }

    #[test]
    fn a_request_whose_body_is_gone_is_never_sent_again() {
        for (phase, repeat) in every_case().filter(|(_, repeat)| repeat.body == Body::Gone) {
            assert!(!is_sent_again(repeat.verdict(phase)), "{phase:?} {repeat:?}");
        }
    }

    #[test]
    fn a_member_out_of_reach_costs_no_request_its_answer() {
        for idempotent in [true, false] {
            for body in [Body::None, Body::Whole] {
                let repeat = Repeat { idempotent, body };
                assert_eq!(repeat.verdict(Phase::NotConnected), NEXT);
                assert_eq!(repeat.verdict(Phase::ConnectionStaleBeforeSend), Verdict::SameMember);
            }
        }
    }

    #[test]
    fn a_broken_dialog_moves_an_idempotent_request_and_ends_any_other() {
        for phase in [Phase::SentNothingAnswered, Phase::HeadersReceivedNotPassed] {
            assert_eq!(Repeat { idempotent: true, body: Body::None }.verdict(phase), NEXT);
            assert_eq!(Repeat { idempotent: true, body: Body::Whole }.verdict(phase), NEXT);
            assert_eq!(Repeat { idempotent: false, body: Body::None }.verdict(phase), Verdict::Answer(500));
        }
    }

    #[test]
    fn a_member_that_answers_pings_is_not_asked_twice_for_slow_work() {
        let get = Repeat { idempotent: true, body: Body::None };
        assert_eq!(get.verdict(Phase::SentNothingInTimeAfterPong), Verdict::Answer(504));
    }

    #[test]
    fn methods_are_compared_exactly() {
        assert!(is_idempotent(b"GET") && is_idempotent(b"TRACE"));
        assert!(!is_idempotent(b"POST") && !is_idempotent(b"PATCH") && !is_idempotent(b"get"));
    }
}
