// SPDX-License-Identifier: Apache-2.0
//! The formats for programs: XML, text and properties. All three show the same values; the order of two of them, and
//! whose name stands before the last ones of a member, differ, as in mod_jk.

use std::fmt::Write;

use super::answer::{Content, Sheet};
use super::figures::Stamp;
use super::model::{
    AjpView, BalancerView, Chosen, MapView, MemberView, activation_text, lock_text, method_text, true_false,
};
use super::query::{Format, Options};
use crate::status::escape::text as markup;

/// One value of a worker, member or map.
struct Field {
    name: &'static str,
    value: String,
    /// In quotes where the format is text.
    is_quoted: bool,
}

type Fields = Vec<Field>;

fn put(fields: &mut Fields, name: &'static str, value: impl ToString) {
    fields.push(Field { name, value: value.to_string(), is_quoted: false });
}

fn put_quoted(fields: &mut Fields, name: &'static str, value: impl ToString) {
    fields.push(Field { name, value: value.to_string(), is_quoted: true });
}

/// The answer in `format`, which is not HTML.
pub(super) fn page(sheet: &Sheet<'_>, format: Format) -> String {
    let mut out = Out { sheet, format, text: String::with_capacity(4096) };
    out.begin();
    match &sheet.content {
        Content::Refused(_) | Content::Done => {}
        Content::Edit { .. } => out.server(),
        Content::Version => out.head(),
        Content::Dump => {
            out.head();
            out.dump();
        }
        Content::List => {
            out.head();
            out.list();
        }
        Content::Show { worker, member } => {
            out.head();
            out.show(*worker, *member);
        }
    }
    out.result();
    out.text
}

struct Out<'a> {
    sheet: &'a Sheet<'a>,
    format: Format,
    text: String,
}

