// SPDX-License-Identifier: Apache-2.0
//! The values in force: those of the plan, unless an administrator changed them while the server runs.

use std::time::Duration;

use crate::config::plan::{Balancer, Method, Sticky};
use crate::shared::{BalancerChanges, ShortText};

/// One balancer with the values that count now. Costs one look at shared memory; no locks and no allocations.
#[derive(Clone, Copy, Debug)]
pub struct InForce<'p> {
    balancer: &'p Balancer,
    /// `None`: everything is as in the file.
    changes: Option<&'p BalancerChanges>,
}

/// The session names of a sticky balancer.
#[derive(Clone, Copy, Debug)]
pub struct StickyInForce<'p> {
    /// As in the file, which also says how a value is read.
    pub plan: Option<&'p Sticky>,
    /// Names an administrator gave in place of the file's: in cookies and in URLs.
    names: Option<(ShortText, ShortText)>,
}

impl<'p> InForce<'p> {
    pub fn new(balancer: &'p Balancer, changes: &'p BalancerChanges) -> Self {
        Self { balancer, changes: changes.are_some().then_some(changes) }
    }

    /// `lbmethod`.
    pub fn method(&self) -> Method {
        let changed = self.changes.and_then(BalancerChanges::method).and_then(method_of_code);
        changed.unwrap_or(self.balancer.method)
    }

    /// `nofailover`.
    pub fn no_failover(&self) -> bool {
        self.changes.and_then(BalancerChanges::no_failover).unwrap_or(self.balancer.no_failover)
    }

    /// `timeout`: how long a request waits for a usable member.
    pub fn wait(&self) -> Option<Duration> {
        match self.changes.and_then(BalancerChanges::wait_seconds) {
            Some(seconds) => (seconds > 0).then(|| Duration::from_secs(u64::from(seconds))),
            None => self.balancer.wait,
        }
    }

    /// `maxattempts`; `None` = members - 1.
    pub fn max_attempts(&self) -> Option<u32> {
        self.changes.and_then(BalancerChanges::max_attempts).or(self.balancer.max_attempts)
    }

    pub fn is_sticky(&self) -> bool {
        match self.changes.and_then(BalancerChanges::sticky) {
            Some((cookie, _)) => !cookie.as_bytes().is_empty(),
            None => self.balancer.sticky.is_some(),
        }
    }

    /// The names of the session; `None` if the balancer is not sticky.
    pub fn sticky(&self) -> Option<StickyInForce<'p>> {
        let plan = self.balancer.sticky.as_ref();
        match self.changes.and_then(BalancerChanges::sticky) {
            Some((cookie, _)) if cookie.as_bytes().is_empty() => None,
            Some(names) => Some(StickyInForce { plan, names: Some(names) }),
            None => plan.map(StickyInForce::planned),
        }
    }
}

impl<'p> StickyInForce<'p> {
    /// As the file says.
    pub fn planned(plan: &'p Sticky) -> Self {
        Self { plan: Some(plan), names: None }
    }

    /// Name of the cookie.
    pub fn cookie(&self) -> &str {
        self.name(|(cookie, _)| cookie, |sticky| &sticky.cookie)
    }

    /// Name in URLs; empty: the URL is not looked at.
    pub fn path(&self) -> &str {
        self.name(|(_, path)| path, |sticky| &sticky.path)
    }

    /// What separates the route from the rest of the value; `None` = the whole value is the route.
    pub fn separator(&self) -> Option<u8> {
        self.plan.map_or(Some(b'.'), |sticky| sticky.separator)
    }

    /// Does a `;` end a session value in the URL?
    pub fn semicolon_ends(&self) -> bool {
        self.plan.is_some_and(|sticky| sticky.semicolon_ends)
    }

    /// Were the names changed while the server runs?
    pub fn is_changed(&self) -> bool {
        self.names.is_some()
    }

    fn name(
        &self,
        changed: impl Fn(&(ShortText, ShortText)) -> &ShortText,
        planned: impl Fn(&Sticky) -> &String,
    ) -> &str {
        match (&self.names, self.plan) {
            (Some(names), _) => changed(names).as_str(),
            (None, Some(sticky)) => planned(sticky),
            (None, None) => "",
        }
    }
}

/// The methods by their names in `lbmethod=`.
pub const METHODS: [(Method, &str); 4] = [
    (Method::ByRequests, "byrequests"),
    (Method::ByTraffic, "bytraffic"),
    (Method::ByBusyness, "bybusyness"),
    (Method::Heartbeat, "heartbeat"),
];

/// The number that stands for a method in shared memory.
pub fn code_of_method(method: Method) -> u32 {
    method as u32
}

fn method_of_code(code: u32) -> Option<Method> {
    METHODS.iter().map(|(method, _)| *method).find(|method| *method as u32 == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_comes_back_from_its_code() {
        for (method, _) in METHODS {
            assert_eq!(method_of_code(code_of_method(method)), Some(method));
        }
        assert_eq!(method_of_code(99), None);
    }
}
