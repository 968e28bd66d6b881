// SPDX-License-Identifier: Apache-2.0
//! The life of one forwarded request.
#![forbid(unsafe_code)]
