// SPDX-License-Identifier: Apache-2.0
//! The status flags of a member, with mod_proxy's letters and words.

use std::fmt;

/// A set of status flags (`status=` of `BalancerMember`, the status column of balancer-manager).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Status(pub u16);

impl Status {
    /// `O`: initialised by the server; a member without it gets nothing.
    pub const INIT: Status = Status(1 << 0);
    /// `I`: failures never put the member into the error state.
    pub const IGNORE_ERRORS: Status = Status(1 << 1);
    /// `N`: only requests that carry a session of this member.
    pub const DRAIN: Status = Status(1 << 2);
    /// `G`: the worker for targets nobody configured.
    pub const GENERIC: Status = Status(1 << 3);
    /// `U`: the server is going down.
    pub const SHUTDOWN: Status = Status(1 << 4);
    /// `D`: taken out by the administrator.
    pub const DISABLED: Status = Status(1 << 5);
    /// `S`: taken out, and not brought back by anything but the administrator.
    pub const STOPPED: Status = Status(1 << 6);
    /// `E`: failed, waits for its `retry` period.
    pub const ERROR: Status = Status(1 << 7);
    /// `H`: serves only when nobody else in its lbset can.
    pub const HOT_STANDBY: Status = Status(1 << 8);
    /// `R`: takes the place of one member that cannot serve.
    pub const HOT_SPARE: Status = Status(1 << 9);
    /// `F`: an empty slot.
    pub const FREE: Status = Status(1 << 10);
    /// `C`: failed its health checks.
    pub const HC_FAIL: Status = Status(1 << 11);

    /// No letter and never in a state word: how pages show a member that the agent has taken out.
    pub const GONE: Status = Status(1 << 12);

    const UNUSABLE: u16 = Self::SHUTDOWN.0
        | Self::DISABLED.0
        | Self::STOPPED.0
        | Self::ERROR.0
        | Self::HC_FAIL.0
        | Self::GONE.0;

    const TABLE: [(u8, Status, &'static str); 12] = [
        (b'O', Self::INIT, "Init "),
        (b'I', Self::IGNORE_ERRORS, "Ign "),
        (b'N', Self::DRAIN, "Drn "),
        (b'G', Self::GENERIC, "Gen "),
        (b'U', Self::SHUTDOWN, "Shut "),
        (b'D', Self::DISABLED, "Dis "),
        (b'S', Self::STOPPED, "Stop "),
        (b'E', Self::ERROR, "Err "),
        (b'H', Self::HOT_STANDBY, "Stby "),
        (b'R', Self::HOT_SPARE, "Spar "),
        (b'F', Self::FREE, "Free "),
        (b'C', Self::HC_FAIL, "HcFl "),
    ];

    /// True if all flags of `other` are set.
    pub const fn has(self, other: Status) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if any flag of `other` is set.
    pub const fn has_any(self, other: Status) -> bool {
        self.0 & other.0 != 0
    }

    /// These flags and those of `other`.
    pub const fn with(self, other: Status) -> Status {
        Status(self.0 | other.0)
    }

    /// These flags without those of `other`.
    pub const fn without(self, other: Status) -> Status {
        Status(self.0 & !other.0)
    }

    /// May a request be given to the member? Drain, standby and spare are usable, each with its own rule.
    pub const fn is_usable(self) -> bool {
        self.0 & Self::UNUSABLE == 0 && self.has(Self::INIT)
    }

    /// Applies the letters of `status=` (any case, `+` and `-` stay in force for what follows).
    ///
    /// # Errors
    /// The letter that means nothing.
    pub fn apply_letters(self, letters: &str) -> Result<Status, char> {
        let mut status = self;
        let mut set = true;
        for letter in letters.chars() {
            match letter {
                '+' => set = true,
                '-' => set = false,
                _ => {
                    let flag = Self::of_letter(letter).ok_or(letter)?;
                    status = if set { status.with(flag) } else { status.without(flag) };
                }
            }
        }
        Ok(status)
    }

    fn of_letter(letter: char) -> Option<Status> {
        let upper = u8::try_from(letter).ok()?.to_ascii_uppercase();
        Self::TABLE.iter().find(|(known, ..)| *known == upper).map(|(_, flag, _)| *flag)
    }
}

impl fmt::Display for Status {
    /// The text of balancer-manager: each flag with a trailing blank, then `Ok ` if usable; `??? ` for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("??? ");
        }
        for (_, flag, word) in Self::TABLE {
            if self.has(flag) {
                f.write_str(word)?;
            }
        }
        if self.has(Self::GONE) {
            f.write_str("Gone ")?;
        }
        if self.is_usable() { f.write_str("Ok ") } else { Ok(()) }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_keep_their_sign_until_the_next_one() {
        let status = Status::INIT.apply_letters("+H-D").unwrap();
        assert_eq!(status.to_string(), "Init Stby Ok ");
        assert_eq!(Status::INIT.apply_letters("di").unwrap().to_string(), "Init Ign Dis ");
        assert_eq!(Status::INIT.apply_letters("DX"), Err('X'));
    }

    #[test]
    fn every_flag_has_its_letter_word_and_place() {
        let all = Status::default().apply_letters("oingudsehrfc").unwrap();
        assert_eq!(all.to_string(), "Init Ign Drn Gen Shut Dis Stop Err Stby Spar Free HcFl ");
        assert_eq!(Status::default().to_string(), "??? ");
    }

    #[test]
    fn drain_standby_and_spare_are_usable() {
        for flag in [Status::DRAIN, Status::HOT_STANDBY, Status::HOT_SPARE, Status::IGNORE_ERRORS] {
            assert!(Status::INIT.with(flag).is_usable());
        }
        for flag in [Status::DISABLED, Status::STOPPED, Status::ERROR, Status::HC_FAIL, Status::SHUTDOWN] {
            assert!(!Status::INIT.with(flag).is_usable());
        }
    }
}
