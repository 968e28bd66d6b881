// SPDX-License-Identifier: Apache-2.0
//! What every reader of a line has at hand: the directive, its place, and a place for remarks.

use crate::base::text::{Words, quoted};
use crate::config::directive::{Directive, Form, Places};
use crate::config::draft::SectionKind;
use crate::config::finding::{Finding, id};
use crate::config::health::HealthNames;
use crate::config::origin::Origin;
use crate::config::url::BadUrl;

/// The section around a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub kind: SectionKind,
    pub argument: &'a str,
}

impl<'a> Surroundings<'a> {
    /// The URL of a `<Proxy>` section, without a leading `proxy:`.
    pub fn proxy_url(self) -> Option<String> {
        if !self.kind.is_proxy() {
            return None;
        }
        let bare = self.argument.get(..6).filter(|start| start.eq_ignore_ascii_case("proxy:"));
        Some(self.argument[bare.map_or(0, str::len)..].to_owned())
    }
}

/// One line being read.
pub(crate) struct Reader<'a> {
    pub directive: Directive,
    pub origin: &'a Origin,
    pub section: Option<Surroundings<'a>>,
    pub remarks: Vec<Finding>,
    /// What `hctemplate=` and `hcexpr=` may name.
    pub health: Option<&'a HealthNames>,
}

impl<'a> Reader<'a> {
    pub fn new(directive: Directive, origin: &'a Origin, section: Option<Surroundings<'a>>) -> Self {
        Self { directive, origin, section, remarks: Vec::new(), health: None }
    }

    pub fn name(&self) -> &'static str {
        self.directive.name()
    }

    pub fn error(&self, id: &'static str, text: impl Into<String>) -> Finding {
        Finding::error(id, self.origin, text)
    }

    pub fn warn(&mut self, id: &'static str, text: impl Into<String>, cure: impl Into<String>) {
        self.remarks.push(Finding::warning(id, self.origin, text).cured_by(cure));
    }

    pub fn note(&mut self, text: impl Into<String>) {
        self.remarks.push(Finding::notice(id::NO_EFFECT, self.origin, text));
    }

    /// The finding for a URL that cannot be used; `prefix` is what mod_proxy prints in front.
    pub fn bad_url(&self, prefix: &str, bad: BadUrl) -> Finding {
        let id = if bad.scheme { id::SCHEME } else { id::BAD_URL };
        self.error(id, format!("{prefix} {}", bad.text)).cured_by(bad.cure)
    }

    pub fn check_place(&self) -> Result<(), Finding> {
        let Some(section) = self.section else { return Ok(()) };
        let (name, kind) = (self.name(), section.kind);
        match self.directive.entry().places {
            Places::Server => {
                let text = format!("{name} not allowed in {} context", kind.keyword());
                Err(self
                    .error(id::PLACE, text)
                    .cured_by("Move the line to the server or virtual host around it."))
            }
            Places::Location if !kind.is_url_space() => {
                let text = format!("{name} cannot occur within {} section", kind.keyword());
                Err(self.error(id::PLACE, text).cured_by(
                    "Put the line into <Location>, or with its path in front into the server around it.",
                ))
            }
            _ => Ok(()),
        }
    }

    /// The words of a line whose form limits their number.
    pub fn words(&self, args: &str) -> Result<Vec<String>, Finding> {
        let entry = self.directive.entry();
        let (least, most, count) = match entry.form {
            Form::One => (1, 1, "one argument"),
            Form::OneOrTwo => (1, 2, "1-2 arguments"),
            Form::TwoOrThree => (2, 3, "two or three arguments"),
            Form::OneToThree => (1, 3, "one, two or three arguments"),
            Form::Raw | Form::Flag | Form::Container => (0, usize::MAX, ""),
        };
        let words: Vec<String> = Words::new(args).collect();
        let is_missing = words.iter().take(least).any(String::is_empty);
        if (least..=most).contains(&words.len()) && !is_missing {
            return Ok(words);
        }
        let text = format!("{} takes {count}, {}", entry.name, entry.help);
        let cure = match words.get(most) {
            Some(extra) => {
                format!("Remove {} and what follows, or put words with blanks into quotes.", quoted(extra))
            }
            None => format!(
                "Write at least {} after {}.",
                if least == 1 { "one word" } else { "two words" },
                entry.name
            ),
        };
        Err(self.error(id::ARGUMENTS, text).cured_by(cure))
    }

    /// `On` or `Off`.
    pub fn flag(&self, args: &str) -> Result<bool, Finding> {
        let word = Words::new(args).next().unwrap_or_default();
        match word.to_ascii_lowercase().as_str() {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => {
                let text = format!("{} must be On or Off: not {}", self.name(), quoted(&word));
                Err(self.error(id::BAD_VALUE, text))
            }
        }
    }
}
