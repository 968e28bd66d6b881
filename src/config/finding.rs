// SPDX-License-Identifier: Apache-2.0
//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;

use super::origin::Origin;

/// How much a [`Finding`] matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing needs to be done.
    Notice,
    /// Accepted, but probably not what was meant.
    Warning,
    /// The configuration cannot be used.
    Error,
}

/// One thing the administrator should know, in a single line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub severity: Severity,
    /// Stable: `MGY` and four digits. See [`id`].
    pub id: &'static str,
    pub origin: Origin,
    /// What was found. Where mod_proxy has a text for it, ours begins with that text.
    pub text: String,
    /// What to write instead.
    pub cure: Option<String>,
}

impl Finding {
    pub fn error(id: &'static str, origin: &Origin, text: impl Into<String>) -> Self {
        Self::new(Severity::Error, id, origin, text)
    }

    pub fn warning(id: &'static str, origin: &Origin, text: impl Into<String>) -> Self {
        Self::new(Severity::Warning, id, origin, text)
    }

    pub fn notice(id: &'static str, origin: &Origin, text: impl Into<String>) -> Self {
        Self::new(Severity::Notice, id, origin, text)
    }

    fn new(severity: Severity, id: &'static str, origin: &Origin, text: impl Into<String>) -> Self {
        Self { severity, id, origin: origin.clone(), text: text.into(), cure: None }
    }

    /// The same finding with a cure.
    pub fn cured_by(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }
}

impl fmt::Display for Finding {
    /// `BalancerMember unknown Worker parameter "foo". Write … [MGY0101]`, without the origin: for a syntax error httpd
    /// prints file and line itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if let Some(cure) = &self.cure {
            write!(f, "{} {cure}", if self.text.ends_with(['.', '!', '?']) { "" } else { "." })?;
        }
        write!(f, " [{}]", self.id)
    }
}

impl std::error::Error for Finding {}

/// The stable ids of findings: 01 errors of words, 02 errors of places and references, 03 warnings, 04 notices.
pub mod id {
    pub const UNKNOWN_PARAMETER: &str = "MGY0101";
    pub const PARAMETER_OF_BALANCER: &str = "MGY0102";
    pub const PARAMETER_OF_MEMBER: &str = "MGY0103";
    pub const BAD_VALUE: &str = "MGY0104";
    pub const NOT_KEY_VALUE: &str = "MGY0105";
    pub const BAD_URL: &str = "MGY0106";
    pub const SCHEME: &str = "MGY0107";
    pub const ARGUMENTS: &str = "MGY0108";
    pub const LATER_VERSION: &str = "MGY0109";

    pub const PLACE: &str = "MGY0201";
    pub const PATH_AND_SECTION: &str = "MGY0202";
    pub const UNKNOWN_TARGET: &str = "MGY0203";
    pub const BALANCER_NAME: &str = "MGY0204";

    pub const STICKY_CASE: &str = "MGY0301";
    pub const STICKY_WITHOUT_ROUTE: &str = "MGY0302";
    pub const ROUTE_TWICE: &str = "MGY0303";
    pub const EMPTY_BALANCER: &str = "MGY0304";
    pub const SHADOWED_HANDLER: &str = "MGY0305";
    pub const SLASHES: &str = "MGY0306";
    pub const COVERED_RULE: &str = "MGY0307";
    pub const REVERSE_WORD: &str = "MGY0308";
    pub const NUMBER_REST: &str = "MGY0309";
    pub const SHARED_WORKER: &str = "MGY0310";
    pub const OWN_MEMBERS_DROPPED: &str = "MGY0311";
    pub const METHOD_RESET: &str = "MGY0312";
    pub const NEVER_MATCHES: &str = "MGY0313";
    pub const STICKY_NAME: &str = "MGY0314";
    pub const QUOTED_VALUE: &str = "MGY0315";
    pub const NO_TLS_ENGINE: &str = "MGY0316";
    pub const OPEN_PROXY: &str = "MGY0330";
    pub const NETWORK_MASK: &str = "MGY0331";

    pub const NO_EFFECT: &str = "MGY0401";
}
