// SPDX-License-Identifier: Apache-2.0
//! `JkOptions`.

use super::id;
use super::plan::{JkOptions, UriForm};
use crate::base::text::{Words, nearest};
use crate::config::finding::Finding;
use crate::config::proxy::Reader;
use crate::config::url::shown;

/// What the lines of one server say; each bit is inherited by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OptionsDraft {
    uri: Option<UriForm>,
    switches: [Option<bool>; SWITCHES.len()],
}

const URI_FORMS: [(&str, UriForm); 4] = [
    ("ForwardURIProxy", UriForm::Proxy),
    ("ForwardURICompat", UriForm::Compat),
    ("ForwardURICompatUnparsed", UriForm::Unparsed),
    ("ForwardURIEscaped", UriForm::Escaped),
];

/// Where an option is kept.
type Switch = fn(&mut JkOptions) -> &mut bool;

const SWITCHES: [(&str, Switch); 9] = [
    ("ForwardDirectories", |options| &mut options.forward_directories),
    ("ForwardLocalAddress", |options| &mut options.forward_local_address),
    ("ForwardPhysicalAddress", |options| &mut options.forward_physical_address),
    ("FlushPackets", |options| &mut options.flush_packets),
    ("FlushHeader", |options| &mut options.flush_header),
    ("DisableReuse", |options| &mut options.disable_reuse),
    ("ForwardSSLCertChain", |options| &mut options.forward_cert_chain),
    ("ForwardKeySize", |options| &mut options.forward_key_size),
    ("RejectUnsafeURI", |options| &mut options.reject_unsafe_uri),
];

const REJECT_UNSAFE: usize = SWITCHES.len() - 1;

const OBSOLETE: [&str; 3] = ["CollapseSlashesAll", "CollapseSlashesNone", "CollapseSlashesUnmount"];

impl OptionsDraft {
    /// Takes the words of a line.
    pub fn read(&mut self, reader: &mut Reader, args: &str) -> Result<(), Finding> {
        for word in Words::new(args) {
            let on = !word.starts_with('-');
            let name = word.strip_prefix(['+', '-']).unwrap_or(&word);
            self.set(reader, &word, name, on)?;
        }
        Ok(())
    }

    fn set(&mut self, reader: &mut Reader, word: &str, name: &str, on: bool) -> Result<(), Finding> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        if let Some((_, form)) = URI_FORMS.iter().find(|(known, _)| is(known)) {
            if !on {
                let text = format!("JkOptions: Illegal option '{}': option can not be disabled", shown(word));
                return Err(reader
                    .error(id::UNKNOWN_OPTION, text)
                    .cured_by("Write the form that is wanted in its place, for example +ForwardURIProxy."));
            }
            self.uri = Some(*form);
        } else if let Some(at) = SWITCHES.iter().position(|(known, _)| is(known)) {
            let known = &mut self.switches[at];
            if *known == Some(!on) {
                let text = format!(
                    "JkOptions {} stands with + and with -: it is off, whatever comes last",
                    SWITCHES[at].0
                );
                reader.warn(id::ODD_VALUE, text, "Remove one of the two.");
            }
            *known = Some(on && *known != Some(false));
        } else if OBSOLETE.iter().any(|known| is(known)) {
            reader.note(format!("JkOptions {} has no effect: slashes are always collapsed", shown(word)));
        } else {
            return Err(unknown(reader, name));
        }
        Ok(())
    }

    /// What a virtual host has: its own words over those of the main server.
    pub fn over(self, main: Self) -> Self {
        let mut merged = main;
        merged.uri = self.uri.or(main.uri);
        for (place, own) in merged.switches.iter_mut().zip(self.switches) {
            *place = own.or(*place);
        }
        merged
    }

    /// The same with the main server's `RejectUnsafeURI`.
    pub fn with_reject_unsafe_of(mut self, main: Self) -> Self {
        self.switches[REJECT_UNSAFE] = main.switches[REJECT_UNSAFE];
        self
    }

    /// Puts what is said into `options`.
    pub fn apply(&self, options: &mut JkOptions) {
        options.uri = self.uri.unwrap_or(options.uri);
        for ((_, place), said) in SWITCHES.iter().zip(self.switches) {
            let place = place(options);
            *place = said.unwrap_or(*place);
        }
    }
}

fn unknown(reader: &Reader, name: &str) -> Finding {
    let names = URI_FORMS.iter().map(|(name, _)| *name).chain(SWITCHES.iter().map(|(name, _)| *name));
    let finding = reader.error(id::UNKNOWN_OPTION, format!("JkOptions: Illegal option '{}'", shown(name)));
    finding.cured_by(match nearest(name, names.clone()) {
        Some(guess) => format!("Did you mean {guess}?"),
        None => format!("Known are {}.", names.collect::<Vec<_>>().join(", ")),
    })
}
