// SPDX-License-Identifier: Apache-2.0
//! Balancers that start, serve, and lose sessions; and those without members.

use std::collections::HashMap;

use crate::base::status::Status;
use crate::base::text::nearest;
use crate::config::draft::Draft;
use crate::config::finding::{Finding, id};
use crate::config::origin::Origin;
use crate::config::plan::{Balancer, Member, Plan, ReverseFrom, Site, Target, Worker};
use crate::config::url::{self, Url, shown};

pub(super) fn check(draft: &Draft, plan: &Plan, findings: &mut Vec<Finding>) {
    for balancer in &plan.balancers {
        let members: Vec<&Member> = balancer.members.iter().map(|id| plan.member(*id)).collect();
        sticky_case(balancer, findings);
        routes(balancer, &members, findings);
        routes_twice(balancer, &members, findings);
    }
    empty_targets(draft, plan, findings);
    empty_reverse(draft, plan, findings);
}

fn sticky_case(balancer: &Balancer, findings: &mut Vec<Finding>) {
    const TOMCAT: &str = "JSESSIONID";
    let Some(sticky) = &balancer.sticky else { return };
    if sticky.cookie.eq_ignore_ascii_case(TOMCAT) && sticky.cookie != TOMCAT {
        let text = format!(
            "balancer://{}: stickysession={} is not the name of Tomcat's cookie: the cookie is {TOMCAT}, only the URL parameter is jsessionid; Margay finds the session all the same, mod_proxy would lose it",
            balancer.name, sticky.cookie
        );
        findings.push(
            Finding::warning(id::STICKY_CASE, &sticky.origin, text)
                .cured_by("Write stickysession=JSESSIONID|jsessionid."),
        );
    }
}

fn routes(balancer: &Balancer, members: &[&Member], findings: &mut Vec<Finding>) {
    let Some(sticky) = &balancer.sticky else { return };
    let without: Vec<_> = members.iter().filter(|member| member.route.is_empty()).collect();
    if without.len() == members.len() && !members.is_empty() {
        let text = format!(
            "balancer://{}: stickysession is set, but no member has a route, so no session finds its member",
            balancer.name
        );
        findings.push(Finding::warning(id::STICKY_WITHOUT_ROUTE, &sticky.origin, text).cured_by(
            "Write route=… at the end of each BalancerMember line, equal to the jvmRoute of that Tomcat.",
        ));
        return;
    }
    for member in without {
        let text = format!(
            "balancer://{}: stickysession is set, but member {} has no route, so its sessions do not come back to it",
            balancer.name, member.name
        );
        findings.push(
            Finding::warning(id::STICKY_WITHOUT_ROUTE, &member.origin, text)
                .cured_by("Write route=… at the end of the line, equal to the jvmRoute of that Tomcat."),
        );
    }
}

fn routes_twice(balancer: &Balancer, members: &[&Member], findings: &mut Vec<Finding>) {
    let mut first: HashMap<&str, &Member> = HashMap::new();
    // A standby that carries the route of the member it replaces is meant so.
    let serving = members.iter().filter(|member| !member.status.has(Status::HOT_STANDBY));
    for member in serving.filter(|member| !member.route.is_empty()) {
        let Some(other) = first.get(member.route.as_str()) else {
            first.insert(&member.route, member);
            continue;
        };
        let text = format!(
            "balancer://{}: route {} belongs to {} ({}) already; {} gets no session while that one works",
            balancer.name,
            shown(&member.route),
            other.name,
            other.origin,
            member.name
        );
        findings.push(
            Finding::warning(id::ROUTE_TWICE, &member.origin, text)
                .cured_by("Give each member its own route, the jvmRoute of its Tomcat."),
        );
    }
}

fn empty_targets(draft: &Draft, plan: &Plan, findings: &mut Vec<Finding>) {
    let of_sites = plan.sites.iter().flat_map(|site| site.mounts.iter().map(move |mount| (site, mount)));
    let of_sections = draft.sections.iter().zip(&plan.sections).filter_map(|(section, compiled)| {
        Some((plan.sites.get(section.site.0 as usize)?, compiled.mount.as_ref()?))
    });
    for (site, mount) in of_sites.chain(of_sections) {
        let Target::Forward(destination) = &mount.target else { continue };
        let Worker::Balancer(balancer) = destination.worker else { continue };
        let balancer = plan.balancer(balancer);
        if lacks_members(balancer) {
            let directive = "ProxyPass";
            findings.push(empty(plan, Some(site), &mount.origin, directive, &balancer.name));
        }
    }
}

/// `growth` keeps places for members added while running.
fn lacks_members(balancer: &Balancer) -> bool {
    balancer.members.is_empty() && balancer.growth == 0
}

fn empty_reverse(draft: &Draft, plan: &Plan, findings: &mut Vec<Finding>) {
    let of_sites = draft.sites.iter().flat_map(|site| &site.defaults.reverse);
    let of_sections = draft.sections.iter().flat_map(|section| &section.says.reverse);
    let named: HashMap<&Origin, &str> =
        of_sites.chain(of_sections).map(|rule| (&rule.origin, rule.url.as_str())).collect();
    for rule in plan.sections.iter().flat_map(|section| &section.reverse) {
        let name = match &rule.internal {
            ReverseFrom::Balancer { id, .. } if lacks_members(plan.balancer(*id)) => {
                Some(plan.balancer(*id).name.clone())
            }
            ReverseFrom::Prefix(_) => named.get(&rule.origin).and_then(|url| match url::parse(url) {
                Ok(Url::Balancer(balancer)) => Some(balancer.name),
                _ => None,
            }),
            _ => None,
        };
        if let Some(name) = name {
            findings.push(empty(plan, None, &rule.origin, "ProxyPassReverse", &name));
        }
    }
}

fn empty(plan: &Plan, site: Option<&Site>, origin: &Origin, directive: &str, name: &str) -> Finding {
    let consequence = match directive {
        "ProxyPass" => "its requests are answered 503",
        _ => "it rewrites nothing",
    };
    let place = site.map(|site| format!(" in {}", shown(&site.name))).unwrap_or_default();
    let text = format!("{directive} names balancer://{name}, which has no members{place}: {consequence}");
    let filled = plan.balancers.iter().filter(|balancer| !balancer.members.is_empty());
    let guess = nearest(name, filled.map(|balancer| balancer.name.as_str()).filter(|other| *other != name));
    Finding::warning(id::EMPTY_BALANCER, origin, text).cured_by(match guess {
        Some(guess) => format!("Did you mean balancer://{guess}?"),
        None => format!(
            "Write <Proxy balancer://{name}> with BalancerMember lines into this server or the main server."
        ),
    })
}
