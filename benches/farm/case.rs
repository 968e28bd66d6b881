// SPDX-License-Identifier: Apache-2.0
//! The cases: which request is repeated, and through which front ends.

use crate::front::FrontEnd;
use crate::front::{
    EMPTY, HAPROXY, MARGAY, MARGAY_HTTP, MARGAY_JK, MARGAY_JK_MOUNTS, MARGAY_RULES, MOD_JK, MOD_JK_MOUNTS,
    MOD_PROXY_AJP, MOD_PROXY_AJP_RULES, MOD_PROXY_HTTP, NGINX,
};

/// One load, the same for all its front ends.
pub struct Case {
    /// The word for `--only`.
    pub name: &'static str,
    pub title: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    pub body_len: usize,
    pub reply_len: usize,
    /// The module of mod_proxy that the columns of ratios are about.
    pub rival: &'static FrontEnd,
    /// Measured in this order in each round.
    pub fronts: &'static [&'static FrontEnd],
}

const ALL: &[&FrontEnd] = &[&EMPTY, &MOD_PROXY_AJP, &MOD_JK, &NGINX, &MARGAY, &MARGAY_JK];

const HTTP: &[&FrontEnd] = &[&EMPTY, &MOD_PROXY_HTTP, &NGINX, &HAPROXY, &MARGAY_HTTP];

const RULES: &[&FrontEnd] = &[&MOD_PROXY_AJP, &MOD_PROXY_AJP_RULES, &MARGAY, &MARGAY_RULES];

const MOUNTS: &[&FrontEnd] = &[&MOD_JK, &MOD_JK_MOUNTS, &MARGAY_JK, &MARGAY_JK_MOUNTS];

/// Every timed case.
pub const CASES: &[Case] = &[
    get("get-1k", "GET 1 KiB", "/1k", 1024, ALL),
    get("get-64k", "GET 64 KiB", "/64k", 64 * 1024, ALL),
    get("get-1m", "GET 1 MiB", "/1m", 1024 * 1024, ALL),
    Case { method: "POST", body_len: 4096, ..get("post-4k", "POST 4 KiB, answer 1 KiB", "/1k", 1024, ALL) },
    http(get("http-1k", "GET 1 KiB from an HTTP member", "/1k", 1024, HTTP)),
    http(get("http-64k", "GET 64 KiB from an HTTP member", "/64k", 64 * 1024, HTTP)),
    http(get("http-1m", "GET 1 MiB from an HTTP member", "/1m", 1024 * 1024, HTTP)),
    get("rules", "GET 1 KiB, one rule and 5 000 rules of which the last matches", "/1k", 1024, RULES),
    get("mounts", "GET 1 KiB, one mount and 5 000 mounts of which the last matches", "/1k", 1024, MOUNTS),
];

/// The word for `--only` that stands for the counting of system calls.
pub const CALLS: &str = "calls";

/// The front ends whose system calls are counted.
pub const CALLS_FRONTS: &[&FrontEnd] =
    &[&EMPTY, &MOD_PROXY_AJP, &MOD_JK, &NGINX, &MARGAY, &MARGAY_JK, &MOD_PROXY_HTTP, &MARGAY_HTTP];

/// The request whose system calls are counted.
pub const CALLS_CASE: &Case = &CASES[0];

const fn get(
    name: &'static str,
    title: &'static str,
    path: &'static str,
    reply_len: usize,
    fronts: &'static [&'static FrontEnd],
) -> Case {
    Case { name, title, method: "GET", path, body_len: 0, reply_len, rival: &MOD_PROXY_AJP, fronts }
}

const fn http(case: Case) -> Case {
    Case { rival: &MOD_PROXY_HTTP, ..case }
}
