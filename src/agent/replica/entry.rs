// SPDX-License-Identifier: Apache-2.0
//! One kept session, and what an action changes of it. There may be a million of them, so that each is as small as it can be.

use super::held::Held;
use super::names::{Name, Names};
use super::order::Order;
use crate::wire::cluster::{Action, Change, Delta, SessionState, Subject};
use crate::wire::stream::Value;

/// A session as the agent keeps it. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub creation: i64,
    pub last_accessed: i64,
    pub this_accessed: i64,
    /// When a message about it came last, by our clock.
    pub touched: i64,
    /// Seconds; zero and less: never expires.
    pub max_inactive: i32,
    pub is_new: bool,
    pub attributes: Box<[(Name, Held)]>,
    rest: Option<Box<Rest>>,
}

/// What few sessions have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rest {
    pub principal: Option<Value>,
    pub auth_type: Option<Vec<u8>>,
    /// The notes `SESSION_ID` and `REQUEST` of the authenticator.
    pub notes: Option<(Value, Value)>,
    pub listeners: Vec<Value>,
    /// Changes that nobody can read without the application's classes, as they came, later than everything else.
    pub opaque: Vec<Vec<u8>>,
}

static NOTHING: Rest =
    Rest { principal: None, auth_type: None, notes: None, listeners: Vec::new(), opaque: Vec::new() };

/// Which parts of a session changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Names of attributes.
    pub attributes: Vec<Name>,
    /// Something that is no attribute, beside the time.
    pub rest: bool,
}

impl Kept {
    /// A session without its id, which is that of its [`Key`](super::Key).
    pub fn new(state: SessionState, now: i64) -> Kept {
        let SessionState { principal, auth_type, notes, listeners, .. } = state;
        let rest = Rest { principal, auth_type, notes, listeners, opaque: Vec::new() };
        let attributes = state.attributes.into_iter().map(|(name, value)| (name.into(), value.into()));
        Kept {
            creation: state.creation,
            last_accessed: state.last_accessed,
            this_accessed: state.this_accessed,
            touched: now,
            max_inactive: state.max_inactive,
            is_new: state.is_new,
            attributes: attributes.collect(),
            rest: None,
        }
        .with_rest(rest)
    }

    /// The session with its id, as it travels.
    pub fn state(&self, id: &[u8]) -> SessionState {
        let rest = self.rest();
        SessionState {
            id: id.to_vec(),
            creation: self.creation,
            last_accessed: self.last_accessed,
            this_accessed: self.this_accessed,
            max_inactive: self.max_inactive,
            is_new: self.is_new,
            is_valid: true,
            principal: rest.principal.clone(),
            auth_type: rest.auth_type.clone(),
            notes: rest.notes.clone(),
            attributes: self
                .attributes
                .iter()
                .map(|(name, held)| (name.to_vec(), held.value().into_owned()))
                .collect(),
            listeners: rest.listeners.clone(),
        }
    }

    /// What few sessions have.
    pub fn rest(&self) -> &Rest {
        self.rest.as_deref().unwrap_or(&NOTHING)
    }

    /// The same session with another rest.
    pub fn with_rest(mut self, rest: Rest) -> Kept {
        self.rest = (rest != NOTHING).then(|| Box::new(rest));
        self
    }

    pub(super) fn rest_mut(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// Adds or replaces an attribute.
    pub fn set(&mut self, name: Name, value: Held) {
        if let Some((_, known)) = self.attributes.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
            return;
        }
        let mut attributes = std::mem::take(&mut self.attributes).into_vec();
        attributes.reserve_exact(1);
        attributes.push((name, value));
        self.attributes = attributes.into_boxed_slice();
    }

    fn unset(&mut self, name: &[u8]) {
        if let Some(at) = self.attributes.iter().position(|(known, _)| **known == *name) {
            let mut attributes = std::mem::take(&mut self.attributes).into_vec();
            attributes.swap_remove(at);
            self.attributes = attributes.into_boxed_slice();
        }
    }

    /// The value of an attribute.
    pub fn get(&self, name: &[u8]) -> Option<&Held> {
        self.attributes.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }

    pub(super) fn share_names(&mut self, names: &mut Names) {
        for (name, _) in &mut self.attributes {
            names.share(name);
        }
    }

