// SPDX-License-Identifier: Apache-2.0
//! The configuration as it is being read: what each server and section has said so far.

use super::agent::AgentPlan;
use super::declare::{MountDraft, SiteDraft, TargetDraft};
use super::directive::Directive;
use super::expression::{Expression, ExpressionId, names_groups};
use super::finding::{Finding, Severity, id};
use super::forward::{ForwardLine, Target};
use super::health::Expression as Condition;
use super::heartbeat::Heartbeat;
use super::jk::JkDraft;
use super::origin::Origin;
use super::plan::{ErrorOverride, Matching, SectionId, SiteId};
use super::proxy::{self, Reader, Surroundings};
pub use super::section::SectionKind;
use super::statement::{MountLine, Statement};
use super::url::shown;
use crate::base::text::{Words, quoted};

/// Collects the lines of one configuration pass. Owned by the adapter; [`Draft::compile`](super::compile) ends it.
#[derive(Debug)]
pub struct Draft {
    pub(crate) sites: Vec<SiteDraft>,
    /// 0 is the empty section.
    pub(crate) sections: Vec<SectionDraft>,
    pub(crate) expressions: Vec<Expression>,
    pub(crate) findings: Vec<Finding>,
    /// `ProxyHCTPsize`.
    pub(crate) check_threads: Option<u32>,
    pub(crate) heartbeat: Heartbeat,
    /// Lines of mod_jk.
    pub(super) jk: JkDraft,
    /// Lines about the agent.
    pub(crate) agent: AgentPlan,
}

/// Where a line stands: in a section, or (`None`) at server level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub site: SiteId,
    pub section: Option<SectionId>,
}

/// One section.
#[derive(Debug)]
pub(crate) struct SectionDraft {
    pub site: SiteId,
    pub kind: SectionKind,
    pub argument: String,
    pub origin: Option<Origin>,
    pub mount: Option<MountDraft>,
    pub says: DirectoryDraft,
}

/// Per-directory values.
#[derive(Debug, Default, Clone)]
pub(crate) struct DirectoryDraft {
    pub reverse: Vec<ReverseDraft>,
    pub cookie_path: Vec<CookieDraft>,
    pub cookie_domain: Vec<CookieDraft>,
    pub preserve_host: Option<bool>,
    pub interpolate: Option<bool>,
    pub add_headers: Option<bool>,
    pub pass_continue: Option<bool>,
    pub error_override: Option<ErrorOverride>,
}

