// SPDX-License-Identifier: Apache-2.0
//! The `Jk…` lines as they are being read: what each server has said so far.

use std::collections::HashMap;
use std::time::Duration;

use super::definitions::unknown;
use super::id;
use super::options::OptionsDraft;
use super::plan::JkLogLevel;
use crate::base::text::{leading_integer, nearest, quoted};
use crate::config::directive::Directive;
use crate::config::finding::{self, Finding};
use crate::config::origin::Origin;
use crate::config::plan::SiteId;
use crate::config::proxy::Reader;
use crate::config::url::shown;

/// All servers together.
#[derive(Debug, Default)]
pub(in crate::config) struct JkDraft {
    /// Was any line of mod_jk there?
    pub is_used: bool,
    pub workers_file: Option<(String, Origin)>,
    /// `JkWorkerProperty`
    pub properties: Vec<(String, Origin)>,
    pub watchdog: Option<Duration>,
    /// `JkMountCopy All`
    pub copy_all: bool,
    /// By [`SiteId`], as far as lines were read.
    sites: Vec<JkSiteDraft>,
}

/// One server. `None`: not said, so the main server's counts where it is inherited.
#[derive(Debug, Clone, Default)]
pub(super) struct JkSiteDraft {
    pub rules: Vec<RuleDraft>,
    by_key: HashMap<String, usize>,
    /// `JkMountCopy`
    pub copy: Option<bool>,
    pub mount_file: Option<(String, Origin)>,
    /// `JkMountFileReload`; the inner `None` is never.
    pub reload: Option<Option<Duration>>,
    pub auto_alias: Option<String>,
    pub strip_session: Option<Option<String>>,
    pub log_file: Option<String>,
    pub log_level: Option<JkLogLevel>,
    pub stamp: Option<String>,
    pub request_format: Option<String>,
    /// `Jk…Indicator`; the last one of a name counts.
    pub indicators: Vec<(Directive, String)>,
    pub extract_ssl: Option<bool>,
    pub options: OptionsDraft,
    pub env_vars: Vec<(String, Option<String>)>,
    /// Was there any line of mod_jk?
    pub has_lines: bool,
}

/// `JkMount`, `JkUnMount`.
#[derive(Debug, Clone)]
pub(super) struct RuleDraft {
    /// The path, with `!` in front of an exclusion's.
    pub key: String,
    /// With extensions.
    pub worker: String,
    pub origin: Origin,
}

impl JkSiteDraft {
    /// Adds the main server's rules whose paths are not there.
    pub fn copy_rules(&mut self, main: &Self) {
        let missing = main.rules.iter().filter(|rule| !self.by_key.contains_key(&rule.key));
        self.rules.extend(missing.cloned());
    }

    /// A path that was there already keeps its place and gets the new worker.
    fn rule(&mut self, key: String, worker: String, origin: &Origin) -> Option<Finding> {
        let rule = RuleDraft { key, worker, origin: origin.clone() };
        let Some(&known) = self.by_key.get(&rule.key) else {
            self.by_key.insert(rule.key.clone(), self.rules.len());
            self.rules.push(rule);
            return None;
        };
        let known = &mut self.rules[known];
        let path = shown(rule.key.trim_start_matches('!'));
        let finding = (known.worker != rule.worker).then(|| {
            let text = format!(
                "{path} leads to {} here and to {} at {}: the last line counts",
                quoted(&rule.worker),
                quoted(&known.worker),
                known.origin
            );
            Finding::warning(id::OVERWRITTEN, origin, text).cured_by("Remove one of the two lines.")
        });
        *known = rule;
        finding
    }
}

impl JkDraft {
    /// What a server has said.
    pub(super) fn site(&self, site: usize) -> JkSiteDraft {
        self.sites.get(site).cloned().unwrap_or_default()
    }

    /// Files to be read, absolute, each once.
    pub fn wanted_files(&self, server_root: &str) -> Vec<String> {
        let mount_files = self.sites.iter().filter_map(|site| site.mount_file.as_ref());
        let mut files: Vec<String> = self
            .workers_file
            .iter()
            .chain(mount_files)
            .map(|(file, _)| absolute(file, server_root))
            .collect();
        files.sort();
        files.dedup();
        files
    }

    /// Takes one line of mod_jk; findings that are no errors go to the reader.
    pub fn take(&mut self, reader: &mut Reader, site: SiteId, args: &str) -> Result<(), Finding> {
        use Directive as D;
        self.is_used = true;
        if reader.section.is_some() && !matches!(reader.directive, D::JkMount | D::JkUnMount) {
            reader.check_place()?;
        }
        match reader.directive {
            D::JkWorkersFile | D::JkWorkerProperty | D::JkShmFile | D::JkShmSize | D::JkWatchdogInterval => {
                main_only(reader, site)?;
                self.global(reader, args)
            }
            D::JkMountCopy => self.mount_copy(reader, site, args),
            D::JkMount | D::JkUnMount => self.mount(reader, site, args),
            _ => self.of_site(site).take(reader, args),
        }
    }