    /// Bytes of what the application stored.
    pub fn size(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.len());
        attributes.sum::<usize>() + self.rest().opaque.iter().map(Vec::len).sum::<usize>()
    }

    /// When it is over, if no message comes; `None`: never. `idle_twice`: its node may have been asked without telling.
    pub fn ends(&self, idle_twice: bool) -> Option<i64> {
        let seconds = i64::from(self.max_inactive);
        let times = if idle_twice { 2 } else { 1 };
        (seconds > 0).then(|| self.touched.saturating_add(seconds * 1000 * times))
    }

    /// Applies what a request changed.
    pub(super) fn apply(&mut self, delta: Delta, names: &mut Names) -> Touched {
        let mut touched = Touched::default();
        for action in delta.actions {
            self.act(action, names, &mut touched);
        }
        touched
    }

    fn act(&mut self, action: Action, names: &mut Names, touched: &mut Touched) {
        let Action { subject, name, change } = action;
        let (Some(subject), Some(value)) = (subject, set_value(change)) else { return };
        if subject == Subject::Attribute {
            let name = names.of(&name);
            match value {
                Some(value) => self.set(Name::clone(&name), value.into()),
                None => self.unset(&name),
            }
            if !touched.attributes.contains(&name) {
                touched.attributes.push(name);
            }
            return;
        }
        touched.rest = true;
        match subject {
            Subject::Attribute => {}
            Subject::Principal => self.rest_mut().principal = value,
            Subject::IsNew => self.is_new = value.and_then(|value| value.as_boolean()).unwrap_or(false),
            Subject::MaxInactive => {
                if let Some(seconds) = value.and_then(|value| value.as_integer()) {
                    self.max_inactive = seconds;
                }
            }
            Subject::AuthType => {
                self.rest_mut().auth_type = value.and_then(|value| value.as_string().map(<[u8]>::to_vec));
            }
            Subject::Listener => self.rest_mut().listeners.extend(value),
            Subject::Note => self.note(&name, value),
        }
        if self.rest() == &NOTHING {
            self.rest = None;
        }
    }

    /// The two notes of the authenticator travel with a session; others do not.
    fn note(&mut self, name: &[u8], value: Option<Value>) {
        let notes = &mut self.rest_mut().notes;
        let (mut session_id, mut request) = notes.take().unwrap_or_else(|| (Value::null(), Value::null()));
        let value = value.unwrap_or_else(Value::null);
        match name {
            b"org.apache.catalina.authenticator.SESSION_ID" => session_id = value,
            b"org.apache.catalina.authenticator.REQUEST" => request = value,
            _ => {}
        }
        let is_any = !(session_id.is_null() && request.is_null());
        *notes = is_any.then_some((session_id, request));
    }
}

/// A kept session, and what is known of its last minute.
#[derive(Debug)]
pub(super) struct Slot {
    pub kept: Kept,
    pub recent: Option<Box<Recent>>,
}

/// What is of use for a minute only.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// When it got its id, by its creation or a change; by our clock.
    pub begun: Option<i64>,
    pub order: Option<Order>,
}

impl Slot {
    pub fn recent(&mut self) -> &mut Recent {
        self.recent.get_or_insert_default()
    }

    /// Lets go of what is older than a minute.
    pub fn forget(&mut self, before: i64) {
        let Some(recent) = &mut self.recent else { return };
        recent.begun = recent.begun.filter(|begun| *begun >= before);
        if self.kept.touched < before {
            recent.order = None;
        }
        if recent.begun.is_none() && recent.order.is_none() {
            self.recent = None;
        }
    }
}

/// `Some(None)`: removed. `None`: nothing is known about it.
#[expect(clippy::option_option, reason = "removed and unknown are different things")]
fn set_value(change: Change) -> Option<Option<Value>> {
    match change {
        Change::Set(value) if value.is_null() => Some(None),
        Change::Set(value) => Some(Some(value)),
        Change::Remove => Some(None),
        Change::Aborted => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_costs_little_beside_what_it_holds() {
        assert!(size_of::<(Name, Slot)>() <= 88, "{}", size_of::<(Name, Slot)>());
        assert!(size_of::<Recent>() <= 48, "{}", size_of::<Recent>());
    }

    #[test]
    fn what_is_set_and_unset_again_leaves_nothing_behind() {
        let state = SessionState::new(b"a".to_vec(), 1, 1800);
        let fresh = Kept::new(state.clone(), 1);
        let mut kept = fresh.clone();
        let mut names = Names::default();
        let act = |subject, name: &[u8], change| Action { subject: Some(subject), name: name.into(), change };
        let note = b"org.apache.catalina.authenticator.SESSION_ID";
        let set = |value: &[u8]| Change::Set(Value::string(value));
        for (first, second) in [(set(b"1"), Change::Remove)] {
            for change in [first, second] {
                let actions = vec![
                    act(Subject::Attribute, b"x", change.clone()),
                    act(Subject::Note, note, change.clone()),
                    act(Subject::AuthType, b"a", change),
                ];
                kept.apply(Delta { session_id: b"a".to_vec(), records_all: false, actions }, &mut names);
            }
        }
        assert_eq!(kept, fresh);
        assert_eq!(kept.state(b"a"), state);
    }
}
