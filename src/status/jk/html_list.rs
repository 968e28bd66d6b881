// SPDX-License-Identifier: Apache-2.0
//! The tables of workers, members and maps.

use super::answer::Content;
use super::figures::{count, traffic};
use super::html::Html;
use super::link::{Carry, Link};
use super::model::{
    AjpView, BalancerView, Chosen, MapView, MemberView, activation_text, lock_text, method_text, true_false,
};
use super::query::{Command, Options};
use super::setting::{AJP, BALANCING};
use crate::shared::JkState;
use crate::status::escape::text as markup;

const AJP_COLUMNS: &str = "<th>Type</th><th>Hostname</th><th>Address:Port</th><th>Source</th>\
<th>Connection<br/>Pool Timeout</th><th>Connect<br/>Timeout</th><th>Prepost<br/>Timeout</th>\
<th>Reply<br/>Timeout</th><th>Retries</th><th>Recovery<br/>Options</th><th>Busy<br/>Limit</th>\
<th>Max Packet<br/>Size</th><th>\n[";

const LEGEND: [(&str, &str); 24] = [
    ("Name", "Worker name"),
    ("Type", "Worker type"),
    ("Route", "Worker route"),
    ("Act", "Worker activation configuration<br/>\nACT=Active, DIS=Disabled, STP=Stopped"),
    (
        "State",
        "Worker error status<br/>\nOK=OK, ERR=Error with substates<br/>\n\
         IDLE=No requests handled, BUSY=All connections busy,<br/>\n\
         REC=Recovering, PRB=Probing, FRC=Forced Recovery",
    ),
    ("D", "Worker distance"),
    ("F", "Load Balancer factor"),
    ("M", "Load Balancer multiplicity"),
    ("V", "Load Balancer value"),
    ("Acc", "Number of requests"),
    ("Sess", "Number of sessions created"),
    ("Err", "Number of failed requests"),
    ("CE", "Number of client errors"),
    ("RE", "Number of reply timeouts (decayed)"),
    ("Wr", "Number of bytes transferred"),
    ("Rd", "Number of bytes read"),
    ("Busy", "Current number of busy connections"),
    ("MaxBusy", "Maximum number of busy connections"),
    ("Con", "Current number of backend connections"),
    ("MaxCon", "Maximum number of backend connections"),
    ("RR", "Route redirect"),
    ("Cd", "Cluster domain"),
    ("Rs", "Recovery scheduled in app. min/max seconds"),
    ("LR", "Seconds since last reset of statistics counters"),
];

/// All balancers and AJP workers.
pub(super) fn list(html: &mut Html<'_>) {
    let view = html.sheet.view;
    if !view.balancers.is_empty() {
        section(html, "Load Balancing Worker", view.balancers.len(), Options::NO_BALANCERS);
        if !html.sheet.options.has(Options::NO_BALANCERS) {
            view.balancers.iter().for_each(|worker| balancer(html, worker, None));
        }
    }
    if !view.ajp.is_empty() {
        section(html, "AJP Worker", view.ajp.len(), Options::NO_AJP);
        if !html.sheet.options.has(Options::NO_AJP) {
            view.ajp.iter().for_each(|worker| ajp(html, worker));
        }
    }
    legend(html);
}

/// One worker, and only one of its members if one was chosen.
pub(super) fn show(html: &mut Html<'_>, worker: Chosen<'_>, member: Option<&MemberView>) {
    match worker {
        Chosen::Balancer(worker) => balancer(html, worker, member),
        Chosen::Ajp(worker) => ajp(html, worker),
        Chosen::Status => {}
    }
    legend(html);
}

/// The heading of a kind of workers, or the link that shows them again.
fn section(html: &mut Html<'_>, kind: &str, number: usize, option: u32) {
    let plural = if number == 1 { "" } else { "s" };
    if html.sheet.options.has(option) {
        let link = html.with_options(0, option);
        html.put("<p>\n");
        html.anchor(link, &format!("Show {kind}s"));
        html.put("</p>\n");
        return;
    }
    html.fmt(format_args!("<hr/><h2>Listing {kind}{plural} ({number} Worker{plural}) ["));
    html.anchor(html.with_options(option, 0), "Hide");
    html.put("]</h2>\n");
}

