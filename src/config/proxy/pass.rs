// SPDX-License-Identifier: Apache-2.0
//! `ProxyPass` and `ProxyPassMatch`.

use super::{Reader, assign};
use crate::base::text::{Words, nearest, quoted};
use crate::config::directive::Directive;
use crate::config::draft::is_pattern;
use crate::config::finding::{Finding, id};
use crate::config::interpolation::interpolated;
use crate::config::plan::Encoding;
use crate::config::statement::{MountLine, Pair, Statement, TargetLine};
use crate::config::url;

const FLAGS: [&str; 3] = ["nocanon", "interpolate", "noquery"];

/// Words of a line, sorted by what they are.
#[derive(Default)]
struct Line {
    path: Option<String>,
    url: Option<String>,
    as_received: bool,
    mapping: Option<Encoding>,
    is_expression: bool,
    interpolate: bool,
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
    let is_named = takes_groups(reader, line.is_expression) && url::authority_names_groups(&url)
        || line.interpolate && url::authority_of(&url).contains("${");
    let target = match url.as_str() {
        "!" => None,
        _ if is_named => named(reader, &url, &line.pairs)?,
        _ => {
            let parsed = url::parse(&url).map_err(|bad| reader.bad_url("ProxyPass", bad))?;
            Some(assign::target(reader, parsed, &url, &line.pairs)?)
        }
    };
    let is_expression = line.is_expression;
    let (path, pairs, interpolate) = (line.path, line.pairs, line.interpolate);
    Ok(Statement::Mount(MountLine {
        path,
        url,
        target,
        encoding,
        pairs,
        is_expression,
        interpolate,
        is_named,
    }))
}

/// In a section whose argument is a pattern, `$1` is a group of that.
fn takes_groups(reader: &Reader, is_expression: bool) -> bool {
    is_expression || reader.section.is_some_and(|section| is_pattern(section.argument))
}

/// A back end that is put together for each request: the protocol must be known all the same. In `ajp://host:port$1` the
/// group is meant to be the path, so what stands in front of it is declared, with the parameters of the line.
fn named(reader: &mut Reader, url: &str, pairs: &[Pair]) -> Result<Option<TargetLine>, Finding> {
    let plain = String::from_utf8_lossy(&interpolated(url, |_| Some(b"1"))).into_owned();
    let filled =
        |with: &str| (0..10).fold(plain.clone(), |text, group| text.replace(&format!("${group}"), with));
    let example = url::parse(&filled("/")).or_else(|_| url::parse(&filled("1")));
    example.map_err(|bad| reader.bad_url("ProxyPass", bad))?;
    let front = url.split_once('$').map_or(url, |(front, _)| front);
    let is_whole = url.matches('/').count() == 2;
    match url::parse(front).ok().filter(|_| is_whole) {
        Some(url::Url::Balancer(_)) if pairs.is_empty() => Ok(None),
        Some(parsed) => assign::target(reader, parsed, front, pairs).map(Some),
        None => {
            if let Some(pair) = pairs.first() {
                let (word, url) = (pair.shown(), url::shown(url));
                let text = format!("{word} has no effect here: {url} is another back end for each request");
                reader.warn(id::SHARED_WORKER, text, "Declare the back ends with <Proxy url> and ProxySet.");
            }
            Ok(None)
        }
    }
}

fn sort(reader: &Reader, args: &str) -> Result<Line, Finding> {
    let is_expression = reader.directive == Directive::ProxyPassMatch;
    let mut line = Line { is_expression, ..Line::default() };
    for word in Words::new(args) {
        let needs_path = reader.section.is_none() && line.path.is_none();
        if word == "~" && line.url.is_none() && (needs_path || reader.section.is_some()) {
            if line.is_expression {
                let text = "ProxyPassMatch invalid syntax ('~' usage).";
                return Err(reader.error(id::ARGUMENTS, text).cured_by("Leave the ~ out."));
            }
            line.is_expression = true;
        } else if needs_path {
            line.path = Some(word);
        } else if line.url.is_none() {
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
    } else if word.eq_ignore_ascii_case("interpolate") {
        line.interpolate = true;
    } else if FLAGS.iter().any(|flag| flag.eq_ignore_ascii_case(word)) {
        // noquery has no effect in mod_proxy either.
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
