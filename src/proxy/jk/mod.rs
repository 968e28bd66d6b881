// SPDX-License-Identifier: Apache-2.0
//! Requests carried in mod_jk's way: its order of attempts, its results, its form of the Forward Request.

mod answer;
mod forward;
mod head;
mod job;
mod judge;
mod pools;
mod visit;

pub use forward::forward_jk;
pub use job::{JkExchange, JkJob, JkTried, JkVariables};
pub use pools::{forget_connections, maintain_all};
