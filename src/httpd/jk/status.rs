// SPDX-License-Identifier: Apache-2.0
//! Requests for a status worker.

use std::ffi::c_int;

use super::site::Here;
use crate::config::jk::plan::JkStatusId;
use crate::httpd::ffi;
use crate::httpd::runtime::Child;

/// Answers with the page, or what a command came to.
///
/// # Safety
/// `r` is the live request of this thread.
pub(super) unsafe fn answer(
    _r: *mut ffi::request_rec,
    _child: &Child,
    _here: &Here,
    _id: JkStatusId,
) -> c_int {
    503
}
