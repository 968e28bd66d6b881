// SPDX-License-Identifier: Apache-2.0
//! The states of a member.

/// State of a member of a balancer, or of an AJP worker on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(u32)]
pub enum JkState {
    /// Unused since the last maintenance.
    #[default]
    Idle = 0,
    Ok = 1,
    /// `recover_time` is over: one request may try.
    Recover = 2,
    /// Nobody else was left.
    Force = 3,
    /// No free connection, or `busy_limit`.
    Busy = 4,
    Error = 5,
    /// A request tries whether the member is back; the others stay away.
    Probe = 6,
}

impl JkState {
    const ALL: [JkState; 7] =
        [Self::Idle, Self::Ok, Self::Recover, Self::Force, Self::Busy, Self::Error, Self::Probe];

    /// The text of status pages and notes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "OK/IDLE",
            Self::Ok => "OK",
            Self::Recover => "ERR/REC",
            Self::Force => "ERR/FRC",
            Self::Busy => "OK/BUSY",
            Self::Error => "ERR",
            Self::Probe => "ERR/PRB",
        }
    }

    /// May requests be given to a member in this state, as far as its activation allows them?
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Idle | Self::Ok | Self::Recover | Self::Force)
    }

    pub(super) fn of_code(code: u32) -> JkState {
        usize::try_from(code).ok().and_then(|at| Self::ALL.get(at)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_numbers_and_texts_of_the_status_pages() {
        let texts = ["OK/IDLE", "OK", "ERR/REC", "ERR/FRC", "OK/BUSY", "ERR", "ERR/PRB"];
        for (code, text) in (0u32..).zip(texts) {
            let state = JkState::of_code(code);
            assert_eq!((state as u32, state.name(), state.is_usable()), (code, text, code <= 3));
        }
        assert_eq!(JkState::of_code(77), JkState::Idle);
    }
}
