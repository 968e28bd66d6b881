// SPDX-License-Identifier: Apache-2.0
//! Encrypted payloads (`EncryptInterceptor`): AES in GCM and CBC mode, with and without the time in front.

use std::collections::{HashSet, VecDeque};
use std::fmt;

use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{AesGcm, Nonce};

use super::error::ClusterError;

/// Mode of `encryptionAlgorithm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `AES/GCM/NoPadding`
    Gcm,
    /// `AES/CBC/PKCS5Padding`
    Cbc,
}

impl Mode {
    /// Bytes of the initialisation vector in front of what is encrypted.
    pub fn vector_length(self) -> usize {
        match self {
            Self::Gcm => 12,
            Self::Cbc => 16,
        }
    }

    /// The mode of an `encryptionAlgorithm`.
    pub fn from_name(name: &str) -> Option<Mode> {
        match name.to_ascii_uppercase().as_str() {
            "AES/GCM/NOPADDING" => Some(Self::Gcm),
            "AES/CBC/PKCS5PADDING" | "AES/CBC/PKCS7PADDING" => Some(Self::Cbc),
            _ => None,
        }
    }
}

/// What is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The payload alone: Tomcat up to 9.0.118, 10.1.55, 11.0.22.
    Plain,
    /// The time of sending and the payload: later versions.
    Timestamped,
}

/// How a cluster encrypts.
pub struct Cipher {
    mode: Mode,
    form: Form,
    key: Vec<u8>,
}

impl fmt::Debug for Cipher {
    /// The key is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cipher({:?}, {:?}, {} bits)", self.mode, self.form, self.key.len() * 8)
    }
}

type Gcm192 = AesGcm<aes::Aes192, aes_gcm::aead::consts::U12>;