impl Out<'_> {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.text.write_fmt(text);
        self.text.push('\n');
    }

    fn namespace(&self) -> &str {
        &self.sheet.style.namespace
    }

    fn prefix(&self) -> &str {
        &self.sheet.style.prefix
    }

    fn hides(&self, bit: u32) -> bool {
        self.sheet.options.has(bit)
    }

    fn begin(&mut self) {
        if self.format != Format::Xml {
            return;
        }
        let style = self.sheet.style;
        self.line(format_args!("<?xml version=\"1.0\" encoding=\"UTF-8\" ?>"));
        if let Some(doctype) = &style.doctype {
            self.line(format_args!("{doctype}"));
        }
        self.line(format_args!("<{}status", style.namespace));
        if !style.xmlns.is_empty() {
            let _ = write!(self.text, "  {}", style.xmlns);
        }
        self.line(format_args!(">"));
    }

    /// An XML element: its name, each attribute on a line, and how the tag ends.
    fn element(&mut self, indent: usize, name: &str, fields: &[Field], end: &str) {
        let namespace = self.namespace().to_owned();
        self.line(format_args!("{:indent$}<{namespace}{name}", ""));
        for field in fields {
            let inner = indent + 2;
            self.line(format_args!("{:inner$}{}=\"{}\"", "", field.name, markup(&field.value)));
        }
        self.line(format_args!("{:indent$}{end}", ""));
    }

    /// A line of text.
    fn text_line(&mut self, title: &str, fields: &[Field]) {
        let _ = write!(self.text, "{title}:");
        for field in fields {
            let quote = if field.is_quoted { "\"" } else { "" };
            let _ = write!(self.text, " {}={quote}{}{quote}", field.name, field.value);
        }
        self.text.push('\n');
    }

    /// Lines of properties, `owner` between the prefix and the names.
    fn properties(&mut self, owner: &str, fields: &[Field]) {
        for field in fields {
            let prefix = self.prefix().to_owned();
            self.line(format_args!("{prefix}.{owner}{}={}", field.name, field.value));
        }
    }

    fn server(&mut self) {
        let server = &self.sheet.view.server;
        let mut fields = Fields::new();
        put(&mut fields, "name", &server.name);
        put(&mut fields, "port", server.port);
        match self.format {
            Format::Xml => self.element(0, "server", &fields, "/>"),
            Format::Properties => self.properties("server_", &fields),
            _ => self.text_line("Server", &fields),
        }
    }

    /// Server, time and software.
    fn head(&mut self) {
        self.server();
        let server = &self.sheet.view.server;
        let mut time = Fields::new();
        put(&mut time, "datetime", server.now.compact());
        put(&mut time, "tz", server.now.zone());
        put(&mut time, "unix", server.now.unix);
        let mut software = Fields::new();
        put_quoted(&mut software, "web_server", &server.software);
        put(&mut software, "jk_version", &server.version);
        match self.format {
            Format::Xml => {
                self.element(0, "time", &time, "/>");
                self.element(0, "software", &software, "/>");
            }
            Format::Properties => {
                self.properties("time_", &time);
                self.properties("", &software);
            }
            _ => {
                self.text_line("Time", &time);
                self.text_line("Software", &software);
            }
        }
    }

    fn list(&mut self) {
        let view = self.sheet.view;
        if !view.balancers.is_empty() && !self.hides(Options::NO_BALANCERS) {
            self.count("balancers", "Balancer Workers", "lb_count", view.balancers.len());
            for balancer in &view.balancers {
                self.balancer(balancer, &balancer.members.iter().collect::<Vec<_>>());
            }
            self.end_of("balancers");
        }
        if !view.ajp.is_empty() && !self.hides(Options::NO_AJP) {
            self.count("ajp_workers", "AJP Workers", "ajp_count", view.ajp.len());
            for worker in &view.ajp {
                self.ajp(worker);
            }
            self.end_of("ajp_workers");
        }
    }

    fn count(&mut self, element: &str, title: &str, property: &'static str, count: usize) {
        let mut fields = Fields::new();
        put(&mut fields, if self.format == Format::Properties { property } else { "count" }, count);
        match self.format {
            Format::Xml => self.element(0, element, &fields, ">"),
            Format::Properties => self.properties("", &fields),
            _ => self.text_line(title, &fields),
        }
    }

    fn end_of(&mut self, element: &str) {
        if self.format == Format::Xml {
            let namespace = self.namespace().to_owned();
            self.line(format_args!("</{namespace}{element}>"));
        }
    }

    fn show(&mut self, worker: Chosen<'_>, member: Option<&MemberView>) {
        match worker {
            Chosen::Balancer(balancer) => {
                let members: Vec<_> = balancer.members.iter().collect();
                self.balancer(balancer, member.as_ref().map_or(&members[..], std::slice::from_ref));
            }
            Chosen::Ajp(worker) => self.ajp(worker),
            Chosen::Status => {}
        }
    }

    fn balancer(&mut self, balancer: &BalancerView, members: &[&MemberView]) {
        let fields = self.balancer_fields(balancer);
        match self.format {
            Format::Xml => self.element(2, "balancer", &named(&balancer.name, fields), ">"),
            Format::Properties => {
                let prefix = self.prefix().to_owned();
                self.line(format_args!("{prefix}.list={}", balancer.name));
                self.properties(&format!("{}.", balancer.name), &fields);
            }
            _ => self.text_line("Balancer Worker", &named(&balancer.name, fields)),
        }
        if !self.hides(Options::NO_MEMBERS) {
            for member in members {
                self.member(balancer, member);
            }
        }
        self.maps(&balancer.name, &balancer.maps);
        if self.format == Format::Xml {
            let namespace = self.namespace().to_owned();
            self.line(format_args!("  </{namespace}balancer>"));
        }
    }

    fn balancer_fields(&self, balancer: &BalancerView) -> Fields {
        let settings = &balancer.settings;
        let rating = self.sheet.rating(balancer);
        let mut fields = Fields::new();
        put(&mut fields, "type", "lb");
        put(&mut fields, "sticky_session", true_false(settings.sticky));
        put(&mut fields, "sticky_session_force", true_false(settings.sticky_force));
        put(&mut fields, "retries", settings.retries);
        put(&mut fields, "recover_time", settings.recover_time);
        put(&mut fields, "error_escalation_time", settings.error_escalation_time);
        put(&mut fields, "max_reply_timeouts", settings.max_reply_timeouts);
        put(&mut fields, "method", method_text(settings.method));
        put(&mut fields, "lock", lock_text(settings.lock));
        put(&mut fields, "member_count", balancer.members.len());
        put(&mut fields, "good", rating.good);
        put(&mut fields, "degraded", rating.degraded);
        put(&mut fields, "bad", rating.bad);
        put(&mut fields, "busy", balancer.busy);
        put(&mut fields, "max_busy", balancer.max_busy);
        put(&mut fields, "map_count", balancer.maps.len());
        put(&mut fields, "time_to_maintenance_min", balancer.maintenance.0);
        put(&mut fields, "time_to_maintenance_max", balancer.maintenance.1);
        self.put_reset(&mut fields, balancer.reset_at);
        fields
    }

    fn put_reset(&self, fields: &mut Fields, at: u64) {
        put(fields, "last_reset_at", at);
        put(fields, "last_reset_ago", self.sheet.age(at));
    }

    fn ajp_settings(&self, fields: &mut Fields, worker: &AjpView) {
        let settings = &worker.settings;
        put(fields, "type", &worker.kind);
        put(fields, "host", &settings.host);
        put(fields, "port", settings.port);
        put(fields, "address", &worker.address);
        put(fields, "source", &worker.source);
        put(fields, "connection_pool_timeout", settings.pool_timeout);
        put(fields, "ping_timeout", settings.ping_timeout);
        put(fields, "connect_timeout", settings.connect_timeout);
        put(fields, "prepost_timeout", settings.prepost_timeout);
        put(fields, "reply_timeout", settings.reply_timeout);
        if self.format == Format::Xml {
            put(fields, "connection_ping_interval", settings.ping_interval);
            put(fields, "retries", settings.retries);
        } else {
            put(fields, "retries", settings.retries);
            put(fields, "connection_ping_interval", settings.ping_interval);
        }
        put(fields, "recovery_options", settings.recovery_options);
        put(fields, "busy_limit", settings.busy_limit);
        put(fields, "max_packet_size", settings.packet_size);
    }

    fn member(&mut self, balancer: &BalancerView, member: &MemberView) {
        let name = &member.ajp.name;
        let (fields, last) = (self.member_fields(member), self.last_fields(&member.ajp));
        let agent = Self::agent_fields(member);
        match self.format {
            Format::Xml => {
                let all: Fields = named(name, fields).into_iter().chain(last).chain(agent).collect();
                self.element(6, "member", &all, "/>");
            }
            Format::Properties => {
                let mut owner = Fields::new();
                put(&mut owner, "balance_workers", name);
                self.properties(&format!("{}.", balancer.name), &owner);
                self.properties(&format!("{name}."), &fields);
                self.properties(&format!("{}.", balancer.name), &last);
                self.properties(&format!("{name}."), &agent);
            }
            _ => {
                let all: Fields = named(name, fields).into_iter().chain(last).chain(agent).collect();
                self.text_line("Member", &all);
            }
        }
    }

    fn member_fields(&self, member: &MemberView) -> Fields {
        let settings = &member.settings;
        let mut fields = Fields::new();
        self.ajp_settings(&mut fields, &member.ajp);
        put(&mut fields, "activation", activation_text(settings.activation));
        put(&mut fields, "lbfactor", settings.lbfactor);
        put_quoted(&mut fields, "route", &settings.route);
        put_quoted(&mut fields, "redirect", &settings.redirect);
        put_quoted(&mut fields, "domain", &settings.domain);
        put(&mut fields, "distance", settings.distance);
        put(&mut fields, "state", member.state.name());
        put(&mut fields, "lbmult", member.lb_mult);
        put(&mut fields, "lbvalue", member.lb_value);
        put(&mut fields, "elected", member.elected);
        put(&mut fields, "sessions", member.sessions);
        counters(&mut fields, &member.ajp);
        put(&mut fields, "time_to_recover_min", member.recover.0);
        put(&mut fields, "time_to_recover_max", member.recover.1);
        fields
    }

    /// What stock cannot know stands behind everything that is stock's, and only where there is something.
    fn agent_fields(member: &MemberView) -> Fields {
        let mut fields = Fields::new();
        if let Some(gone) = member.gone {
            put_quoted(&mut fields, "agent", gone.why);
            put(&mut fields, "agent_since", gone.since.unix);
        }
        fields
    }

    /// Those that properties show of a member under the balancer's name, two of them with a blank in theirs.
    fn last_fields(&self, worker: &AjpView) -> Fields {
        let mut fields = Fields::new();
        self.put_reset(&mut fields, worker.reset_at);
        let Some(at @ Stamp { unix, .. }) = worker.error_at else { return fields };
        let (seconds, ago) = match self.format {
            Format::Properties => ("error_time_unix seconds", "error_time_ago seconds"),
            _ => ("error_time_unix_seconds", "error_time_ago"),
        };
        put(&mut fields, "error_time_datetime", at.compact());
        put(&mut fields, "error_time_tz", at.zone());
        put(&mut fields, seconds, unix);
        put(&mut fields, ago, self.sheet.age(unix));
        fields
    }

    fn ajp(&mut self, worker: &AjpView) {
        let mut fields = Fields::new();
        self.ajp_settings(&mut fields, worker);
        put(&mut fields, "used", worker.used);
        counters(&mut fields, worker);
        put(&mut fields, "map_count", worker.maps.len());
        fields.extend(self.last_fields(worker));
        match self.format {
            Format::Xml => self.element(2, "ajp", &named(&worker.name, fields), "/>"),
            Format::Properties => {
                let owner = format!("{}.", worker.name);
                let mut list = Fields::new();
                put(&mut list, "list", &worker.name);
                self.properties(&owner, &list);
                self.properties(&owner, &fields);
            }
            _ => self.text_line("AJP Worker", &named(&worker.name, fields)),
        }
        self.maps(&worker.name, &worker.maps);
    }

    fn maps(&mut self, worker: &str, maps: &[MapView]) {
        if self.hides(Options::NO_MAPS) {
            return;
        }
        for (number, map) in (1..).zip(maps) {
            let mut fields = map_fields(map);
            if self.format == Format::Properties {
                self.properties(&format!("{worker}.map.{number}."), &fields);
                continue;
            }
            fields.insert(0, Field { name: "id", value: number.to_string(), is_quoted: false });
            if self.format == Format::Xml {
                self.element(6, "map", &fields, "/>");
            } else {
                self.text_line("Map", &fields);
            }
        }
    }

    fn dump(&mut self) {
        let view = self.sheet.view;
        match self.format {
            Format::Xml => {
                let namespace = self.namespace().to_owned();
                self.line(format_args!("  <{namespace}configuration"));
                for (name, value) in &view.properties {
                    self.line(format_args!("    {}=\"{}\"", markup(name), markup(value)));
                }
                self.line(format_args!("  />"));
            }
            format => {
                if format == Format::Text {
                    self.line(format_args!("Configuration:"));
                }
                for (name, value) in &view.properties {
                    self.line(format_args!("{name}={value}"));
                }
            }
        }
    }

    fn result(&mut self) {
        let (kind, message) = match &self.sheet.content {
            Content::Refused(refusal) => ("ERROR", refusal.to_string()),
            _ => ("OK", "Action finished".to_owned()),
        };
        let mut fields = Fields::new();
        put(&mut fields, "type", kind);
        put_quoted(&mut fields, "message", message);
        match self.format {
            Format::Xml => {
                self.element(2, "result", &fields, "/>");
                let namespace = self.namespace().to_owned();
                self.line(format_args!("</{namespace}status>"));
            }
            Format::Properties => self.properties("result.", &fields),
            _ => self.text_line("Result", &fields),
        }
    }
}

