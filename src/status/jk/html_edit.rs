// SPDX-License-Identifier: Apache-2.0
//! The forms that change a balancer, a member, an AJP worker, or one attribute of all members.

use super::html::Html;
use super::model::{AjpView, BalancerView, Chosen, MemberSettings, MemberView};
use super::query::Command;
use super::setting::{AJP, BALANCING, Setting};
use crate::config::jk::plan::Activation;
use crate::status::escape::text as markup;

const ACTIVATIONS: [(&str, Activation); 3] =
    [("Active", Activation::Active), ("Disabled", Activation::Disabled), ("Stopped", Activation::Stopped)];

/// Does a worker have settings that a form could change?
pub(super) fn has_form(worker: Chosen<'_>) -> bool {
    !matches!(worker, Chosen::Status | Chosen::Balancer(BalancerView { is_foreign: true, .. }))
}

/// The form for a worker; nothing for one that has no settings.
pub(super) fn form(html: &mut Html<'_>, worker: Chosen<'_>, member: Option<&MemberView>) {
    match (worker, member) {
        (Chosen::Balancer(_), Some(member)) => member_form(html, member),
        (Chosen::Balancer(balancer), None) => match html.sheet.query.get("att") {
            Some(attribute) => {
                if let Some(setting) = Setting::of_attribute(attribute) {
                    attribute_form(html, balancer, setting);
                }
            }
            None => balancer_form(html, balancer),
        },
        (Chosen::Ajp(worker), _) => ajp_form(html, worker),
        (Chosen::Status, _) => {}
    }
}

fn begin(html: &mut Html<'_>, title: &str, name: &str) {
    html.fmt(format_args!("<hr/><h3>{title} {}</h3>\n", markup(name)));
    html.begin_form();
    html.hidden("cmd", Command::Update.name());
    html.hidden_parameters("cmd");
}

fn checked(on: bool) -> &'static str {
    if on { " checked=\"checked\"" } else { "" }
}

fn number_row(html: &mut Html<'_>, label: &str, name: &str, value: u32) {
    html.fmt(format_args!(
        "<tr><td>{label}:</td><td><input name=\"{name}\" type=\"text\" value=\"{value}\"/></td></tr>\n"
    ));
}

fn radio_row(html: &mut Html<'_>, label: &str, name: &str, value: usize, is_set: bool) {
    html.fmt(format_args!(
        "<tr><td>&nbsp;&nbsp;{label}</td><td><input name=\"{name}\" type=\"radio\" value=\"{value}\"{}/></td></tr>\n",
        checked(is_set)
    ));
}

fn balancer_form(html: &mut Html<'_>, balancer: &BalancerView) {
    let settings = &balancer.settings;
    begin(html, "Edit load balancer settings for", &balancer.name);
    html.put("<table>\n");
    number_row(html, "Retries", "vlr", settings.retries);
    number_row(html, "Retry Interval", "vlri", settings.retry_interval);
    number_row(html, "Recover Wait Time", "vlt", settings.recover_time);
    number_row(html, "Error Escalation Time", "vlee", settings.error_escalation_time);
    number_row(html, "Max Reply Timeouts", "vlx", settings.max_reply_timeouts);
    for (label, name, on) in
        [("Sticky Sessions", "vls", settings.sticky), ("Force Sticky Sessions", "vlf", settings.sticky_force)]
    {
        html.fmt(format_args!(
            "<tr><td>{label}:</td><td><input name=\"{name}\" type=\"checkbox\"{}/></td></tr>\n",
            checked(on)
        ));
    }
    html.put("<tr><td>LB Method:</td><td></td></tr>\n");
    for (value, label) in ["Requests", "Traffic", "Busyness", "Sessions", "Next"].into_iter().enumerate() {
        radio_row(html, label, "vlm", value, settings.method as usize == value);
    }
    html.put("<tr><td>Locking:</td><td></td></tr>\n");
    for (value, label) in ["Optimistic", "Pessimistic"].into_iter().enumerate() {
        radio_row(html, label, "vll", value, settings.lock as usize == value);
    }
    html.put("</table>\n<br/><input type=\"submit\" value=\"Update Balancer\"/></form>\n");
}

fn length(setting: Setting) -> String {
    setting.max_length().map(|most| format!(" maxlength=\"{most}\"")).unwrap_or_default()
}

fn rows(html: &mut Html<'_>, settings: &[Setting], worker: &AjpView, member: &MemberSettings) {
    for &setting in settings {
        let label = setting.label();
        if setting == Setting::Activation {
            html.fmt(format_args!("<tr><td>{label}:</td><td></td></tr>\n"));
            for (value, (label, activation)) in ACTIVATIONS.into_iter().enumerate() {
                radio_row(html, label, setting.parameter(), value, member.activation == activation);
            }
            continue;
        }
        html.fmt(format_args!(
            "<tr><td>{label}:</td><td><input name=\"{}\" type=\"text\" value=\"{}\"{}/></td></tr>\n",
            setting.parameter(),
            markup(&setting.shown(&worker.settings, member)),
            length(setting)
        ));
    }
}

fn ajp_form(html: &mut Html<'_>, worker: &AjpView) {
    begin(html, "Edit worker settings for", &worker.name);
    html.put("<table>\n");
    rows(html, &AJP, worker, &MemberSettings::default());
    html.put("</table>\n<br/><input type=\"submit\" value=\"Update Worker\"/>\n</form>\n");
}

fn member_form(html: &mut Html<'_>, member: &MemberView) {
    begin(html, "Edit worker settings for", &member.ajp.name);
    html.put(
        "<table><tbody valign=\"baseline\"><tr><th>Balancing related settings</th>\n\
         <th>&nbsp;&nbsp;</th><th>AJP settings</th>\n</tr>\n<tr><td><table>\n",
    );
    rows(html, &BALANCING, &member.ajp, &member.settings);
    html.put("</table>\n</td><td></td><td>\n<table>\n");
    rows(html, &AJP, &member.ajp, &member.settings);
    html.put(
        "</table>\n</td></tr></tbody></table>\n<br/><input type=\"submit\" value=\"Update Worker\"/>\n</form>\n",
    );
}

fn attribute_form(html: &mut Html<'_>, balancer: &BalancerView, setting: Setting) {
    let label = setting.label();
    begin(html, &format!("Edit attribute '{label}' for all members of load balancer"), &balancer.name);
    html.fmt(format_args!("<table><tr><th>Balanced Worker</th><th>{label}</th></tr>"));
    for (number, member) in balancer.members.iter().enumerate() {
        html.fmt(format_args!("<tr><td>{}</td><td>\n", markup(&member.ajp.name)));
        if setting == Setting::Activation {
            activation_choice(html, number, member.settings.activation);
        } else {
            html.fmt(format_args!(
                "<input name=\"val{number}\" type=\"text\"value=\"{}\"{}/>\n",
                markup(&setting.shown(&member.ajp.settings, &member.settings)),
                length(setting)
            ));
        }
        html.put("</td></tr>");
    }
    html.put("</table>\n<br/><input type=\"submit\" value=\"Update Balancer\"/></form>\n");
}

fn activation_choice(html: &mut Html<'_>, number: usize, now: Activation) {
    let last = ACTIVATIONS.len() - 1;
    for (value, (label, activation)) in ACTIVATIONS.into_iter().enumerate() {
        let end = if value == last { "" } else { "&nbsp;|&nbsp;" };
        html.fmt(format_args!(
            "{label}:&nbsp;<input name=\"val{number}\" type=\"radio\" value=\"{value}\"{}/>{end}\n",
            checked(activation == now)
        ));
    }
}
