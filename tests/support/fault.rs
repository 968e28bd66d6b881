// SPDX-License-Identifier: Apache-2.0
//! The recorded ways in which a back end misbehaves, as scripts for [`super::ajp_peer::Peer`].

use std::io;
use std::time::Duration;

use serde::Deserialize;

use super::ajp_peer::{After, Conn};
use super::ajp_text::{self, Head};
use super::source_dir;

/// One line of `faults.json`.
#[derive(Deserialize, Clone, Debug)]
pub struct Fault {
    pub name: String,
    pub desc: String,
    /// The steps, in words and hexadecimal.
    pub backend: Vec<String>,
}

/// All faults.
pub fn all() -> Vec<Fault> {
    let file = source_dir().join("tests/vectors/ajp/faults/faults.json");
    let text = std::fs::read_to_string(&file).expect("the fault matrix");
    serde_json::from_str(&text).expect("a list of faults")
}

impl Fault {
    /// True if the connection is closed before anything is read.
    pub fn closes_on_accept(&self) -> bool {
        self.backend == ["close"]
    }

    /// Does to one request what the fault says.
    ///
    /// # Panics
    /// On a step that is not understood, so that a new fault cannot pass unnoticed.
    pub fn play(&self, conn: &mut Conn, head: &Head) -> io::Result<After> {
        for step in &self.backend {
            if let Some(after) = self.step(step, conn, head)? {
                return Ok(after);
            }
        }
        Ok(After::Keep)
    }

    fn step(&self, step: &str, conn: &mut Conn, head: &Head) -> io::Result<Option<After>> {
        let words: Vec<&str> = step.split_whitespace().collect();
        match words.as_slice() {
            ["close"] => return Ok(Some(After::Close)),
            ["reset"] => return Ok(Some(After::Reset)),
            ["read", "request;", ..] => {
                conn.read_first_body(head)?;
                conn.send_split(&normal_answer())?;
            }
            ["read", "request", ..] => conn.read_first_body(head)?,
            ["read", "one", "packet"] => drop(conn.read_packet()?),
            ["wait", seconds, "s"] => {
                let seconds: f64 = seconds.parse().expect("a number of seconds");
                // The front may leave before the time is over; the script ends with it.
                if conn.wait_for_close(Duration::from_secs_f64(seconds)) {
                    return Ok(Some(After::Close));
                }
            }
            ["send", hex] => conn.send(&from_hex(hex))?,
            ["send", hex, ..] if hex.ends_with("...") => conn.send(&long_packet(hex))?,
            _ => panic!("{}: step {step:?} is not understood", self.name),
        }
        Ok(None)
    }
}

fn normal_answer() -> Vec<u8> {
    let headers = [("Content-Type", "text/plain"), ("Content-Length", "2")];
    let mut bytes = ajp_text::headers_packet(200, &headers);
    bytes.extend_from_slice(&ajp_text::chunk_packet(b"ok"));
    bytes.extend_from_slice(&ajp_text::end_packet(true));
    bytes
}

fn from_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "odd number of digits in {hex}");
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two hexadecimal digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// A packet written as its beginning: filled with `x` to the length in its head, the last byte 0.
fn long_packet(hex: &str) -> Vec<u8> {
    let start = from_hex(hex.trim_end_matches('.'));
    let length = 4 + usize::from(u16::from_be_bytes([start[2], start[3]]));
    let mut packet = start;
    packet.resize(length - 1, b'x');
    packet.push(0);
    packet
}
