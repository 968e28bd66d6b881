// SPDX-License-Identifier: Apache-2.0
//! The configuration as it is being read: what each server and section has said so far.

use super::declare::{MountDraft, SiteDraft, TargetDraft};
use super::directive::Directive;
use super::finding::{Finding, Severity, id};
use super::origin::Origin;
use super::plan::{Matching, SectionId, SiteId};
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
    pub(crate) findings: Vec<Finding>,
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
}

#[derive(Debug, Clone)]
pub(crate) struct ReverseDraft {
    pub origin: Origin,
    pub public: String,
    pub url: String,
}

pub(crate) type CookieDraft = super::plan::CookieRule;

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
        Self { sites: Vec::new(), sections: vec![empty], findings: Vec::new() }
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
            Statement::Reverse { public, url } => {
                let public = public.unwrap_or_else(|| self.argument(place));
                let rule = ReverseDraft { origin: origin.clone(), public, url };
                self.says(place).reverse.push(rule);
            }
            Statement::CookiePath { internal, public } => {
                let rule = CookieDraft { origin: origin.clone(), internal, public };
                self.says(place).cookie_path.push(rule);
            }
            Statement::CookieDomain { internal, public } => {
                let rule = CookieDraft { origin: origin.clone(), internal, public };
                self.says(place).cookie_domain.push(rule);
            }
            Statement::PreserveHost(on) => self.says(place).preserve_host = Some(on),
            Statement::Nothing => {}
        }
        Ok(())
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
        let matching = match place.section {
            Some(section) => self.section_matching(section, &line, origin)?,
            None => Matching::Prefix,
        };
        let path = line.path.unwrap_or_else(|| self.argument(place));
        if matching == Matching::Prefix && !path.starts_with('/') {
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
            Some(target) => site.rule_target(target, &line.pairs, origin),
        };
        self.findings.extend(findings);
        let mount = MountDraft {
            origin: origin.clone(),
            path,
            matching,
            url: line.url,
            target,
            encoding: line.encoding,
        };
        match place.section {
            Some(section) => self.sections[section.0 as usize].mount = Some(mount),
            None => site.mounts.push(mount),
        }
        Ok(())
    }

    /// A pattern as argument has been matched by httpd before the rule is asked; mod_proxy appends the whole path then.
    /// Without such characters the argument is a plain prefix, even in `<LocationMatch>`.
    fn section_matching(
        &self,
        section: SectionId,
        line: &MountLine,
        origin: &Origin,
    ) -> Result<Matching, Finding> {
        let section = self.surroundings(section);
        if section.kind.is_proxy() || !is_pattern(section.argument) {
            return Ok(Matching::Prefix);
        }
        let bytes = line.url.as_bytes();
        if bytes.windows(2).any(|pair| pair[0] == b'$' && pair[1].is_ascii_digit()) {
            let text = format!(
                "ProxyPass {}: this version does not put groups of a regular expression into the target",
                shown(&line.url)
            );
            return Err(Finding::error(id::LATER_VERSION, origin, text).cured_by(
                "Leave $0 to $9 out: the whole request path is appended to the target; or use <Location /path>.",
            ));
        }
        Ok(Matching::Section)
    }
}

/// Does httpd take the text for a shell pattern? A backslash protects what follows it; brackets count in pairs.
fn is_pattern(text: &str) -> bool {
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
