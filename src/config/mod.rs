// SPDX-License-Identifier: Apache-2.0
//! From text to [`Plan`]: pure functions over the words of the configuration.
//!
//! Knows: directives, parameters, rules of inheritance. Does not know: httpd, sockets, shared memory, the time.
#![forbid(unsafe_code)]

pub mod agent;
pub mod compile;
mod declare;
pub mod directive;
pub mod draft;
pub mod expression;
pub mod finding;
pub mod forward;
pub mod health;
pub mod heartbeat;
mod inherit;
pub mod interpolation;
pub mod jk;
mod lint;
pub mod mounts;
pub mod origin;
pub mod outside;
mod parameter;
pub mod plan;
mod proxy;
pub mod reserve;
pub mod section;
mod setting;
mod statement;
mod url;
mod value;

pub use compile::{Facts, HandlerPlace, Outcome, SiteFacts};
pub use directive::Directive;
pub use draft::{Draft, Place};
pub use finding::{Finding, Severity};
pub use origin::Origin;
pub use plan::Plan;
pub use section::SectionKind;
