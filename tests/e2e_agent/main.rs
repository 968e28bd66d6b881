// SPDX-License-Identifier: Apache-2.0
//! The agent in a cluster of real Tomcats: what sessions survive, and what the agent must never do to them.

#[path = "../support/mod.rs"]
mod support;

mod absent;
mod applications;
mod faults;
mod hang;
mod latency;
mod nine;
mod scene;
mod survive;
