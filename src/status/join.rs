// SPDX-License-Identifier: Apache-2.0
//! Members that join a balancer while the server runs: as stock, they take a place that `growth` keeps free, and begin
//! disabled.

use std::fmt;

use super::action::Work;
use crate::config::reserve::canonical;
use crate::shared::LONGEST_URL;

/// Why a member cannot join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotJoined {
    /// No member can have the URL.
    BadUrl { url: String, why: String },
    /// The URL leads to a member that is there.
    Known { url: String, member: String },
    /// All places are taken.
    Full { url: String, places: u32 },
}

impl NotJoined {
    /// The number stock logs this with.
    pub fn stock_id(&self) -> &'static str {
        match self {
            Self::BadUrl { .. } => "AH10163",
            Self::Known { .. } | Self::Full { .. } => "AH10164",
        }
    }
}

impl fmt::Display for NotJoined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl { url, why } => write!(f, "{url}: {why}"),
            Self::Known { url, member } => {
                write!(f, "{url}: it would never be asked, because {member} is a member already")
            }
            Self::Full { url, places: 0 } => {
                write!(f, "{url}: the balancer has no place for it; write ProxySet growth=5 into its section")
            }
            Self::Full { url, places } => {
                write!(f, "{url}: the {places} places of growth= are taken; write it into the file")
            }
        }
    }
}

impl std::error::Error for NotJoined {}

impl Work<'_> {
    /// Gives a new member the next free place.
    pub(super) fn join(&mut self, text: &str) -> Result<(), NotJoined> {
        let (state, url) = (self.state, text.to_owned());
        let name = match canonical(text) {
            Ok(name) if name.len() > LONGEST_URL => {
                let why = format!("it is longer than {LONGEST_URL} characters");
                return Err(NotJoined::BadUrl { url, why });
            }
            Ok(name) => name,
            Err(why) => return Err(NotJoined::BadUrl { url, why }),
        };
        if let Some(known) = state.find_member(self.balancer, &name) {
            return Err(NotJoined::Known { url, member: state.plan.member(known).name.clone() });
        }
        let taken = state.free_place(self.balancer).is_some_and(|id| {
            let place = state.region.place(state.bindings.member(id));
            self.administrator.take_place(place, &name)
        });
        if !taken {
            return Err(NotJoined::Full { url, places: state.plan.balancer(self.balancer).growth });
        }
        self.note("member", "", &name);
        state.region.checker().revise();
        Ok(())
    }
}
