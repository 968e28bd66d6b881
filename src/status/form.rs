// SPDX-License-Identifier: Apache-2.0
//! The forms below the tables: fields and their order are stock's, because programs fill them in too.

use std::fmt::Write;

use super::escape::{hidden_value, hundredths, markup};
use super::html::{Frame, sticky_text};
use super::view::{BalancerView, CheckView, MemberView};
use crate::balance::METHODS;
use crate::base::status::Status;
use crate::config::health::METHODS as CHECK_METHODS;

/// Programs look for the quotes stock writes: `quote` is one for numbers and another for text.
fn text_row(out: &mut String, label: &str, name: &str, value: &str, quote: char) {
    let value = markup(value);
    let _ = writeln!(
        out,
        "<tr><td>{label}:</td><td><input name='{name}' id='{name}' type=text value={quote}{value}{quote}></td></tr>"
    );
}

fn radio(name: &str, on: bool) -> String {
    let checked = |yes| if yes { " checked" } else { "" };
    format!(
        "<td><label for='{name}1'>On</label> <input name='{name}' id='{name}1' value='1' type=radio{}> <br/> \
         <label for='{name}0'>Off</label> <input name='{name}' id='{name}0' value='0' type=radio{}></td>\n",
        checked(on),
        checked(!on)
    )
}

fn open_form(out: &mut String, what: &str, frame: &Frame) {
    let _ = write!(
        out,
        "<h3>Edit {}</h3>\n<form method='POST' enctype='application/x-www-form-urlencoded' action=\"{}\">\n",
        markup(what),
        markup(&frame.url)
    );
}

fn close_form(out: &mut String, balancer: &BalancerView, member: Option<&MemberView>) {
    out.push_str("<input type=submit value='Submit'></td></tr>\n</table>\n");
    let mut hidden = |name: &str, value: &str, quote: char| {
        let _ = writeln!(
            out,
            "<input type=hidden name='{name}' id='{name}' value={quote}{}{quote}>",
            hidden_value(value)
        );
    };
    if let Some(member) = member {
        hidden("w", &member.name, '"');
    }
    hidden("b", &balancer.name, '"');
    hidden("nonce", &balancer.nonce, '\'');
    out.push_str("</form>\n<hr />\n");
}

const SWITCHES: [(&str, &str, Status); 7] = [
    ("Ignore Errors", "w_status_I", Status::IGNORE_ERRORS),
    ("Draining Mode", "w_status_N", Status::DRAIN),
    ("Disabled", "w_status_D", Status::DISABLED),
    ("Hot Standby", "w_status_H", Status::HOT_STANDBY),
    ("Hot Spare", "w_status_R", Status::HOT_SPARE),
    ("HC Fail", "w_status_C", Status::HC_FAIL),
    ("Stopped", "w_status_S", Status::STOPPED),
];

pub(super) fn write_member_form(
    out: &mut String,
    frame: &Frame,
    balancer: &BalancerView,
    member: &MemberView,
    with_checks: bool,
) {
    open_form(out, &format!("worker settings for {}", member.name), frame);
    out.push_str("<table>");
    text_row(out, "Load factor", "w_lf", &hundredths(member.load_factor), '\'');
    text_row(out, "LB Set", "w_ls", &member.lbset.to_string(), '\'');
    text_row(out, "Route", "w_wr", &member.route, '"');
    text_row(out, "Route Redirect", "w_rr", &member.redirect, '"');
    out.push_str("<tr><td>Status:</td><td><table><tr>");
    let switches = SWITCHES.iter().filter(|(.., flag)| with_checks || *flag != Status::HC_FAIL);
    for (label, ..) in switches.clone() {
        let _ = write!(out, "<th>{label}</th>");
    }
    out.push_str("</tr>\n<tr>");
    for (_, name, flag) in switches {
        out.push_str(&radio(name, member.status.has(*flag)));
    }
    out.push_str("</tr></table></td></tr>\n");
    if let Some(check) = member.check.as_ref().filter(|_| with_checks) {
        write_check_fields(out, frame, check);
    }
    out.push_str("<tr><td colspan='2'>");
    close_form(out, balancer, Some(member));
}