impl DirectoryDraft {
    /// `ProxyErrorOverride`: codes of several lines add up.
    fn override_errors(&mut self, with: ErrorOverride) {
        self.error_override = Some(match (self.error_override.take(), with) {
            (Some(ErrorOverride::Codes(mut known)), ErrorOverride::Codes(more)) => {
                known.extend(more);
                ErrorOverride::Codes(known)
            }
            (_, with) => with,
        });
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ReverseDraft {
    pub origin: Origin,
    pub public: String,
    pub url: String,
    pub interpolate: bool,
}

pub(crate) type CookieDraft = super::plan::CookieRule;

fn cookie(origin: &Origin, internal: String, public: String, interpolate: bool) -> CookieDraft {
    let has_variables = interpolate && (internal.contains("${") || public.contains("${"));
    CookieDraft { origin: origin.clone(), internal, public, has_variables }
}

impl Default for Draft {
    fn default() -> Self {
        Self::new()
    }
}

impl Draft {
    pub fn new() -> Self {
        let empty = SectionDraft {
            site: SiteId(0),
            kind: SectionKind::Location,
            argument: String::new(),
            origin: None,
            mount: None,
            says: DirectoryDraft::default(),
        };
        Self {
            sites: Vec::new(),
            sections: vec![empty],
            expressions: Vec::new(),
            findings: Vec::new(),
            check_threads: None,
            heartbeat: Heartbeat::default(),
            jk: JkDraft::default(),
            agent: AgentPlan::default(),
        }
    }

    /// Adds a server; the first is the main server. `name` is for messages; `origin` is the line of `<VirtualHost>`.
    pub fn site(&mut self, name: &str, origin: Option<Origin>) -> SiteId {
        let name = match origin {
            Some(origin) => format!("{name} ({origin})"),
            None => name.to_owned(),
        };
        self.sites.push(SiteDraft { name, ..SiteDraft::default() });
        SiteId(index(self.sites.len() - 1))
    }

    /// Adds a section that holds a directive of ours. `argument` is httpd's: the path or pattern without quotes. Call it
    /// in the order of the file, once per section.
    pub fn section(&mut self, site: SiteId, kind: SectionKind, argument: &str, origin: Origin) -> SectionId {
        let (kind, argument) = match argument.strip_prefix('~') {
            Some(rest) if kind == SectionKind::Location && rest.starts_with([' ', '\t']) => {
                (SectionKind::LocationMatch, Words::new(rest).next().unwrap_or_default())
            }
            _ => (kind, argument.to_owned()),
        };
        self.sections.push(SectionDraft {
            site,
            kind,
            argument,
            origin: Some(origin),
            mount: None,
            says: DirectoryDraft::default(),
        });
        SectionId(index(self.sections.len() - 1))
    }

    /// Takes one line. `args` is the text behind the directive's name as httpd hands it to a raw-argument handler.
    ///
    /// # Errors
    /// The line cannot be used; the finding is also kept, so that [`compile`](super::compile) gives no plan.
    pub fn directive(
        &mut self,
        directive: Directive,
        place: Place,
        args: &str,
        origin: Origin,
    ) -> Result<(), Finding> {
        let section = place.section.map(|section| self.surroundings(section));
        let mut reader = Reader::new(directive, &origin, section);
        reader.health = self.sites.get(place.site.0 as usize).map(|site| &site.health);
        if directive.is_jk() {
            return self.jk_line(directive, place, args, &origin);
        }
        if directive.is_own() {
            let section = place.section.and_then(|section| self.sections.get(section.0 as usize));
            let section =
                section.map(|section| Surroundings { kind: section.kind, argument: &section.argument });
            let reader = Reader::new(directive, &origin, section);
            let taken = self.agent.take(&reader, place.site, args);
            self.findings.extend(taken.as_ref().err().cloned());
            return taken;
        }
        let read = proxy::read(&mut reader, args);
        let remarks = reader.remarks;
        match read.and_then(|statement| self.apply(statement, place, directive, &origin)) {
            Ok(()) => {
                self.findings.extend(remarks);
                Ok(())
            }
            Err(finding) => {
                self.findings.push(finding.clone());
                Err(finding)
            }
        }
    }

    fn jk_line(
        &mut self,
        directive: Directive,
        place: Place,
        args: &str,
        origin: &Origin,
    ) -> Result<(), Finding> {
        let section = place.section.and_then(|section| self.sections.get(section.0 as usize));
        let section = section.map(|section| Surroundings { kind: section.kind, argument: &section.argument });
        let mut reader = Reader::new(directive, origin, section);
        let taken = self.jk.take(&mut reader, place.site, args);
        self.findings.extend(reader.remarks);
        self.findings.extend(taken.as_ref().err().cloned());
        taken
    }

    /// Files that lines name (`JkWorkersFile`, `JkMountFile`), absolute, each once: what is in them belongs into
    /// [`Facts::files`](super::Facts::files).
    pub fn wanted_files(&self, server_root: &str) -> Vec<String> {
        self.jk.wanted_files(server_root)
    }

    /// Takes the opening line of `<Proxy …>`: adds the section and applies the settings behind its URL. `args` is the
    /// text between `<Proxy` and `>`.
    ///
    /// # Errors
    /// As [`directive`](Self::directive).
    pub fn proxy_container(
        &mut self,
        site: SiteId,
        args: &str,
        origin: Origin,
    ) -> Result<SectionId, Finding> {
        let mut reader = Reader::new(Directive::ProxyContainer, &origin, None);
        reader.health = self.sites.get(site.0 as usize).map(|site| &site.health);
        let read = proxy::read_container(&mut reader, args);
        let remarks = reader.remarks;
        let place = Place { site, section: None };
        let applied = read.and_then(|container| {
            self.apply(container.statement, place, Directive::ProxyContainer, &origin)?;
            Ok(container.url)
        });
        match applied {
            Ok(url) => {
                self.findings.extend(remarks);
                Ok(self.section(site, SectionKind::Proxy, &url, origin))
            }
            Err(finding) => {
                self.findings.push(finding.clone());
                Err(finding)
            }
        }
    }

    /// Takes the opening line of `<ProxyMatch …>` or `<Proxy ~ …>`. `args` is the expression.
    ///
    /// # Errors
    /// As [`directive`](Self::directive).
    pub fn proxy_expression(
        &mut self,
        site: SiteId,
        args: &str,
        origin: Origin,
    ) -> Result<SectionId, Finding> {
        let mut words = Words::new(args);
        let pattern = words.next().unwrap_or_default();
        if words.next().is_some() {
            let text = "Multiple <ProxyMatch> arguments not (yet) supported.";
            let finding = Finding::error(id::ARGUMENTS, &origin, text).cured_by(
                "Write parameters with ProxySet into <Proxy url>; put an expression with blanks into quotes.",
            );
            self.findings.push(finding.clone());
            return Err(finding);
        }
        Ok(self.section(site, SectionKind::ProxyMatch, &pattern, origin))
    }

    /// The condition that the last `ProxyHCExpr` of this server defined. The server whose syntax it is has to be asked
    /// whether it is one.
    pub fn last_expression(&self, site: SiteId) -> Option<&Condition> {
        self.sites.get(site.0 as usize)?.health.expressions.last().map(AsRef::as_ref)
    }

    /// True if a line was refused.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    fn surroundings(&self, section: SectionId) -> Surroundings<'_> {
        let section = &self.sections[section.0 as usize];
        Surroundings { kind: section.kind, argument: &section.argument }
    }

    fn apply(
        &mut self,
        statement: Statement,
        place: Place,
        directive: Directive,
        origin: &Origin,
    ) -> Result<(), Finding> {
        let site = place.site.0 as usize;
        match statement {
            Statement::Mount(line) => self.mount(line, place, origin)?,
            Statement::Member { balancer, member, settings, pairs } => {
                let findings = self.sites[site].add_member(balancer, member, &settings, &pairs, origin);
                self.findings.extend(findings);
            }
            Statement::Set { url, target, create } => {
                self.sites[site].set(&url, target, create, directive, origin)?;
            }
            Statement::Site(settings) => self.sites[site].settings.replace_by(&settings),
            Statement::Reverse { public, url, interpolate } => {
                let public = public.unwrap_or_else(|| self.argument(place));
                let rule = ReverseDraft { origin: origin.clone(), public, url, interpolate };
                self.says(place).reverse.push(rule);
            }
            Statement::CookiePath { internal, public, interpolate } => {
                let rule = cookie(origin, internal, public, interpolate);
                self.says(place).cookie_path.push(rule);
            }
            Statement::CookieDomain { internal, public, interpolate } => {
                let rule = cookie(origin, internal, public, interpolate);
                self.says(place).cookie_domain.push(rule);
            }
            Statement::Interpolate(on) => self.says(place).interpolate = Some(on),
            Statement::PreserveHost(on) => self.says(place).preserve_host = Some(on),
            Statement::HealthTemplate { name, settings } => {
                self.sites[site].health.templates.push((name, *settings));
            }
            Statement::HealthExpression(expression) => {
                self.sites[site].health.expressions.push(expression.into());
            }
            Statement::CheckThreads(_) if site > 0 => {
                let text = "ProxyHCTPsize cannot occur within <VirtualHost> section";
                return Err(Finding::error(id::PLACE, origin, text)
                    .cured_by("Move the line out of the virtual host: all members share the threads."));
            }
            Statement::CheckThreads(count) => self.check_threads = Some(count),
            Statement::Heartbeat(_) if site > 0 => {
                let text = format!("{} cannot occur within <VirtualHost> section", directive.name());
                return Err(Finding::error(id::PLACE, origin, text)
                    .cured_by("Move the line out of the virtual host: all balancers share the heartbeats."));
            }
            Statement::Heartbeat(line) => {
                if !self.heartbeat.apply(line) {
                    let text = format!("{}: May only be specified once.", directive.name());
                    return Err(
                        Finding::error(id::ARGUMENTS, origin, text).cured_by("Remove one of the lines.")
                    );
                }
            }
            Statement::AddHeaders(on) => self.says(place).add_headers = Some(on),
            Statement::PassContinue(on) => self.says(place).pass_continue = Some(on),
            Statement::ErrorOverride(codes) => self.says(place).override_errors(codes),
            Statement::Forward(line) => self.forward(line, place, origin),
            Statement::Nothing => {}
        }
        Ok(())
    }

    fn forward(&mut self, line: ForwardLine, place: Place, origin: &Origin) {
        let site = place.site.0 as usize;
        match line {
            ForwardLine::Remote(remote) => self.sites[site].forward.remotes.push(remote),
            ForwardLine::RemoteMatch { pattern, mut remote } => {
                let id = self.expression_id(&pattern, origin);
                self.expressions[id.0 as usize].directive = Some(Directive::ProxyRemoteMatch.name());
                remote.target = Target::Expression(id);
                self.sites[site].forward.remotes.push(remote);
            }
            ForwardLine::Direct(words) => self.sites[site].forward.direct.extend(words),
            ForwardLine::Block(words) => self.sites[site].forward.blocked.extend(words),
        }
    }

    /// Names in `NoProxy` and `ProxyBlock` that are to be looked up before [`compile`](super::compile).
    pub fn names_to_resolve(&self) -> impl Iterator<Item = &str> {
        self.sites.iter().flat_map(|site| site.forward.names())
    }

    fn says(&mut self, place: Place) -> &mut DirectoryDraft {
        match place.section {
            Some(section) => &mut self.sections[section.0 as usize].says,
            None => &mut self.sites[place.site.0 as usize].defaults,
        }
    }

    fn argument(&self, place: Place) -> String {
        place.section.map(|section| self.surroundings(section).argument.to_owned()).unwrap_or_default()
    }

    fn mount(&mut self, line: MountLine, place: Place, origin: &Origin) -> Result<(), Finding> {
        let path = line.path.clone().unwrap_or_else(|| self.argument(place));
        let matching = match place.section {
            _ if line.is_expression => self.expression(&path, origin),
            Some(section) => self.section_matching(section, &line, origin),
            None => Matching::Prefix,
        };
        if matching == Matching::Prefix && !line.interpolate && !path.starts_with('/') {
            let text = format!(
                "ProxyPass {}: a request path begins with a slash, so this rule never matches",
                quoted(&path)
            );
            self.findings.push(Finding::warning(id::NEVER_MATCHES, origin, text).cured_by(
                match place.section {
                    Some(_) => "Put the rule into <Location /path>.".to_owned(),
                    None => format!("Write ProxyPass /{} {}.", shown(&path), shown(&line.url)),
                },
            ));
        }
        let site = &mut self.sites[place.site.0 as usize];
        let (target, findings) = match line.target {
            None => (TargetDraft::Exclude, Vec::new()),
            Some(target) => {
                let is_expression = matching != Matching::Prefix;
                site.rule_target(target, &line.pairs, line.is_named, is_expression, origin)
            }
        };
        let target = if line.is_named { TargetDraft::Named } else { target };
        self.findings.extend(findings);
        let mount = MountDraft {
            origin: origin.clone(),
            path,
            matching,
            url: line.url,
            target,
            encoding: line.encoding,
            interpolate: line.interpolate,
        };
        match place.section {
            Some(section) => self.sections[section.0 as usize].mount = Some(mount),
            None => site.mounts.push(mount),
        }
        Ok(())
    }

    /// A pattern as argument has been matched by httpd before the rule is asked; mod_proxy appends the whole path then,
    /// unless the target names groups. Without such characters the argument is a plain prefix, even in
    /// `<LocationMatch>`.
    fn section_matching(&mut self, section: SectionId, line: &MountLine, origin: &Origin) -> Matching {
        let section = self.surroundings(section);
        if section.kind.is_proxy() || !is_pattern(section.argument) {
            return Matching::Prefix;
        }
        if names_groups(&line.url) {
            let pattern = section.argument.to_owned();
            return self.expression(&pattern, origin);
        }
        Matching::Section
    }

    fn expression(&mut self, pattern: &str, origin: &Origin) -> Matching {
        Matching::Expression(self.expression_id(pattern, origin))
    }

    fn expression_id(&mut self, pattern: &str, origin: &Origin) -> ExpressionId {
        self.expressions.push(Expression {
            origin: origin.clone(),
            pattern: pattern.to_owned(),
            directive: None,
        });
        ExpressionId(index(self.expressions.len() - 1))
    }
}

/// Does httpd take the text for a shell pattern? A backslash protects what follows it; brackets count in pairs.
pub(crate) fn is_pattern(text: &str) -> bool {
    let mut open = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' => return true,
            ']' if open => return true,
            '[' => open = true,
            '\\' => {
                chars.next();
            }
            _ => {}
        }
    }
    false
}

/// Ids are 32 bits wide; no configuration has more servers or sections than that.
pub(crate) fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
