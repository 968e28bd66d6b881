// SPDX-License-Identifier: Apache-2.0
//! Words of configuration lines: splitting, and the nearest known name for a misspelt one.
