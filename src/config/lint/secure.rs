// SPDX-License-Identifier: Apache-2.0
//! Members behind TLS where nobody switched it on.

use crate::config::compile::Facts;
use crate::config::finding::{Finding, id};
use crate::config::plan::{Member, Plan, Site, SiteId};

pub(super) fn check(plan: &Plan, facts: &Facts, findings: &mut Vec<Finding>) {
    let Some(engines) = &facts.tls_engines else { return };
    // What the main server says, all others inherit.
    let has_engine = |site: u32| engines.contains(&SiteId(0)) || engines.contains(&SiteId(site));
    let (with, without): (Vec<_>, Vec<_>) =
        (0..).zip(&plan.sites).partition(|(number, _)| has_engine(*number));
    // A member of the main server may be meant for the virtual hosts alone, where it has copies.
    let reached: Vec<&Member> = with.iter().flat_map(|(_, site)| members(plan, site)).collect();
    let is_reached = |member: &Member| {
        reached.iter().any(|known| known.origin == member.origin && known.name == member.name)
    };
    let unreached =
        without.iter().flat_map(|(_, site)| members(plan, site)).filter(|member| !is_reached(member));
    findings.extend(unreached.map(finding));
}

/// All members behind TLS that a server knows.
fn members<'p>(plan: &'p Plan, site: &'p Site) -> impl Iterator<Item = &'p Member> {
    let in_balancers = site.balancers.iter().flat_map(|(_, id)| &plan.balancer(*id).members);
    let all = site.workers.iter().chain(in_balancers).map(|id| plan.member(*id));
    all.filter(|member| member.scheme.is_tls())
}

fn finding(member: &Member) -> Finding {
    let text = format!(
        "{} speaks TLS, but SSLProxyEngine is not On in its server: its requests are answered 500",
        member.name
    );
    Finding::warning(id::NO_TLS_ENGINE, &member.origin, text)
        .cured_by("Write SSLProxyEngine On into the virtual host or the <Proxy> section (mod_ssl).")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Directive, Draft, Origin, Place, SiteFacts};

    fn warnings(engines: Option<Vec<SiteId>>) -> usize {
        let mut draft = Draft::new();
        let main = draft.site("main server", None);
        let host = draft.site("virtual host", Some(Origin::new("t", 1)));
        let lines = [
            (main, Directive::BalancerMember, "balancer://c https://h"),
            (host, Directive::ProxyPass, "/c balancer://c/"),
            (host, Directive::ProxyPass, "/plain http://h/"),
        ];
        for (number, (site, directive, line)) in (2..).zip(lines) {
            let place = Place { site, section: None };
            draft.directive(directive, place, line, Origin::new("t", number)).unwrap();
        }
        let sites = vec![SiteFacts::default(), SiteFacts { key: "host".into(), ..SiteFacts::default() }];
        let outcome = draft.compile(&Facts { sites, tls_engines: engines, ..Facts::default() });
        outcome.findings.iter().filter(|finding| finding.id == id::NO_TLS_ENGINE).count()
    }

    #[test]
    fn tls_must_be_switched_on_in_one_of_the_servers_that_know_the_member() {
        assert_eq!(warnings(Some(vec![])), 1);
        assert_eq!(warnings(Some(vec![SiteId(0)])), 0);
        assert_eq!(warnings(Some(vec![SiteId(1)])), 0);
    }

    #[test]
    fn nothing_is_said_when_nobody_looked() {
        assert_eq!(warnings(None), 0);
    }
}
