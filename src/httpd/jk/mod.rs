// SPDX-License-Identifier: Apache-2.0
//! mod_jk's dialect in httpd: what `Jk…` lines do to requests.
//!
//! `entry` is what the shim calls. `translate` finds the rule, with `mounts` for files that are read again and `static_file`
//! for requests without one; `state` is kept of a request until `handler` has it forwarded. `exchange`, `tls`, `uri` and
//! `notes` are the request as mod_jk's lines look at it. `log`, `stamp` and `request_log` write the `JkLogFile`; `files` reads
//! what lines name; `watchdog` sees to maintenance; `status` answers for status workers.

mod entry;
mod exchange;
pub(super) mod files;
mod handler;
pub(super) mod log;
pub(super) mod mounts;
mod notes;
mod request_log;
mod site;
mod stamp;
mod state;
mod static_file;
pub(in crate::httpd) mod status;
mod tls;
mod translate;
mod uri;
pub(super) mod watchdog;