    fn of_site(&mut self, site: SiteId) -> &mut JkSiteDraft {
        let at = site.0 as usize;
        if self.sites.len() <= at {
            self.sites.resize_with(at + 1, JkSiteDraft::default);
        }
        self.sites[at].has_lines = true;
        &mut self.sites[at]
    }

    fn global(&mut self, reader: &mut Reader, args: &str) -> Result<(), Finding> {
        use Directive as D;
        if reader.directive == D::JkWorkerProperty {
            let name = args.split('=').next().unwrap_or_default().trim();
            if args.contains('=')
                && let Some(finding) = unknown("Invalid JkWorkerProperty: ", name, reader.origin)
            {
                return Err(finding);
            }
            self.properties.push((args.to_owned(), reader.origin.clone()));
            return Ok(());
        }
        let word = one(reader, args)?;
        match reader.directive {
            D::JkWorkersFile => {
                if let Some((_, first)) = &self.workers_file {
                    let text = format!("JkWorkersFile only allowed once: the first is at {first}");
                    return Err(reader.error(id::ONLY_ONCE, text).cured_by(
                        "Put the properties into one file, or write them as JkWorkerProperty lines.",
                    ));
                }
                self.workers_file = Some((word, reader.origin.clone()));
            }
            D::JkWatchdogInterval => {
                self.watchdog = Some(Duration::from_secs(number(reader, &word).unsigned_abs()));
            }
            _ => reader.note(format!(
                "{} has no effect: Margay's shared memory needs no file and no size",
                reader.name()
            )),
        }
        Ok(())
    }

    fn mount_copy(&mut self, reader: &mut Reader, site: SiteId, args: &str) -> Result<(), Finding> {
        let word = one(reader, args)?;
        match word.to_ascii_lowercase().as_str() {
            "all" => {
                main_only(reader, site)?;
                self.copy_all = true;
            }
            "on" => self.of_site(site).copy = Some(true),
            "off" => self.of_site(site).copy = Some(false),
            _ => {
                let text = format!("JkMountCopy must be All, On or Off: not {}", quoted(&word));
                return Err(reader.error(finding::id::BAD_VALUE, text));
            }
        }
        if site.0 == 0 && word.eq_ignore_ascii_case("on") {
            let text = "JkMountCopy On has no effect in the main server";
            reader.warn(id::ODD_VALUE, text, "Write JkMountCopy All here, or On into the virtual hosts.");
        }
        Ok(())
    }

    fn mount(&mut self, reader: &mut Reader, site: SiteId, args: &str) -> Result<(), Finding> {
        let mut words = reader.words(args)?;
        let name = reader.name();
        let worker = words.pop().unwrap_or_default();
        let path = match (words.pop(), reader.section) {
            (Some(path), None) => path,
            (None, Some(section)) => section.argument.to_owned(),
            (Some(_), Some(section)) => {
                let text = format!("{name} can not have a path when defined in a location");
                return Err(reader.error(finding::id::ARGUMENTS, text).cured_by(format!(
                    "Write \"{name} {}\" into {} {}, or the line as it is outside of it.",
                    shown(&worker),
                    section.kind.keyword(),
                    shown(section.argument)
                )));
            }
            (None, None) => {
                let text = format!("{name} needs a path when not defined in a location");
                return Err(reader
                    .error(finding::id::ARGUMENTS, text)
                    .cured_by(format!("Write {name} /path/* {}.", shown(&worker))));
            }
        };
        if !path.starts_with('/') {
            let text = format!("{name} context should start with /: not {}", quoted(&path));
            return Err(reader.error(id::BAD_PATTERN, text).cured_by(match path.starts_with('*') {
                true => format!("Write /{}: * stands for slashes too.", shown(&path)),
                false => format!("Write /{}.", shown(&path)),
            }));
        }
        warn_about_section(reader, &path);
        let mark = if reader.directive == Directive::JkUnMount { "!" } else { "" };
        let finding = self.of_site(site).rule(format!("{mark}{path}"), worker, reader.origin);
        reader.remarks.extend(finding);
        Ok(())
    }
}

/// Inside a section the rule is for exactly the section's path.
fn warn_about_section(reader: &mut Reader, path: &str) {
    let Some(section) = reader.section else { return };
    let (keyword, name) = (section.kind.keyword(), reader.name());
    if !section.kind.is_location() {
        let text = format!("{name} inside {keyword} {} takes the folder for the path of a URL", shown(path));
        reader.warn(
            id::BAD_RULE,
            text,
            "Move the line to the server around it, with the URL's path in front.",
        );
    }
}

