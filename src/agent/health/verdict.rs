// SPDX-License-Identifier: Apache-2.0
//! What is done about a balancer member, by what is known of its node and of its connector. No sockets, no clock.
//!
//! | node | member is in | member is out |
//! |---|---|---|
//! | lives | nothing; after an error before it joined: in as soon as the connector answers | in as soon as the connector answers |
//! | silent, takes connections | out when the connector did not answer twice | in as soon as the connector answers |
//! | said that it stops | out at once, once for each time that it says so | as below |
//! | gone | out as soon as the connector does not answer | in if the connector answers nevertheless |
//! | one that may be it is gone | out if nobody listens at the connector's port | as gone |
//! | not known | nothing | as gone |
//!
//! So a node that only the agent cannot see stays in service, and so does one whose connector answers although it has left the cluster.
//! Where it is not certain which node the member is, only what its own connector does is held against it, or for it.

use std::time::Duration;

use super::connector::Answer;
use crate::agent::cluster::{Departure, Life};
use crate::shared::Reason;

/// A connector may answer for a moment after its node said that it stops.
const STOPPING: Duration = Duration::from_secs(1);
/// How long a member is out at most that cannot be asked and whose node does not come back.
const UNASKED: Duration = Duration::from_secs(30);

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Of the node; `None` if nobody knows who it is.
    pub life: Option<Life>,
    /// It is certain that the member is this node.
    pub is_certain: bool,
    /// The notice of this departure was heeded before.
    pub is_heeded: bool,
    /// How long the agent has the member out; `None` if it has not.
    pub out_for: Option<Duration>,
    /// The module has it in the error state since before the node joined, or since before nobody listened at its port.
    pub failed_before: bool,
    /// The connector can be asked.
    pub can_ask: bool,
    /// What the connector does. `None` if that was not asked since the last change.
    pub answer: Option<Answer>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Nothing,
    /// Asks the connector.
    Ask,
    TakeOut(Reason),
    PutBack,
}

/// The table.
pub fn step(view: &View) -> Step {
    match (view.life, view.out_for) {
        (life, Some(out_for)) => while_out(view, life, out_for),
        (None, None) => Step::Nothing,
        (Some(Life::Gone(_)), None) if !view.is_certain => match view.answer {
            Some(Answer::Refused) => Step::TakeOut(Reason::NodeRefuses),
            _ => Step::Ask,
        },
        (Some(Life::Gone(Departure::Left)), None) if !view.is_heeded => Step::TakeOut(Reason::NodeLeft),
        (Some(Life::Gone(departure)), None) => match view.answer {
            Some(Answer::Bad | Answer::Refused) => Step::TakeOut(reason(departure)),
            Some(Answer::Good) | None => Step::Ask,
        },
        (Some(Life::Alive | Life::Suspect), None) if !view.is_certain => Step::Nothing,
        (Some(Life::Alive), None) if !view.failed_before => Step::Nothing,
        (Some(Life::Suspect), None) if !view.failed_before => match view.answer {
            Some(Answer::Bad | Answer::Refused) => Step::TakeOut(Reason::NodeHangs),
            Some(Answer::Good) | None => Step::Ask,
        },
        (Some(Life::Alive | Life::Suspect), None) => match view.answer {
            Some(Answer::Good) => Step::PutBack,
            _ => Step::Ask,
        },
    }
}

fn while_out(view: &View, life: Option<Life>, out_for: Duration) -> Step {
    let is_back = view.is_certain && matches!(life, Some(Life::Alive | Life::Suspect));
    let is_due = match (view.can_ask, view.answer) {
        (true, Some(Answer::Good)) => is_back || out_for >= STOPPING,
        (true, _) => false,
        (false, _) => is_back || out_for >= UNASKED,
    };
    if is_due { Step::PutBack } else { Step::Ask }
}

