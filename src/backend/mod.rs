// SPDX-License-Identifier: Apache-2.0
//! Connections to members.
#![forbid(unsafe_code)]
