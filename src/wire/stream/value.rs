// SPDX-License-Identifier: Apache-2.0
//! A value that stands alone: the bytes of one production, with handles of its own and no reference out of it.

use std::fmt;

use super::code;
use super::error::StreamError;
use super::parse::Class;
use super::read::{Object, Stream, Verdicts};

/// An object of some class, kept without knowing the class. Equal bytes are equal values.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Value(Box<[u8]>);

impl Value {
    /// Java's `null`.
    pub fn null() -> Value {
        Value(Box::new([code::NULL]))
    }

    /// Bytes that [`Value::as_bytes`] gave. Nothing is checked: only what was a value once makes a stream that can be read.
    pub fn from_bytes(bytes: Vec<u8>) -> Value {
        Value(bytes.into_boxed_slice())
    }

    pub(super) fn of(bytes: Vec<u8>) -> Value {
        Value(bytes.into_boxed_slice())
    }

    /// A `java.lang.String`; `text` is modified UTF-8.
    pub fn string(text: &[u8]) -> Value {
        let mut bytes = Vec::with_capacity(text.len() + 3);
        super::write::string(text, &mut bytes);
        Value::of(bytes)
    }

    pub fn is_null(&self) -> bool {
        *self.0 == [code::NULL]
    }

    /// The production without the header of a stream.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Modified UTF-8 of a `java.lang.String`.
    pub fn as_string(&self) -> Option<&[u8]> {
        match *self.0.first()? {
            code::STRING => self.0.get(3..),
            code::LONG_STRING => self.0.get(9..),
            _ => None,
        }
    }

    /// The bytes behind the descriptor, if the class is this one.
    fn plain<const N: usize>(&self, class: &str) -> Option<[u8; N]> {
        let rest = self.0.strip_prefix(&[code::OBJECT, code::CLASS_DESC, 0])?;
        let (length, rest) = rest.split_first()?;
        let is_it = usize::from(*length) == class.len() && rest.starts_with(class.as_bytes());
        is_it.then(|| self.0.last_chunk().copied())?
    }

    /// The number of a `java.lang.Integer`.
    pub fn as_integer(&self) -> Option<i32> {
        self.plain("java.lang.Integer").map(i32::from_be_bytes)
    }

    /// What a `java.lang.Boolean` says.
    pub fn as_boolean(&self) -> Option<bool> {
        self.plain("java.lang.Boolean").map(|byte: [u8; 1]| byte != [0])
    }

    /// A `java.lang.Integer`.
    pub fn integer(number: i32) -> Value {
        let mut writer = super::write::Writer::new();
        writer.integer(number);
        Value::of(writer.finish().split_off(code::HEADER.len()))
    }

    /// A `java.lang.Boolean`.
    pub fn boolean(value: bool) -> Value {
        let mut writer = super::write::Writer::new();
        writer.boolean_object(value);
        Value::of(writer.finish().split_off(code::HEADER.len()))
    }

    /// The name of its class.
    ///
    /// # Errors
    /// The bytes are no value.
    pub fn class(&self, verdicts: &Verdicts) -> Result<String, StreamError> {
        let stream = Stream::of_value(self, verdicts)?;
        let object = stream.only_object()?;
        if object.is_null() {
            return Ok("null".to_owned());
        }
        let name = if object.as_string().is_some() { None } else { object.class_name() };
        Ok(name.map_or_else(|| "java.lang.String".to_owned(), decode_utf8))
    }

    /// The value in words: text and numbers as they are, of others the class.
    ///
    /// # Errors
    /// The bytes are no value.
    pub fn describe(&self, verdicts: &Verdicts) -> Result<String, StreamError> {
        let stream = Stream::of_value(self, verdicts)?;
        let object = stream.only_object()?;
        Ok(describe(&object))
    }
}

impl fmt::Debug for Value {
    /// Values are users' data: only their size is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.len())
    }
}

fn describe(object: &Object<'_>) -> String {
    if object.is_null() {
        return "null".to_owned();
    }
    if let Some(text) = object.as_string() {
        return format!("{:?}", decode_utf8(text));
    }
    let name = object.class_name().map(decode_utf8).unwrap_or_default();
    let number = match &*name {
        "java.lang.Integer" => object.as_integer().map(i64::from),
        "java.lang.Long" => object.as_long(),
        "java.lang.Boolean" => return object.as_boolean().map_or(name, |value| value.to_string()),
        _ => None,
    };
    match (number, object.length()) {
        (Some(number), _) => number.to_string(),
        (None, Some(length)) => format!("{name} of length {length}"),
        (None, None) => name,
    }
}

/// Modified UTF-8 to text; what is none is replaced.
pub fn decode_utf8(bytes: &[u8]) -> String {
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().map(|byte| u16::from(*byte));
    while let Some(first) = rest.next() {
        let mut more = || rest.next().map_or(0, |byte| byte & 0x3f);
        units.push(match first {
            0..=0x7f => first,
            0xc0..=0xdf => (first & 0x1f) << 6 | more(),
            0xe0..=0xef => (first & 0x0f) << 12 | more() << 6 | more(),
            _ => 0xfffd,
        });
    }
    String::from_utf16_lossy(&units)
}

/// Text to modified UTF-8: no zero byte, supplementary characters as two surrogates of three bytes each.
pub fn encode_utf8(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        let low = |shift: u16| 0x80 | (unit >> shift & 0x3f) as u8;
        match unit {
            1..=0x7f => out.push(unit as u8),
            0 | 0x80..=0x7ff => out.extend([0xc0 | (unit >> 6) as u8, low(0)]),
            _ => out.extend([0xe0 | (unit >> 12) as u8, low(6), low(0)]),
        }
    }
    out
}

pub(super) fn class_name<'a>(bytes: &'a [u8], class: &Class) -> &'a [u8] {
    &bytes[class.name.0 as usize..class.name.1 as usize]
}
