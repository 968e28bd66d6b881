// SPDX-License-Identifier: Apache-2.0
//! The guard of every entry: a panic costs the one call, never the process.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

use super::log;

/// Runs `body`; after a panic the answer is `on_panic`. What the body had changed is repaired by its destructors.
pub(super) fn guard<T>(on_panic: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(on_panic)
}

/// Makes a panic one line of the error log instead of a backtrace on standard error.
pub(super) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        set_hook(Box::new(|info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let text = info.payload_as_str().unwrap_or("no text");
            log::server(
                log::CRITICAL,
                &format!(
                    "MGY9001: a bug in Margay at {place}: {text}; the request at hand is answered 500, the server goes on"
                ),
            );
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::guard;

    #[test]
    fn a_panic_becomes_the_given_answer() {
        assert_eq!(guard(500, || panic!("on purpose")), 500);
        assert_eq!(guard(500, || 200), 200);
    }
}
