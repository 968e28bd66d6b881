// SPDX-License-Identifier: Apache-2.0
//! Whole sessions: the payload of [`Event::AllSessionData`](super::Event::AllSessionData) (`DeltaSession`), and what Tomcats
//! without a cluster store (`StandardSession` in FileStore, DataSourceStore and SESSIONS.ser).

use super::error::ClusterError;
use crate::wire::stream::{Contents, Object, Stream, StreamError, Value, Verdicts, Writer};

/// A session as it travels. Times are milliseconds since 1970; text is modified UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionState {
    pub id: Vec<u8>,
    pub creation: i64,
    pub last_accessed: i64,
    pub this_accessed: i64,
    /// Seconds; zero and less: never expires.
    pub max_inactive: i32,
    pub is_new: bool,
    pub is_valid: bool,
    pub principal: Option<Value>,
    /// Not a part of what travels between nodes; of what is stored it is.
    pub auth_type: Option<Vec<u8>>,
    /// The notes `SESSION_ID` and `REQUEST` of the authenticator.
    pub notes: Option<(Value, Value)>,
    pub attributes: Vec<(Vec<u8>, Value)>,
    pub listeners: Vec<Value>,
}

/// More of anything than one message holds.
const MANY: i32 = 1 << 24;

impl SessionState {
    /// A session that was just created.
    pub fn new(id: Vec<u8>, creation: i64, max_inactive: i32) -> SessionState {
        SessionState {
            id,
            creation,
            last_accessed: creation,
            this_accessed: creation,
            max_inactive,
            is_new: true,
            is_valid: true,
            principal: None,
            auth_type: None,
            notes: None,
            attributes: Vec::new(),
            listeners: Vec::new(),
        }
    }

    fn read_moving(contents: &mut Contents<'_>, limit: usize) -> Result<SessionState, StreamError> {
        let creation = contents.long()?;
        let last_accessed = contents.long()?;
        let max_inactive = contents.integer()?;
        let is_new = contents.boolean_object()?;
        let is_valid = contents.boolean_object()?;
        let this_accessed = contents.long()?;
        let _version = contents.long()?;
        let principal = if contents.boolean()? { kept(contents, limit)? } else { None };
        let id = contents.string()?.to_vec();
        let next = contents.object_or_aborted()?;
        let (notes, count) = match next.as_ref().and_then(Object::as_integer) {
            Some(count) => (None, count),
            None => {
                let session_id = value_of(next.as_ref(), limit)?;
                let request = kept(contents, limit)?;
                (both(session_id, request), contents.integer()?)
            }
        };
        let attributes = attributes(contents, count, limit)?;
        let count = counted(contents, None)?;
        let mut listeners = Vec::new();
        for _ in 0..count {
            listeners.extend(kept(contents, limit)?);
        }
        Ok(SessionState {
            id,
            creation,
            last_accessed,
            this_accessed,
            max_inactive,
            is_new,
            is_valid,
            principal,
            auth_type: None,
            notes,
            attributes,
            listeners,
        })
    }

    fn write_moving(&self, writer: &mut Writer) {
        writer.long(self.creation);
        writer.long(self.last_accessed);
        writer.integer(self.max_inactive);
        writer.boolean_object(self.is_new);
        writer.boolean_object(self.is_valid);
        writer.long(self.this_accessed);
        writer.long(0);
        writer.boolean(self.principal.is_some());
        if let Some(principal) = &self.principal {
            writer.value(principal);
        }
        writer.string(&self.id);
        if let Some((session_id, request)) = &self.notes {
            writer.value(session_id);
            writer.value(request);
        }
        self.write_attributes(writer);
        writer.integer(number(self.listeners.len()));
        for listener in &self.listeners {
            writer.value(listener);
        }
    }

    fn write_attributes(&self, writer: &mut Writer) {
        writer.integer(number(self.attributes.len()));
        for (name, value) in &self.attributes {
            writer.string(name);
            writer.value(value);
        }
    }

    fn read_stored(contents: &mut Contents<'_>, limit: usize) -> Result<SessionState, StreamError> {
        let creation = contents.long()?;
        let last_accessed = contents.long()?;
        let max_inactive = contents.integer()?;
        let is_new = contents.boolean_object()?;
        let is_valid = contents.boolean_object()?;
        let this_accessed = contents.long()?;
        let id = contents.string()?.to_vec();
        let mut state = SessionState {
            last_accessed,
            this_accessed,
            is_new,
            is_valid,
            ..Self::new(id, creation, max_inactive)
        };
        let mut next = contents.object_or_aborted()?;
        if next.as_ref().and_then(Object::as_integer).is_none() {
            state.auth_type = next.as_ref().and_then(Object::as_string).map(<[u8]>::to_vec);
            state.principal = kept(contents, limit)?;
            next = contents.object_or_aborted()?;
            if next.as_ref().and_then(Object::as_integer).is_none() {
                let session_id = value_of(next.as_ref(), limit)?;
                let request = kept(contents, limit)?;
                state.notes = both(session_id, request);
                next = contents.object_or_aborted()?;
            }
        }
        let count = next.as_ref().and_then(Object::as_integer).ok_or(contents.unexpected("a number"))?;
        state.attributes = attributes(contents, count, limit)?;
        Ok(state)
    }

