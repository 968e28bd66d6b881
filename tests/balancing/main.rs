// SPDX-License-Identifier: Apache-2.0
//! Who gets the request: reference sequences, sessions, restarts, a long simulation, and what a choice costs.

mod agent;
mod allocation;
mod changes;
mod cluster;
mod joined;
mod restart;
mod sequences;
mod sessions;
mod simulation;
