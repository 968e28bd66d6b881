// SPDX-License-Identifier: Apache-2.0
//! Reading a stream into marks: where each production begins, gets its handle and ends.
//!
//! Nothing is instantiated and no class is known. The marks are enough to take a value out of its stream and write it
//! elsewhere, with references that lead to the same things.

use super::code::{self, flag};
use super::error::{StreamError, Why};

/// More superclasses than any real class has.
const MAX_CHAIN: usize = 256;

/// Nesting that needs more than this and two for each byte is made to fill memory.
const MANY_TASKS: usize = 1 << 20;

/// Number of a production: something that gets a handle.
pub type ProductionId = u32;

/// A step of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Bytes that mean the same in every stream.
    Raw {
        from: u32,
        to: u32,
    },
    /// The tag of a production follows.
    Begin(ProductionId),
    /// It gets its handle here.
    Assign(ProductionId),
    End(ProductionId),
    /// A reference to a production.
    Reference(ProductionId),
}

/// What a production is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Modified UTF-8 at these offsets.
    String {
        from: u32,
        to: u32,
    },
    ClassDesc(u32),
    Object {
        class: u32,
    },
    Array {
        class: u32,
        length: u32,
    },
    Enum {
        class: u32,
    },
    Class,
}

/// A string, class, object, array or enum constant of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Production {
    pub kind: Kind,
    /// Number of its first mark.
    pub begin: u32,
    /// Number of the mark behind its last; 0 while it is being read.
    pub end: u32,
    /// Offset of what follows the handle: the first field of an object, the first element of an array.
    pub data: u32,
}

/// A class descriptor.
#[derive(Debug, Clone)]
pub(super) struct Class {
    /// Offsets of the name; empty for a proxy.
    pub name: (u32, u32),
    pub suid: u64,
    pub flags: u8,
    /// Type codes and offsets of the names, in order.
    pub fields: Vec<(u8, u32, u32)>,
    pub parent: Option<u32>,
    pub is_proxy: bool,
}

/// One thing at the top level of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Bytes of primitive data.
    Block {
        from: u32,
        to: u32,
    },
    /// A value and its marks.
    Value {
        item: Item,
        first: u32,
        last: u32,
    },
    Reset,
    /// A value whose writing failed in the middle.
    Aborted,
}

/// A value: null or a production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Null,
    Production(ProductionId),
}

/// Classes by name and version that have a `writeObject` of their own which leaves out the declared fields.
pub(super) type Fieldless = [(Vec<u8>, u64)];

/// What is still to be read, innermost last.
#[derive(Debug, Clone, Copy)]
enum Task {
    /// A value.
    Value,
    /// A descriptor, a reference to one, or null; the result is in `desc`.
    Desc,
    /// The type of field `next` of a class, if it has one, and the others.
    FieldTypes {
        class: u32,
        next: u32,
    },
    /// After annotation: the descriptor of the superclass.
    Parent {
        class: u32,
    },
    ParentDone {
        class: u32,
    },
    /// After the descriptor of an object, array, enum constant or class.
    ObjectDesc(ProductionId),
    ArrayDesc(ProductionId),
    EnumDesc(ProductionId),
    ClassDesc(ProductionId),
    /// The fields of one class of an object, from `next` on.
    Fields {
        class: u32,
        next: u32,
    },
    /// Contents up to the end mark.
    Annotation,
    Elements {
        left: u32,
    },
    End(ProductionId),
    /// A string or a reference to one.
    Text,
    /// The throwable behind an exception mark was read.
    AfterException,
}

/// A stream that was read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub marks: Vec<Mark>,
    pub productions: Vec<Production>,
    pub classes: Vec<Class>,
    pub contents: Vec<Content>,
}

