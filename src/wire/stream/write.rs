// SPDX-License-Identifier: Apache-2.0
//! Writing streams: primitive data, the few classes that messages are made of, and values that were kept.

use super::code::{self, FIRST_HANDLE};
use super::value::Value;

/// Java's own buffer of primitive data; fuller records are never written.
const RECORD: usize = 1024;

/// What a descriptor says: name, version, flags, fields as they stand in the stream, and the descriptor of the superclass.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    pub name: &'static str,
    pub version: u64,
    pub flags: u8,
    /// Type code, name, and for objects and arrays the signature.
    pub fields: &'static [(u8, &'static str, &'static str)],
    pub parent: Option<&'static Descriptor>,
}

const NUMBER: Descriptor = Descriptor {
    name: "java.lang.Number",
    version: 0x86ac_951d_0b94_e08b,
    flags: code::flag::SERIALIZABLE,
    fields: &[],
    parent: None,
};
const INTEGER: Descriptor = Descriptor {
    name: "java.lang.Integer",
    version: 0x12e2_a0a4_f781_8738,
    flags: code::flag::SERIALIZABLE,
    fields: &[(b'I', "value", "")],
    parent: Some(&NUMBER),
};
const LONG: Descriptor = Descriptor {
    name: "java.lang.Long",
    version: 0x3b8b_e490_cc8f_23df,
    flags: code::flag::SERIALIZABLE,
    fields: &[(b'J', "value", "")],
    parent: Some(&NUMBER),
};
const BOOLEAN: Descriptor = Descriptor {
    name: "java.lang.Boolean",
    version: 0xcd20_7280_d59c_faee,
    flags: code::flag::SERIALIZABLE,
    fields: &[(b'Z', "value", "")],
    parent: None,
};
const BYTES: Descriptor = Descriptor {
    name: "[B",
    version: 0xacf3_17f8_0608_54e0,
    flags: code::flag::SERIALIZABLE,
    fields: &[],
    parent: None,
};

/// What can be referred to again. An array's descriptor and its signature have the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Class(&'static str),
    Signature(&'static str),
}

