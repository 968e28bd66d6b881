// SPDX-License-Identifier: Apache-2.0
//! Regular expressions, compiled and asked by httpd.

use std::ffi::{CString, c_int};
use std::fmt;

use super::ffi;
use crate::config::expression::{Expression, GROUPS, Groups};
use crate::config::finding::{Finding, id};

/// A compiled expression. It lies in memory of its own, because a plan outlives the pass that made it.
pub(super) struct Pattern(Box<ffi::ap_regex_t>);

// SAFETY: after compiling, the expression is only read; httpd keeps what a match needs per thread or on the stack.
unsafe impl Send for Pattern {}
// SAFETY: as above.
unsafe impl Sync for Pattern {}

impl Pattern {
    /// Compiles an expression with httpd's default options.
    ///
    /// # Errors
    /// What is wrong, with the line it stands in.
    pub fn compile(expression: &Expression) -> Result<Pattern, Finding> {
        let of = expression.directive.map(|name| format!(" for {name}")).unwrap_or_default();
        let refused = |why: String| {
            Finding::error(
                id::BAD_VALUE,
                &expression.origin,
                format!("Regular expression{of} could not be compiled.{why}"),
            )
        };
        let text = CString::new(expression.pattern.as_str()).map_err(|_| refused(String::new()))?;
        let mut compiled =
            Box::new(ffi::ap_regex_t { re_pcre: std::ptr::null_mut(), re_nsub: 0, re_erroffset: 0 });
        // SAFETY: room for the result, and a C string.
        let failure = unsafe { ffi::ap_regcomp(&raw mut *compiled, text.as_ptr(), 0) };
        if failure == 0 {
            return Ok(Pattern(compiled));
        }
        let good = expression.pattern.get(..compiled.re_erroffset).unwrap_or_default();
        Err(refused(format!(" It is wrong behind \"{}\"", good.escape_default())))
    }

    /// Searches `subject`; where the groups lie if it matches.
    pub fn search(&self, subject: &[u8]) -> Option<Groups> {
        let mut found = [ffi::ap_regmatch_t { rm_so: -1, rm_eo: -1 }; GROUPS];
        // SAFETY: a compiled expression, a text with its length, and room for as many groups as are told.
        let failure = unsafe {
            ffi::ap_regexec_len(
                &raw const *self.0,
                subject.as_ptr().cast(),
                subject.len(),
                GROUPS,
                found.as_mut_ptr(),
                0,
            )
        };
        (failure == 0).then(|| found.map(|group| Some((offset(group.rm_so)?, offset(group.rm_eo)?))))
    }
}

fn offset(value: c_int) -> Option<usize> {
    usize::try_from(value).ok()
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pattern")
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        // SAFETY: `ap_regcomp` filled it.
        unsafe { ffi::ap_regfree(&raw mut *self.0) }
    }
}
