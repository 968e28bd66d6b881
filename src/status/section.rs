// SPDX-License-Identifier: Apache-2.0
//! What mod_status shows of balancers (`ProxyStatus On`): tables for people, lines for `?auto`. Stock's columns and keys.

use std::fmt::Write;

use super::escape::{hundredths, markup, size};
use super::view::BalancerView;

const LEGEND: [(&str, &str); 11] = [
    ("SSes", "Sticky session name"),
    ("Timeout", "Balancer Timeout"),
    ("Sch", "Connection scheme"),
    ("Host", "Backend Hostname"),
    ("Stat", "Worker status"),
    ("Route", "Session Route"),
    ("Redir", "Session Route Redirection"),
    ("F", "Load Balancer Factor"),
    ("Acc", "Number of uses"),
    ("Wr", "Number of bytes transferred"),
    ("Rd", "Number of bytes read"),
];

/// The tables.
pub fn html(balancers: &[BalancerView]) -> String {
    let mut out = String::new();
    for balancer in balancers {
        let sticky = match &balancer.sticky {
            None => " - ".to_owned(),
            Some((cookie, path)) if cookie == path => cookie.clone(),
            Some((cookie, path)) => format!("{cookie} | {path}"),
        };
        let _ = write!(
            out,
            "<hr />\n<h1>Proxy LoadBalancer Status for balancer://{}</h1>\n\n\n\n\
             <table border=\"0\"><tr><th>SSes</th><th>Timeout</th><th>Method</th></tr>\n\
             <tr><td>{}</td><td>{}</td><td>{}</td>\n</table>\n\n\n\
             <table border=\"0\"><tr><th>Sch</th><th>Host</th><th>Stat</th><th>Route</th><th>Redir</th><th>F</th>\
             <th>Set</th><th>Acc</th><th>Busy</th><th>Wr</th><th>Rd</th></tr>\n",
            markup(&balancer.name),
            markup(&sticky),
            balancer.timeout,
            balancer.method,
        );
        for member in &balancer.members {
            let _ = write!(
                out,
                "<tr>\n<td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
                 <td>{}</td><td>{}</td><td>{}</td>\n</tr>\n",
                markup(member.scheme()),
                markup(&member.host),
                member.status,
                markup(&member.route),
                markup(&member.redirect),
                hundredths(member.load_factor),
                member.lbset,
                member.elected,
                member.busy,
                size(member.sent),
                size(member.received),
            );
        }
        out.push_str("</table>\n");
    }
    out.push_str("<hr /><table>\n");
    for (word, meaning) in LEGEND {
        let _ = writeln!(out, "<tr><th>{word}</th><td>{meaning}</td></tr>");
    }
    out.push_str("</table>");
    out
}

/// The lines of `?auto`.
pub fn lines(balancers: &[BalancerView]) -> String {
    let mut out = String::new();
    for (number, balancer) in balancers.iter().enumerate() {
        let _ = writeln!(out, "ProxyBalancer[{number}]Name: balancer://{}", balancer.name);
        for (place, member) in balancer.members.iter().enumerate() {
            let mut line = |key: &str, value: &dyn std::fmt::Display| {
                let _ = writeln!(out, "ProxyBalancer[{number}]Worker[{place}]{key}: {value}");
            };
            line("Name", &member.name);
            line("Status", &member.status);
            line("Elected", &member.elected);
            line("Busy", &member.busy);
            line("Sent", &format_args!("{}K", member.sent / 1024));
            line("Rcvd", &format_args!("{}K", member.received / 1024));
        }
    }
    out
}
