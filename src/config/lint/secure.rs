// SPDX-License-Identifier: Apache-2.0
//! Members behind TLS where nobody switched it on.

use crate::config::compile::Facts;
use crate::config::finding::{Finding, id};
use crate::config::plan::{Member, Plan, SiteId};

pub(super) fn check(plan: &Plan, facts: &Facts, findings: &mut Vec<Finding>) {
    const MAIN: SiteId = SiteId(0);
    let Some(engines) = facts.tls_engines.as_ref().filter(|engines| !engines.contains(&MAIN)) else { return };
    for (number, site) in (0..).zip(&plan.sites) {
        if engines.contains(&SiteId(number)) {
            continue;
        }
        let in_balancers = site.balancers.iter().flat_map(|(_, id)| &plan.balancer(*id).members);
        let members = site.workers.iter().chain(in_balancers).map(|id| plan.member(*id));
        findings.extend(
            members.filter(|member| member.scheme.is_tls()).map(|member| finding(member, &site.name)),
        );
    }
}

fn finding(member: &Member, site: &str) -> Finding {
    let text = format!(
        "{site}: {} speaks TLS, and SSLProxyEngine is not On: all its requests are answered 500",
        member.name
    );
    Finding::warning(id::NO_TLS_ENGINE, &member.origin, text)
        .cured_by("Write SSLProxyEngine On into the virtual host or the <Proxy> section (mod_ssl).")
}
