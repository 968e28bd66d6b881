// SPDX-License-Identifier: Apache-2.0
//! Finding session values in cookies and URLs.
