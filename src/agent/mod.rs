// SPDX-License-Identifier: Apache-2.0
//! `margay agent`: one more member of Tomcat's own cluster, which keeps every session and knows who lives.
#![forbid(unsafe_code)]

pub mod replica;
