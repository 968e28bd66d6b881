// SPDX-License-Identifier: Apache-2.0
//! The adapter: the only room that sees httpd.
