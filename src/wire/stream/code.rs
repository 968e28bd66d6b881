// SPDX-License-Identifier: Apache-2.0
//! Tags and flags of the Java Object Serialization Stream Protocol, version 5.

/// What every stream begins with: magic and version.
pub const HEADER: [u8; 4] = [0xac, 0xed, 0x00, 0x05];

/// The first handle of a table.
pub const FIRST_HANDLE: u32 = 0x007e_0000;

pub const NULL: u8 = 0x70;
pub const REFERENCE: u8 = 0x71;
pub const CLASS_DESC: u8 = 0x72;
pub const OBJECT: u8 = 0x73;
pub const STRING: u8 = 0x74;
pub const ARRAY: u8 = 0x75;
pub const CLASS: u8 = 0x76;
pub const BLOCK_DATA: u8 = 0x77;
pub const END_BLOCK_DATA: u8 = 0x78;
pub const RESET: u8 = 0x79;
pub const BLOCK_DATA_LONG: u8 = 0x7a;
pub const EXCEPTION: u8 = 0x7b;
pub const LONG_STRING: u8 = 0x7c;
pub const PROXY_CLASS_DESC: u8 = 0x7d;
pub const ENUM: u8 = 0x7e;

/// Flags of a class descriptor.
pub mod flag {
    /// The class has a `writeObject` of its own: an annotation follows its fields.
    pub const WRITE_METHOD: u8 = 0x01;
    pub const SERIALIZABLE: u8 = 0x02;
    pub const EXTERNALIZABLE: u8 = 0x04;
    /// External data comes as block data with an end mark.
    pub const BLOCK_DATA: u8 = 0x08;
    pub const ENUM: u8 = 0x10;
}

/// How many bytes a primitive of this type code takes; `None` for objects, arrays and unknown codes.
pub fn width(code: u8) -> Option<usize> {
    match code {
        b'B' | b'Z' => Some(1),
        b'C' | b'S' => Some(2),
        b'I' | b'F' => Some(4),
        b'J' | b'D' => Some(8),
        _ => None,
    }
}
