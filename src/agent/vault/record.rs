// SPDX-License-Identifier: Apache-2.0
//! How a session lies in the vault: a head, and each attribute for itself, so that a change writes what it changed.

use serde::{Deserialize, Serialize};

use super::About;
use crate::agent::replica::{Changes, Held, Kept, Key, Name, Replica, Rest, Write};
use crate::wire::cluster::SessionState;
use crate::wire::stream::Value;

/// What is to be written at once.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub sessions: Vec<(Key, SessionWrite)>,
    pub about: Option<About>,
}

/// What is to be written about a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionWrite {
    /// In place of everything that was there.
    Whole {
        head: Vec<u8>,
        attributes: Vec<(Name, Vec<u8>)>,
    },
    /// Attributes with a value are set, those without one removed.
    Parts {
        head: Vec<u8>,
        attributes: Vec<(Name, Option<Vec<u8>>)>,
    },
    Remove,
}

impl Batch {
    /// What changed in a replica, as bytes.
    pub fn of(changes: &Changes, replica: &Replica) -> Batch {
        let mut sessions = Vec::with_capacity(changes.len());
        changes.for_each(replica, |key, write| sessions.push((key.clone(), SessionWrite::of(write))));
        Batch { sessions, about: None }
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.about.is_none()
    }
}

impl SessionWrite {
    fn of(write: Write<'_>) -> SessionWrite {
        match write {
            Write::Remove => Self::Remove,
            Write::Whole(kept) => Self::Whole {
                head: write_head(kept),
                attributes: kept
                    .attributes
                    .iter()
                    .map(|(name, value)| (Name::clone(name), value.to_stored()))
                    .collect(),
            },
            Write::Parts { kept, attributes } => {
                let value = |name: &Name| (Name::clone(name), kept.get(name).map(Held::to_stored));
                Self::Parts { head: write_head(kept), attributes: attributes.iter().map(value).collect() }
            }
        }
    }
}

/// Everything of a session but its attributes. New fields go to the end, with a new version.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u8,
    creation: i64,
    last_accessed: i64,
    this_accessed: i64,
    max_inactive: i32,
    is_new: bool,
    touched: i64,
    principal: Option<Vec<u8>>,
    auth_type: Option<Vec<u8>>,
    notes: Option<(Vec<u8>, Vec<u8>)>,
    listeners: Vec<Vec<u8>>,
    opaque: Vec<Vec<u8>>,
}

const VERSION: u8 = 2;

fn write_head(kept: &Kept) -> Vec<u8> {
    let rest = kept.rest();
    let bytes = |value: &Value| value.as_bytes().to_vec();
    let head = Head {
        version: VERSION,
        creation: kept.creation,
        last_accessed: kept.last_accessed,
        this_accessed: kept.this_accessed,
        max_inactive: kept.max_inactive,
        is_new: kept.is_new,
        touched: kept.touched,
        principal: rest.principal.as_ref().map(bytes),
        auth_type: rest.auth_type.clone(),
        notes: rest.notes.as_ref().map(|(id, request)| (bytes(id), bytes(request))),
        listeners: rest.listeners.iter().map(bytes).collect(),
        opaque: rest.opaque.clone(),
    };
    // Writing to memory cannot fail.
    postcard::to_allocvec(&head).unwrap_or_default()
}

/// A session from its head, without attributes; `None` if the bytes are none.
pub(super) fn read_head(bytes: &[u8]) -> Option<Kept> {
    let head: Head = postcard::from_bytes(bytes).ok().filter(|head: &Head| head.version == VERSION)?;
    let state = SessionState {
        last_accessed: head.last_accessed,
        this_accessed: head.this_accessed,
        is_new: head.is_new,
        ..SessionState::new(Vec::new(), head.creation, head.max_inactive)
    };
    let rest = Rest {
        principal: head.principal.map(Value::from_bytes),
        auth_type: head.auth_type,
        notes: head.notes.map(|(id, request)| (Value::from_bytes(id), Value::from_bytes(request))),
        listeners: head.listeners.into_iter().map(Value::from_bytes).collect(),
        opaque: head.opaque,
    };
    Some(Kept::new(state, head.touched).with_rest(rest))
}
