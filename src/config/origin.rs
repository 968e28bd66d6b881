// SPDX-License-Identifier: Apache-2.0
//! Where something was said: file and line.

use std::fmt;
use std::sync::Arc;

/// File and line of a directive. Cheap to copy around: the file name is shared.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Origin {
    pub file: Arc<str>,
    /// Counted from 1; 0 = unknown.
    pub line: u32,
}

impl Origin {
    pub fn new(file: impl Into<Arc<str>>, line: u32) -> Self {
        Self { file: file.into(), line }
    }
}

impl fmt::Display for Origin {
    /// `/etc/apache2/httpd.conf:12`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
