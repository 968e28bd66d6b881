// SPDX-License-Identifier: Apache-2.0
//! One kept session, and what an action changes of it.

use crate::wire::cluster::{Action, Change, Delta, SessionState, Subject};

/// A session as the agent keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub state: SessionState,
    /// Changes that nobody can read without the application's classes, as they came, behind `state` in time.
    pub opaque: Vec<Vec<u8>>,
    /// When a message about it came last; milliseconds since 1970, by our clock.
    pub touched: i64,
}

/// Which parts of a session changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Names of attributes.
    pub attributes: Vec<Vec<u8>>,
    /// Something that is no attribute, beside the time.
    pub rest: bool,
}

impl Kept {
    pub fn new(state: SessionState, now: i64) -> Kept {
        Kept { state, opaque: Vec::new(), touched: now }
    }

    /// Bytes of what the application stored.
    pub fn size(&self) -> usize {
        let attributes =
            self.state.attributes.iter().map(|(name, value)| name.len() + value.as_bytes().len());
        attributes.sum::<usize>() + self.opaque.iter().map(Vec::len).sum::<usize>()
    }

    /// When it is over, if no message comes; `None`: never. `idle_twice`: its node may have been asked without telling.
    pub fn ends(&self, idle_twice: bool) -> Option<i64> {
        let seconds = i64::from(self.state.max_inactive);
        let times = if idle_twice { 2 } else { 1 };
        (seconds > 0).then(|| self.touched.saturating_add(seconds * 1000 * times))
    }

    /// Applies what a request changed.
    pub fn apply(&mut self, delta: Delta) -> Touched {
        let mut touched = Touched::default();
        for action in delta.actions {
            self.act(action, &mut touched);
        }
        touched
    }

    fn act(&mut self, action: Action, touched: &mut Touched) {
        let Action { subject, name, change } = action;
        let (Some(subject), Some(value)) = (subject, set_value(change)) else { return };
        if subject == Subject::Attribute {
            let at = self.state.attributes.iter().position(|(known, _)| *known == name);
            match (at, value) {
                (Some(at), Some(value)) => self.state.attributes[at].1 = value,
                (Some(at), None) => drop(self.state.attributes.swap_remove(at)),
                (None, Some(value)) => {
                    // There are many sessions with few attributes each: no room is kept for more.
                    self.state.attributes.reserve_exact(1);
                    self.state.attributes.push((name.clone(), value));
                }
                (None, None) => {}
            }
            if !touched.attributes.contains(&name) {
                touched.attributes.push(name);
            }
            return;
        }
        touched.rest = true;
        let state = &mut self.state;
        match subject {
            Subject::Attribute => {}
            Subject::Principal => state.principal = value,
            Subject::IsNew => state.is_new = value.and_then(|value| value.as_boolean()).unwrap_or(false),
            Subject::MaxInactive => {
                if let Some(seconds) = value.and_then(|value| value.as_integer()) {
                    state.max_inactive = seconds;
                }
            }
            Subject::AuthType => {
                state.auth_type = value.and_then(|value| value.as_string().map(<[u8]>::to_vec));
            }
            Subject::Listener => state.listeners.extend(value),
            Subject::Note => self.note(&name, value),
        }
    }

    /// The two notes of the authenticator travel with a session; others do not.
    fn note(&mut self, name: &[u8], value: Option<crate::wire::stream::Value>) {
        use crate::wire::stream::Value;
        let (mut session_id, mut request) =
            self.state.notes.take().unwrap_or_else(|| (Value::null(), Value::null()));
        let value = value.unwrap_or_else(Value::null);
        match name {
            b"org.apache.catalina.authenticator.SESSION_ID" => session_id = value,
            b"org.apache.catalina.authenticator.REQUEST" => request = value,
            _ => {}
        }
        let is_any = !(session_id.is_null() && request.is_null());
        self.state.notes = is_any.then_some((session_id, request));
    }
}

/// `Some(None)`: removed. `None`: nothing is known about it.
#[expect(clippy::option_option, reason = "removed and unknown are different things")]
fn set_value(change: Change) -> Option<Option<crate::wire::stream::Value>> {
    match change {
        Change::Set(value) if value.is_null() => Some(None),
        Change::Set(value) => Some(Some(value)),
        Change::Remove => Some(None),
        Change::Aborted => None,
    }
}
