// SPDX-License-Identifier: Apache-2.0
//! The health checks in force: those of the file, unless an administrator changed them while the server runs.

use std::sync::Arc;
use std::time::Duration;

use crate::config::health::{CheckBasis, CheckMethod, Expression, HealthCheck, METHODS};
use crate::config::plan::Member;
use crate::shared::CheckChanges;

/// How a member is checked now.
#[derive(Debug, Clone)]
pub struct ChecksInForce {
    /// The values, also of a check that is not made.
    pub settings: HealthCheck,
    /// Is the member checked at all?
    pub is_on: bool,
}

/// The values that count now; `None` for a plain worker, which is never checked.
pub fn checks_in_force(member: &Member, changes: &CheckChanges) -> Option<ChecksInForce> {
    let basis = member.check_basis.as_ref()?;
    let planned = member.health.as_ref();
    let mut settings = planned.unwrap_or(&basis.settings).clone();
    let mut is_on = planned.is_some();
    if !changes.are_some() {
        return Some(ChecksInForce { settings, is_on });
    }
    if let Some(code) = changes.method() {
        let method = check_of_code(code);
        is_on = method.is_some();
        settings.method = method.unwrap_or(settings.method);
    }
    if let Some(interval) = changes.interval_ms() {
        settings.interval = Duration::from_millis(u64::from(interval));
    }
    settings.passes = changes.passes().unwrap_or(settings.passes).max(1);
    settings.fails = changes.fails().unwrap_or(settings.fails).max(1);
    if let Some(uri) = changes.uri() {
        settings.uri = uri.as_str().to_owned();
    }
    if let Some(name) = changes.condition() {
        settings.expression = condition(basis, name.as_str());
    }
    Some(ChecksInForce { settings, is_on })
}

/// The condition of this name, letter case respected: names in forms come from a list.
fn condition(basis: &CheckBasis, name: &str) -> Option<Arc<Expression>> {
    basis.conditions.iter().rfind(|known| known.name == name).cloned()
}

impl ChecksInForce {
    /// The check that is made, if one is.
    pub fn check(self) -> Option<HealthCheck> {
        self.is_on.then_some(self.settings)
    }

    /// The method's name, `NONE` without checks.
    pub fn method_name(&self) -> &'static str {
        if self.is_on { self.settings.method.name() } else { "NONE" }
    }
}

/// The number that stands for a method in shared memory; 0 = no checks.
pub fn code_of_check(method: Option<CheckMethod>) -> u32 {
    let at = method.and_then(|method| METHODS.iter().position(|(_, known)| *known == method));
    at.and_then(|at| u32::try_from(at + 1).ok()).unwrap_or(0)
}

fn check_of_code(code: u32) -> Option<CheckMethod> {
    let at = usize::try_from(code).ok()?.checked_sub(1)?;
    METHODS.get(at).map(|(_, method)| *method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_comes_back_from_its_code() {
        for (_, method) in METHODS {
            assert_eq!(check_of_code(code_of_check(Some(method))), Some(method));
        }
        assert_eq!((code_of_check(None), check_of_code(0), check_of_code(99)), (0, None, None));
    }
}
