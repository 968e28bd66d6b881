// SPDX-License-Identifier: Apache-2.0
//! A look at httpd's tree of directives: sections that say who may use a forward proxy.

use std::ffi::CString;

use super::pattern::Pattern;
use super::{ffi, pool};
use crate::base::text::Words;
use crate::config::Origin;
use crate::config::expression::Expression;

/// A URL that no section names on purpose: one about it is about all URLs of a scheme, or about all.
const FOREIGN: &str = "http://any.example/";

/// Sections about URLs, by their keywords.
const SECTIONS: [&str; 5] = ["<Proxy", "<ProxyMatch", "<Location", "<LocationMatch", "<If"];

/// Is a node such a section?
pub(super) fn is_section(keyword: &str) -> bool {
    SECTIONS.iter().any(|known| keyword.eq_ignore_ascii_case(known))
}

/// Whether a section keeps somebody out; `None` if it is not about the URLs of others, or says nothing about access.
///
/// # Safety
/// `section` is a node of httpd's tree, while that lives.
pub(super) unsafe fn verdict(section: *const ffi::ap_directive_t) -> Option<bool> {
    // SAFETY: the caller vouches for the node.
    unsafe {
        if !covers(&pool::string((*section).directive), &pool::string((*section).args)) {
            return None;
        }
        let mut found = None;
        look((*section).first_child, &mut found);
        found
    }
}

/// Restrictions outweigh whatever else the section says.
unsafe fn look(mut node: *const ffi::ap_directive_t, found: &mut Option<bool>) {
    while !node.is_null() {
        // SAFETY: a node of the tree.
        unsafe {
            let (word, args) = (pool::string((*node).directive), pool::string((*node).args));
            if let Some(keeps_out) = keeps_out(&word, &args) {
                *found = Some(found.unwrap_or(false) || keeps_out);
            }
            look((*node).first_child, found);
            node = (*node).next;
        }
    }
}

/// What a line says about access, if anything.
fn keeps_out(directive: &str, args: &str) -> Option<bool> {
    let words: Vec<String> = Words::new(args).map(|word| word.to_ascii_lowercase()).collect();
    let is = |expected: &[&str]| words.iter().map(String::as_str).eq(expected.iter().copied());
    match directive.to_ascii_lowercase().as_str() {
        "require" => Some(!is(&["all", "granted"])),
        "deny" => Some(true),
        "allow" if is(&["from", "all"]) => Some(false),
        _ => None,
    }
}

fn covers(keyword: &str, args: &str) -> bool {
    let args = args.trim().trim_end_matches('>');
    let mut words = Words::new(args);
    let mut argument = words.next().unwrap_or_default();
    let mut keyword = keyword.to_ascii_lowercase();
    if argument == "~" {
        keyword.push_str("match");
        argument = words.next().unwrap_or_default();
    }
    match keyword.as_str() {
        "<if" => true,
        "<proxymatch" | "<locationmatch" => is_found(&argument),
        // A path has no scheme, and a star of <Location> does not cross its slashes.
        "<location" => FOREIGN.starts_with(&argument),
        _ => is_like(argument.strip_prefix("proxy:").unwrap_or(&argument)),
    }
}

fn is_found(pattern: &str) -> bool {
    let expression = Expression { origin: Origin::new("", 0), pattern: pattern.to_owned(), directive: None };
    Pattern::compile(&expression).is_ok_and(|pattern| pattern.search(FOREIGN.as_bytes()).is_some())
}

fn is_like(pattern: &str) -> bool {
    let Ok(text) = CString::new(pattern) else { return false };
    let Ok(url) = CString::new(FOREIGN) else { return false };
    // SAFETY: C strings.
    unsafe {
        match ffi::apr_fnmatch_test(text.as_ptr()) {
            0 => FOREIGN.starts_with(pattern),
            _ => ffi::apr_fnmatch(text.as_ptr(), url.as_ptr(), 0) == 0,
        }
    }
}
