// SPDX-License-Identifier: Apache-2.0
//! The page for people: structure, columns, forms and names of fields are stock's, so that what scrapes or posts keeps
//! working. What is new stands behind stock's last column.

use std::fmt::Write;
use std::sync::Arc;

use super::escape::{date, hundredths, markup, path, query_value, size};
use super::form::{write_balancer_form, write_member_form};
use super::view::{BalancerView, CheckView, MemberView};
use crate::config::health::Expression;
use crate::shared::Reason;

/// What stands around the tables.
#[derive(Debug, Clone)]
pub struct Frame {
    pub server_name: String,
    pub server_version: String,
    pub server_built: String,
    /// Path of the page, decoded, for links.
    pub path: String,
    /// URL of the page, for forms.
    pub url: String,
    pub balancers_inherited: bool,
    pub rules_inherited: bool,
    /// Changes are kept when the server is stopped.
    pub persisted: bool,
    /// Conditions of health checks that can be chosen (`ProxyHCExpr`).
    pub conditions: Arc<[Arc<Expression>]>,
}

/// Which form is shown below the tables.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    Balancer(&'a BalancerView),
    Member(&'a BalancerView, &'a MemberView),
}

const STYLE: &str = "table {\n border-width: 1px;\n border-spacing: 3px;\n border-style: solid;\n border-color: gray;\n \
border-collapse: collapse;\n background-color: white;\n text-align: center;\n}\nth {\n border-width: 1px;\n padding: 2px;\n \
border-style: dotted;\n border-color: gray;\n background-color: lightgray;\n text-align: center;\n}\ntd {\n \
border-width: 1px;\n padding: 2px;\n border-style: dotted;\n border-color: gray;\n background-color: white;\n \
text-align: center;\n}\n";

const PERSISTED: &str = "Balancer changes will be persisted on restart.";
const NOT_PERSISTED: &str =
    "Balancer changes are kept at a graceful restart; they will NOT be persisted when the server is stopped.";

const END: &str = "</body></html>\n";

/// The whole page.
pub fn page(frame: &Frame, balancers: &[BalancerView], form: Option<Form<'_>>) -> String {
    let mut out = String::with_capacity(8192);
    write_head(&mut out, frame);
    let with_checks = speaks_of_checks(frame, balancers);
    for balancer in balancers {
        write_balancer(&mut out, frame, balancer, with_checks);
    }
    out.push_str("<hr />\n");
    write_conditions(&mut out, frame);
    match form {
        Some(Form::Member(balancer, member)) => {
            write_member_form(&mut out, frame, balancer, member, with_checks);
        }
        Some(Form::Balancer(balancer)) => write_balancer_form(&mut out, frame, balancer),
        None => {}
    }
    out.push_str(END);
    out
}

/// A page with a section of its own at the end.
pub fn with_section(mut page: String, section: &str) -> String {
    if page.ends_with(END) {
        page.insert_str(page.len() - END.len(), section);
    }
    page
}

fn write_head(out: &mut String, frame: &Frame) {
    let inherited = |yes| if yes { "inherited" } else { "NOT inherited" };
    let _ = write!(
        out,
        "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\" \"http://www.w3.org/TR/html4/strict.dtd\">\n\
         <html><head><title>Balancer Manager</title>\n<style type='text/css'>\n{STYLE}</style>\n</head>\n\
         <body><h1>Load Balancer Manager for {}</h1>\n\n<dl><dt>Server Version: {}</dt>\n<dt>Server Built: {}</dt>\n\
         <dt>{}</dt>\
         <dt>Balancers are {} from main server.</dt><dt>ProxyPass settings are {} from main server.</dt></dl>\n",
        markup(&frame.server_name),
        markup(&frame.server_version),
        markup(&frame.server_built),
        if frame.persisted { PERSISTED } else { NOT_PERSISTED },
        inherited(frame.balancers_inherited),
        inherited(frame.rules_inherited),
    );
}

/// A link to the page with `b`, and `w` if one is given.
fn link(frame: &Frame, balancer: &BalancerView, member: Option<&MemberView>) -> String {
    let member = member.map(|member| format!("&w={}", query_value(&member.name))).unwrap_or_default();
    let (name, nonce) = (query_value(&balancer.name), query_value(&balancer.nonce));
    markup(&format!("{}?b={name}{member}&nonce={nonce}", path(&frame.path)))
}

fn on_off(on: bool) -> &'static str {
    if on { "On" } else { "Off" }
}

/// Stock has columns and fields for health checks with mod_proxy_hcheck; here they are there as soon as the file or an
/// administrator says anything about them.
fn speaks_of_checks(frame: &Frame, balancers: &[BalancerView]) -> bool {
    let mut members = balancers.iter().flat_map(|balancer| &balancer.members);
    !frame.conditions.is_empty()
        || members.any(|member| member.check.as_ref().is_some_and(|check| check.is_mentioned))
}

