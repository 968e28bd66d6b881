// SPDX-License-Identifier: Apache-2.0
//! The value of an attribute as it lies in memory. Java's serialization repeats itself, so that what is long enough is packed.

use std::borrow::Cow;

use crate::wire::stream::Value;

/// Bytes below which nothing is gained.
const SHORT: usize = 200;
/// Bytes above which packing would keep everybody waiting for milliseconds.
const LONG: usize = 4 << 20;

/// A value of which the bytes are read seldom.
#[derive(Clone)]
pub struct Held(Form);

#[derive(Clone)]
enum Form {
    Plain(Value),
    /// The length, and a block of LZ4.
    Packed(Box<[u8]>),
}

impl Held {
    /// How many bytes the value has.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Plain(value) => value.as_bytes().len(),
            Form::Packed(packed) => unpacked_length(packed),
        }
    }

    /// A value is never empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value.
    pub fn value(&self) -> Cow<'_, Value> {
        match &self.0 {
            Form::Plain(value) => Cow::Borrowed(value),
            // What is packed was packed here, or looked at when it was read.
            Form::Packed(packed) => Cow::Owned(Value::from_bytes(unpack(packed).unwrap_or_default())),
        }
    }

    /// As it lies in the vault: one byte for the form, and what is held.
    pub fn to_stored(&self) -> Vec<u8> {
        let (form, bytes) = match &self.0 {
            Form::Plain(value) => (PLAIN, value.as_bytes()),
            Form::Packed(packed) => (PACKED, &**packed),
        };
        let mut stored = Vec::with_capacity(bytes.len() + 1);
        stored.push(form);
        stored.extend_from_slice(bytes);
        stored
    }

    /// What [`Held::to_stored`] gave; `None` if the bytes are nothing of the kind.
    pub fn from_stored(stored: &[u8]) -> Option<Held> {
        let (form, bytes) = stored.split_first()?;
        match *form {
            PLAIN => Some(Held(Form::Plain(Value::from_bytes(bytes.to_vec())))),
            PACKED if unpack(bytes).is_some() => Some(Held(Form::Packed(bytes.into()))),
            _ => None,
        }
    }
}

const PLAIN: u8 = 0;
const PACKED: u8 = 1;

fn unpacked_length(packed: &[u8]) -> usize {
    packed.first_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize)
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    // Nothing is packed to less than a 255th.
    let is_likely = unpacked_length(packed) <= packed.len().saturating_mul(256);
    is_likely.then(|| lz4_flex::decompress_size_prepended(packed).ok())?
}

impl From<Value> for Held {
    fn from(value: Value) -> Held {
        let bytes = value.as_bytes();
        if (SHORT..=LONG).contains(&bytes.len()) {
            let packed = lz4_flex::compress_prepend_size(bytes);
            if packed.len() < bytes.len() - bytes.len() / 8 {
                return Held(Form::Packed(packed.into_boxed_slice()));
            }
        }
        Held(Form::Plain(value))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Held) -> bool {
        self.value() == other.value()
    }
}

impl Eq for Held {}

impl std::fmt::Debug for Held {
    /// Values are users' data: only their size is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_repeats_itself_is_packed_and_the_rest_is_not() {
        let packed = |value: Value| matches!(Held::from(value).0, Form::Packed(_));
        assert!(packed(Value::string(&b"item ".repeat(200))));
        assert!(!packed(Value::string(b"short")));
        let noise: Vec<u8> = (0..1000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert!(!packed(Value::string(&noise)));
    }

    proptest! {
        #[test]
        fn bytes_of_a_damaged_vault_are_told_from_values(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(held) = Held::from_stored(&bytes) {
                prop_assert_eq!(held.value().as_bytes().len(), held.len());
            }
        }

        #[test]
        fn every_value_comes_back(part in prop::collection::vec(any::<u8>(), 0..60), times in 1usize..50) {
            let value = Value::string(&part.repeat(times));
            let held = Held::from(value.clone());
            prop_assert_eq!(held.len(), value.as_bytes().len());
            prop_assert_eq!(Held::from_stored(&held.to_stored()), Some(held.clone()));
            prop_assert_eq!(held.value().into_owned(), value);
        }
    }
}