fn main_only(reader: &Reader, site: SiteId) -> Result<(), Finding> {
    if site.0 == 0 {
        return Ok(());
    }
    let text = format!("{} cannot occur within <VirtualHost> section", reader.name());
    Err(reader
        .error(finding::id::PLACE, text)
        .cured_by("Move the line out of the virtual host: it is for the whole server."))
}

fn one(reader: &Reader, args: &str) -> Result<String, Finding> {
    Ok(reader.words(args)?.swap_remove(0))
}

/// The number at the start of a word, as C reads it.
fn number(reader: &mut Reader, word: &str) -> i64 {
    let (number, rest) = leading_integer(word);
    if !rest.is_empty() {
        let name = reader.name();
        reader.warn(
            id::ODD_VALUE,
            format!("{name} {} is read as {number}", shown(word)),
            format!("Write {name} {number}, or the number that is meant."),
        );
    }
    number
}

impl JkSiteDraft {
    fn take(&mut self, reader: &mut Reader, args: &str) -> Result<(), Finding> {
        use Directive as D;
        match reader.directive {
            D::JkOptions => return self.options.read(reader, args),
            D::JkExtractSSL => {
                self.extract_ssl = Some(reader.flag(args)?);
                return Ok(());
            }
            _ => {}
        }
        let mut words = reader.words(args)?;
        let second = (words.len() > 1).then(|| words.swap_remove(1));
        let word = words.swap_remove(0);
        match reader.directive {
            D::JkMountFile => self.mount_file = Some((word, reader.origin.clone())),
            D::JkMountFileReload => {
                let seconds = u64::try_from(number(reader, &word)).unwrap_or(0);
                self.reload = Some((seconds > 0).then(|| Duration::from_secs(seconds)));
            }
            D::JkAutoAlias => self.auto_alias = Some(word),
            D::JkStripSession => self.strip_session = Some(strip_session(reader, &word, second)?),
            D::JkLogFile => self.log_file = Some(word),
            D::JkLogLevel => self.log_level = Some(log_level(reader, &word)),
            D::JkLogStampFormat => self.stamp = Some(stamp(reader, word)),
            D::JkRequestLogFormat => self.request_format = Some(word),
            D::JkEnvVar => self.env_var(word, second),
            indicator => self.indicators.push((indicator, word)),
        }
        Ok(())
    }

    fn env_var(&mut self, name: String, default: Option<String>) {
        match self.env_vars.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some(known) => *known = (name, default),
            None => self.env_vars.push((name, default)),
        }
    }
}

fn strip_session(reader: &Reader, word: &str, mark: Option<String>) -> Result<Option<String>, Finding> {
    const MARK: &str = ";jsessionid";
    match word.to_ascii_lowercase().as_str() {
        "on" => Ok(Some(mark.unwrap_or_else(|| MARK.to_owned()))),
        "off" => Ok(None),
        _ => {
            let text = format!("JkStripSession must be On or Off: not {}", quoted(word));
            Err(reader.error(finding::id::BAD_VALUE, text))
        }
    }
}

fn log_level(reader: &mut Reader, word: &str) -> JkLogLevel {
    const LEVELS: [(&str, JkLogLevel); 6] = [
        ("trace", JkLogLevel::Trace),
        ("debug", JkLogLevel::Debug),
        ("info", JkLogLevel::Info),
        ("warn", JkLogLevel::Warn),
        ("error", JkLogLevel::Error),
        ("emerg", JkLogLevel::Emerg),
    ];
    if let Some((_, level)) = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
        return *level;
    }
    let names = LEVELS.map(|(name, _)| name);
    let text = format!("JkLogLevel {} is none of {}: info is used", quoted(word), names.join(", "));
    let cure = match nearest(word, names) {
        Some(guess) => format!("Did you mean {guess}?"),
        None => "Write one of them.".to_owned(),
    };
    reader.warn(id::ODD_VALUE, text, cure);
    JkLogLevel::Info
}

fn stamp(reader: &mut Reader, format: String) -> String {
    const LONGEST: usize = 63;
    if format.len() > LONGEST {
        let text = format!("JkLogStampFormat has {} characters; mod_jk takes {LONGEST}", format.len());
        reader.warn(id::ODD_VALUE, text, "Write a shorter one.");
    }
    format
}

/// A file as httpd finds it.
pub(super) fn absolute(file: &str, server_root: &str) -> String {
    match file.starts_with('/') {
        true => file.to_owned(),
        false => format!("{}/{file}", server_root.trim_end_matches('/')),
    }
}
