// SPDX-License-Identifier: Apache-2.0
//! Ids of findings about lines of mod_jk; the kinds are those of [`finding::id`](crate::config::finding::id).

pub const UNKNOWN_ATTRIBUTE: &str = "MGY0151";
pub const NAME_TOO_LONG: &str = "MGY0152";
pub const UNKNOWN_TYPE: &str = "MGY0153";
pub const BAD_PATTERN: &str = "MGY0154";
pub const UNKNOWN_OPTION: &str = "MGY0155";

pub const ONLY_ONCE: &str = "MGY0251";
pub const UNREADABLE: &str = "MGY0252";
pub const NO_MEMBERS: &str = "MGY0253";
pub const DUPLICATE_ROUTE: &str = "MGY0254";
pub const REFERENCE: &str = "MGY0255";
pub const NOT_A_MEMBER: &str = "MGY0256";
pub const LOST_WORKER: &str = "MGY0257";

pub const OVERWRITTEN: &str = "MGY0351";
pub const DEPRECATED: &str = "MGY0352";
pub const ODD_VALUE: &str = "MGY0353";
pub const UNDEFINED_WORKER: &str = "MGY0354";
pub const UNKNOWN_WORKER: &str = "MGY0355";
pub const BAD_PORT: &str = "MGY0356";
pub const EXTENSION: &str = "MGY0357";
pub const BAD_RULE: &str = "MGY0358";
pub const LONG_LINE: &str = "MGY0359";
pub const UNKNOWN_VARIABLE: &str = "MGY0360";
pub const NEVER_REACHED: &str = "MGY0361";

pub const AJP14: &str = "MGY0451";
pub const UNUSED_WORKER: &str = "MGY0452";
pub const SHARED_MEMBER: &str = "MGY0453";
pub const NO_RULES: &str = "MGY0454";
