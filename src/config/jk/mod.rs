// SPDX-License-Identifier: Apache-2.0
//! The lines of mod_jk: `Jk…` directives, workers.properties, uriworkermap.properties.

pub mod mounts;
pub mod plan;

pub use plan::JkPlan;