/// A stream being written.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    /// Primitive data not yet in a record.
    block: Vec<u8>,
    /// Handles given out since the last reset.
    handles: u32,
    /// Descriptors and signatures that have a handle.
    known: Vec<(Named, u32)>,
    /// A kept value was written: its handles are not counted, so that nothing may be referred to before a reset.
    is_foreign: bool,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    pub fn new() -> Writer {
        Writer {
            out: code::HEADER.to_vec(),
            block: Vec::new(),
            handles: 0,
            known: Vec::new(),
            is_foreign: false,
        }
    }

    /// The finished stream.
    pub fn finish(mut self) -> Vec<u8> {
        self.flush();
        self.out
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len() + self.block.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == code::HEADER.len()
    }

    /// Primitive data.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
    }

    pub fn i32(&mut self, number: i32) {
        self.bytes(&number.to_be_bytes());
    }

    pub fn boolean(&mut self, value: bool) {
        self.bytes(&[u8::from(value)]);
    }

    /// Text with its length in front; `text` is modified UTF-8 of at most 65535 bytes.
    pub fn utf(&mut self, text: &[u8]) {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.bytes(&length.to_be_bytes());
        self.bytes(&text[..usize::from(length)]);
    }

    fn flush(&mut self) {
        for record in self.block.chunks(RECORD) {
            block_record(record, &mut self.out);
        }
        self.block.clear();
    }

    /// Room for objects of our own: after a kept value the table of handles begins anew.
    fn own(&mut self) {
        self.flush();
        if std::mem::take(&mut self.is_foreign) {
            self.out.push(code::RESET);
            self.handles = 0;
            self.known.clear();
        }
    }

    /// A kept value. It stands between two resets, so that its handles are right.
    pub fn value(&mut self, value: &Value) {
        self.flush();
        if value.is_null() {
            self.out.push(code::NULL);
            return;
        }
        if self.is_foreign || self.handles > 0 {
            self.out.push(code::RESET);
            self.handles = 0;
            self.known.clear();
        }
        self.out.extend_from_slice(value.as_bytes());
        self.is_foreign = true;
    }

    pub fn null(&mut self) {
        self.flush();
        self.out.push(code::NULL);
    }

    /// A `java.lang.String` of modified UTF-8.
    pub fn string(&mut self, text: &[u8]) {
        self.own();
        string(text, &mut self.out);
        self.handles += 1;
    }

    /// A `java.lang.Integer`.
    pub fn integer(&mut self, number: i32) {
        self.object(&INTEGER);
        self.out.extend_from_slice(&number.to_be_bytes());
    }

    /// A `java.lang.Long`.
    pub fn long(&mut self, number: i64) {
        self.object(&LONG);
        self.out.extend_from_slice(&number.to_be_bytes());
    }

    /// A `java.lang.Boolean`.
    pub fn boolean_object(&mut self, value: bool) {
        self.object(&BOOLEAN);
        self.out.push(u8::from(value));
    }

    /// A `byte[]`.
    pub fn byte_array(&mut self, bytes: &[u8]) {
        self.own();
        self.out.push(code::ARRAY);
        self.descriptor(&BYTES);
        self.handles += 1;
        self.out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.out.extend_from_slice(bytes);
    }

    /// Begins an object: the caller writes the fields of its classes with [`Writer::field`] and the methods for objects.
    pub fn object(&mut self, class: &'static Descriptor) {
        self.own();
        self.out.push(code::OBJECT);
        self.descriptor(class);
        self.handles += 1;
    }

    /// Primitive bytes of a field.
    pub fn field(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// The end of external data or of what a class wrote itself.
    pub fn end(&mut self) {
        self.flush();
        self.out.push(code::END_BLOCK_DATA);
    }

    fn descriptor(&mut self, class: &'static Descriptor) {
        if self.refer(Named::Class(class.name)) {
            return;
        }
        self.out.push(code::CLASS_DESC);
        self.plain_utf(class.name);
        self.out.extend_from_slice(&class.version.to_be_bytes());
        self.give(Named::Class(class.name));
        self.out.push(class.flags);
        let count = u16::try_from(class.fields.len()).unwrap_or(u16::MAX);
        self.out.extend_from_slice(&count.to_be_bytes());
        for (kind, name, signature) in class.fields {
            self.out.push(*kind);
            self.plain_utf(name);
            if !signature.is_empty() && !self.refer(Named::Signature(signature)) {
                string(signature.as_bytes(), &mut self.out);
                self.give(Named::Signature(signature));
            }
        }
        self.out.push(code::END_BLOCK_DATA);
        match class.parent {
            Some(parent) => self.descriptor(parent),
            None => self.out.push(code::NULL),
        }
    }

    fn plain_utf(&mut self, text: &str) {
        self.out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.out.extend_from_slice(text.as_bytes());
    }

    fn refer(&mut self, name: Named) -> bool {
        let Some((_, handle)) = self.known.iter().find(|(known, _)| *known == name) else { return false };
        self.out.push(code::REFERENCE);
        self.out.extend_from_slice(&(FIRST_HANDLE + handle).to_be_bytes());
        true
    }

    fn give(&mut self, name: Named) {
        self.known.push((name, self.handles));
        self.handles += 1;
    }
}

/// One record of primitive data.
pub(super) fn block_record(bytes: &[u8], out: &mut Vec<u8>) {
    match u8::try_from(bytes.len()) {
        Ok(length) => out.extend_from_slice(&[code::BLOCK_DATA, length]),
        Err(_) => {
            out.push(code::BLOCK_DATA_LONG);
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

/// A string with its tag and length.
pub(super) fn string(text: &[u8], out: &mut Vec<u8>) {
    match u16::try_from(text.len()) {
        Ok(length) => {
            out.push(code::STRING);
            out.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            out.push(code::LONG_STRING);
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}
