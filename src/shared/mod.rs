// SPDX-License-Identifier: Apache-2.0
//! Memory seen by all processes. One of the two rooms with unsafe code.
//!
//! Knows: keys and slots. Does not know: names, plans, httpd.
