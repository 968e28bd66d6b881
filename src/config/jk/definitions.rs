// SPDX-License-Identifier: Apache-2.0
//! All properties together: checked names, references worked in, values in their types.

use std::collections::HashSet;
use std::time::Duration;

use super::attribute::{self, ATTRIBUTES, OFTEN_MEANT, Standing};
use super::draft::{JkDraft, absolute};
use super::id;
use super::properties::{Properties, Property, boolean, words};
use crate::base::text::{leading_integer, nearest, quoted};
use crate::config::compile::Facts;
use crate::config::finding::{self, Finding};
use crate::config::origin::Origin;
use crate::config::url::shown;

/// Longest name of a worker, host, route…, in bytes: mod_jk's limit.
pub(super) const LONGEST_NAME: usize = 60;
/// Length of a chain of references.
const LONGEST_CHAIN: usize = 20;

/// Where what no file says is said.
pub(super) fn nowhere() -> Origin {
    Origin::new("(no workers file)", 0)
}

/// The properties of all workers.
#[derive(Debug)]
pub(super) struct Definitions<'f> {
    properties: Properties<'f>,
    pub findings: Vec<Finding>,
}

impl<'f> Definitions<'f> {
    /// `JkWorkerProperty` lines first, then the file, as mod_jk reads them.
    pub fn read(draft: &JkDraft, facts: &'f Facts) -> Self {
        let mut properties = Properties::new(&facts.environment, attribute::repetition);
        let mut findings = Vec::new();
        for (line, origin) in &draft.properties {
            properties.line(line, origin);
        }
        let nowhere = nowhere();
        let origin = draft.workers_file.as_ref().map_or(&nowhere, |(_, origin)| origin);
        properties.add_if_missing("ServerRoot", &facts.server_root, origin);
        if let Some((file, origin)) = &draft.workers_file {
            let path = absolute(file, &facts.server_root);
            match read_file(facts, &path) {
                Ok(text) => properties.read(text, &path),
                Err(why) => findings.push(unreadable("JkWorkersFile", "workers", &path, why, origin)),
            }
        }
        findings.append(&mut properties.findings);
        let mut all = Self { properties, findings };
        all.check_names();
        all.work_in_references();
        all
    }

    /// A property of a worker.
    pub fn property(&self, worker: &str, attribute: &str) -> Option<&Property> {
        self.properties.get(&format!("worker.{worker}.{attribute}"))
    }

    /// A property that is not a worker's, such as `worker.list`.
    pub fn global(&self, name: &str) -> Option<&Property> {
        self.properties.get(name)
    }

    /// Has a worker of this name any property?
    pub fn is_defined(&self, worker: &str) -> bool {
        self.first_line(worker).is_some()
    }

    /// The first line about a worker.
    pub fn first_line(&self, worker: &str) -> Option<&Origin> {
        let of_worker = |property: &&Property| worker_of(&property.name) == Some(worker);
        self.properties.iter().find(of_worker).map(|property| &property.origin)
    }

    /// The names that have properties, in the order of the file.
    pub fn names(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let names = self.properties.iter().filter_map(|property| worker_of(&property.name));
        names.filter(|name| seen.insert(*name)).collect()
    }

    /// All properties, for the dump.
    pub fn all(&self) -> Vec<(String, String)> {
        self.properties.iter().map(|property| (property.name.clone(), property.value.clone())).collect()
    }

    fn check_names(&mut self) {
        let mut warned = HashSet::new();
        for property in self.properties.iter().filter(|property| property.name.starts_with("worker.")) {
            let name = property.name.rsplit('.').next().unwrap_or_default();
            let shown_name = shown(&property.name);
            self.findings.extend(unknown("", &property.name, &property.origin));
            let Some(attribute) = attribute::find(name) else { continue };
            match attribute.standing {
                Standing::Current => {}
                Standing::Deprecated(replacement) if warned.insert(name) => {
                    let text = format!("The attribute '{shown_name}' is deprecated; it is understood");
                    let cure = format!("Write {replacement} in its place.");
                    self.findings
                        .push(Finding::warning(id::DEPRECATED, &property.origin, text).cured_by(cure));
                }
                Standing::NoEffect if warned.insert(name) => {
                    let text = format!("The attribute '{shown_name}' has no effect");
                    self.findings.push(Finding::notice(finding::id::NO_EFFECT, &property.origin, text));
                }
                Standing::Deprecated(_) | Standing::NoEffect => {}
            }
        }
    }

    /// `worker.a.reference=worker.t`: what `worker.t` has and `worker.a` has not.
    fn work_in_references(&mut self) {
        let references = self.properties.iter().filter(|property| is_reference(property));
        for reference in references.cloned().collect::<Vec<_>>() {
            if let Err(finding) = self.follow(&reference, 1) {
                self.findings.push(finding);
            }
        }
    }

