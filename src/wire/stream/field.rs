// SPDX-License-Identifier: Apache-2.0
//! The fields of an object, found again from its marks.

use super::code::{self, flag};
use super::parse::{Item, Kind, Mark, Parsed, Production};

/// Primitive bytes, or a value and its marks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Raw<'a> {
    Primitive(&'a [u8]),
    Marks(Item, (u32, u32)),
}

/// Goes through the data of an object.
struct Cursor<'a> {
    bytes: &'a [u8],
    parsed: &'a Parsed,
    mark: usize,
    /// Offset in the bytes of a raw mark; 0 at its beginning.
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Behind the handle of a production.
    fn behind_handle(bytes: &'a [u8], parsed: &'a Parsed, production: &Production) -> Option<Self> {
        let Some(Mark::Begin(id)) = parsed.marks.get(production.begin as usize) else { return None };
        let marks = parsed.marks.get(production.begin as usize..production.end as usize)?;
        let assigned = marks.iter().position(|mark| *mark == Mark::Assign(*id))?;
        Some(Self { bytes, parsed, mark: production.begin as usize + assigned + 1, at: 0 })
    }

    /// The raw bytes that begin here.
    fn raw(&self) -> Option<&'a [u8]> {
        match self.parsed.marks.get(self.mark)? {
            Mark::Raw { from, to } => self.bytes.get(*from as usize + self.at..*to as usize),
            _ => None,
        }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        if count == 0 {
            return Some(&[]);
        }
        let raw = self.raw()?;
        let taken = raw.get(..count)?;
        self.at += count;
        if raw.len() == count {
            (self.mark, self.at) = (self.mark + 1, 0);
        }
        Some(taken)
    }

    fn value(&mut self) -> Option<Raw<'a>> {
        let first = u32::try_from(self.mark).ok()?;
        match *self.parsed.marks.get(self.mark)? {
            Mark::Raw { .. } => {
                // The marks of null are not its own, but only the item counts.
                (self.take(1)? == [code::NULL]).then_some(Raw::Marks(Item::Null, (first, first)))
            }
            Mark::Begin(id) => {
                self.mark = self.parsed.productions[id as usize].end as usize;
                Some(Raw::Marks(Item::Production(id), (first, u32::try_from(self.mark).ok()?)))
            }
            Mark::Reference(id) => {
                self.mark += 1;
                Some(Raw::Marks(Item::Production(id), (first, first + 1)))
            }
            Mark::Assign(_) | Mark::End(_) => None,
        }
    }
}

pub(super) fn of<'a>(
    bytes: &'a [u8],
    parsed: &'a Parsed,
    production: &Production,
) -> Option<Vec<(&'a [u8], Raw<'a>)>> {
    let Kind::Object { class } = production.kind else { return None };
    let mut chain = Vec::new();
    let mut next = Some(class);
    while let Some(class) = next {
        let class = &parsed.classes[class as usize];
        if class.is_proxy || class.flags & (flag::WRITE_METHOD | flag::EXTERNALIZABLE) != 0 {
            return None;
        }
        chain.push(class);
        next = class.parent;
    }
    let mut cursor = Cursor::behind_handle(bytes, parsed, production)?;
    let mut fields = Vec::new();
    for class in chain.into_iter().rev().filter(|class| class.flags & flag::SERIALIZABLE != 0) {
        for (kind, from, to) in &class.fields {
            let name = &bytes[*from as usize..*to as usize];
            let field = match code::width(*kind) {
                Some(width) => Raw::Primitive(cursor.take(width)?),
                None => cursor.value()?,
            };
            fields.push((name, field));
        }
    }
    Some(fields)
}

pub(super) fn external<'a>(
    bytes: &'a [u8],
    parsed: &'a Parsed,
    production: &Production,
) -> Option<Vec<Raw<'a>>> {
    let Kind::Object { class } = production.kind else { return None };
    if parsed.classes[class as usize].flags & flag::EXTERNALIZABLE == 0 {
        return None;
    }
    let mut cursor = Cursor::behind_handle(bytes, parsed, production)?;
    let mut parts = Vec::new();
    loop {
        let length = match cursor.raw().and_then(|raw| raw.first()) {
            Some(&code::END_BLOCK_DATA) => return Some(parts),
            Some(&code::BLOCK_DATA) => usize::from(cursor.take(2)?[1]),
            Some(&code::BLOCK_DATA_LONG) => {
                usize::try_from(u32::from_be_bytes(cursor.take(5)?[1..].try_into().ok()?)).ok()?
            }
            _ => {
                parts.push(cursor.value()?);
                continue;
            }
        };
        parts.push(Raw::Primitive(cursor.take(length)?));
    }
}
