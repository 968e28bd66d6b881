// SPDX-License-Identifier: Apache-2.0
//! A stream as a sequence of primitive data and objects, and the retries that classes with odd `writeObject` methods need.

use std::collections::HashSet;

use super::code;
use super::emit::{Handles, emit};
use super::error::{StreamError, Why};
use super::parse::{self, Content, Item, Kind, Parsed, Production};
use super::value::{Value, class_name};

/// How many readings of one stream are tried.
const READINGS: usize = 64;

/// Classes found to leave out their declared fields in `writeObject`. Nothing in a stream says so; it is found by trying.
#[derive(Debug, Clone, Default)]
pub struct Verdicts(Vec<(Vec<u8>, u64)>);

/// A stream that was read whole.
#[derive(Debug)]
pub struct Stream<'a> {
    bytes: &'a [u8],
    parsed: Parsed,
}

impl<'a> Stream<'a> {
    /// Reads a stream with its header.
    ///
    /// # Errors
    /// No reading of it makes sense.
    pub fn parse(bytes: &'a [u8], verdicts: &mut Verdicts) -> Result<Stream<'a>, StreamError> {
        Self::parse_as(bytes, verdicts, Ok)
    }

    /// Reads a stream and what is in it: a wrong reading may be found out only by what it says. `read` may be asked several
    /// times.
    ///
    /// # Errors
    /// No reading of it makes sense; the error is that of the first.
    pub fn parse_as<T>(
        bytes: &'a [u8],
        verdicts: &mut Verdicts,
        read: impl Fn(Stream<'a>) -> Result<T, StreamError>,
    ) -> Result<T, StreamError> {
        let mut candidates = Vec::new();
        let attempt = |fieldless: &[(Vec<u8>, u64)], candidates: &mut Vec<_>| {
            let parsed = parse::parse(bytes, true, fieldless, candidates)?;
            let stream = Stream { bytes, parsed };
            let suspects: Vec<_> = stream.suspects().collect();
            read(stream).inspect_err(|_| candidates.extend(suspects))
        };
        let first = match attempt(&verdicts.0, &mut candidates) {
            Ok(read) => return Ok(read),
            Err(error) => error,
        };
        // A right guess lets more classes come into sight, so sets grow from what got further.
        let mut seen = HashSet::new();
        let mut queue: Vec<Vec<(Vec<u8>, u64)>> = vec![verdicts.0.clone()];
        let mut found = vec![candidates];
        let mut readings = 0;
        let mut at = 0;
        while at < queue.len() {
            for candidate in std::mem::take(&mut found[at]) {
                let mut guess = queue[at].clone();
                match guess.iter().position(|known| *known == candidate) {
                    // A verdict may be wrong for this stream, too.
                    Some(known) => {
                        guess.remove(known);
                    }
                    None => guess.push(candidate),
                }
                guess.sort();
                if !seen.insert(guess.clone()) {
                    continue;
                }
                readings += 1;
                if readings > READINGS {
                    return Err(first);
                }
                let mut more = Vec::new();
                match attempt(&guess, &mut more) {
                    Ok(read) => {
                        verdicts.0 = guess;
                        return Ok(read);
                    }
                    Err(_) => {
                        queue.push(guess);
                        found.push(more);
                    }
                }
            }
            at += 1;
        }
        Err(first)
    }

    pub(super) fn of_value(value: &'a Value, verdicts: &Verdicts) -> Result<Stream<'a>, StreamError> {
        let bytes = value.as_bytes();
        Ok(Stream { bytes, parsed: parse::parse(bytes, false, &verdicts.0, &mut Vec::new())? })
    }

    pub(super) fn only_object(&self) -> Result<Object<'_>, StreamError> {
        self.contents().object()
    }

    /// Classes that may have left out their fields.
    fn suspects(&self) -> impl Iterator<Item = (Vec<u8>, u64)> {
        self.parsed
            .classes
            .iter()
            .filter(|class| class.flags & code::flag::WRITE_METHOD != 0 && !class.fields.is_empty())
            .map(|class| (class_name(self.bytes, class).to_vec(), class.suid))
    }

    /// The contents from the first on.
    pub fn contents(&self) -> Contents<'_> {
        Contents { stream: self, next: 0, block: (0, 0) }
    }

    /// Writes the whole stream anew. Without resets and exceptions the bytes are those that were read.
    ///
    /// # Errors
    /// It grows larger than `limit` bytes.
    pub fn rewrite(&self, limit: usize) -> Result<Vec<u8>, StreamError> {
        let mut out = code::HEADER.to_vec();
        let mut handles = Handles::default();
        for content in &self.parsed.contents {
            match *content {
                Content::Block { from, to } => {
                    super::write::block_record(&self.bytes[from as usize..to as usize], &mut out);
                }
                Content::Value { first, last, .. } => {
                    emit(self.bytes, &self.parsed, (first, last), &mut handles, &mut out, limit)?;
                }
                Content::Reset => {
                    out.push(code::RESET);
                    handles.clear();
                }
                Content::Aborted => {}
            }
        }
        Ok(out)
    }
}

/// Takes a stream apart, one thing after the other.
#[derive(Debug, Clone)]
pub struct Contents<'a> {
    stream: &'a Stream<'a>,
    next: usize,
    /// What is left of the block of primitive data.
    block: (u32, u32),
}

