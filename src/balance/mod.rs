// SPDX-License-Identifier: Apache-2.0
//! Chooses the member that gets a request.
//!
//! Knows: the compiled plan, counters and states of members. Does not know: sockets, httpd.
#![forbid(unsafe_code)]