/// Reads a stream. `candidates` gets the classes that may have left out their fields, if it fails.
pub(super) fn parse(
    bytes: &[u8],
    has_header: bool,
    fieldless: &Fieldless,
    candidates: &mut Vec<(Vec<u8>, u64)>,
) -> Result<Parsed, StreamError> {
    let mut parser = Parser {
        bytes,
        at: 0,
        fieldless,
        parsed: Parsed {
            marks: Vec::new(),
            productions: Vec::new(),
            classes: Vec::new(),
            contents: Vec::new(),
        },
        handles: Vec::new(),
        tasks: Vec::new(),
        desc: None,
        first: 0,
        is_aborted: false,
    };
    let result = parser.run(has_header);
    match result {
        Ok(()) => Ok(parser.parsed),
        Err(error) => {
            for class in &parser.parsed.classes {
                if class.flags & flag::WRITE_METHOD != 0 && !class.fields.is_empty() {
                    let name = parser.bytes[class.name.0 as usize..class.name.1 as usize].to_vec();
                    candidates.push((name, class.suid));
                }
            }
            Err(error)
        }
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    fieldless: &'a Fieldless,
    parsed: Parsed,
    /// Productions by handle.
    handles: Vec<ProductionId>,
    tasks: Vec<Task>,
    /// The descriptor read last.
    desc: Option<u32>,
    /// First mark of the content being read.
    first: u32,
    is_aborted: bool,
}

type Result<T, E = StreamError> = std::result::Result<T, E>;

impl Parser<'_> {
    fn run(&mut self, has_header: bool) -> Result<()> {
        if u32::try_from(self.bytes.len()).is_err() {
            return Err(self.error(Why::TooLarge));
        }
        if has_header {
            match self.bytes.get(..4) {
                Some(start) if start == code::HEADER => self.at = 4,
                _ => return Err(self.error(Why::NoStream)),
            }
        }
        while self.at < self.bytes.len() {
            self.content()?;
        }
        Ok(())
    }

    fn content(&mut self) -> Result<()> {
        match self.peek()? {
            code::BLOCK_DATA | code::BLOCK_DATA_LONG => {
                let (from, to) = self.block()?;
                self.parsed.contents.push(Content::Block { from, to });
            }
            code::RESET => {
                self.at += 1;
                self.handles.clear();
                self.parsed.contents.push(Content::Reset);
            }
            _ => {
                let first = self.mark_count();
                self.first = first;
                self.is_aborted = false;
                self.tasks.push(Task::Value);
                while let Some(task) = self.tasks.pop() {
                    if self.tasks.len() > MANY_TASKS + 2 * self.bytes.len() {
                        return Err(self.error(Why::TooLarge));
                    }
                    self.step(task)?;
                }
                let last = self.mark_count();
                let item = self.item_of(first);
                self.parsed.contents.push(if self.is_aborted {
                    Content::Aborted
                } else {
                    Content::Value { item, first, last }
                });
            }
        }
        Ok(())
    }

    /// What the marks from `first` on are.
    fn item_of(&self, first: u32) -> Item {
        match self.parsed.marks.get(first as usize) {
            Some(Mark::Begin(id) | Mark::Reference(id)) => Item::Production(*id),
            _ => Item::Null,
        }
    }

    fn step(&mut self, task: Task) -> Result<()> {
        match task {
            Task::Value => self.value(),
            Task::Desc => self.desc(),
            Task::FieldTypes { class, next } => self.field_types(class, next),
            Task::Parent { class } => {
                self.tasks.push(Task::ParentDone { class });
                self.tasks.push(Task::Desc);
                Ok(())
            }
            Task::ParentDone { class } => {
                self.parsed.classes[class as usize].parent = self.desc;
                self.desc = Some(class);
                Ok(())
            }
            Task::ObjectDesc(id) => self.object(id),
            Task::ArrayDesc(id) => self.array(id),
            Task::EnumDesc(id) => {
                let class = self.need_desc()?;
                self.assign(id, Kind::Enum { class });
                self.tasks.push(Task::Text);
                Ok(())
            }
            Task::ClassDesc(id) => {
                self.assign(id, Kind::Class);
                Ok(())
            }
            Task::Fields { class, next } => self.fields(class, next),
            Task::Annotation => self.annotation(),
            Task::Elements { left } => {
                if left > 0 {
                    self.tasks.push(Task::Elements { left: left - 1 });
                    self.tasks.push(Task::Value);
                }
                Ok(())
            }
            Task::End(id) => {
                self.parsed.marks.push(Mark::End(id));
                self.parsed.productions[id as usize].end = self.mark_count();
                Ok(())
            }
            Task::Text => self.text(),
            Task::AfterException => {
                self.handles.clear();
                self.is_aborted = true;
                Ok(())
            }
        }
    }

    fn value(&mut self) -> Result<()> {
        let from = self.at;
        match self.byte()? {
            code::NULL => {
                self.raw(from);
                Ok(())
            }
            code::REFERENCE => {
                let id = self.referred()?;
                self.parsed.marks.push(Mark::Reference(id));
                Ok(())
            }
            code::STRING | code::LONG_STRING => {
                self.at = from;
                self.string()
            }
            code::OBJECT => self.begin(from, Task::ObjectDesc),
            code::ARRAY => self.begin(from, Task::ArrayDesc),
            code::ENUM => self.begin(from, Task::EnumDesc),
            code::CLASS => self.begin(from, Task::ClassDesc),
            code::CLASS_DESC | code::PROXY_CLASS_DESC => {
                self.at = from;
                self.desc()
            }
            code::EXCEPTION => {
                self.handles.clear();
                self.tasks.clear();
                self.tasks.push(Task::AfterException);
                self.tasks.push(Task::Value);
                Ok(())
            }
            tag => {
                self.at = from;
                Err(self.error(Why::Tag(tag)))
            }
        }
    }

    /// A production whose descriptor comes first.
    fn begin(&mut self, from: usize, then: fn(ProductionId) -> Task) -> Result<()> {
        let id = self.production();
        self.raw(from);
        self.tasks.push(Task::End(id));
        self.tasks.push(then(id));
        self.tasks.push(Task::Desc);
        Ok(())
    }

    fn string(&mut self) -> Result<()> {
        let from = self.at;
        let tag = self.byte()?;
        let id = self.production();
        // The handle is given out between the tag and the length, which makes no difference for the bytes.
        self.assign(id, Kind::Class);
        let length = match tag {
            code::STRING => u64::from(self.u16()?),
            code::LONG_STRING => self.u64()?,
            tag => {
                self.at = from;
                return Err(self.error(Why::Tag(tag)));
            }
        };
        let start = self.at;
        let length = usize::try_from(length).map_err(|_| self.error(Why::Truncated))?;
        self.take(length)?;
        self.parsed.productions[id as usize].kind = Kind::String { from: short(start), to: short(self.at) };
        self.raw(from);
        self.parsed.marks.push(Mark::End(id));
        self.parsed.productions[id as usize].end = self.mark_count();
        Ok(())
    }

    fn text(&mut self) -> Result<()> {
        if self.peek()? != code::REFERENCE {
            return self.string();
        }
        let from = self.at;
        self.at += 1;
        let id = self.referred()?;
        if !matches!(self.parsed.productions[id as usize].kind, Kind::String { .. }) {
            self.at = from;
            return Err(self.error(Why::Unexpected("a string")));
        }
        self.parsed.marks.push(Mark::Reference(id));
        Ok(())
    }

    fn desc(&mut self) -> Result<()> {
        let from = self.at;
        match self.byte()? {
            code::NULL => {
                self.desc = None;
                self.raw(from);
                Ok(())
            }
            code::REFERENCE => {
                let id = self.referred()?;
                let Kind::ClassDesc(class) = self.parsed.productions[id as usize].kind else {
                    self.at = from;
                    return Err(self.error(Why::Unexpected("a class descriptor")));
                };
                self.parsed.marks.push(Mark::Reference(id));
                self.desc = Some(class);
                Ok(())
            }
            code::CLASS_DESC => self.class_desc(from),
            code::PROXY_CLASS_DESC => self.proxy_desc(from),
            tag => {
                self.at = from;
                Err(self.error(Why::Tag(tag)))
            }
        }
    }

    fn class_desc(&mut self, from: usize) -> Result<()> {
        let id = self.production();
        let name = self.utf()?;
        let suid = self.u64()?;
        self.raw(from);
        let class = short(self.parsed.classes.len());
        self.parsed.classes.push(Class {
            name,
            suid,
            flags: 0,
            fields: Vec::new(),
            parent: None,
            is_proxy: false,
        });
        self.assign(id, Kind::ClassDesc(class));
        let from = self.at;
        self.parsed.classes[class as usize].flags = self.byte()?;
        let count = usize::from(self.u16()?);
        if count > self.left() / 3 {
            return Err(self.error(Why::Truncated));
        }
        self.raw(from);
        self.parsed.classes[class as usize].fields.reserve(count);
        self.tasks.push(Task::End(id));
        self.tasks.push(Task::Parent { class });
        self.tasks.push(Task::Annotation);
        self.tasks.push(Task::FieldTypes { class, next: short(count) });
        Ok(())
    }

    /// `next`: how many fields are still to come.
    fn field_types(&mut self, class: u32, next: u32) -> Result<()> {
        for left in (0..next).rev() {
            let from = self.at;
            let kind = self.byte()?;
            let (start, end) = self.utf()?;
            self.raw(from);
            self.parsed.classes[class as usize].fields.push((kind, start, end));
            match kind {
                b'L' | b'[' => {
                    self.tasks.push(Task::FieldTypes { class, next: left });
                    self.tasks.push(Task::Text);
                    return Ok(());
                }
                _ if code::width(kind).is_some() => {}
                _ => {
                    self.at = from;
                    return Err(self.error(Why::Type(kind)));
                }
            }
        }
        Ok(())
    }

    fn proxy_desc(&mut self, from: usize) -> Result<()> {
        let id = self.production();
        self.raw(from);
        let class = short(self.parsed.classes.len());
        self.parsed.classes.push(Class {
            name: (0, 0),
            suid: 0,
            flags: flag::SERIALIZABLE,
            fields: Vec::new(),
            parent: None,
            is_proxy: true,
        });
        self.assign(id, Kind::ClassDesc(class));
        let from = self.at;
        for _ in 0..self.u32()? {
            self.utf()?;
        }
        self.raw(from);
        self.tasks.push(Task::End(id));
        self.tasks.push(Task::Parent { class });
        self.tasks.push(Task::Annotation);
        Ok(())
    }

    fn object(&mut self, id: ProductionId) -> Result<()> {
        let class = self.need_desc()?;
        self.assign(id, Kind::Object { class });
        let own = &self.parsed.classes[class as usize];
        if own.flags & flag::EXTERNALIZABLE != 0 {
            if own.flags & flag::BLOCK_DATA == 0 {
                return Err(self.error(Why::External));
            }
            self.tasks.push(Task::Annotation);
            return Ok(());
        }
        // The root of the chain is read first, so it is put on the stack last.
        let mut next = Some(class);
        for _ in 0..MAX_CHAIN {
            let Some(class) = next else { return Ok(()) };
            let desc = &self.parsed.classes[class as usize];
            next = desc.parent;
            if desc.is_proxy || desc.flags & flag::SERIALIZABLE == 0 {
                continue;
            }
            if desc.flags & flag::WRITE_METHOD != 0 {
                self.tasks.push(Task::Annotation);
            }
            if !self.is_fieldless(class) {
                self.tasks.push(Task::Fields { class, next: 0 });
            }
        }
        Err(self.error(Why::Chain))
    }

    fn is_fieldless(&self, class: u32) -> bool {
        let class = &self.parsed.classes[class as usize];
        let name = &self.bytes[class.name.0 as usize..class.name.1 as usize];
        class.flags & flag::WRITE_METHOD != 0
            && self.fieldless.iter().any(|(known, suid)| *suid == class.suid && known == name)
    }

    fn fields(&mut self, class: u32, next: u32) -> Result<()> {
        let from = self.at;
        let count = short(self.parsed.classes[class as usize].fields.len());
        for field in next..count {
            let kind = self.parsed.classes[class as usize].fields[field as usize].0;
            match code::width(kind) {
                Some(width) => self.take(width)?,
                None => {
                    self.raw(from);
                    self.tasks.push(Task::Fields { class, next: field + 1 });
                    self.tasks.push(Task::Value);
                    return Ok(());
                }
            }
        }
        self.raw(from);
        Ok(())
    }

    fn annotation(&mut self) -> Result<()> {
        loop {
            let from = self.at;
            match self.peek()? {
                code::END_BLOCK_DATA => {
                    self.at += 1;
                    self.raw(from);
                    return Ok(());
                }
                code::BLOCK_DATA | code::BLOCK_DATA_LONG => {
                    self.block()?;
                    self.raw(from);
                }
                _ => {
                    self.tasks.push(Task::Annotation);
                    self.tasks.push(Task::Value);
                    return Ok(());
                }
            }
        }
    }

    fn array(&mut self, id: ProductionId) -> Result<()> {
        let class = self.need_desc()?;
        let from = self.at;
        let length = self.u32()?;
        let (name, end) = self.parsed.classes[class as usize].name;
        let kind = self.bytes[name as usize..end as usize].get(1).copied().unwrap_or_default();
        self.assign(id, Kind::Array { class, length });
        match code::width(kind) {
            Some(width) => {
                let bytes = (length as usize).checked_mul(width).ok_or(self.error(Why::Truncated))?;
                self.take(bytes)?;
                self.raw(from);
            }
            None if matches!(kind, b'L' | b'[') => {
                if length as usize > self.left() {
                    return Err(self.error(Why::Truncated));
                }
                self.raw(from);
                self.tasks.push(Task::Elements { left: length });
            }
            None => return Err(self.error(Why::Type(kind))),
        }
        Ok(())
    }

    /// The payload of a block of primitive data.
    fn block(&mut self) -> Result<(u32, u32)> {
        let length = match self.byte()? {
            code::BLOCK_DATA => usize::from(self.byte()?),
            _ => self.u32()? as usize,
        };
        let from = self.at;
        self.take(length)?;
        Ok((short(from), short(self.at)))
    }

    fn production(&mut self) -> ProductionId {
        let id = short(self.parsed.productions.len());
        self.parsed.productions.push(Production {
            kind: Kind::Class,
            begin: self.mark_count(),
            end: 0,
            data: 0,
        });
        self.parsed.marks.push(Mark::Begin(id));
        id
    }

    fn assign(&mut self, id: ProductionId, kind: Kind) {
        let data = short(self.at);
        let production = &mut self.parsed.productions[id as usize];
        production.kind = kind;
        production.data = data;
        self.handles.push(id);
        self.parsed.marks.push(Mark::Assign(id));
    }

    fn referred(&mut self) -> Result<ProductionId> {
        let from = self.at;
        let handle = self.u32()?;
        let known = handle.checked_sub(code::FIRST_HANDLE).and_then(|index| self.handles.get(index as usize));
        known.copied().ok_or(StreamError { at: from, why: Why::Reference(handle) })
    }

    fn need_desc(&self) -> Result<u32> {
        self.desc.ok_or(self.error(Why::Unexpected("a class descriptor")))
    }

    fn mark_count(&self) -> u32 {
        short(self.parsed.marks.len())
    }

    /// The bytes from `from` up to here mean the same everywhere.
    fn raw(&mut self, from: usize) {
        let (from, to) = (short(from), short(self.at));
        if from == to {
            return;
        }
        if self.mark_count() > self.first
            && let Some(Mark::Raw { to: before, .. }) = self.parsed.marks.last_mut()
            && *before == from
        {
            *before = to;
            return;
        }
        self.parsed.marks.push(Mark::Raw { from, to });
    }

    fn error(&self, why: Why) -> StreamError {
        StreamError { at: self.at, why }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn peek(&self) -> Result<u8> {
        self.bytes.get(self.at).copied().ok_or(self.error(Why::Truncated))
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, length: usize) -> Result<()> {
        if length > self.left() {
            return Err(self.error(Why::Truncated));
        }
        self.at += length;
        Ok(())
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N]> {
        let from = self.at;
        self.take(N)?;
        self.bytes[from..self.at].try_into().map_err(|_| self.error(Why::Truncated))
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array_of()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array_of()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(self.array_of()?))
    }

    /// Text with its length in front.
    fn utf(&mut self) -> Result<(u32, u32)> {
        let length = usize::from(self.u16()?);
        let from = self.at;
        self.take(length)?;
        Ok((short(from), short(self.at)))
    }
}

/// Offsets and counts fit: the length of the stream does, and nothing has more marks than bytes allow.
fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