impl<'a> Contents<'a> {
    /// Is there nothing more?
    pub fn is_at_end(&self) -> bool {
        let rest = self.stream.parsed.contents.get(self.next..).unwrap_or_default();
        self.block.0 == self.block.1 && rest.iter().all(|content| *content == Content::Reset)
    }

    /// The next `N` bytes of primitive data, which may lie in several blocks.
    ///
    /// # Errors
    /// Something else follows.
    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], StreamError> {
        let mut taken = [0; N];
        for byte in &mut taken {
            *byte = self.byte()?;
        }
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, StreamError> {
        while self.block.0 == self.block.1 {
            match self.stream.parsed.contents.get(self.next) {
                Some(Content::Block { from, to }) => self.block = (*from, *to),
                Some(Content::Reset) => {}
                _ => return Err(self.unexpected("primitive data")),
            }
            self.next += 1;
        }
        self.block.0 += 1;
        Ok(self.stream.bytes[self.block.0 as usize - 1])
    }

    /// # Errors
    /// As [`Contents::bytes`].
    pub fn i32(&mut self) -> Result<i32, StreamError> {
        Ok(i32::from_be_bytes(self.bytes()?))
    }

    /// # Errors
    /// As [`Contents::bytes`].
    pub fn boolean(&mut self) -> Result<bool, StreamError> {
        Ok(self.bytes::<1>()? != [0])
    }

    /// Modified UTF-8 with its length in front.
    ///
    /// # Errors
    /// As [`Contents::bytes`].
    pub fn utf(&mut self) -> Result<Vec<u8>, StreamError> {
        let length = u16::from_be_bytes(self.bytes()?);
        (0..length).map(|_| self.byte()).collect()
    }

    /// Raw primitive data of known length.
    ///
    /// # Errors
    /// As [`Contents::bytes`].
    pub fn raw(&mut self, length: usize) -> Result<Vec<u8>, StreamError> {
        if length > self.stream.bytes.len() {
            return Err(self.unexpected("primitive data"));
        }
        (0..length).map(|_| self.byte()).collect()
    }

    /// The next object; `Ok(None)` if its writing failed in the middle.
    ///
    /// # Errors
    /// Something else follows.
    pub fn object_or_aborted(&mut self) -> Result<Option<Object<'a>>, StreamError> {
        if self.block.0 != self.block.1 {
            return Err(self.unexpected("an object"));
        }
        loop {
            let content = self.stream.parsed.contents.get(self.next).copied();
            let content = content.ok_or(self.unexpected("an object"))?;
            if matches!(content, Content::Block { from, to } if from != to) {
                return Err(self.unexpected("an object"));
            }
            self.next += 1;
            return match content {
                Content::Reset | Content::Block { .. } => continue,
                Content::Aborted => Ok(None),
                Content::Value { item, first, last } => {
                    Ok(Some(Object { stream: self.stream, item, marks: (first, last) }))
                }
            };
        }
    }

    /// The next object.
    ///
    /// # Errors
    /// Something else follows, or its writing failed in the middle.
    pub fn object(&mut self) -> Result<Object<'a>, StreamError> {
        self.object_or_aborted()?.ok_or(self.unexpected("a whole object"))
    }

    /// The value of a `java.lang.Integer`.
    ///
    /// # Errors
    /// Something else follows.
    pub fn integer(&mut self) -> Result<i32, StreamError> {
        self.object()?.as_integer().ok_or(self.unexpected("a number"))
    }

    /// The value of a `java.lang.Long`.
    ///
    /// # Errors
    /// Something else follows.
    pub fn long(&mut self) -> Result<i64, StreamError> {
        self.object()?.as_long().ok_or(self.unexpected("a number"))
    }

    /// The value of a `java.lang.Boolean`.
    ///
    /// # Errors
    /// Something else follows.
    pub fn boolean_object(&mut self) -> Result<bool, StreamError> {
        self.object()?.as_boolean().ok_or(self.unexpected("a truth value"))
    }

    /// The modified UTF-8 of a string.
    ///
    /// # Errors
    /// Something else follows.
    pub fn string(&mut self) -> Result<&'a [u8], StreamError> {
        self.object()?.as_string().ok_or(self.unexpected("a string"))
    }

    /// An error at this place.
    pub fn unexpected(&self, what: &'static str) -> StreamError {
        let at = match self.stream.parsed.contents.get(self.next) {
            _ if self.block.0 != self.block.1 => self.block.0 as usize,
            Some(Content::Block { from, .. }) => *from as usize,
            _ => self.stream.bytes.len(),
        };
        StreamError { at, why: Why::Unexpected(what) }
    }
}

/// An object at the top level of a stream, or in a field of one.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    stream: &'a Stream<'a>,
    item: Item,
    marks: (u32, u32),
}

