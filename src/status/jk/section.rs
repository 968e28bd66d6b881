// SPDX-License-Identifier: Apache-2.0
//! The balancers of workers.properties on the page of balancer-manager: for reading, behind everything that is stock's.

use std::fmt::Write;

use super::live::Live;
use super::model::{BalancerView, MemberView, activation_text, lock_text, method_text, true_false};
use super::query::Options;
use crate::config::jk::mounts::JkMounts;
use crate::config::jk::plan::{JkPlan, JkTarget, RuleWorker};
use crate::status::escape::{markup, path, percent, size};

/// The section; empty without such balancers. Names are links if `rules`, those of the server asked, lead to a status
/// worker.
pub fn html(live: &Live<'_>, rules: &JkMounts) -> String {
    let balancers = live.jk_balancers();
    let mut out = String::new();
    if balancers.is_empty() {
        return out;
    }
    let page = page_of_status(&live.plan.jk, rules);
    out.push_str("<hr />\n<h2>Balancers of workers.properties</h2>\n");
    for balancer in &balancers {
        write_balancer(&mut out, page.as_deref(), balancer);
    }
    out
}

/// The path of the first rule that leads to a status worker.
fn page_of_status(plan: &JkPlan, rules: &JkMounts) -> Option<String> {
    let leads = |worker: &RuleWorker| match worker {
        RuleWorker::Known(id) => matches!(plan.worker(*id).target, JkTarget::Status(_)),
        RuleWorker::Any | RuleWorker::Unknown(_) => false,
    };
    let mut found =
        rules.rules().iter().filter(|rule| !rule.is_disabled && !rule.is_exclusion && leads(&rule.worker));
    found.find_map(|rule| {
        let path = rule.pattern.strip_suffix('*').unwrap_or(&rule.pattern);
        (!path.contains(['*', '?'])).then(|| path.to_owned())
    })
}

fn write_balancer(out: &mut String, page: Option<&str>, balancer: &BalancerView) {
    let name = markup(&balancer.name);
    let name = match page {
        Some(page) => format!(
            "<a href=\"{}?cmd=show&amp;w={}&amp;opt={}\">{name}</a>",
            markup(&path(page)),
            percent(&balancer.name, b""),
            Options::READ_ONLY
        ),
        None => name,
    };
    let settings = &balancer.settings;
    let _ = write!(
        out,
        "<h3>Worker {name}</h3>\n\
         <table><tr><th>Sticky</th><th>Force Sticky</th><th>Retries</th><th>Method</th><th>Locking</th><th>Recover Time</th>\
         <th>Busy</th><th>MaxBusy</th></tr>\n\
         <tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n</table>\n<br />\n\
         <table><tr><th>Member</th><th>Address</th><th>Activation</th><th>State</th><th>Route</th><th>RouteRedir</th>\
         <th>Domain</th><th>Distance</th><th>Factor</th><th>Elected</th><th>Errors</th><th>Busy</th><th>To</th><th>From</th>\
         </tr>\n",
        true_false(settings.sticky),
        true_false(settings.sticky_force),
        settings.retries,
        method_text(settings.method),
        lock_text(settings.lock),
        settings.recover_time,
        balancer.busy,
        balancer.max_busy,
    );
    for member in &balancer.members {
        write_member(out, member);
    }
    out.push_str("</table>\n");
}

fn write_member(out: &mut String, member: &MemberView) {
    let (ajp, settings) = (&member.ajp, &member.settings);
    let name = member.state.name();
    let state =
        member.gone.map_or_else(|| name.to_owned(), |gone| format!("{name}: {}", markup(&gone.text())));
    let _ = writeln!(
        out,
        "<tr><td>{}</td><td>{}:{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
         <td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        markup(&ajp.name),
        markup(&ajp.settings.host),
        ajp.settings.port,
        activation_text(settings.activation),
        state,
        markup(&settings.route),
        markup(&settings.redirect),
        markup(&settings.domain),
        settings.distance,
        settings.lbfactor,
        member.elected,
        ajp.errors,
        ajp.busy,
        size(ajp.transferred),
        size(ajp.read),
    );
}
