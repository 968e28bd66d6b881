// SPDX-License-Identifier: Apache-2.0
//! The one program: `margay agent`, and the administrator's hands.

use std::process::ExitCode;

fn main() -> ExitCode {
    margay::cli::main()
}
