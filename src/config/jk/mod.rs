// SPDX-License-Identifier: Apache-2.0
//! The lines of mod_jk: `Jk…` directives, workers.properties, uriworkermap.properties.

mod attribute;
mod balancer;
mod compile;
mod definitions;
mod directives;
mod draft;
mod extensions;
mod id;
mod index;
mod lint;
mod member;
mod mount_file;
pub mod mounts;
mod options;
pub mod path;
pub mod pattern;
pub mod plan;
mod properties;
mod reload;

pub(super) use compile::compile;
pub(super) use directives::ENTRIES as DIRECTIVES;
pub(super) use draft::JkDraft;
pub use extensions::{NamedWorker, read_worker};
pub use mount_file::read_mount_file;
pub use plan::JkPlan;
pub use properties::boolean;
pub use reload::lost_workers;
