// SPDX-License-Identifier: Apache-2.0
//! Messages about sessions (`SessionMessageImpl`), as `DeltaManager` sends them.

use super::error::ClusterError;
use crate::wire::stream::{Contents, Descriptor, Field, Object, Stream, Verdicts, Writer, flag};

const CLASS: &str = "org.apache.catalina.ha.session.SessionMessageImpl";

const BASE: Descriptor = Descriptor {
    name: "org.apache.catalina.ha.ClusterMessageBase",
    version: 1,
    flags: flag::SERIALIZABLE,
    fields: &[(b'J', "timestamp", "")],
    parent: None,
};

const MESSAGE: Descriptor = Descriptor {
    name: CLASS,
    version: 2,
    flags: flag::SERIALIZABLE,
    fields: &[
        (b'I', "mEvtType", ""),
        (b'J', "serializationTimestamp", ""),
        (b'Z', "timestampSet", ""),
        (b'L', "mContextName", "Ljava/lang/String;"),
        (b'[', "mSession", "[B"),
        (b'L', "mSessionID", "Ljava/lang/String;"),
        (b'L', "uniqueId", "Ljava/lang/String;"),
    ],
    parent: Some(&BASE),
};

/// What happened (`SessionMessage.EVT_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Event {
    Created = 1,
    Expired = 2,
    Accessed = 3,
    GetAllSessions = 4,
    AllSessionData = 12,
    Delta = 13,
    TransferComplete = 14,
    ChangeId = 15,
    NoContextManager = 16,
}

impl Event {
    const ALL: [Event; 9] = [
        Event::Created,
        Event::Expired,
        Event::Accessed,
        Event::GetAllSessions,
        Event::AllSessionData,
        Event::Delta,
        Event::TransferComplete,
        Event::ChangeId,
        Event::NoContextManager,
    ];

    fn of(number: i32) -> Result<Event, ClusterError> {
        let known = Self::ALL.into_iter().find(|event| *event as i32 == number);
        known.ok_or(ClusterError::Event(number))
    }
}

/// One message. All text is modified UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionMessage {
    pub event: Event,
    /// Name of the session manager, like `localhost#/app`; `None` = all of them.
    pub context: Option<Vec<u8>>,
    /// Id of the session, or a fixed word.
    pub session_id: Option<Vec<u8>>,
    /// Tells messages apart in logs.
    pub unique_id: Option<Vec<u8>>,
    /// Milliseconds since 1970; what it means depends on the event.
    pub time: Option<i64>,
    /// `mSession`: what belongs to the event.
    pub payload: Option<Vec<u8>>,
}

impl SessionMessage {
    /// The payload of a frame.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.object(&MESSAGE);
        writer.field(&0_i64.to_be_bytes());
        writer.field(&(self.event as i32).to_be_bytes());
        writer.field(&self.time.unwrap_or(0).to_be_bytes());
        writer.field(&[u8::from(self.time.is_some())]);
        text(&mut writer, self.context.as_deref());
        match &self.payload {
            Some(payload) => writer.byte_array(payload),
            None => writer.null(),
        }
        text(&mut writer, self.session_id.as_deref());
        text(&mut writer, self.unique_id.as_deref());
        writer.finish()
    }

    /// Reads the payload of a frame; `Ok(None)` if it holds an object of another class.
    ///
    /// # Errors
    /// The bytes are no Java stream, or the message is none that is known.
    pub fn read(bytes: &[u8]) -> Result<Option<SessionMessage>, ClusterError> {
        let stream = Stream::parse(bytes, &mut Verdicts::default())?;
        let mut contents = stream.contents();
        let object = contents.object()?;
        if object.class_name() != Some(CLASS.as_bytes()) {
            return Ok(None);
        }
        Self::of(&object, &contents).map(Some)
    }

    fn of(object: &Object<'_>, contents: &Contents<'_>) -> Result<SessionMessage, ClusterError> {
        let fields = object.fields().ok_or(contents.unexpected("a field"))?;
        let find = |name: &str| {
            let field = fields.iter().find(|(known, _)| *known == name.as_bytes());
            field.map(|(_, field)| *field).ok_or(contents.unexpected("a field"))
        };
        let number = |name| match find(name)? {
            Field::Primitive(bytes) => {
                Ok(bytes.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte)))
            }
            Field::Object(_) => Err(contents.unexpected("a number")),
        };
        let text = |name| match find(name)? {
            Field::Object(object) if object.is_null() => Ok(None),
            Field::Object(object) => match object.as_string() {
                Some(text) => Ok(Some(text.to_vec())),
                None => Err(contents.unexpected("a string")),
            },
            Field::Primitive(_) => Err(contents.unexpected("a string")),
        };
        let payload = match find("mSession")? {
            Field::Object(object) if object.is_null() => None,
            Field::Object(object) => {
                Some(object.as_byte_array().ok_or(contents.unexpected("an array of bytes"))?.to_vec())
            }
            Field::Primitive(_) => return Err(contents.unexpected("an array of bytes").into()),
        };
        Ok(SessionMessage {
            event: Event::of(i32::try_from(number("mEvtType")?).unwrap_or(-1))?,
            context: text("mContextName")?,
            session_id: text("mSessionID")?,
            unique_id: text("uniqueId")?,
            time: (number("timestampSet")? != 0).then_some(number("serializationTimestamp")?),
            payload,
        })
    }

    /// The new id in a [`Event::ChangeId`].
    ///
    /// # Errors
    /// The payload holds none.
    pub fn new_id(&self) -> Result<Vec<u8>, ClusterError> {
        let payload = self.payload.as_deref().ok_or(ClusterError::Truncated("the new session id"))?;
        let stream = Stream::parse(payload, &mut Verdicts::default())?;
        Ok(stream.contents().utf()?)
    }

    /// The payload of a [`Event::ChangeId`].
    pub fn of_new_id(id: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.utf(id);
        writer.finish()
    }
}

fn text(writer: &mut Writer, text: Option<&[u8]>) {
    match text {
        Some(text) => writer.string(text),
        None => writer.null(),
    }
}
