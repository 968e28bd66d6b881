// SPDX-License-Identifier: Apache-2.0
//! The status worker of mod_jk: its pages in four formats, and changes while the server runs.
//!
//! The markup, the names and the order of values are mod_jk's, oddities included: scripts parse them.

pub mod answer;
pub mod change;
pub mod figures;
mod foreign;
pub mod guard;
mod html;
mod html_edit;
mod html_list;
mod link;
pub mod live;
mod machine;
pub mod model;
pub mod query;
mod rating;
pub mod section;
pub mod setting;

pub use answer::{Action, Page, Refusal, Style, Visit, answer};
pub use change::Desk;
pub use guard::Evidence;
pub use live::{Live, ServerRules};
pub use model::View;
pub use query::Query;