    /// Copies what a reference brings. What is referred to may refer to others itself, and gets theirs first.
    fn follow(&mut self, reference: &Property, depth: usize) -> Result<(), Finding> {
        if depth > LONGEST_CHAIN {
            return Err(endless(reference));
        }
        if let Some(next) = self.properties.get(&format!("{}.reference", reference.value)).cloned() {
            self.follow(&next, depth + 1)?;
        }
        let own = reference.name.strip_suffix("reference").unwrap_or_default();
        let from = format!("{}.", reference.value);
        let brought =
            |property: &Property| Some((property.name.strip_prefix(&from)?.to_owned(), property.clone()));
        let copies: Vec<_> = self.properties.iter().filter_map(brought).collect();
        if copies.is_empty() {
            return Err(self.lost_reference(reference));
        }
        for (attribute, property) in copies {
            self.properties.add_if_missing(&format!("{own}{attribute}"), &property.value, &property.origin);
        }
        Ok(())
    }

    fn lost_reference(&self, reference: &Property) -> Finding {
        let text = format!(
            "Reference '{}' not found: {} copies from it",
            shown(&reference.value),
            shown(&reference.name)
        );
        let names: Vec<String> = self.names().iter().map(|name| format!("worker.{name}")).collect();
        let known = names.iter().map(String::as_str);
        let bare = names.iter().find(|name| name.strip_prefix("worker.") == Some(reference.value.as_str()));
        let cure = match bare.map(String::as_str).or_else(|| nearest(&reference.value, known)) {
            Some(guess) => format!("Did you mean {}?", shown(guess)),
            None => "Write worker. and a name that has properties.".to_owned(),
        };
        Finding::error(id::REFERENCE, &reference.origin, text).cured_by(cure)
    }
}

fn is_reference(property: &Property) -> bool {
    property.name.starts_with("worker.") && property.name.ends_with(".reference")
}

/// The text of a file the adapter was asked to read.
pub(super) fn read_file<'f>(facts: &'f Facts, path: &str) -> Result<&'f str, &'f str> {
    match facts.files.get(path) {
        Some(Ok(text)) => Ok(text),
        Some(Err(why)) => Err(why),
        None => Err("nobody read it"),
    }
}

/// mod_jk's words, then ours.
pub(super) fn unreadable(directive: &str, what: &str, path: &str, why: &str, origin: &Origin) -> Finding {
    let text = format!("{directive}: Can't find the {what} file specified: {}: {}", shown(path), shown(why));
    Finding::error(id::UNREADABLE, origin, text).cured_by(
        "Correct the path (relative to ServerRoot), or make the file readable for the user who starts httpd.",
    )
}

/// `a` of `worker.a.port`.
fn worker_of(name: &str) -> Option<&str> {
    name.strip_prefix("worker.")?.rsplit_once('.').map(|(worker, _)| worker)
}

/// The finding for a name that begins with `worker.` and has no known attribute; `prefix` is what mod_jk prints in front.
pub(super) fn unknown(prefix: &str, name: &str, origin: &Origin) -> Option<Finding> {
    let attribute = name.strip_prefix("worker.")?.rsplit('.').next().unwrap_or_default();
    if attribute::find(attribute).is_some() {
        return None;
    }
    let text = format!("{prefix}The attribute '{}' is not supported", shown(name));
    let finding = Finding::error(id::UNKNOWN_ATTRIBUTE, origin, text);
    let lower = attribute.to_ascii_lowercase();
    let start = name.strip_suffix(attribute).unwrap_or_default();
    let meant = OFTEN_MEANT.iter().find(|(word, _)| *word == lower).map(|(_, meant)| *meant);
    let current = || {
        let known = ATTRIBUTES.iter().filter(|known| known.standing == Standing::Current);
        nearest(attribute, known.map(|known| known.name))
    };
    Some(
        finding.cured_by(match meant.or_else(current) {
            Some(guess) => format!("Did you mean {}{guess}?", shown(start)),
            None => "Remove the line, or give a variable of your own a name that does not begin with worker."
                .to_owned(),
        }),
    )
}

fn endless(reference: &Property) -> Finding {
    let text = format!(
        "{}: more than {LONGEST_CHAIN} references one after the other, or a circle",
        shown(&reference.name)
    );
    Finding::error(id::REFERENCE, &reference.origin, text)
        .cured_by("Let the first one refer to the last one, and break the circle.")
}

/// The properties of one worker, in their types. What cannot be read as it is written is said.
pub(super) struct Worker<'d, 'f> {
    pub definitions: &'d Definitions<'f>,
    pub name: &'d str,
    /// The line that names the worker, where it has no line of its own.
    pub named_at: &'d Origin,
    pub findings: Vec<Finding>,
}

impl<'d, 'f> Worker<'d, 'f> {
    pub fn new(definitions: &'d Definitions<'f>, name: &'d str, named_at: &'d Origin) -> Self {
        Self { definitions, name, named_at, findings: Vec::new() }
    }

