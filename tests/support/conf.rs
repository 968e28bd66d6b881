// SPDX-License-Identifier: Apache-2.0
//! Reads configuration text the way httpd walks it, as far as the directives of this project need.

use std::time::Duration;

use margay::config::plan::SiteId;
use margay::config::{
    Directive, Draft, Facts, Finding, HandlerPlace, Origin, Place, Plan, SectionKind, SiteFacts,
};

/// What came of a text.
pub struct Read {
    pub plan: Option<Plan>,
    pub findings: Vec<Finding>,
}

/// Reads main server, `<VirtualHost name>`, sections, our directives and `SetHandler`. Every server's `Timeout` is 77
/// seconds, a process has 25 threads. Lines between `@file name` and `@end` are a file below ServerRoot, `/srv`.
pub fn read(text: &str) -> Read {
    let mut walk = Walk::new();
    let mut file: Option<(String, String)> = None;
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("@file ") {
            file = Some((format!("/srv/{name}"), String::new()));
        } else if line == "@end" {
            let (name, content) = file.take().unwrap();
            walk.facts.files.insert(name, Ok(content));
        } else if let Some((_, content)) = &mut file {
            content.push_str(line);
            content.push('\n');
        } else {
            walk.line(line.trim(), u32::try_from(number + 1).unwrap());
        }
    }
    for wanted in walk.draft.wanted_files("/srv") {
        let missing = || Err("No such file or directory".to_owned());
        walk.facts.files.entry(wanted).or_insert_with(missing);
    }
    let outcome = walk.draft.compile(&walk.facts);
    Read { plan: outcome.plan, findings: outcome.findings }
}

struct Walk {
    draft: Draft,
    facts: Facts,
    site: SiteId,
    section: Option<(margay::config::plan::SectionId, String, Origin)>,
}

impl Walk {
    fn new() -> Self {
        let mut walk = Self { draft: Draft::new(), facts: Facts::default(), site: SiteId(0), section: None };
        walk.facts.server_root = "/srv".to_owned();
        walk.facts.environment.insert("HOME".to_owned(), "/root".to_owned());
        walk.add_site("main server", None);
        walk
    }

    fn add_site(&mut self, name: &str, origin: Option<Origin>) {
        self.site = self.draft.site(name, origin);
        self.facts.sites.push(SiteFacts { timeout: Duration::from_secs(77), key: name.to_owned() });
    }

    fn line(&mut self, line: &str, number: u32) {
        let origin = Origin::new("httpd.conf", number);
        if line.is_empty() || line.starts_with('#') {
        } else if let Some(open) = line.strip_prefix('<') {
            self.bracket(open.strip_suffix('>').unwrap(), origin);
        } else {
            let (name, args) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            self.directive(name, args, origin);
        }
    }

    fn bracket(&mut self, text: &str, origin: Origin) {
        let (name, args) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let kind = match name.to_ascii_lowercase().as_str() {
            "/virtualhost" => {
                self.site = SiteId(0);
                return;
            }
            "virtualhost" => return self.add_site(args, Some(origin)),
            "proxy" => {
                let section = self.draft.proxy_container(self.site, args, origin.clone());
                self.section = section.ok().map(|section| (section, args.to_owned(), origin));
                return;
            }
            "location" => SectionKind::Location,
            "locationmatch" => SectionKind::LocationMatch,
            "directory" => SectionKind::Directory,
            "files" => SectionKind::Files,
            close => {
                assert!(close.starts_with('/'), "unknown section {close}");
                self.section = None;
                return;
            }
        };
        let argument = args.trim_matches('"');
        let section = self.draft.section(self.site, kind, argument, origin.clone());
        self.section = Some((section, argument.to_owned(), origin));
    }

    fn directive(&mut self, name: &str, args: &str, origin: Origin) {
        if name == "SetHandler" {
            let (_, path, place) = self.section.clone().unwrap();
            let (site, handler) = (self.site, args.to_owned());
            self.facts.handlers.push(HandlerPlace { site, path, handler, origin: place });
            return;
        }
        let directive = Directive::from_name(name).unwrap_or_else(|| panic!("unknown directive {name}"));
        let section = self.section.as_ref().map(|(section, ..)| *section);
        // The finding is kept by the draft too.
        let _ = self.draft.directive(directive, Place { site: self.site, section }, args, origin);
    }
}
