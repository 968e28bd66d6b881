// SPDX-License-Identifier: Apache-2.0
//! What a virtual host takes over from the main server.

use super::compile::{Compiler, Names};
use super::declare::BalancerDraft;
use super::draft::{DirectoryDraft, Draft};
use super::finding::{Finding, id};
use super::forward::{ForwardRules, KnownAddresses};
use super::plan::{BalancerId, MemberId, Method};
use super::setting::{BalancerSettings, SiteSettings};

/// The balancers a server can name.
pub(super) type View = Names;

/// The servers whose rules apply, outermost first.
pub(super) fn chain(site: usize) -> impl Iterator<Item = usize> {
    (site != 0).then_some(0).into_iter().chain([site])
}

/// The values of a server: its own where it has said any, else the main server's.
pub(super) fn settings(draft: &Draft, site: usize) -> SiteSettings {
    let mut settings = draft.sites[site].settings.clone();
    settings.fill_from(&draft.sites[0].settings);
    settings
}

/// What a server forwards, and by which way. Other proxies of the main server are kept out by `ProxyPassInherit Off`.
pub(super) fn forward(draft: &Draft, site: usize, addresses: Option<&KnownAddresses>) -> ForwardRules {
    let settings = settings(draft, site);
    let mut rules = ForwardRules {
        requests: settings.requests.is_some_and(|switch| switch.on),
        domain: settings.proxy_domain,
        ..ForwardRules::default()
    };
    for owner in chain(site) {
        let own = &draft.sites[owner].forward;
        if owner == site || settings.pass_inherit.unwrap_or(true) {
            rules.remotes.extend(own.remotes.iter().cloned());
        }
        own.add_to(&mut rules, addresses);
    }
    rules
}

/// Per-directory values at server level: lists one behind the other, single values from the inner one.
pub(super) fn defaults(draft: &Draft, site: usize) -> DirectoryDraft {
    let mut merged = DirectoryDraft::default();
    for owner in chain(site) {
        let says = &draft.sites[owner].defaults;
        merged.reverse.extend(says.reverse.iter().cloned());
        merged.cookie_path.extend(says.cookie_path.iter().cloned());
        merged.cookie_domain.extend(says.cookie_domain.iter().cloned());
        merged.interpolate = says.interpolate.or(merged.interpolate);
        merged.preserve_host = says.preserve_host.or(merged.preserve_host);
        merged.add_headers = says.add_headers.or(merged.add_headers);
        merged.pass_continue = says.pass_continue.or(merged.pass_continue);
        merged.error_override = says.error_override.clone().or(merged.error_override);
    }
    merged
}

/// Does a virtual host take over the main server's balancers and plain workers?
pub(super) fn takes_workers(draft: &Draft, site: usize) -> bool {
    let settings = settings(draft, site);
    settings.balancer_inherit.unwrap_or(true) || settings.pass_inherit.unwrap_or(true)
}

/// The balancers of a server. Workers are inherited unless both switches are off.
pub(super) fn balancers(compiler: &mut Compiler, site: usize) -> View {
    let mut view =
        if site != 0 && takes_workers(compiler.draft, site) { compiler.main_view() } else { View::new() };
    let draft = compiler.draft;
    for balancer in &draft.sites[site].balancers {
        let base = view.get(&balancer.name).copied();
        let outer = draft.sites[0].balancers.iter().find(|outer| outer.name == balancer.name);
        let id = match (base, outer) {
            (Some(base), Some(outer)) => redeclared(compiler, site, balancer, base, outer),
            _ => {
                let members = own_members(compiler, site, balancer);
                compiler.balancer(site, balancer, &balancer.settings, members)
            }
        };
        view.insert(balancer.name.clone(), id);
    }
    view
}

fn own_members(compiler: &mut Compiler, site: usize, balancer: &BalancerDraft) -> Vec<MemberId> {
    balancer.members.iter().map(|member| compiler.member(site, Some(&balancer.name), member)).collect()
}

/// A balancer named in a virtual host and in the main server: the main server's members, settings of both.
fn redeclared(
    compiler: &mut Compiler,
    site: usize,
    own: &BalancerDraft,
    base: BalancerId,
    outer: &BalancerDraft,
) -> BalancerId {
    let inherited = compiler.plan.balancer(base).members.clone();
    // An outer balancer without members has nothing to share; the virtual host's own are then the only ones.
    let members = if inherited.is_empty() { own_members(compiler, site, own) } else { inherited };
    if !outer.members.is_empty() && !own.members.is_empty() {
        compiler.findings.push(dropped(compiler, site, own, outer));
    }
    let settings = layered(&own.settings, &outer.settings);
    if own.settings.method.is_none()
        && outer.settings.method.is_some_and(|method| method != Method::default())
    {
        compiler.findings.push(method_reset(own, outer));
    }
    compiler.balancer(site, own, &settings, members)
}

fn layered(own: &BalancerSettings, outer: &BalancerSettings) -> BalancerSettings {
    let mut settings = own.clone();
    settings.fill_from(outer);
    settings.method = Some(own.method.unwrap_or_default());
    let mut codes = own.fail_on_status.clone().unwrap_or_default();
    codes.extend(outer.fail_on_status.iter().flatten());
    settings.fail_on_status = Some(codes);
    settings
}

fn dropped(compiler: &Compiler, site: usize, own: &BalancerDraft, outer: &BalancerDraft) -> Finding {
    let name = &own.name;
    let text = format!(
        "balancer://{name} of {} loses its own {} member(s), because the main server has a balancer of that name ({}) and its members are used",
        compiler.draft.sites[site].name,
        own.members.len(),
        outer.origin
    );
    Finding::warning(id::OWN_MEMBERS_DROPPED, &own.members[0].origin, text).cured_by(
        "Give one of the two another name, or write ProxyPassInherit Off and BalancerInherit Off into the virtual host.",
    )
}

fn method_reset(own: &BalancerDraft, outer: &BalancerDraft) -> Finding {
    let method = match outer.settings.method {
        Some(Method::ByTraffic) => "bytraffic",
        Some(Method::ByBusyness) => "bybusyness",
        Some(Method::Heartbeat) => "heartbeat",
        _ => "byrequests",
    };
    let text = format!(
        "balancer://{} uses lbmethod byrequests in this virtual host, not the {method} of {}: naming a balancer again sets its method anew",
        own.name, outer.origin
    );
    Finding::warning(id::METHOD_RESET, &own.origin, text)
        .cured_by(format!("Write lbmethod={method} at the end of this line too."))
}
