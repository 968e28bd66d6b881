// SPDX-License-Identifier: Apache-2.0
//! The interceptors that change messages: undone for what comes, done for what goes, in the order of server.xml.

use std::collections::HashMap;

use crate::agent::settings::Interceptor;
use crate::wire::cluster::encrypt::{Cipher, Form, ReplayWindow};
use crate::wire::cluster::fragment::{Fragments, compress, cut, split_number, uncompress};
use crate::wire::cluster::frame::{PING, PROBE};
use crate::wire::cluster::{ChannelData, ClusterError, Identity, Options};

/// `maxSize` of FragmentationInterceptor.
const DEFAULT_PIECE: usize = 102_400;

/// What is done to messages.
#[derive(Debug)]
pub struct Stack {
    interceptors: Vec<Interceptor>,
    cipher: Option<Cipher>,
    window: ReplayWindow,
    fragments: Fragments,
    piece: usize,
    limit: usize,
    /// Numbers of the messages sent to each member.
    sent: HashMap<Identity, i32>,
}

impl Stack {
    /// `limit`: bytes that a message may have, and those that wait for their other pieces.
    pub fn new(
        interceptors: Vec<Interceptor>,
        cipher: Option<Cipher>,
        piece: Option<usize>,
        limit: usize,
    ) -> Stack {
        Stack {
            interceptors,
            cipher,
            window: ReplayWindow::default(),
            fragments: Fragments::default(),
            piece: piece.unwrap_or(DEFAULT_PIECE),
            limit,
            sent: HashMap::new(),
        }
    }

    /// Is it only to see whether somebody is there? Such messages pass no interceptor.
    pub fn is_probe(payload: &[u8]) -> bool {
        payload == PROBE || payload == PING
    }

    /// Undoes what the sender's interceptors did; `None` while pieces are missing. `now`: milliseconds since 1970.
    ///
    /// # Errors
    /// The sender has other interceptors or another key.
    pub fn undo(&mut self, message: ChannelData, now: i64) -> Result<Option<Vec<u8>>, ClusterError> {
        let ChannelData { options, unique_id, mut payload, .. } = message;
        for interceptor in self.interceptors.iter().rev() {
            payload = match interceptor {
                Interceptor::GzipInterceptor if options.has(Options::GZIP) => {
                    uncompress(&payload, self.limit)?
                }
                Interceptor::GzipInterceptor => payload,
                Interceptor::EncryptInterceptor => match &self.cipher {
                    Some(cipher) => {
                        let (time, plain) = cipher.decrypt(&payload)?;
                        if let Some(time) = time {
                            let vector = &payload[..cipher.mode().vector_length()];
                            self.window.accept(vector, time, now)?;
                        }
                        plain
                    }
                    None => payload,
                },
                Interceptor::FragmentationInterceptor => {
                    match self.fragments.take(unique_id, payload, now, self.limit)? {
                        Some(whole) => whole,
                        None => return Ok(None),
                    }
                }
                // Sessions order themselves; holding back what came early would only be slower.
                Interceptor::OrderInterceptor => split_number(payload)?.1,
            };
        }
        Ok(Some(payload))
    }

    /// Payloads to send in place of this one, all under the same id, and what is added to the options.
    ///
    /// # Errors
    /// No random numbers.
    pub fn apply(
        &mut self,
        to: &Identity,
        payload: Vec<u8>,
        timestamp: i64,
    ) -> Result<(Vec<Vec<u8>>, Options), ClusterError> {
        let mut payloads = vec![payload];
        let mut options = Options::default();
        for interceptor in self.interceptors.clone() {
            let mut next = Vec::with_capacity(payloads.len());
            for payload in payloads {
                match interceptor {
                    Interceptor::GzipInterceptor => {
                        options = options.with(Options::GZIP);
                        next.push(compress(&payload)?);
                    }
                    Interceptor::EncryptInterceptor => next.push(self.encrypt(payload, timestamp)?),
                    Interceptor::FragmentationInterceptor => next.extend(cut(&payload, self.piece)),
                    Interceptor::OrderInterceptor => next.push(self.number(to, payload)),
                }
            }
            payloads = next;
        }
        Ok((payloads, options))
    }

    /// Must a message that is sent once more be encrypted anew? The same bytes would be taken for a replay.
    pub fn needs_new_bytes(&self) -> bool {
        self.cipher.as_ref().is_some_and(|cipher| cipher.form() == Form::Timestamped)
    }

    /// A member is gone; its numbers begin anew.
    pub fn forget(&mut self, member: &Identity) {
        self.sent.remove(member);
    }

    fn encrypt(&self, payload: Vec<u8>, timestamp: i64) -> Result<Vec<u8>, ClusterError> {
        let Some(cipher) = &self.cipher else { return Ok(payload) };
        let mut vector = [0; 16];
        let vector = &mut vector[..cipher.mode().vector_length()];
        getrandom::fill(vector).map_err(|_| ClusterError::Decrypt)?;
        cipher.encrypt(vector, timestamp, &payload)
    }

    fn number(&mut self, to: &Identity, mut payload: Vec<u8>) -> Vec<u8> {
        let number = self.sent.entry(*to).or_insert(0);
        *number = number.wrapping_add(1);
        payload.extend_from_slice(&number.to_be_bytes());
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cluster::Member;
    use crate::wire::cluster::encrypt::Mode;

    const ALL: [Interceptor; 4] = [
        Interceptor::GzipInterceptor,
        Interceptor::EncryptInterceptor,
        Interceptor::FragmentationInterceptor,
        Interceptor::OrderInterceptor,
    ];

    fn stack() -> Stack {
        let cipher = Cipher::new(Mode::Gcm, Form::Timestamped, vec![1; 16]);
        Stack::new(ALL.to_vec(), cipher, Some(100), 1 << 20)
    }

    #[test]
    fn what_one_stack_does_another_undoes() {
        let member = Member::new("10.0.0.1:4000".parse().unwrap(), [1; 16]);
        let payload: Vec<u8> =
            (0..1000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let (pieces, options) = stack().apply(&member.identity(), payload.clone(), 5_000).unwrap();
        assert!(pieces.len() > 5);
        let mut receiver = stack();
        let mut whole = None;
        for piece in pieces {
            let message = ChannelData {
                options,
                timestamp: 5_000,
                unique_id: [9; 16],
                sender: member.clone(),
                payload: piece,
            };
            whole = receiver.undo(message, 5_000).unwrap();
        }
        assert_eq!(whole, Some(payload));
    }

    #[test]
    fn numbers_count_for_each_member() {
        let mut stack = Stack::new(vec![Interceptor::OrderInterceptor], None, None, 1000);
        let one = Member::new("10.0.0.1:4000".parse().unwrap(), [1; 16]).identity();
        let two = Member::new("10.0.0.2:4000".parse().unwrap(), [1; 16]).identity();
        let mut last = |to: &Identity| stack.apply(to, vec![], 0).unwrap().0[0][3];
        assert_eq!([last(&one), last(&one), last(&two)], [1, 2, 1]);
    }
}