fn named(name: &str, fields: Fields) -> Fields {
    let first = Field { name: "name", value: name.to_owned(), is_quoted: false };
    std::iter::once(first).chain(fields).collect()
}

fn counters(fields: &mut Fields, worker: &AjpView) {
    put(fields, "errors", worker.errors);
    put(fields, "client_errors", worker.client_errors);
    put(fields, "reply_timeouts", worker.reply_timeouts);
    put(fields, "transferred", worker.transferred);
    put(fields, "read", worker.read);
    put(fields, "busy", worker.busy);
    put(fields, "max_busy", worker.max_busy);
    put(fields, "connected", worker.connected);
    put(fields, "max_connected", worker.max_connected);
}

fn map_fields(map: &MapView) -> Fields {
    let mut fields = Fields::new();
    put_quoted(&mut fields, "server", &map.server);
    put_quoted(&mut fields, "uri", &map.uri);
    put_quoted(&mut fields, "type", &map.kind);
    put_quoted(&mut fields, "source", map.source);
    put_quoted(&mut fields, "reply_timeout", map.reply_timeout);
    put_quoted(&mut fields, "sticky_ignore", u8::from(map.sticky_ignore));
    put_quoted(&mut fields, "stateless", u8::from(map.stateless));
    put_quoted(&mut fields, "fail_on_status", &map.fail_on_status);
    put_quoted(&mut fields, "active", &map.active);
    put_quoted(&mut fields, "disabled", &map.disabled);
    put_quoted(&mut fields, "stopped", &map.stopped);
    put_quoted(&mut fields, "use_server_errors", map.use_server_errors);
    fields
}
