// SPDX-License-Identifier: Apache-2.0
//! Messages in pieces (`FragmentationInterceptor`), compressed (`GzipInterceptor`) and numbered (`OrderInterceptor`).

use std::collections::HashMap;
use std::io::Read;

use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};

use super::error::ClusterError;

/// How long pieces wait for the others (`expire`), in milliseconds.
const EXPIRES: i64 = 60_000;
/// How many messages may be incomplete at once.
const INCOMPLETE: usize = 1024;

/// Puts pieces together.
#[derive(Debug, Default)]
pub struct Fragments {
    waiting: HashMap<[u8; 16], Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    pieces: Vec<Option<Vec<u8>>>,
    since: i64,
}

impl Fragments {
    /// Takes a payload with its trailer: the whole payload, or `None` while pieces are missing. `limit`: bytes of all pieces
    /// that wait; `now` in milliseconds.
    ///
    /// # Errors
    /// There is no trailer, or it makes no sense.
    pub fn take(
        &mut self,
        unique_id: [u8; 16],
        mut payload: Vec<u8>,
        now: i64,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, ClusterError> {
        const WHAT: &str = "the trailer of a piece";
        self.expire(now);
        match payload.pop() {
            Some(0) => return Ok(Some(payload)),
            Some(1) => {}
            _ => return Err(ClusterError::Mark(WHAT)),
        }
        let at = payload.len().checked_sub(8).ok_or(ClusterError::Truncated(WHAT))?;
        let trailer = payload.split_off(at);
        let number = |at: usize| {
            let bytes = [trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]];
            usize::try_from(i32::from_be_bytes(bytes)).map_err(|_| ClusterError::Mark(WHAT))
        };
        let (index, count) = (number(0)?, number(4)?);
        if index >= count || count > limit / 8 + 1 {
            return Err(ClusterError::Mark(WHAT));
        }
        if self.bytes + payload.len() > limit || self.waiting.len() >= INCOMPLETE {
            return Err(ClusterError::TooLarge { length: (self.bytes + payload.len()) as u64, limit });
        }
        let waiting = self
            .waiting
            .entry(unique_id)
            .or_insert_with(|| Waiting { pieces: vec![None; count], since: now });
        if waiting.pieces.len() != count {
            return Err(ClusterError::Mark(WHAT));
        }
        if waiting.pieces[index].is_none() {
            self.bytes += payload.len();
            waiting.pieces[index] = Some(payload);
        }
        if waiting.pieces.iter().any(Option::is_none) {
            return Ok(None);
        }
        let whole: Vec<u8> = self
            .waiting
            .remove(&unique_id)
            .into_iter()
            .flat_map(|done| done.pieces)
            .flatten()
            .flatten()
            .collect();
        self.bytes -= whole.len();
        Ok(Some(whole))
    }

    fn expire(&mut self, now: i64) {
        let mut bytes = 0;
        self.waiting.retain(|_, waiting| {
            let is_kept = now - waiting.since <= EXPIRES;
            if is_kept {
                bytes += waiting.pieces.iter().flatten().map(Vec::len).sum::<usize>();
            }
            is_kept
        });
        self.bytes = bytes;
    }
}

/// Cuts a payload into pieces of at most `size` bytes, each with its trailer.
pub fn cut(payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    if payload.len() <= size {
        let mut whole = payload.to_vec();
        whole.push(0);
        return vec![whole];
    }
    let pieces = payload.chunks(size.max(1));
    let count = super::member::length_of(pieces.len());
    pieces
        .enumerate()
        .map(|(index, piece)| {
            let mut piece = piece.to_vec();
            piece.extend_from_slice(&super::member::length_of(index));
            piece.extend_from_slice(&count);
            piece.push(1);
            piece
        })
        .collect()
}

/// Uncompresses a payload to at most `limit` bytes.
///
/// # Errors
/// It is not compressed so, or larger.
pub fn uncompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, ClusterError> {
    let mut out = Vec::new();
    let mut reader = GzDecoder::new(bytes).take(limit as u64 + 1);
    reader.read_to_end(&mut out).map_err(|error| ClusterError::Compression(error.to_string()))?;
    if out.len() > limit {
        return Err(ClusterError::TooLarge { length: out.len() as u64, limit });
    }
    Ok(out)
}

/// Compresses a payload.
///
/// # Errors
/// Never in practice.
pub fn compress(bytes: &[u8]) -> Result<Vec<u8>, ClusterError> {
    let mut out = Vec::new();
    let mut reader = GzEncoder::new(bytes, Compression::default());
    reader.read_to_end(&mut out).map_err(|error| ClusterError::Compression(error.to_string()))?;
    Ok(out)
}

/// Takes the number off the end of a payload (`OrderInterceptor`).
///
/// # Errors
/// There is none.
pub fn split_number(mut payload: Vec<u8>) -> Result<(i32, Vec<u8>), ClusterError> {
    let what = "the number of a message";
    let at = payload.len().checked_sub(4).ok_or(ClusterError::Truncated(what))?;
    let number = payload.split_off(at);
    let number = number.try_into().map_err(|_| ClusterError::Truncated(what))?;
    Ok((i32::from_be_bytes(number), payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    #[test]
    fn pieces_come_together_in_any_order() {
        let payload: Vec<u8> = (0..=255).cycle().take(2500).collect();
        let mut pieces = cut(&payload, 1000);
        assert_eq!(pieces.len(), 3);
        pieces.reverse();
        let mut fragments = Fragments::default();
        let last = pieces.pop().unwrap();
        for piece in pieces {
            assert_eq!(fragments.take([1; 16], piece.clone(), 0, LIMIT), Ok(None));
            // A piece that comes twice is one piece.
            assert_eq!(fragments.take([1; 16], piece, 0, LIMIT), Ok(None));
        }
        assert_eq!(fragments.take([1; 16], last, 0, LIMIT), Ok(Some(payload)));
        assert_eq!(fragments.bytes, 0);
    }

    #[test]
    fn small_payloads_pass_whole() {
        let mut fragments = Fragments::default();
        let whole = cut(b"payload", 1000).remove(0);
        assert_eq!(fragments.take([1; 16], whole, 0, LIMIT), Ok(Some(b"payload".to_vec())));
    }

    #[test]
    fn pieces_that_wait_are_bounded_and_given_up() {
        let mut fragments = Fragments::default();
        let piece = cut(&[0; 2000], 1500).remove(0);
        assert_eq!(fragments.take([1; 16], piece.clone(), 0, 2000), Ok(None));
        assert!(fragments.take([2; 16], piece.clone(), 0, 2000).is_err());
        assert_eq!(fragments.take([2; 16], piece, EXPIRES + 1, 2000), Ok(None));
    }

    #[test]
    fn trailers_that_make_no_sense_are_refused() {
        let mut fragments = Fragments::default();
        for payload in [
            vec![],
            vec![2],
            vec![1],
            [[0; 4], [0; 4]].concat().into_iter().chain([1]).collect(),
            [[0xff; 4], [0, 0, 0, 2]].concat().into_iter().chain([1]).collect(),
            [[0; 4], [0x7f, 0xff, 0xff, 0xff]].concat().into_iter().chain([1]).collect(),
        ] {
            assert!(fragments.take([1; 16], payload, 0, LIMIT).is_err());
        }
    }

    #[test]
    fn compressed_payloads_are_bounded() {
        let packed = compress(&[0; 100_000]).unwrap();
        assert_eq!(uncompress(&packed, LIMIT).unwrap().len(), 100_000);
        assert!(uncompress(&packed, 99_999).is_err());
        assert!(uncompress(b"no gzip", LIMIT).is_err());
    }
}
