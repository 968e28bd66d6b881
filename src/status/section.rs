// SPDX-License-Identifier: Apache-2.0
//! What mod_status shows of balancers (`ProxyStatus On`): tables for people, lines for `?auto`. Stock's columns and keys.

use std::fmt::Write;

use super::escape::{hundredths, markup, size};
use super::view::BalancerView;
use crate::base::clock::Moment;
use crate::shared::{AgentSeen, LAPSE};

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

/// The agent, if there ever was one: for people a line above the tables, for programs lines of their own.
pub fn agent(seen: Option<AgentSeen>, now: Moment, for_programs: bool) -> String {
    let Some(seen) = seen else { return String::new() };
    let is_heard = seen.beat.is_some_and(|beat| now.since(beat) <= LAPSE && beat.since(now) <= LAPSE);
    let AgentSeen { pid, nodes, matched, .. } = seen;
    if for_programs {
        let state = if is_heard { "heard" } else { "silent" };
        return format!("MargayAgent: {state}\nMargayAgentNodes: {nodes}\nMargayAgentMembers: {matched}\n");
    }
    let text = if is_heard {
        format!(
            "is heard (process {pid}): it sees {nodes} nodes of the cluster and knows {matched} of the members by them"
        )
    } else {
        "is silent: what it said about members does not count".to_owned()
    };
    format!("<p>The agent {text}.</p>\n")
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_shown_once_there_was_one() {
        let now = Moment(1_790_000_000_000);
        assert_eq!(agent(None, now, true), "");
        let seen = AgentSeen { pid: 7, nodes: 3, matched: 2, beat: Some(now) };
        assert_eq!(
            agent(Some(seen), now, true),
            "MargayAgent: heard\nMargayAgentNodes: 3\nMargayAgentMembers: 2\n"
        );
        assert!(agent(Some(seen), now, false).contains("3 nodes of the cluster and knows 2 of"));
        let later = now.after(LAPSE * 2);
        assert!(agent(Some(seen), later, true).starts_with("MargayAgent: silent\n"));
        assert!(agent(Some(AgentSeen { beat: None, ..seen }), now, false).contains("silent"));
    }
}
