// SPDX-License-Identifier: Apache-2.0
//! Changes of one session (`DeltaRequest`): the payload of [`Event::Delta`](super::Event::Delta).

use super::error::ClusterError;
use crate::wire::stream::{Stream, StreamError, Value, Verdicts, Writer};

/// What an action changes (`DeltaRequest.TYPE_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Subject {
    Attribute = 0,
    Principal = 1,
    IsNew = 2,
    MaxInactive = 3,
    AuthType = 4,
    Listener = 5,
    Note = 6,
}

impl Subject {
    fn of(number: i32) -> Option<Subject> {
        [
            Self::Attribute,
            Self::Principal,
            Self::IsNew,
            Self::MaxInactive,
            Self::AuthType,
            Self::Listener,
            Self::Note,
        ]
        .into_iter()
        .find(|subject| *subject as i32 == number)
    }

    /// The name under which everything but attributes and notes is recorded.
    pub fn fixed_name(self) -> &'static [u8] {
        match self {
            Self::Attribute | Self::Note => b"",
            Self::Principal => b"__SET__PRINCIPAL__",
            Self::IsNew => b"__SET__ISNEW__",
            Self::MaxInactive => b"__SET__MAXINTERVAL__",
            Self::AuthType => b"__SET__AUTHTYPE__",
            Self::Listener => b"__SET__LISTENER__",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// `None`: a type that this version does not know; its value is skipped.
    pub subject: Option<Subject>,
    /// Modified UTF-8.
    pub name: Vec<u8>,
    pub change: Change,
}

/// What an action does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Set(Value),
    Remove,
    /// Its writing failed in the middle on the node that sent it.
    Aborted,
}

/// The changes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// Of the session, modified UTF-8.
    pub session_id: Vec<u8>,
    /// `recordAllActions`
    pub records_all: bool,
    pub actions: Vec<Action>,
}

/// More actions than any request makes.
const MANY_ACTIONS: i32 = 1 << 20;

impl Delta {
    /// Reads the payload. `limit`: how many bytes one value may have.
    ///
    /// # Errors
    /// It is none, or some value cannot be read without its class.
    pub fn read(bytes: &[u8], verdicts: &mut Verdicts, limit: usize) -> Result<Delta, ClusterError> {
        Ok(Stream::parse_as(bytes, verdicts, |stream| Self::of(&stream, limit))?)
    }

    fn of(stream: &Stream<'_>, limit: usize) -> Result<Delta, StreamError> {
        let mut contents = stream.contents();
        let session_id = contents.utf()?;
        let records_all = contents.boolean()?;
        let count = contents.i32()?;
        if !(0..=MANY_ACTIONS).contains(&count) {
            return Err(contents.unexpected("a number of actions"));
        }
        let mut actions = Vec::new();
        for _ in 0..count {
            let subject = Subject::of(contents.i32()?);
            let removes = contents.i32()? == 1;
            let name = contents.utf()?;
            let change = match contents.boolean()? {
                false if removes => Change::Remove,
                // A listener or principal that is taken away.
                false => Change::Set(Value::null()),
                true => match contents.object_or_aborted()? {
                    None => Change::Aborted,
                    Some(_) if removes => Change::Remove,
                    Some(object) => Change::Set(object.to_value(limit)?),
                },
            };
            actions.push(Action { subject, name, change });
        }
        if !contents.is_at_end() {
            return Err(contents.unexpected("the end"));
        }
        Ok(Delta { session_id, records_all, actions })
    }

    /// The payload of a message.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let known = || self.actions.iter().filter(|action| action.change != Change::Aborted);
        writer.utf(&self.session_id);
        writer.boolean(self.records_all);
        writer.i32(
            i32::try_from(known().filter(|action| action.subject.is_some()).count()).unwrap_or(i32::MAX),
        );
        for action in known() {
            let Some(subject) = action.subject else { continue };
            writer.i32(subject as i32);
            writer.i32(i32::from(action.change == Change::Remove));
            writer.utf(&action.name);
            match &action.change {
                Change::Set(value) if !value.is_null() => {
                    writer.boolean(true);
                    writer.value(value);
                }
                _ => writer.boolean(false),
            }
        }
        writer.finish()
    }
}