    pub fn origin(&self) -> &'d Origin {
        self.definitions.first_line(self.name).unwrap_or(self.named_at)
    }

    pub fn get(&self, attribute: &str) -> Option<&'d Property> {
        self.definitions.property(self.name, attribute)
    }

    pub fn text(&self, attribute: &str) -> Option<&'d str> {
        self.get(attribute).map(|property| property.value.as_str())
    }

    /// A text that is kept in a place of limited size.
    pub fn short(&mut self, attribute: &str, what: &str) -> Option<String> {
        let property = self.get(attribute)?;
        self.findings.extend(too_long(what, &property.value, &property.origin));
        Some(property.value.clone())
    }

    pub fn words(&self, attribute: &str) -> Vec<String> {
        self.text(attribute).into_iter().flat_map(words).map(str::to_owned).collect()
    }

    /// A whole number with `k` or `m` behind it if wanted; no digits are 0.
    pub fn integer(&mut self, attribute: &str) -> Option<i64> {
        let property = self.get(attribute)?;
        let (number, rest) = leading_integer(&property.value);
        let (number, is_whole) = match rest {
            "k" | "K" => (number.saturating_mul(1024), true),
            "m" | "M" => (number.saturating_mul(1024 * 1024), true),
            _ => (number, rest.is_empty()),
        };
        if !is_whole {
            let text = format!("{}={} is read as {number}", shown(&property.name), shown(&property.value));
            let cure = "Write a whole number, with k or m behind it if wanted.";
            self.findings.push(Finding::warning(id::ODD_VALUE, &property.origin, text).cured_by(cure));
        }
        Some(number.clamp(i64::from(i32::MIN), i64::from(i32::MAX)))
    }

    /// An integer of the size of mod_jk's.
    pub fn signed(&mut self, attribute: &str) -> Option<i32> {
        i32::try_from(self.integer(attribute)?).ok()
    }

    /// An integer of at least `least`; a smaller one becomes `instead`.
    pub fn at_least(&mut self, attribute: &str, least: u32, instead: u32) -> Option<u32> {
        let number = self.integer(attribute)?;
        if let Ok(number) = u32::try_from(number)
            && number >= least
        {
            return Some(number);
        }
        if let Some(property) = self.get(attribute) {
            let text = format!(
                "{}={} is below {least}: {instead} is used",
                shown(&property.name),
                shown(&property.value)
            );
            let cure = format!("Write a number from {least}.");
            self.findings.push(Finding::warning(id::ODD_VALUE, &property.origin, text).cured_by(cure));
        }
        Some(instead)
    }

    /// A number from 0.
    pub fn count(&mut self, attribute: &str) -> Option<u32> {
        self.at_least(attribute, 0, 0)
    }

    pub fn seconds(&mut self, attribute: &str) -> Option<Duration> {
        self.count(attribute).map(|count| Duration::from_secs(count.into()))
    }

    pub fn milliseconds(&mut self, attribute: &str) -> Option<Duration> {
        self.count(attribute).map(|count| Duration::from_millis(count.into()))
    }

    /// `off`, `on`, or by the first letter; anything else is as if it were not there.
    pub fn switch(&mut self, attribute: &str) -> Option<bool> {
        let property = self.get(attribute)?;
        let value = property.value.as_str();
        let switch = boolean(value);
        if switch.is_none() {
            let text = format!(
                "{}={} is neither true nor false: the default is used",
                shown(&property.name),
                quoted(value)
            );
            self.findings.push(
                Finding::warning(id::ODD_VALUE, &property.origin, text).cured_by("Write true or false."),
            );
        }
        switch
    }

    /// One of several letters, or their numbers; `None` if it is neither.
    pub fn letter(&mut self, attribute: &str, letters: &str) -> Option<usize> {
        let property = self.get(attribute)?;
        let first = property.value.chars().next().unwrap_or_default().to_ascii_uppercase();
        let by_number =
            first.to_digit(10).map(|number| number as usize).filter(|number| *number < letters.len());
        let found = letters.chars().position(|letter| letter == first).or(by_number);
        if found.is_none() {
            let names: Vec<String> = letters.chars().map(String::from).collect();
            let text = format!(
                "{}={} is none of {}: the default is used",
                shown(&property.name),
                quoted(&property.value),
                names.join(", ")
            );
            self.findings.push(
                Finding::warning(id::ODD_VALUE, &property.origin, text).cured_by("Write one of the letters."),
            );
        }
        found
    }
}

/// mod_jk's words for a name that does not fit.
pub(super) fn too_long(what: &str, name: &str, origin: &Origin) -> Option<Finding> {
    let over = name.len().checked_sub(LONGEST_NAME).filter(|over| *over > 0)?;
    let text = format!(
        "{what} {} is {over} bytes too long, a maximum of {LONGEST_NAME} bytes is supported",
        quoted(name)
    );
    Some(Finding::error(id::NAME_TOO_LONG, origin, text).cured_by("Write a shorter one."))
}
