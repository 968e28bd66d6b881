// SPDX-License-Identifier: Apache-2.0
//! Pages of other handlers (balancer-manager, server-status) that a `ProxyPass` takes away.

use crate::config::compile::{Facts, HandlerPlace};
use crate::config::draft::{Draft, SectionDraft};
use crate::config::finding::{Finding, id};
use crate::config::inherit;
use crate::config::mounts;
use crate::config::plan::{Encoding, Matching, Mount, Plan, Target};
use crate::config::section::SectionKind;
use crate::config::url::shown;

/// What happens to a request for a handler's path.
enum Verdict<'a> {
    /// The handler is asked, or it cannot be told.
    Open,
    /// A rule of the server forwards it.
    Rule(&'a Mount),
    /// A rule in another section forwards it.
    Section(&'a SectionDraft, &'a Mount),
}

pub(super) fn check(draft: &Draft, plan: &Plan, facts: &Facts, findings: &mut Vec<Finding>) {
    for handler in &facts.handlers {
        let known = (handler.site.0 as usize) < plan.sites.len();
        if !known || handler.path.contains(['*', '?', '[', '\\', '^', '$', '(']) {
            continue;
        }
        match verdict(draft, plan, handler) {
            Verdict::Open => {}
            Verdict::Rule(mount) => findings.push(shadowed_by_rule(handler, mount)),
            Verdict::Section(section, mount) => {
                findings.push(shadowed_by_section(draft, handler, section, mount))
            }
        }
    }
}

fn verdict<'a>(draft: &'a Draft, plan: &'a Plan, handler: &HandlerPlace) -> Verdict<'a> {
    let path = handler.path.as_bytes();
    let mut deciding = None;
    for owner in inherit::chain(handler.site.0 as usize) {
        let sections = draft.sections.iter().zip(&plan.sections);
        for (section, compiled) in sections.filter(|(section, _)| section.site.0 as usize == owner) {
            let Some(mount) = &compiled.mount else { continue };
            match covers(section, &handler.path) {
                Some(true) => deciding = Some((section, mount)),
                Some(false) => {}
                // A pattern that may or may not match: if it excludes, it was probably written for this page.
                None if mount.target == Target::Exclude => return Verdict::Open,
                None => {}
            }
        }
    }
    if let Some((section, mount)) = deciding
        && mount.rest(path).is_some()
    {
        return match mount.target {
            Target::Exclude => Verdict::Open,
            Target::Forward(_) | Target::Named(_) => Verdict::Section(section, mount),
        };
    }
    let mounts = &plan.site(handler.site).mounts;
    // Rules with mapping= are asked first, before the path is decoded.
    let order = [Encoding::Encoded, Encoding::Servlet, Encoding::Canonical];
    let found = order.into_iter().find_map(|encoding| mounts.lookup_as(encoding, path));
    match found {
        Some((_, mount, _)) if mount.target != Target::Exclude => Verdict::Rule(mount),
        _ => Verdict::Open,
    }
}

/// Does a section apply to the path? `None`: only httpd can tell.
fn covers(section: &SectionDraft, path: &str) -> Option<bool> {
    let mount = section.mount.as_ref()?;
    match section.kind {
        SectionKind::Location if mount.matching == Matching::Prefix => {
            Some(mounts::matches(section.argument.as_bytes(), path.as_bytes()).is_some())
        }
        SectionKind::Location | SectionKind::LocationMatch => None,
        _ => Some(false),
    }
}

fn start(handler: &HandlerPlace, mount: &Mount, by: &str) -> String {
    format!(
        "<Location {}> with SetHandler {} is never asked: {by} {} ({}) forwards its requests",
        shown(&handler.path),
        shown(&handler.handler),
        shown(mount.target_text()),
        mount.origin
    )
}

fn shadowed_by_rule(handler: &HandlerPlace, mount: &Mount) -> Finding {
    let path = shown(&handler.path);
    let text = start(handler, mount, &format!("ProxyPass {}", shown(&mount.path)));
    Finding::warning(id::SHADOWED_HANDLER, &handler.origin, text).cured_by(format!(
        "Write \"ProxyPass {path} !\" in front of {}, or \"ProxyPass !\" into the <Location {path}>.",
        mount.origin
    ))
}

fn shadowed_by_section(
    draft: &Draft,
    handler: &HandlerPlace,
    section: &SectionDraft,
    mount: &Mount,
) -> Finding {
    let path = shown(&handler.path);
    let text = start(handler, mount, &format!("in <Location {}> ProxyPass", shown(&section.argument)));
    let finding = Finding::warning(id::SHADOWED_HANDLER, &handler.origin, text);
    let excluded = draft
        .sections
        .iter()
        .any(|own| own.argument == handler.path && own.mount.as_ref().is_some_and(|mount| mount.url == "!"));
    let later = match &section.origin {
        Some(origin) => format!("behind the section of {origin}, because the later section wins"),
        None => "behind that section".to_owned(),
    };
    let behind = section
        .origin
        .as_ref()
        .is_some_and(|other| other.file == handler.origin.file && other.line < handler.origin.line);
    finding.cured_by(match (excluded, behind) {
        (true, _) => format!("Move the <Location {path}> {later}."),
        (false, true) => format!("Write \"ProxyPass !\" into the <Location {path}>."),
        (false, false) => format!("Write \"ProxyPass !\" into the <Location {path}> and move it {later}."),
    })
}
