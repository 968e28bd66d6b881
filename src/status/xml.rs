// SPDX-License-Identifier: Apache-2.0
//! The page for programs (`?xml=1`): the elements, their order and their line breaks are stock's.

use std::fmt::Write;
use std::time::Duration;

use super::escape::{date, hundredths, markup};
use super::view::{BalancerView, MemberView};
use crate::config::plan::Flush;

/// The document.
pub fn page(balancers: &[BalancerView]) -> String {
    let mut out = String::from(
        "<?xml version='1.0' encoding='UTF-8' ?>\n<httpd:manager xmlns:httpd='http://httpd.apache.org'>\n  <httpd:balancers>\n",
    );
    for balancer in balancers {
        write_balancer(&mut out, balancer);
    }
    out.push_str("  </httpd:balancers>\n</httpd:manager>");
    out
}

fn element(out: &mut String, indent: usize, name: &str, value: impl std::fmt::Display) {
    let _ = write!(out, "{:indent$}<httpd:{name}>{}</httpd:{name}>", "", markup(&value.to_string()));
}

fn line(out: &mut String, indent: usize, name: &str, value: impl std::fmt::Display) {
    element(out, indent, name, value);
    out.push('\n');
}

fn on_off(on: bool) -> &'static str {
    if on { "On" } else { "Off" }
}

fn write_balancer(out: &mut String, balancer: &BalancerView) {
    out.push_str("    <httpd:balancer>\n");
    line(out, 6, "name", format_args!("balancer://{}", balancer.name));
    line(out, 6, "nonce", &balancer.nonce);
    if let Some((cookie, _)) = &balancer.sticky {
        line(out, 6, "stickysession", cookie);
        line(out, 6, "nofailover", on_off(balancer.no_failover));
    }
    element(out, 6, "timeout", balancer.timeout);
    if let Some(attempts) = balancer.max_attempts {
        line(out, 6, "maxattempts", attempts);
    }
    line(out, 6, "lbmethod", balancer.method);
    if balancer.sticky.is_some() {
        line(out, 6, "scolonpathdelim", on_off(balancer.semicolon_ends));
    }
    out.push_str("      <httpd:workers>\n");
    for member in &balancer.members {
        out.push_str("        <httpd:worker>\n");
        write_identity(out, member);
        write_state(out, member);
        write_protocol(out, member);
        out.push_str("        </httpd:worker>\n");
    }
    out.push_str("      </httpd:workers>\n    </httpd:balancer>\n");
}

fn write_identity(out: &mut String, member: &MemberView) {
    line(out, 10, "name", &member.name);
    line(out, 10, "scheme", member.scheme());
    line(out, 10, "hostname", &member.host);
    line(out, 10, "loadfactor", hundredths(member.load_factor));
    line(out, 10, "port", member.port);
    line(out, 10, "min", member.min);
    line(out, 10, "smax", member.soft_max);
    line(out, 10, "max", member.max);
    line(out, 10, "ttl", member.ttl);
    some(out, "timeout", member.timeout.map(|timeout| timeout.as_secs()));
    some(out, "acquire", member.acquire.map(remainder));
    some(out, "recv_buffer_size", member.receive_buffer);
    some(out, "io_buffer_size", member.io_buffer);
    some(out, "keepalive", member.keepalive.map(on_off));
}

fn write_state(out: &mut String, member: &MemberView) {
    line(out, 10, "status", member.status);
    some(out, "error_time", member.error_time.map(date));
    line(out, 10, "retries", member.retries);
    line(out, 10, "lbstatus", member.lbstatus);
    line(out, 10, "loadfactor", hundredths(member.load_factor));
    line(out, 10, "transferred", member.sent);
    line(out, 10, "read", member.received);
    line(out, 10, "elected", member.elected);
    line(out, 10, "route", &member.route);
    line(out, 10, "redirect", &member.redirect);
    line(out, 10, "busy", member.busy);
    line(out, 10, "lbset", member.lbset);
}

fn write_protocol(out: &mut String, member: &MemberView) {
    if member.scheme() == "ajp" {
        let (word, wait) = match member.flush {
            Flush::Off => ("Off", None),
            Flush::On => ("On", None),
            Flush::Auto(wait) => ("Auto", Some(wait.as_micros())),
        };
        line(out, 10, "flushpackets", word);
        some(out, "flushwait", wait);
        if let Some(ping) = member.ping {
            element(out, 10, "ping", remainder(ping));
        }
    }
    if let Some(disabled) = member.disable_reuse {
        line(out, 6, "disablereuse", on_off(disabled));
    }
    some(out, "connectiontimeout", member.connect_timeout.map(remainder));
    some(out, "retry", member.retry.map(|retry| retry.as_secs()));
}

fn some(out: &mut String, name: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        line(out, 10, name, value);
    }
}

/// Stock prints these without their whole seconds, and programs that compare pages would stumble over anything else.
fn remainder(time: Duration) -> u32 {
    time.subsec_millis()
}
