// SPDX-License-Identifier: Apache-2.0
//! From text to [`Plan`]: pure functions over the words of the configuration.
//!
//! Knows: directives, parameters, rules of inheritance. Does not know: httpd, sockets, shared memory, the time.
#![forbid(unsafe_code)]

pub mod mounts;
pub mod origin;
pub mod plan;

pub use origin::Origin;
pub use plan::Plan;