impl Cipher {
    /// `None`: no AES key has this length (16, 24 or 32 bytes).
    pub fn new(mode: Mode, form: Form, key: Vec<u8>) -> Option<Cipher> {
        matches!(key.len(), 16 | 24 | 32).then_some(Cipher { mode, form, key })
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn form(&self) -> Form {
        self.form
    }

    /// Encrypts a payload that is sent at `timestamp`. `vector` must be random, of [`Mode::vector_length`] bytes, and never be
    /// used twice.
    ///
    /// # Errors
    /// The vector has another length, or the payload is too large for the mode.
    pub fn encrypt(&self, vector: &[u8], timestamp: i64, payload: &[u8]) -> Result<Vec<u8>, ClusterError> {
        if vector.len() != self.mode.vector_length() {
            return Err(ClusterError::Decrypt);
        }
        let mut plain = Vec::with_capacity(payload.len() + 8);
        if self.form == Form::Timestamped {
            plain.extend_from_slice(&timestamp.to_be_bytes());
        }
        plain.extend_from_slice(payload);
        let sealed = match self.mode {
            Mode::Gcm => self.seal_gcm(vector, &plain),
            Mode::Cbc => self.seal_cbc(vector, &plain),
        };
        let mut out = vector.to_vec();
        out.extend_from_slice(&sealed.ok_or(ClusterError::Decrypt)?);
        Ok(out)
    }

    /// Decrypts a payload: the time it was sent, where the form has it, and the payload inside. Whether it was there before
    /// is asked of a [`ReplayWindow`].
    ///
    /// # Errors
    /// It was encrypted in another way.
    pub fn decrypt(&self, bytes: &[u8]) -> Result<(Option<i64>, Vec<u8>), ClusterError> {
        let (vector, sealed) =
            bytes.split_at_checked(self.mode.vector_length()).ok_or(ClusterError::Decrypt)?;
        let plain = match self.mode {
            Mode::Gcm => self.open_gcm(vector, sealed),
            Mode::Cbc => self.open_cbc(vector, sealed),
        };
        let mut plain = plain.ok_or(ClusterError::Decrypt)?;
        match self.form {
            Form::Plain => Ok((None, plain)),
            Form::Timestamped => {
                let time = plain.first_chunk().map(|time| i64::from_be_bytes(*time));
                let time = time.ok_or(ClusterError::Decrypt)?;
                plain.drain(..8);
                Ok((Some(time), plain))
            }
        }
    }

    fn seal_gcm(&self, vector: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let nonce = Nonce::try_from(vector).ok()?;
        match self.key.len() {
            16 => aes_gcm::Aes128Gcm::new_from_slice(&self.key).ok()?.encrypt(&nonce, plain).ok(),
            24 => Gcm192::new_from_slice(&self.key).ok()?.encrypt(&nonce, plain).ok(),
            _ => aes_gcm::Aes256Gcm::new_from_slice(&self.key).ok()?.encrypt(&nonce, plain).ok(),
        }
    }

    fn open_gcm(&self, vector: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let nonce = Nonce::try_from(vector).ok()?;
        match self.key.len() {
            16 => aes_gcm::Aes128Gcm::new_from_slice(&self.key).ok()?.decrypt(&nonce, sealed).ok(),
            24 => Gcm192::new_from_slice(&self.key).ok()?.decrypt(&nonce, sealed).ok(),
            _ => aes_gcm::Aes256Gcm::new_from_slice(&self.key).ok()?.decrypt(&nonce, sealed).ok(),
        }
    }

    fn seal_cbc(&self, vector: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let key = &self.key;
        Some(match key.len() {
            16 => cbc::Encryptor::<aes::Aes128>::new_from_slices(key, vector)
                .ok()?
                .encrypt_padded_vec::<Pkcs7>(plain),
            24 => cbc::Encryptor::<aes::Aes192>::new_from_slices(key, vector)
                .ok()?
                .encrypt_padded_vec::<Pkcs7>(plain),
            _ => cbc::Encryptor::<aes::Aes256>::new_from_slices(key, vector)
                .ok()?
                .encrypt_padded_vec::<Pkcs7>(plain),
        })
    }

    fn open_cbc(&self, vector: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let key = &self.key;
        match key.len() {
            16 => cbc::Decryptor::<aes::Aes128>::new_from_slices(key, vector)
                .ok()?
                .decrypt_padded_vec::<Pkcs7>(sealed)
                .ok(),
            24 => cbc::Decryptor::<aes::Aes192>::new_from_slices(key, vector)
                .ok()?
                .decrypt_padded_vec::<Pkcs7>(sealed)
                .ok(),
            _ => cbc::Decryptor::<aes::Aes256>::new_from_slices(key, vector)
                .ok()?
                .decrypt_padded_vec::<Pkcs7>(sealed)
                .ok(),
        }
    }
}

/// How many vectors are remembered (`replayWindowMessageCount`).
const REMEMBERED: usize = 8192;
/// How far clocks may differ, in milliseconds (`replayWindowTime`).
const WINDOW: i64 = 10_000;

/// Tells messages that come a second time.
#[derive(Debug, Default)]
pub struct ReplayWindow {
    known: HashSet<Box<[u8]>>,
    order: VecDeque<(Box<[u8]>, i64)>,
    /// The newest time that was forgotten.
    forgotten: i64,
}

impl ReplayWindow {
    /// Takes a message with a time, or refuses it. `now` in milliseconds since 1970.
    ///
    /// # Errors
    /// It is too old, too far ahead, or was there before.
    pub fn accept(&mut self, vector: &[u8], time: i64, now: i64) -> Result<(), ClusterError> {
        let is_near = now.saturating_sub(time).saturating_abs() <= WINDOW;
        if !is_near || time <= self.forgotten || self.known.contains(vector) {
            return Err(ClusterError::Replayed);
        }
        if self.order.len() >= REMEMBERED
            && let Some((oldest, time)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
            self.forgotten = self.forgotten.max(time);
        }
        self.known.insert(vector.into());
        self.order.push_back((vector.into(), time));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_form_and_key_length_comes_back() {
        for mode in [Mode::Gcm, Mode::Cbc] {
            for form in [Form::Plain, Form::Timestamped] {
                for length in [16, 24, 32] {
                    let cipher = Cipher::new(mode, form, vec![9; length]).unwrap();
                    let vector = vec![3; mode.vector_length()];
                    for payload in [b"".as_slice(), b"0123456789abcdef", &[7; 1000]] {
                        let sealed = cipher.encrypt(&vector, 42, payload).unwrap();
                        let (time, opened) = cipher.decrypt(&sealed).unwrap();
                        assert_eq!(
                            (time, opened.as_slice()),
                            ((form == Form::Timestamped).then_some(42), payload)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_was_changed_or_encrypted_otherwise_is_refused() {
        let cipher = Cipher::new(Mode::Gcm, Form::Timestamped, vec![9; 16]).unwrap();
        let mut sealed = cipher.encrypt(&[1; 12], 42, b"payload").unwrap();
        let other = Cipher::new(Mode::Gcm, Form::Timestamped, vec![8; 16]).unwrap();
        assert_eq!(other.decrypt(&sealed), Err(ClusterError::Decrypt));
        sealed[15] ^= 1;
        assert_eq!(cipher.decrypt(&sealed), Err(ClusterError::Decrypt));
        for end in 0..13 {
            assert_eq!(cipher.decrypt(&sealed[..end]), Err(ClusterError::Decrypt));
        }
        assert!(Cipher::new(Mode::Gcm, Form::Plain, vec![0; 17]).is_none());
    }

    #[test]
    fn a_message_is_taken_once_and_only_while_it_is_new() {
        let mut window = ReplayWindow::default();
        assert_eq!(window.accept(b"a", 100_000, 100_000), Ok(()));
        assert_eq!(window.accept(b"a", 100_000, 100_000), Err(ClusterError::Replayed));
        assert_eq!(window.accept(b"b", 89_999, 100_000), Err(ClusterError::Replayed));
        assert_eq!(window.accept(b"c", 110_001, 100_000), Err(ClusterError::Replayed));
        assert_eq!(window.accept(b"d", 90_000, 100_000), Ok(()));
    }

    #[test]
    fn what_was_forgotten_is_refused_by_its_time() {
        let mut window = ReplayWindow::default();
        for number in 0..=REMEMBERED as i64 {
            window.accept(&number.to_be_bytes(), 100_000 + number, 100_000).unwrap();
        }
        assert_eq!(window.accept(&0_i64.to_be_bytes(), 100_000, 100_000), Err(ClusterError::Replayed));
    }
}