fn reason(departure: Departure) -> Reason {
    match departure {
        Departure::Left => Reason::NodeLeft,
        Departure::Dead | Departure::Replaced => Reason::NodeDead,
        Departure::Refused => Reason::NodeRefuses,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Option<Life> = Some(Life::Gone(Departure::Left));
    const DEAD: Option<Life> = Some(Life::Gone(Departure::Dead));
    const ALIVE: Option<Life> = Some(Life::Alive);
    const LONG: Option<Duration> = Some(Duration::from_secs(5));
    const IN: View = View {
        life: ALIVE,
        is_certain: true,
        is_heeded: false,
        out_for: None,
        failed_before: false,
        can_ask: true,
        answer: None,
    };
    const GOOD: Option<Answer> = Some(Answer::Good);
    const BAD: Option<Answer> = Some(Answer::Bad);

    #[test]
    fn who_lives_is_left_alone() {
        assert_eq!(step(&IN), Step::Nothing);
        assert_eq!(step(&View { life: None, ..IN }), Step::Nothing);
    }

    #[test]
    fn who_says_that_it_stops_is_out_at_once_and_once() {
        let left = View { life: LEFT, ..IN };
        assert_eq!(step(&left), Step::TakeOut(Reason::NodeLeft));
        let overruled = View { is_heeded: true, ..left };
        assert_eq!(step(&overruled), Step::Ask);
        assert_eq!(step(&View { answer: GOOD, ..overruled }), Step::Ask);
        assert_eq!(step(&View { answer: BAD, ..overruled }), Step::TakeOut(Reason::NodeLeft));
    }

    #[test]
    fn who_is_silent_is_out_only_if_the_connector_is_too() {
        let dead = View { life: DEAD, ..IN };
        assert_eq!(step(&dead), Step::Ask);
        assert_eq!(step(&View { answer: GOOD, ..dead }), Step::Ask);
        assert_eq!(step(&View { answer: BAD, ..dead }), Step::TakeOut(Reason::NodeDead));
        let refused = View { life: Some(Life::Gone(Departure::Refused)), answer: BAD, ..IN };
        assert_eq!(step(&refused), Step::TakeOut(Reason::NodeRefuses));
    }

    #[test]
    fn who_is_silent_and_takes_connections_is_out_while_the_connector_is_silent_too() {
        let suspect = View { life: Some(Life::Suspect), ..IN };
        assert_eq!(step(&suspect), Step::Ask);
        assert_eq!(step(&View { answer: GOOD, ..suspect }), Step::Ask);
        assert_eq!(step(&View { answer: BAD, ..suspect }), Step::TakeOut(Reason::NodeHangs));
        let out = View { out_for: LONG, ..suspect };
        assert_eq!(step(&View { answer: BAD, ..out }), Step::Ask);
        assert_eq!(step(&View { answer: GOOD, ..out }), Step::PutBack);
    }

    #[test]
    fn who_is_back_serves_as_soon_as_its_connector_answers() {
        let back = View { out_for: LONG, ..IN };
        assert_eq!(step(&back), Step::Ask);
        assert_eq!(step(&View { answer: BAD, ..back }), Step::Ask);
        assert_eq!(step(&View { answer: GOOD, ..back }), Step::PutBack);
        let failed = View { failed_before: true, ..IN };
        assert_eq!(step(&failed), Step::Ask);
        assert_eq!(step(&View { answer: GOOD, ..failed }), Step::PutBack);
    }

    #[test]
    fn who_answers_without_being_in_the_cluster_serves_again_but_not_while_it_stops() {
        for life in [LEFT, DEAD, None] {
            let out = View { life, is_heeded: true, out_for: LONG, answer: GOOD, ..IN };
            assert_eq!(step(&out), Step::PutBack, "{life:?}");
            let stopping = View { out_for: Some(Duration::from_millis(900)), ..out };
            assert_eq!(step(&stopping), Step::Ask, "{life:?}");
            assert_eq!(step(&View { answer: BAD, ..out }), Step::Ask, "{life:?}");
        }
    }

    #[test]
    fn of_a_member_that_may_be_another_node_only_its_connector_is_believed() {
        for life in [LEFT, DEAD] {
            let perhaps = View { life, is_certain: false, ..IN };
            assert_eq!(step(&perhaps), Step::Ask, "{life:?}");
            assert_eq!(step(&View { answer: BAD, ..perhaps }), Step::Ask, "it may be busy");
            assert_eq!(step(&View { answer: GOOD, ..perhaps }), Step::Ask);
            let refused = View { answer: Some(Answer::Refused), ..perhaps };
            assert_eq!(step(&refused), Step::TakeOut(Reason::NodeRefuses));
        }
        let lives = View { is_certain: false, failed_before: true, answer: GOOD, ..IN };
        assert_eq!(step(&lives), Step::Nothing, "its error may be of another kind");
        let out = View { is_certain: false, out_for: LONG, ..IN };
        assert_eq!(step(&out), Step::Ask);
        assert_eq!(step(&View { answer: BAD, ..out }), Step::Ask);
        assert_eq!(step(&View { answer: GOOD, ..out }), Step::PutBack);
    }

    #[test]
    fn a_member_that_cannot_be_asked_is_back_with_its_node_or_after_a_while() {
        let out = View { can_ask: false, out_for: LONG, ..IN };
        assert_eq!(step(&out), Step::PutBack);
        let gone = View { life: LEFT, is_heeded: true, ..out };
        assert_eq!(step(&gone), Step::Ask);
        assert_eq!(step(&View { out_for: Some(UNASKED), ..gone }), Step::PutBack);
    }
}
