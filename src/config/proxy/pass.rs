// SPDX-License-Identifier: Apache-2.0
//! `ProxyPass`.

use super::{Reader, assign};
use crate::base::text::{Words, nearest, quoted};
use crate::config::finding::{Finding, id};
use crate::config::plan::Encoding;
use crate::config::statement::{MountLine, Pair, Statement};
use crate::config::url;

const FLAGS: [&str; 3] = ["nocanon", "interpolate", "noquery"];

/// Words of a line, sorted by what they are.
#[derive(Default)]
struct Line {
    path: Option<String>,
    url: Option<String>,
    as_received: bool,
    mapping: Option<Encoding>,
    pairs: Vec<Pair>,
}

pub(super) fn read(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    let line = sort(reader, args)?;
    let Some(url) = line.url else {
        let text = "ProxyPass|ProxyPassMatch needs a path when not defined in a location";
        let cure = match (&line.path, reader.section) {
            (Some(only), None) if only.contains("://") => format!("Write ProxyPass / {}.", url::shown(only)),
            (_, None) => "Write ProxyPass /path balancer://name/path.".into(),
            (_, Some(_)) => "Write ProxyPass balancer://name/path, or ProxyPass !.".into(),
        };
        return Err(reader.error(id::PATH_AND_SECTION, text).cured_by(cure));
    };
    let encoding = match (line.mapping, line.as_received) {
        (Some(mapping), _) => mapping,
        (None, true) => Encoding::AsReceived,
        (None, false) => Encoding::Canonical,
    };
    let target = match url.as_str() {
        "!" => None,
        _ => {
            let parsed = url::parse(&url).map_err(|bad| reader.bad_url("ProxyPass", bad))?;
            Some(assign::target(reader, parsed, &url, &line.pairs)?)
        }
    };
    Ok(Statement::Mount(MountLine { path: line.path, url, target, encoding, pairs: line.pairs }))
}

fn sort(reader: &Reader, args: &str) -> Result<Line, Finding> {
    let mut line = Line::default();
    for word in Words::new(args) {
        let needs_path = reader.section.is_none() && line.path.is_none();
        if needs_path {
            if word == "~" {
                return Err(no_expressions(reader));
            }
            line.path = Some(word);
        } else if line.url.is_none() {
            if word == "~" {
                return Err(no_expressions(reader));
            }
            line.url = Some(word);
        } else {
            sort_rest(reader, &mut line, &word)?;
        }
    }
    Ok(line)
}

fn sort_rest(reader: &Reader, line: &mut Line, word: &str) -> Result<(), Finding> {
    if word.eq_ignore_ascii_case("nocanon") {
        line.as_received = true;
    } else if FLAGS.iter().any(|flag| flag.eq_ignore_ascii_case(word)) {
        // They act only together with ProxyPassInterpolateEnv, or not at all, in mod_proxy too.
    } else if let Some(mapping) = word.get(..8).filter(|key| key.eq_ignore_ascii_case("mapping=")) {
        line.mapping = Some(mapping_of(reader, &word[mapping.len()..])?);
    } else {
        let pair = assign::pair(word).ok_or_else(|| no_pair(reader, line, word))?;
        line.pairs.push(pair);
    }
    Ok(())
}

fn mapping_of(reader: &Reader, word: &str) -> Result<Encoding, Finding> {
    match word.to_ascii_lowercase().as_str() {
        "encoded" => Ok(Encoding::Encoded),
        "servlet" => Ok(Encoding::Servlet),
        _ => Err(reader
            .error(id::BAD_VALUE, format!("unknown mapping: {}", quoted(&format!("mapping={word}"))))
            .cured_by("Write mapping=encoded or mapping=servlet.")),
    }
}

fn no_pair(reader: &Reader, line: &Line, word: &str) -> Finding {
    let url = line.url.as_deref().unwrap_or_default();
    if reader.section.is_some() && url.starts_with('/') {
        let stock = "ProxyPass|ProxyPassMatch can not have a path when defined in a location.";
        let text = format!("{stock} {} is a path", quoted(url));
        let cure = format!("Write ProxyPass {}.", url::shown(word));
        return reader.error(id::PATH_AND_SECTION, text).cured_by(cure);
    }
    let text = format!(
        "Invalid ProxyPass|ProxyPassMatch parameter. Parameter must be in the form 'key=value'. {} is neither that nor one of nocanon, interpolate, noquery",
        quoted(word)
    );
    let finding = reader.error(id::NOT_KEY_VALUE, text);
    match nearest(word, FLAGS) {
        Some(flag) => finding.cured_by(format!("Did you mean {flag}?")),
        None if url == "!" => finding.cured_by("Nothing may follow the !."),
        None => finding.cured_by(format!("Write {}=value, or remove the word.", url::shown(word))),
    }
}

/// The refusal of regular expressions.
pub(super) fn no_expressions(reader: &Reader) -> Finding {
    let name = reader.name();
    let form = if name == "ProxyPass" { "ProxyPass ~" } else { name };
    reader
        .error(
            id::LATER_VERSION,
            format!("{form} is not available: this version has no rules with regular expressions"),
        )
        .cured_by("Write ProxyPass with a path, or ProxyPass inside <LocationMatch>.")
}
