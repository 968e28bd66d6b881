// SPDX-License-Identifier: Apache-2.0
//! The adapter: the only room that sees httpd.
#[allow(non_camel_case_types, non_upper_case_globals, non_snake_case, dead_code)]
mod ffi {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}