impl<'a> Object<'a> {
    pub fn is_null(&self) -> bool {
        self.item == Item::Null
    }

    /// The object for itself, at most `limit` bytes.
    ///
    /// # Errors
    /// It is larger.
    pub fn to_value(&self, limit: usize) -> Result<Value, StreamError> {
        let mut out = Vec::new();
        emit(self.stream.bytes, &self.stream.parsed, self.marks, &mut Handles::default(), &mut out, limit)?;
        Ok(Value::of(out))
    }

    fn production(&self) -> Option<&'a Production> {
        match self.item {
            Item::Null => None,
            Item::Production(id) => self.stream.parsed.productions.get(id as usize),
        }
    }

    /// Modified UTF-8 of a string.
    pub fn as_string(&self) -> Option<&'a [u8]> {
        match self.production()?.kind {
            Kind::String { from, to } => Some(&self.stream.bytes[from as usize..to as usize]),
            _ => None,
        }
    }

    /// Name of the class of an object, array or enum constant; empty for a proxy.
    pub fn class_name(&self) -> Option<&'a [u8]> {
        match self.production()?.kind {
            Kind::Object { class } | Kind::Array { class, .. } | Kind::Enum { class } => {
                Some(class_name(self.stream.bytes, &self.stream.parsed.classes[class as usize]))
            }
            _ => None,
        }
    }

    /// Version (`serialVersionUID`) of the class.
    pub fn class_version(&self) -> Option<u64> {
        match self.production()?.kind {
            Kind::Object { class } | Kind::Array { class, .. } | Kind::Enum { class } => {
                Some(self.stream.parsed.classes[class as usize].suid)
            }
            _ => None,
        }
    }

    /// Version of a class that the object's class is or extends.
    pub fn class_version_of(&self, name: &[u8]) -> Option<u64> {
        let Kind::Object { class } = self.production()?.kind else { return None };
        let classes = &self.stream.parsed.classes;
        let parent = |class: &&super::parse::Class| class.parent.map(|parent| &classes[parent as usize]);
        let mut chain = std::iter::successors(Some(&classes[class as usize]), parent).take(256);
        chain.find(|class| class_name(self.stream.bytes, class) == name).map(|class| class.suid)
    }

    /// Number of elements of an array.
    pub fn length(&self) -> Option<u32> {
        match self.production()?.kind {
            Kind::Array { length, .. } => Some(length),
            _ => None,
        }
    }

    /// The bytes of a `byte[]`.
    pub fn as_byte_array(&self) -> Option<&'a [u8]> {
        let production = self.production()?;
        match production.kind {
            Kind::Array { length, .. } if self.class_name()? == b"[B" => {
                let from = production.data as usize;
                self.stream.bytes.get(from..from + length as usize)
            }
            _ => None,
        }
    }

    /// The bytes behind the descriptor of an object of this class: its first primitive fields, if the classes it extends have none.
    fn plain<const N: usize>(&self, class: &[u8]) -> Option<[u8; N]> {
        if self.class_name()? != class {
            return None;
        }
        let from = self.production()?.data as usize;
        self.stream.bytes.get(from..from + N)?.try_into().ok()
    }

    pub fn as_integer(&self) -> Option<i32> {
        self.plain(b"java.lang.Integer").map(i32::from_be_bytes)
    }

    pub fn as_long(&self) -> Option<i64> {
        self.plain(b"java.lang.Long").map(i64::from_be_bytes)
    }

    pub fn as_boolean(&self) -> Option<bool> {
        self.plain(b"java.lang.Boolean").map(|byte: [u8; 1]| byte != [0])
    }

    /// The fields of a plain object, those of the root-most class first: name and value. `None` for anything that is no
    /// object or writes its data itself.
    pub fn fields(&self) -> Option<Vec<(&'a [u8], Field<'a>)>> {
        super::field::of(self.stream.bytes, &self.stream.parsed, self.production()?).map(|fields| {
            fields
                .into_iter()
                .map(|(name, field)| {
                    let field = match field {
                        super::field::Raw::Primitive(bytes) => Field::Primitive(bytes),
                        super::field::Raw::Marks(item, marks) => {
                            Field::Object(Object { stream: self.stream, item, marks })
                        }
                    };
                    (name, field)
                })
                .collect()
        })
    }

    /// The contents of the one block of external data of an `Externalizable`: primitive data and objects in order.
    pub fn external(&self) -> Option<Vec<Part<'a>>> {
        super::field::external(self.stream.bytes, &self.stream.parsed, self.production()?).map(|parts| {
            parts
                .into_iter()
                .map(|part| match part {
                    super::field::Raw::Primitive(bytes) => Part::Data(bytes),
                    super::field::Raw::Marks(item, marks) => {
                        Part::Object(Object { stream: self.stream, item, marks })
                    }
                })
                .collect()
        })
    }
}

/// Value of a field.
#[derive(Debug, Clone, Copy)]
pub enum Field<'a> {
    /// As in the stream: big-endian.
    Primitive(&'a [u8]),
    Object(Object<'a>),
}

/// A part of external data.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    Data(&'a [u8]),
    Object(Object<'a>),
}