/// The letters in front of a worker: what can be done with it.
fn commands(html: &mut Html<'_>, worker: &str, member: Option<&str>, is_shown: bool, more: Commands) {
    let link = |command, from| Link {
        command: Some(command),
        from,
        worker: Some(worker),
        member,
        ..Link::default()
    };
    let change = |command| Link { sw: Carry::Turn, ..link(command, Some(html.sheet.command)) };
    let (edit, reset, recover) = (change(Command::Edit), change(Command::Reset), change(Command::Recover));
    html.put("[");
    if is_shown {
        html.put("S");
    } else {
        html.anchor(Link { sw: Carry::Drop, ..link(Command::Show, None) }, "S");
    }
    if more.can_change && !html.sheet.is_read_only() {
        html.put("|");
        html.anchor(edit, "E");
        html.put("|");
        html.anchor(reset, "R");
        if more.can_recover {
            html.put("|");
            html.anchor(recover, "T");
        }
    }
    html.put("]&nbsp;");
}

/// What can be done with a worker beside showing it.
#[derive(Clone, Copy)]
struct Commands {
    can_change: bool,
    can_recover: bool,
}

fn heading(html: &mut Html<'_>, name: &str, can_change: bool) {
    let is_shown = matches!(html.sheet.content, Content::Show { .. });
    html.put("<hr/><h3>");
    commands(html, name, None, is_shown, Commands { can_change, can_recover: false });
    html.fmt(format_args!("&nbsp;Worker Status for {}</h3>\n", markup(name)));
}

/// Links that show again what the options hide.
fn hidden_parts(html: &mut Html<'_>, parts: &[(u32, &str)]) {
    let hidden = parts.iter().filter(|(option, _)| html.sheet.options.has(*option));
    let links: Vec<String> = hidden
        .map(|(option, text)| {
            let link = Link { command: Some(html.sheet.command), ..html.with_options(0, *option) };
            format!("<a href=\"{}\">{text}</a>", html.url(link))
        })
        .collect();
    if !links.is_empty() {
        html.fmt(format_args!("<p>\n{}</p>\n", links.join("&nbsp;&nbsp;|&nbsp;&nbsp;")));
    }
}

fn balancer(html: &mut Html<'_>, worker: &BalancerView, member: Option<&MemberView>) {
    heading(html, &worker.name, !worker.is_foreign);
    hidden_parts(
        html,
        &[
            (Options::NO_BALANCER_SETTINGS, "Show LB Configuration"),
            (Options::NO_BALANCER_SUMMARY, "Show LB Summary"),
            (Options::NO_MEMBERS, "Show Balancer Members"),
            (Options::NO_AJP_SETTINGS, "Show AJP Configuration"),
        ]
        .map(|part| match part.0 {
            // Without members there is nothing that their settings could belong to.
            Options::NO_AJP_SETTINGS if html.sheet.options.has(Options::NO_MEMBERS) => (0, part.1),
            _ => part,
        }),
    );
    if !html.sheet.options.has(Options::NO_BALANCER_SETTINGS) {
        settings(html, worker);
    }
    if !html.sheet.options.has(Options::NO_BALANCER_SUMMARY) {
        summary(html, worker);
    }
    if !html.sheet.options.has(Options::NO_MEMBERS) {
        members(html, worker, member);
    }
    maps(html, &worker.name, &worker.maps);
}