    fn write_stored(&self, writer: &mut Writer) {
        writer.long(self.creation);
        writer.long(self.last_accessed);
        writer.integer(self.max_inactive);
        writer.boolean_object(self.is_new);
        writer.boolean_object(self.is_valid);
        writer.long(self.this_accessed);
        writer.string(&self.id);
        match &self.auth_type {
            Some(auth_type) => writer.string(auth_type),
            None => writer.null(),
        }
        writer.value(self.principal.as_ref().unwrap_or(&Value::null()));
        let nothing = (Value::null(), Value::null());
        let (session_id, request) = self.notes.as_ref().unwrap_or(&nothing);
        writer.value(session_id);
        writer.value(request);
        self.write_attributes(writer);
    }
}

/// Which of the forms a stream with sessions has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Between nodes; a number in front.
    Moving,
    /// SESSIONS.ser; a number in front.
    StoredMany,
    /// One file or row.
    StoredOne,
}

fn read(stream: &Stream<'_>, form: Form, limit: usize) -> Result<Vec<SessionState>, StreamError> {
    let mut contents = stream.contents();
    let count = if form == Form::StoredOne { 1 } else { counted(&mut contents, None)? };
    let mut sessions = Vec::new();
    for _ in 0..count {
        sessions.push(match form {
            Form::Moving => SessionState::read_moving(&mut contents, limit)?,
            Form::StoredMany | Form::StoredOne => SessionState::read_stored(&mut contents, limit)?,
        });
    }
    if !contents.is_at_end() {
        return Err(contents.unexpected("the end"));
    }
    Ok(sessions)
}

fn read_form(
    bytes: &[u8],
    form: Form,
    verdicts: &mut Verdicts,
    limit: usize,
) -> Result<Vec<SessionState>, ClusterError> {
    Ok(Stream::parse_as(bytes, verdicts, |stream| read(&stream, form, limit))?)
}

/// Reads the sessions of a state transfer. `limit`: how many bytes one value may have. Attributes whose writing failed in the
/// middle are left out.
///
/// # Errors
/// The payload is none, or some value cannot be read without its class.
pub fn read_sessions(
    bytes: &[u8],
    verdicts: &mut Verdicts,
    limit: usize,
) -> Result<Vec<SessionState>, ClusterError> {
    read_form(bytes, Form::Moving, verdicts, limit)
}

/// The payload of a state transfer.
pub fn write_sessions<'a>(sessions: impl ExactSizeIterator<Item = &'a SessionState>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.integer(number(sessions.len()));
    for session in sessions {
        session.write_moving(&mut writer);
    }
    writer.finish()
}

/// Reads a file of FileStore or a row of DataSourceStore.
///
/// # Errors
/// As [`read_sessions`].
pub fn read_stored(
    bytes: &[u8],
    verdicts: &mut Verdicts,
    limit: usize,
) -> Result<SessionState, ClusterError> {
    let mut sessions = read_form(bytes, Form::StoredOne, verdicts, limit)?;
    sessions.pop().ok_or(ClusterError::Truncated("the stored session"))
}

/// A file of FileStore.
pub fn write_stored(session: &SessionState) -> Vec<u8> {
    let mut writer = Writer::new();
    session.write_stored(&mut writer);
    writer.finish()
}

/// Reads SESSIONS.ser of StandardManager.
///
/// # Errors
/// As [`read_sessions`].
pub fn read_all_stored(
    bytes: &[u8],
    verdicts: &mut Verdicts,
    limit: usize,
) -> Result<Vec<SessionState>, ClusterError> {
    read_form(bytes, Form::StoredMany, verdicts, limit)
}

/// SESSIONS.ser of StandardManager.
pub fn write_all_stored<'a>(sessions: impl ExactSizeIterator<Item = &'a SessionState>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.integer(number(sessions.len()));
    for session in sessions {
        session.write_stored(&mut writer);
    }
    writer.finish()
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn counted(contents: &mut Contents<'_>, known: Option<i32>) -> Result<i32, StreamError> {
    let count = match known {
        Some(count) => count,
        None => contents.integer()?,
    };
    if (0..=MANY).contains(&count) { Ok(count) } else { Err(contents.unexpected("a number of things")) }
}

fn attributes(
    contents: &mut Contents<'_>,
    count: i32,
    limit: usize,
) -> Result<Vec<(Vec<u8>, Value)>, StreamError> {
    let mut attributes = Vec::new();
    for _ in 0..counted(contents, Some(count))? {
        let name = contents.string()?.to_vec();
        if let Some(value) = kept(contents, limit)? {
            attributes.push((name, value));
        }
    }
    Ok(attributes)
}

/// The next object as a value; `None` for null and for what was not written whole.
fn kept(contents: &mut Contents<'_>, limit: usize) -> Result<Option<Value>, StreamError> {
    let object = contents.object_or_aborted()?;
    value_of(object.as_ref(), limit)
}

fn value_of(object: Option<&Object<'_>>, limit: usize) -> Result<Option<Value>, StreamError> {
    match object {
        Some(object) if !object.is_null() => object.to_value(limit).map(Some),
        _ => Ok(None),
    }
}

fn both(session_id: Option<Value>, request: Option<Value>) -> Option<(Value, Value)> {
    if session_id.is_none() && request.is_none() {
        return None;
    }
    Some((session_id.unwrap_or_else(Value::null), request.unwrap_or_else(Value::null)))
}
