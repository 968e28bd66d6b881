// SPDX-License-Identifier: Apache-2.0
//! A forward proxy that nobody is kept out of.

use crate::config::compile::Facts;
use crate::config::draft::Draft;
use crate::config::finding::{Finding, id};
use crate::config::plan::{Plan, SiteId};

pub(super) fn check(draft: &Draft, plan: &Plan, facts: &Facts, findings: &mut Vec<Finding>) {
    let Some(guards) = &facts.guards else { return };
    // The last section that says who may come counts; those of the main server come first.
    let is_guarded = |site: SiteId| {
        let of = |owner: SiteId| guards.iter().filter(move |(place, _)| *place == owner);
        let own = of(site).filter(|_| site != SiteId(0));
        of(SiteId(0)).chain(own).next_back().is_some_and(|(_, keeps_out)| *keeps_out)
    };
    for (number, site) in (0..).zip(&plan.sites) {
        if !site.forward.requests || is_guarded(SiteId(number)) {
            continue;
        }
        let own = |site: u32| draft.sites[site as usize].settings.requests.as_ref();
        let Some(switch) = own(number).or_else(|| own(0)) else { continue };
        let text = "ProxyRequests On makes a forward proxy for everybody who reaches this server: no section about forwarded \
                    URLs keeps anybody out";
        findings.push(Finding::warning(id::OPEN_PROXY, &switch.origin, text).cured_by(
            "Write ProxyRequests Off if only ProxyPass is needed, or <Proxy \"*\"> with Require ip 192.0.2.0/24 for your own \
             clients (<Location \"/\"> does not cover forwarded URLs).",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Directive, Origin, Place, SiteFacts};

    fn warnings(guards: Option<Vec<(SiteId, bool)>>) -> usize {
        let mut draft = Draft::new();
        let main = draft.site("main server", None);
        draft.site("virtual host", Some(Origin::new("t", 1)));
        let place = Place { site: main, section: None };
        draft.directive(Directive::ProxyRequests, place, "On", Origin::new("t", 2)).unwrap();
        let sites = vec![SiteFacts::default(), SiteFacts { key: "host".into(), ..SiteFacts::default() }];
        let outcome = draft.compile(&Facts { sites, guards, ..Facts::default() });
        outcome.findings.iter().filter(|finding| finding.id == id::OPEN_PROXY).count()
    }

    #[test]
    fn somebody_must_be_kept_out_by_the_last_section_that_counts() {
        assert_eq!(warnings(Some(vec![])), 1);
        assert_eq!(warnings(Some(vec![(SiteId(0), true)])), 0);
        assert_eq!(warnings(Some(vec![(SiteId(0), true), (SiteId(0), false)])), 1);
        assert_eq!(warnings(Some(vec![(SiteId(1), false), (SiteId(0), true)])), 1);
        assert_eq!(warnings(Some(vec![(SiteId(1), true)])), 1);
        assert_eq!(warnings(None), 0);
    }
}