fn write_balancer(out: &mut String, frame: &Frame, balancer: &BalancerView, with_checks: bool) {
    let _ = write!(
        out,
        "<hr />\n<h3>LoadBalancer Status for <a href=\"{}\">balancer://{}</a> [{}]</h3>\n\n\n\
         <table><tr><th>MaxMembers</th><th>StickySession</th><th>DisableFailover</th><th>Timeout</th>\
         <th>FailoverAttempts</th><th>Method</th><th>Path</th><th>Active</th></tr>\n\
         <tr><td>{} [{} Used]</td>\n<td>{}</td><td>{}</td>\n<td>{}</td><td>{}</td>\n<td>{}</td>\n<td>{}</td>\n\
         <td>Yes</td>\n</tr>\n</table>\n<br />\n\n",
        link(frame, balancer, None),
        markup(&balancer.name),
        markup(&balancer.label),
        balancer.max_members,
        balancer.members.len(),
        markup(&balancer.sticky.as_ref().map_or_else(|| " (None) ".to_owned(), sticky_text)),
        on_off(balancer.no_failover),
        balancer.timeout,
        balancer.max_attempts.unwrap_or(0),
        balancer.method,
        markup(&balancer.path),
    );
    out.push_str(
        "<table><tr><th>Worker URL</th><th>Route</th><th>RouteRedir</th><th>Factor</th><th>Set</th><th>Status</th>\
         <th>Elected</th><th>Busy</th><th>Load</th><th>To</th><th>From</th>",
    );
    if with_checks {
        out.push_str(
            "<th>HC Method</th><th>HC Interval</th><th>Passes</th><th>Fails</th><th>HC uri</th><th>HC Expr</th>",
        );
    }
    out.push_str("<th>Last Change</th></tr>\n");
    for member in &balancer.members {
        write_member(out, frame, balancer, member, with_checks);
    }
    out.push_str("</table>\n");
}

pub(super) fn sticky_text((cookie, path): &(String, String)) -> String {
    if cookie == path { cookie.clone() } else { format!("{cookie}|{path}") }
}

fn write_member(
    out: &mut String,
    frame: &Frame,
    balancer: &BalancerView,
    member: &MemberView,
    with_checks: bool,
) {
    let _ = write!(
        out,
        "<tr>\n<td><a href=\"{}\">{}</a></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
         <td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
        link(frame, balancer, Some(member)),
        markup(&member.name),
        markup(&member.route),
        markup(&member.redirect),
        hundredths(member.load_factor),
        member.lbset,
        member.status,
        member.elected,
        member.busy,
        member.lbstatus,
        size(member.sent),
        size(member.received),
    );
    if with_checks {
        write_check(out, member.check.as_ref());
    }
    let _ = writeln!(out, "<td>{}</td></tr>", markup(&last_change(member)));
}

fn write_check(out: &mut String, check: Option<&CheckView>) {
    let Some(CheckView { in_force, passes, fails, .. }) = check else { return };
    let settings = &in_force.settings;
    let expression =
        settings.expression.as_ref().map(|expression| markup(&expression.name)).unwrap_or_default();
    let _ = write!(
        out,
        "<td>{}</td><td>{}ms</td><td>{} ({passes})</td><td>{} ({fails})</td><td>{}</td><td>{expression}</td>",
        in_force.method_name(),
        settings.interval.as_millis(),
        settings.passes,
        settings.fails,
        markup(&settings.uri),
    );
}

/// The conditions of health checks that can be chosen.
fn write_conditions(out: &mut String, frame: &Frame) {
    if frame.conditions.is_empty() {
        return;
    }
    out.push_str(
        "\n\n<table><tr><th colspan='2'>Health check cond. expressions:</th></tr>\n\
         <tr><th>Expr name</th><th>Expression</th></tr>\n",
    );
    for expression in frame.conditions.iter() {
        let (name, text) = (markup(&expression.name), markup(&expression.text));
        let _ = writeln!(out, "<tr><td>{name}</td><td>{text}</td></tr>");
    }
    out.push_str("</table><hr/>\n");
}

/// Since when and why the member is what it is.
fn last_change(member: &MemberView) -> String {
    let (moment, reason) = member.changed;
    let mut text = match reason {
        Reason::None => String::new(),
        reason => format!("{}: {}", date(moment), reason.words()),
    };
    if let Some(error) = member.error_time.filter(|_| member.retries > 0) {
        let _ = write!(text, " (last error {}, {} tries since)", date(error), member.retries);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_are_shown_as_they_would_be_written() {
        let names = |cookie: &str, path: &str| sticky_text(&(cookie.into(), path.into()));
        assert_eq!(names("S", "S"), "S");
        assert_eq!(names("S", "s"), "S|s");
        assert_eq!(names("S", ""), "S|");
    }
}