fn settings(html: &mut Html<'_>, worker: &BalancerView) {
    html.put(
        "<table><tr valign=\"bottom\"><th>Type</th><th>Sticky<br/>Sessions</th><th>Force Sticky<br/>Sessions</th>\
         <th>Retries</th><th>LB<br/>Method</th><th>Locking</th><th>Recover<br/>Wait Time</th>\
         <th>Error<br/>Escalation Time</th><th>Max Reply<br/>Timeouts</th><th>\n[",
    );
    html.anchor(html.with_options(Options::NO_BALANCER_SETTINGS, 0), "Hide");
    let settings = &worker.settings;
    html.put("]</th></tr><tr><td>lb</td>");
    cells(
        html,
        &[
            &true_false(settings.sticky),
            &true_false(settings.sticky_force),
            &settings.retries,
            &method_text(settings.method),
            &lock_text(settings.lock),
            &settings.recover_time,
            &settings.error_escalation_time,
            &settings.max_reply_timeouts,
        ],
    );
    html.put("<td></td></tr>\n</table>\n<br/>\n");
}

fn summary(html: &mut Html<'_>, worker: &BalancerView) {
    let rating = html.sheet.rating(worker);
    html.put(
        "<table><tr><th>Good</th><th>Degraded</th><th>Bad/Stopped</th><th>Busy</th><th>Max Busy</th>\
         <th>Next Maintenance</th><th>Last Reset</th><th>[",
    );
    html.anchor(html.with_options(Options::NO_BALANCER_SUMMARY, 0), "Hide");
    html.put("]</th></tr>\n<tr>");
    let maintenance = format!("{}/{}", worker.maintenance.0, worker.maintenance.1);
    let age = html.sheet.age(worker.reset_at);
    cells(
        html,
        &[&rating.good, &rating.degraded, &rating.bad, &worker.busy, &worker.max_busy, &maintenance, &age],
    );
    html.put("<td></td></tr>\n</table>\n\n");
}

fn cells(html: &mut Html<'_>, values: &[&dyn std::fmt::Display]) {
    for value in values {
        html.fmt(format_args!("<td>{value}</td>"));
    }
}

fn members(html: &mut Html<'_>, worker: &BalancerView, member: Option<&MemberView>) {
    html.put("<h4>Balancer Members [");
    if member.is_some() {
        let all = Link {
            command: Some(Command::Show),
            worker: Some(&worker.name),
            sw: Carry::Drop,
            ..Link::default()
        };
        html.anchor(all, "Show All Members");
        html.put("]&nbsp;&nbsp;[");
    }
    let here = html.sheet.command;
    let sw = if here == Command::List { Carry::Drop } else { Carry::Keep };
    let hide = Link { command: Some(here), sw, ..html.with_options(Options::NO_MEMBERS, 0) };
    html.anchor(hide, "Hide");
    html.put("]</h4>\n");
    let all: Vec<_> = worker.members.iter().collect();
    let shown = member.as_ref().map_or(&all[..], std::slice::from_ref);
    if !html.sheet.options.has(Options::NO_AJP_SETTINGS) {
        html.fmt(format_args!("<table><tr valign=\"bottom\"><th>Name</th>{AJP_COLUMNS}"));
        html.anchor(html.with_options(Options::NO_AJP_SETTINGS, 0), "Hide");
        html.put("]</th></tr>");
        for member in shown {
            html.fmt(format_args!("<tr><td>{}</td>", markup(&member.ajp.name)));
            ajp_settings(html, &member.ajp);
            html.fmt(format_args!("<td>{}</td><td></td></tr>\n", member.ajp.settings.packet_size));
        }
        html.put("</table>\n<br/>\n");
    }
    html.put(
        "<table><tr valign=\"bottom\"><th>&nbsp;</th><th>Name</th><th>Act</th><th>State</th><th>D</th><th>F</th>\
         <th>M</th><th>V</th><th>Acc</th><th>Sess</th><th>Err</th><th>CE</th><th>RE</th><th>Wr</th><th>Rd</th>\
         <th>Busy</th><th>MaxBusy</th><th>Con</th><th>MaxCon</th><th>Route</th><th>RR</th><th>Cd</th><th>Rs</th>\
         <th>LR</th><th>LE</th></tr>\n",
    );
    let is_shown = member.is_some();
    shown.iter().for_each(|member| member_row(html, worker, member, is_shown));
    html.put("</table><br/>\n");
    shown.iter().for_each(|member| taken_out(html, member));
    if !worker.is_foreign && !html.sheet.is_read_only() {
        attribute_form(html, &worker.name);
    }
}

