// SPDX-License-Identifier: Apache-2.0
//! The lines of mod_jk: `Jk…` directives, workers.properties, uriworkermap.properties.

mod index;
pub mod mounts;
pub mod path;
pub mod pattern;
pub mod plan;

pub use plan::JkPlan;
