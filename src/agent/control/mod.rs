// SPDX-License-Identifier: Apache-2.0
//! The administrator's hands: questions over a Unix socket that only the agent's own user and root may open.

mod protocol;
mod server;
mod sessions;
mod socket;

pub use protocol::{Answer, Attribute, MemberLine, Question, SessionLine, Status, Stored};
pub use server::{Facts, serve};
pub use sessions::{line, read_stored_bytes, stored};
pub use socket::{ControlError, Listener, listen};

/// Bytes of the longest line but an imported session.
pub const LONGEST_QUESTION: usize = 64 << 10;

/// Bytes as text: two digits each.
pub fn to_hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes that [`to_hexadecimal`] wrote; `None` if the text is none.
pub fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_as_text_come_back_and_other_text_is_none() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hexadecimal(&to_hexadecimal(&bytes)), Some(bytes));
        assert_eq!(from_hexadecimal("abc"), None);
        assert_eq!(from_hexadecimal("x0"), None);
        assert_eq!(from_hexadecimal("é"), None);
    }
}