fn ajp_settings(html: &mut Html<'_>, worker: &AjpView) {
    let settings = &worker.settings;
    cells(
        html,
        &[
            &markup(&worker.kind),
            &markup(&settings.host),
            &markup(&worker.address),
            &markup(&worker.source),
            &settings.pool_timeout,
            &settings.connect_timeout,
            &settings.prepost_timeout,
            &settings.reply_timeout,
            &settings.retries,
            &settings.recovery_options,
            &settings.busy_limit,
        ],
    );
}

fn member_row(html: &mut Html<'_>, balancer: &BalancerView, member: &MemberView, is_shown: bool) {
    let ajp = &member.ajp;
    let age = html.sheet.age(ajp.reset_at);
    html.put("<tr>\n<td>");
    let more = Commands { can_change: !balancer.is_foreign, can_recover: member.state == JkState::Error };
    commands(html, &balancer.name, Some(&ajp.name), is_shown, more);
    html.put("</td>");
    let settings = &member.settings;
    cells(
        html,
        &[
            &markup(&ajp.name),
            &activation_text(settings.activation),
            &member.state.name(),
            &settings.distance,
            &settings.lbfactor,
            &member.lb_mult,
            &member.lb_value,
            &count(member.elected, age),
            &count(member.sessions, age),
        ],
    );
    counters(html, ajp, age);
    let recover = format!("{}/{}", member.recover.0, member.recover.1);
    cells(
        html,
        &[
            &markup(&settings.route),
            &or_blank(&settings.redirect),
            &or_blank(&settings.domain),
            &recover,
            &age,
            &last_error(ajp),
        ],
    );
    html.put("</tr>\n");
}

/// Below the table, so that every cell of it stays stock's.
fn taken_out(html: &mut Html<'_>, member: &MemberView) {
    if let Some(gone) = member.gone {
        html.fmt(format_args!(
            "<p>Member {} is out: {}.</p>\n",
            markup(&member.ajp.name),
            markup(&gone.text())
        ));
    }
}

/// From `Err` to `MaxCon`.
fn counters(html: &mut Html<'_>, worker: &AjpView, age: u64) {
    cells(
        html,
        &[
            &worker.errors,
            &worker.client_errors,
            &worker.reply_timeouts,
            &traffic(worker.transferred, age),
            &traffic(worker.read, age),
            &worker.busy,
            &worker.max_busy,
            &worker.connected,
            &worker.max_connected,
        ],
    );
}

fn last_error(worker: &AjpView) -> String {
    worker.error_at.map_or_else(|| "&nbsp;".to_owned(), super::figures::Stamp::long)
}

fn or_blank(text: &str) -> String {
    if text.is_empty() { "&nbsp;".to_owned() } else { markup(text) }
}

fn attribute_form(html: &mut Html<'_>, worker: &str) {
    html.begin_form();
    html.hidden("cmd", Command::Edit.name());
    html.hidden_parameters("cmd");
    html.hidden("w", worker);
    if let Some(from) = html.sheet.query.get("cmd") {
        html.hidden("from", from);
    }
    html.put(
        "<table><tr><td><b>E</b>dit this attribute for all members:</td><td><select name=\"att\" size=\"1\">\n",
    );
    for setting in BALANCING.into_iter().chain(AJP).filter(|setting| setting.for_all()) {
        html.fmt(format_args!("<option value=\"{}\">{}</option>\n", setting.parameter(), setting.label()));
    }
    html.put("</select></td><td><input type=\"submit\" value=\"Go\"/></td></tr></table></form>\n");
}