fn write_check_fields(out: &mut String, frame: &Frame, check: &CheckView) {
    let settings = &check.in_force.settings;
    out.push_str(
        "<tr><td colspan='2'>\n<table align='center'><tr><th>Health Check param</th><th>Value</th></tr>\n\
         <tr><td>Method</td><td><select name='w_hm'>\n",
    );
    let methods = CHECK_METHODS.iter().map(|(name, _)| *name);
    for name in ["NONE"].into_iter().chain(methods) {
        option(out, name, name == check.in_force.method_name());
    }
    out.push_str("</select>\n</td></tr>\n<tr><td>Expr</td><td><select name='w_he'>\n");
    let chosen = settings.expression.as_ref().map_or("", |condition| &condition.name);
    // Without one that means none, sending the form would choose the first.
    if !frame.conditions.is_empty() {
        option(out, "", chosen.is_empty());
    }
    for condition in frame.conditions.iter() {
        option(out, &condition.name, condition.name == chosen);
    }
    out.push_str("</select>\n</td></tr>\n");
    for (label, name, value) in [
        ("Interval (ms)", "w_hi", settings.interval.as_millis().to_string()),
        ("Passes trigger", "w_hp", settings.passes.to_string()),
        ("Fails trigger)", "w_hf", settings.fails.to_string()),
    ] {
        let _ = writeln!(
            out,
            "<tr><td>{label}</td><td><input name='{name}' id='{name}' type='text' value='{value}'></td></tr>"
        );
    }
    let _ = write!(
        out,
        "<tr><td>HC uri</td><td><input name='w_hu' id='w_hu' type='text' value=\"{}\"></td></tr>\n</table>\n</td></tr>\n",
        markup(&settings.uri)
    );
}

fn option(out: &mut String, name: &str, is_selected: bool) {
    let (name, selected) = (markup(name), if is_selected { "selected" } else { "" });
    let _ = writeln!(out, "<option value='{name}' {selected} >{name}</option>");
}

const JOIN: &str = "<tr><td>Add New Worker:</td><td><input name='b_nwrkr' id='b_nwrkr' size=32 type=text>\
&nbsp;&nbsp;&nbsp;&nbsp;Are you sure? <input name='b_wyes' id='b_wyes' type=checkbox value='1'></td></tr>";

/// Where nothing is heard of members, this method serves nobody: it is offered where it is in use.
const HEARTBEAT: &str = "heartbeat";

pub(super) fn write_balancer_form(out: &mut String, frame: &Frame, balancer: &BalancerView) {
    open_form(out, &format!("balancer settings for balancer://{}", balancer.name), frame);
    out.push_str("<table>\n<tr><td>LBmethod:</td><td>\n<select name='b_lbm' id='b_lbm'>");
    let is_offered = |name: &str| name != HEARTBEAT || balancer.method == HEARTBEAT;
    for (_, name) in METHODS.into_iter().filter(|(_, name)| is_offered(name)) {
        let selected = if name == balancer.method { " selected " } else { "" };
        let _ = writeln!(out, "<option value='{name}'{selected}>{name}");
    }
    out.push_str("</select>\n</td></tr>\n");
    text_row(out, "Timeout", "b_tmo", &balancer.timeout.to_string(), '\'');
    text_row(out, "Failover Attempts", "b_max", &balancer.max_attempts.unwrap_or(0).to_string(), '\'');
    let _ = writeln!(out, "<tr><td>Disable Failover:</td>{}</tr>", radio("b_sforce", balancer.no_failover));
    let _ = writeln!(
        out,
        "<tr><td>Sticky Session:</td><td><input name='b_ss' id='b_ss' size=64 type=text value =\"{}\">\
         &nbsp;&nbsp;&nbsp;&nbsp;(Use '-' to delete)</td></tr>",
        markup(&balancer.sticky.as_ref().map(sticky_text).unwrap_or_default()),
    );
    if balancer.has_room {
        out.push_str(JOIN);
    }
    out.push_str("<tr><td colspan=2>");
    close_form(out, balancer, None);
}
