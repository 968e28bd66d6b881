// SPDX-License-Identifier: Apache-2.0
//! What is done about a balancer member, by what is known of its node and of its connector. No sockets, no clock.
//!
//! | node | member is in | member is out |
//! |---|---|---|
//! | lives | nothing; after an error before it joined: in as soon as the connector answers | in as soon as the connector answers |
//! | silent, takes connections | out when the connector did not answer twice | in as soon as the connector answers |
//! | said that it stops | out at once, once for each time that it says so | as below |
//! | gone | out as soon as the connector does not answer | in if the connector answers nevertheless |
//! | not known | nothing | as gone |
//!
//! So a node that only the agent cannot see stays in service, and so does one whose connector answers although it has left the cluster.

use std::time::Duration;

use crate::agent::cluster::{Departure, Life};
use crate::shared::Reason;

/// A connector may answer for a moment after its node said that it stops.
const STOPPING: Duration = Duration::from_secs(1);

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Of the node; `None` if nobody knows who it is.
    pub life: Option<Life>,
    /// The notice of this departure was heeded before.
    pub is_heeded: bool,
    /// How long the agent has the member out; `None` if it has not.
    pub out_for: Option<Duration>,
    /// The module has it in the error state since before the node joined.
    pub failed_before: bool,
    /// Does the connector answer? `None` if that was not asked since the last change.
    pub answers: Option<bool>,
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
        (Some(Life::Alive), None) if !view.failed_before => Step::Nothing,
        (Some(Life::Suspect), None) if !view.failed_before => match view.answers {
            Some(false) => Step::TakeOut(Reason::NodeHangs),
            Some(true) | None => Step::Ask,
        },
        (Some(Life::Alive | Life::Suspect), _) => match view.answers {
            Some(true) => Step::PutBack,
            Some(false) | None => Step::Ask,
        },
        (Some(Life::Gone(Departure::Left)), None) if !view.is_heeded => Step::TakeOut(Reason::NodeLeft),
        (Some(Life::Gone(departure)), None) => match view.answers {
            Some(false) => Step::TakeOut(reason(departure)),
            Some(true) | None => Step::Ask,
        },
        (None, None) => Step::Nothing,
        (Some(Life::Gone(_)) | None, Some(out_for)) => match view.answers {
            Some(true) if out_for >= STOPPING => Step::PutBack,
            _ => Step::Ask,
        },
    }
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
    const IN: View =
        View { life: ALIVE, is_heeded: false, out_for: None, failed_before: false, answers: None };

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
        assert_eq!(step(&View { answers: Some(true), ..overruled }), Step::Ask);
        assert_eq!(step(&View { answers: Some(false), ..overruled }), Step::TakeOut(Reason::NodeLeft));
    }

    #[test]
    fn who_is_silent_is_out_only_if_the_connector_is_too() {
        let dead = View { life: DEAD, ..IN };
        assert_eq!(step(&dead), Step::Ask);
        assert_eq!(step(&View { answers: Some(true), ..dead }), Step::Ask);
        assert_eq!(step(&View { answers: Some(false), ..dead }), Step::TakeOut(Reason::NodeDead));
        let refused = View { life: Some(Life::Gone(Departure::Refused)), answers: Some(false), ..IN };
        assert_eq!(step(&refused), Step::TakeOut(Reason::NodeRefuses));
    }

    #[test]
    fn who_is_silent_and_takes_connections_is_out_while_the_connector_is_silent_too() {
        let suspect = View { life: Some(Life::Suspect), ..IN };
        assert_eq!(step(&suspect), Step::Ask);
        assert_eq!(step(&View { answers: Some(true), ..suspect }), Step::Ask);
        assert_eq!(step(&View { answers: Some(false), ..suspect }), Step::TakeOut(Reason::NodeHangs));
        let out = View { out_for: LONG, ..suspect };
        assert_eq!(step(&View { answers: Some(false), ..out }), Step::Ask);
        assert_eq!(step(&View { answers: Some(true), ..out }), Step::PutBack);
    }

    #[test]
    fn who_is_back_serves_as_soon_as_its_connector_answers() {
        let back = View { out_for: LONG, ..IN };
        assert_eq!(step(&back), Step::Ask);
        assert_eq!(step(&View { answers: Some(false), ..back }), Step::Ask);
        assert_eq!(step(&View { answers: Some(true), ..back }), Step::PutBack);
        let failed = View { failed_before: true, ..IN };
        assert_eq!(step(&failed), Step::Ask);
        assert_eq!(step(&View { answers: Some(true), ..failed }), Step::PutBack);
    }

    #[test]
    fn who_answers_without_being_in_the_cluster_serves_again_but_not_while_it_stops() {
        for life in [LEFT, DEAD, None] {
            let out = View { life, is_heeded: true, out_for: LONG, answers: Some(true), ..IN };
            assert_eq!(step(&out), Step::PutBack, "{life:?}");
            let stopping = View { out_for: Some(Duration::from_millis(900)), ..out };
            assert_eq!(step(&stopping), Step::Ask, "{life:?}");
            assert_eq!(step(&View { answers: Some(false), ..out }), Step::Ask, "{life:?}");
        }
    }
}