fn ajp(html: &mut Html<'_>, worker: &AjpView) {
    heading(html, &worker.name, true);
    hidden_parts(html, &[(Options::NO_AJP_SETTINGS, "Show AJP Configuration")]);
    if !html.sheet.options.has(Options::NO_AJP_SETTINGS) {
        html.fmt(format_args!("<table><tr valign=\"bottom\">{AJP_COLUMNS}"));
        html.anchor(html.with_options(Options::NO_AJP_SETTINGS, 0), "Hide");
        html.put("]</th></tr><tr>");
        ajp_settings(html, worker);
        // mod_jk leaves the last column empty here, and who counts columns relies on it.
        html.put("<td></td></tr>\n</table>\n<br/>\n");
    }
    html.put(
        "<table><tr valign=\"bottom\"><th>State</th><th>Acc</th><th>Err</th><th>CE</th><th>RE</th><th>Wr</th><th>Rd</th>\
         <th>Busy</th><th>MaxBusy</th><th>Con</th><th>MaxCon</th><th>LR</th><th>LE</th></tr>\n<tr>",
    );
    let age = html.sheet.age(worker.reset_at);
    cells(html, &[&worker.state.name(), &count(worker.used, age)]);
    counters(html, worker, age);
    cells(html, &[&age, &last_error(worker)]);
    html.put("</tr>\n</table>\n");
    maps(html, &worker.name, &worker.maps);
}

fn maps(html: &mut Html<'_>, worker: &str, maps: &[MapView]) {
    if maps.is_empty() {
        html.fmt(format_args!("<hr/><h3>Warning: No URI Mappings defined for {} !</h3>\n", markup(worker)));
        return;
    }
    if html.sheet.options.has(Options::NO_MAPS) {
        let link = html.with_options(0, Options::NO_MAPS);
        html.put("<p>\n");
        html.anchor(link, "Show URI Mappings");
        html.put("</p>\n");
        return;
    }
    html.fmt(format_args!("<hr/><h3>URI Mappings for {} ({} maps) [", markup(worker), maps.len()));
    html.anchor(html.with_options(Options::NO_MAPS, 0), "Hide");
    html.put(
        "]</h3><table>\n<tr valign=\"bottom\"><th>Server</th><th>URI</th><th>Match<br/>Type</th><th>Source</th>\
         <th>Reply<br/>Timeout</th><th>Sticky<br/>Ignore</th><th>Stateless</th><th>Fail on<br/>Status</th>\
         <th>Active</th><th>Disabled</th><th>Stopped</th><th>Use Server<br/>Errors</th></tr>\n",
    );
    for map in maps {
        let text = |text: &str| if text.is_empty() { "-".to_owned() } else { markup(text) };
        html.put("<tr>");
        cells(
            html,
            &[
                &text(&map.server),
                &text(&map.uri),
                &map.kind,
                &map.source,
                &map.reply_timeout,
                &u8::from(map.sticky_ignore),
                &u8::from(map.stateless),
                &text(&map.fail_on_status),
                &text(&map.active),
                &text(&map.disabled),
                &text(&map.stopped),
                &map.use_server_errors,
            ],
        );
        html.put("</tr>\n");
    }
    html.put("</table>\n");
}

fn legend(html: &mut Html<'_>) {
    if html.sheet.options.has(Options::NO_LEGEND) {
        let link = html.with_options(0, Options::NO_LEGEND);
        html.put("<p>\n");
        html.anchor(link, "Show Legend");
        html.put("</p>\n");
        return;
    }
    html.put("<h2>Legend [");
    html.anchor(html.with_options(Options::NO_LEGEND, 0), "Hide");
    html.put("]</h2>\n<table>\n<tbody valign=\"baseline\">\n");
    for (name, meaning) in LEGEND {
        html.fmt(format_args!("<tr><th>{name}</th><td>{meaning}</td></tr>\n"));
    }
    html.put("<tr><th>LE</th><td>Timestamp of the last error</td></tr>\n</tbody>\n</table>\n");
}
