// SPDX-License-Identifier: Apache-2.0
//! Writing productions of one stream into another: references lead to the same things, under new handles.
//!
//! What a value refers to outside of itself is written in its place the first time. Whatever has been written already
//! becomes a reference, so shared and cyclic objects stay what they are.

use std::collections::HashMap;

use super::code::{FIRST_HANDLE, REFERENCE};
use super::error::{StreamError, Why};
use super::parse::{Mark, Parsed, ProductionId};

/// The handles of the stream that is written.
#[derive(Debug, Default)]
pub(super) struct Handles {
    given: HashMap<ProductionId, u32>,
    count: u32,
}

impl Handles {
    /// After a reset.
    pub fn clear(&mut self) {
        self.given.clear();
        self.count = 0;
    }
}

/// Writes the marks from `first` up to `last` to `out`, which may grow to `limit` bytes.
pub(super) fn emit(
    bytes: &[u8],
    parsed: &Parsed,
    (first, last): (u32, u32),
    handles: &mut Handles,
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), StreamError> {
    let mut next = first as usize;
    let mut end = last as usize;
    // Where to go on after what was written in place of a reference.
    let mut returns: Vec<(usize, usize)> = Vec::new();
    loop {
        while next >= end {
            let Some((outer_next, outer_end)) = returns.pop() else { return Ok(()) };
            (next, end) = (outer_next, outer_end);
        }
        if out.len() > limit {
            return Err(StreamError { at: out.len(), why: Why::TooLarge });
        }
        match parsed.marks[next] {
            Mark::Raw { from, to } => {
                out.extend_from_slice(&bytes[from as usize..to as usize]);
                next += 1;
            }
            Mark::Begin(id) => {
                next += 1;
                if write_reference(handles, id, out) {
                    next = parsed.productions[id as usize].end as usize;
                }
            }
            Mark::Assign(id) => {
                handles.given.insert(id, handles.count);
                handles.count += 1;
                next += 1;
            }
            Mark::End(_) => next += 1,
            Mark::Reference(id) => {
                next += 1;
                if !write_reference(handles, id, out) {
                    let production = &parsed.productions[id as usize];
                    returns.push((next, end));
                    (next, end) = (production.begin as usize, production.end as usize);
                }
            }
        }
    }
}

fn write_reference(handles: &Handles, id: ProductionId, out: &mut Vec<u8>) -> bool {
    let Some(handle) = handles.given.get(&id) else { return false };
    out.push(REFERENCE);
    out.extend_from_slice(&(FIRST_HANDLE + handle).to_be_bytes());
    true
}
