// SPDX-License-Identifier: Apache-2.0
//! Words everybody uses: text, time, keys, member status. Depends on nothing.
#![forbid(unsafe_code)]

pub mod base64;
pub mod clock;
pub mod key;
pub mod rng;
pub mod status;
pub mod text;
