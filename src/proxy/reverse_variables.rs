// SPDX-License-Identifier: Apache-2.0
//! Variables in `ProxyPassReverse` and the cookie rules: sections with the values of one request in place of the names.

use std::ffi::CString;

use super::exchange::Exchange;
use super::response::Sections;
use crate::config::Plan;
use crate::config::interpolation::interpolated;
use crate::config::plan::{CookieRule, ReverseFrom, ReverseRule, Section};

/// The sections as they are for this request; `None` if no rule in them has a variable that is to be filled in.
pub(super) fn filled<E: Exchange>(exchange: &E, sections: Sections<'_>) -> Option<Vec<Section>> {
    if !sections.innermost(|section| section.interpolate).unwrap_or(false) {
        return None;
    }
    let cookies = |rules: &[CookieRule]| rules.iter().any(|rule| rule.has_variables);
    let has_any = |section: &Section| {
        section.reverse.iter().any(|rule| rule.has_variables)
            || cookies(&section.cookie_path)
            || cookies(&section.cookie_domain)
    };
    if !sections.iter().any(has_any) {
        return None;
    }
    let fill = |text: &str| fill(exchange, text);
    let cookies = |rules: &[CookieRule]| rules.iter().map(|rule| cookie(rule, &fill)).collect();
    let section = |section: &Section| Section {
        reverse: section.reverse.iter().map(|rule| reverse(sections.plan, rule, &fill)).collect(),
        cookie_path: cookies(&section.cookie_path),
        cookie_domain: cookies(&section.cookie_domain),
        ..Section::default()
    };
    Some(sections.iter().map(section).collect())
}

fn fill<E: Exchange>(exchange: &E, text: &str) -> String {
    let value = |name: &str| exchange.variable(&CString::new(name).ok()?);
    String::from_utf8_lossy(&interpolated(text, value)).into_owned()
}

fn cookie(rule: &CookieRule, fill: &impl Fn(&str) -> String) -> CookieRule {
    if !rule.has_variables {
        return rule.clone();
    }
    CookieRule { internal: fill(&rule.internal), public: fill(&rule.public), ..rule.clone() }
}

fn reverse(plan: &Plan, rule: &ReverseRule, fill: &impl Fn(&str) -> String) -> ReverseRule {
    if !rule.has_variables {
        return rule.clone();
    }
    let internal = match &rule.internal {
        ReverseFrom::Path(text) | ReverseFrom::Prefix(text) => ReverseFrom::of(fill(text), |name| {
            let known = plan.balancers.iter().zip(0..).find(|(balancer, _)| balancer.name == name);
            known.map(|(_, number)| crate::config::plan::BalancerId(number))
        }),
        known @ ReverseFrom::Balancer { .. } => known.clone(),
    };
    ReverseRule { public: fill(&rule.public), internal, ..rule.clone() }
}
