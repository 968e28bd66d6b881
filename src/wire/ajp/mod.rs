// SPDX-License-Identifier: Apache-2.0
//! AJP13: what goes to Tomcat and what comes back.
