// SPDX-License-Identifier: Apache-2.0
//! Writing request paths for a member.
