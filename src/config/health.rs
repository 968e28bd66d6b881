// SPDX-License-Identifier: Apache-2.0
//! Health checks: what is asked of a member, how often, and what counts as a good answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::origin::Origin;
use super::setting::MemberSettings;
use super::value;

/// How one member is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    pub method: CheckMethod,
    /// `hcinterval`: from the beginning of one check to the beginning of the next; 30 s, at least 100 ms.
    pub interval: Duration,
    /// `hcpasses`: good checks that bring the member back; at least 1.
    pub passes: u32,
    /// `hcfails`: failed checks that take the member out; at least 1.
    pub fails: u32,
    /// `hcuri`: appended to the member's path; may be empty.
    pub uri: String,
    /// `hcexpr`: decides whether an HTTP answer is good; without it the status does.
    pub expression: Option<Arc<Expression>>,
    /// For members without a `timeout` of their own: that of the server that names them.
    pub timeout: Duration,
    /// Local end of the connection (`ProxySourceAddress`).
    pub source: Option<IpAddr>,
}

/// What is known of a member's check when it is changed while the server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckBasis {
    /// As written, with the defaults of what was not. Without a method it is one by `TCP`.
    pub settings: HealthCheck,
    /// `hcmethod` was written, if only as `NONE`.
    pub written: bool,
    /// The conditions that can be named.
    pub conditions: Arc<[Arc<Expression>]>,
}

/// `hcmethod`, without `NONE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckMethod {
    /// A connection can be made.
    Tcp,
    /// An AJP CPing is answered by a CPong.
    Cping,
    /// An HTTP request is answered.
    Http(Verb, HttpVersion),
}

/// Method of the HTTP request of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Options,
    Head,
    Get,
}

/// Version of the HTTP request of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    Http10,
    Http11,
}

/// A condition of `ProxyHCExpr`, in the server's expression syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    pub name: String,
    pub text: String,
    pub origin: Origin,
}

/// Threads for checks in the process that runs them, unless `ProxyHCTPsize` says otherwise.
pub const DEFAULT_THREADS: u32 = 16;

/// The methods by their names, in the order of stock's pages.
pub const METHODS: [(&str, CheckMethod); 8] = {
    use CheckMethod::{Cping, Http, Tcp};
    use HttpVersion::{Http10, Http11};
    [
        ("TCP", Tcp),
        ("OPTIONS", Http(Verb::Options, Http10)),
        ("HEAD", Http(Verb::Head, Http10)),
        ("GET", Http(Verb::Get, Http10)),
        ("CPING", Cping),
        ("OPTIONS11", Http(Verb::Options, Http11)),
        ("HEAD11", Http(Verb::Head, Http11)),
        ("GET11", Http(Verb::Get, Http11)),
    ]
};

impl CheckMethod {
    /// The method of this name, letter case ignored.
    pub fn from_name(name: &str) -> Option<CheckMethod> {
        METHODS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, method)| *method)
    }

    /// Can the answer be looked at with a condition?
    pub fn has_answer(self) -> bool {
        matches!(self, CheckMethod::Http(..))
    }

    /// The name as it is written in files.
    pub fn name(self) -> &'static str {
        METHODS.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| *name)
    }
}

impl Verb {
    /// The method as it stands in the request line.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Options => "OPTIONS",
            Verb::Head => "HEAD",
            Verb::Get => "GET",
        }
    }
}

impl HealthCheck {
    /// The check that the settings ask for, if they do.
    pub(super) fn of(
        settings: &MemberSettings,
        timeout: Duration,
        source: Option<IpAddr>,
    ) -> Option<HealthCheck> {
        Some(HealthCheck {
            method: settings.hc_method.flatten()?,
            ..HealthCheck::asked(settings, timeout, source)
        })
    }

    /// The check that the settings would ask for if they had a method.
    pub(super) fn asked(settings: &MemberSettings, timeout: Duration, source: Option<IpAddr>) -> HealthCheck {
        HealthCheck {
            method: settings.hc_method.flatten().unwrap_or(CheckMethod::Tcp),
            interval: settings.hc_interval.unwrap_or(Duration::from_secs(30)),
            passes: settings.hc_passes.unwrap_or(1).max(1),
            fails: settings.hc_fails.unwrap_or(1).max(1),
            uri: settings.hc_uri.clone().unwrap_or_default(),
            expression: settings.hc_expr.clone().flatten(),
            timeout,
            source,
        }
    }
}

/// What `ProxyHCTemplate` and `ProxyHCExpr` lines of one server have defined so far.
#[derive(Debug, Default)]
pub(crate) struct HealthNames {
    /// The first of a name is the one that is found.
    pub templates: Vec<(String, MemberSettings)>,
    /// The last of a name is the one that is found.
    pub expressions: Vec<Arc<Expression>>,
}

impl HealthNames {
    pub fn template(&self, name: &str) -> Option<&MemberSettings> {
        self.templates.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, says)| says)
    }

    pub fn expression(&self, name: &str) -> Option<&Arc<Expression>> {
        self.expressions.iter().rfind(|known| known.name.eq_ignore_ascii_case(name))
    }
}

/// An interval as a form gives it: milliseconds, unless a unit is named; at least 100 ms.
pub fn interval_in_form(text: &str) -> Option<Duration> {
    const LEAST: Duration = Duration::from_millis(100);
    value::parse_duration(text, value::Unit::Milliseconds).filter(|interval| *interval >= LEAST)
}

/// Copies all values of a template, those it leaves out as their defaults. A template without a method means TCP.
pub(crate) fn copy_template(into: &mut MemberSettings, template: &MemberSettings) {
    into.hc_method = Some(template.hc_method.unwrap_or(Some(CheckMethod::Tcp)));
    into.hc_interval = Some(template.hc_interval.unwrap_or(Duration::from_secs(30)));
    into.hc_passes = Some(template.hc_passes.unwrap_or(1));
    into.hc_fails = Some(template.hc_fails.unwrap_or(1));
    into.hc_uri = Some(template.hc_uri.clone().unwrap_or_default());
    into.hc_expr = Some(template.hc_expr.clone().flatten());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_name_in_any_case() {
        for (name, method) in METHODS {
            assert_eq!(CheckMethod::from_name(&name.to_lowercase()), Some(method));
            assert_eq!(method.name(), name);
        }
        assert_eq!(CheckMethod::from_name("NONE"), None);
    }

    #[test]
    fn a_template_overwrites_what_stood_before_it() {
        let mut settings =
            MemberSettings { hc_fails: Some(9), hc_uri: Some("/x".into()), ..Default::default() };
        copy_template(&mut settings, &MemberSettings { hc_passes: Some(3), ..Default::default() });
        let check = HealthCheck::of(&settings, Duration::from_secs(1), None).unwrap();
        assert_eq!((check.method, check.fails, check.passes), (CheckMethod::Tcp, 1, 3));
        assert_eq!((check.uri.as_str(), check.interval), ("", Duration::from_secs(30)));
    }
}
