// SPDX-License-Identifier: Apache-2.0
//! The rules of one server in the order of precedence, and the one that a path falls under.

use super::plan::JkRule;

/// Rules, sorted.
#[derive(Debug, Default)]
pub struct JkMounts {
    rules: Vec<JkRule>,
}

impl JkMounts {
    /// All rules in the order of precedence.
    pub fn rules(&self) -> &[JkRule] {
        &self.rules
    }
}
