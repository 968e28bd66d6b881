// SPDX-License-Identifier: Apache-2.0
//! `ProxySet`, and the words behind the URL of `<Proxy …>`.

use super::{Reader, assign};
use crate::base::text::{Words, quoted};
use crate::config::finding::{Finding, id};
use crate::config::parameter::{self, BALANCER};
use crate::config::statement::{Pair, Statement};
use crate::config::url::{self, BadUrl, shown};

/// The opening line of a `<Proxy>` section.
pub(crate) struct Container {
    pub url: String,
    pub statement: Statement,
}

pub(super) fn read(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    let mut words = Words::new(args);
    let inside = reader.section.and_then(|section| section.proxy_url());
    let create = inside.is_some();
    let Some(url) = inside.or_else(|| words.next()) else {
        let text = "ProxySet can not find '' Worker.";
        return Err(reader
            .error(id::UNKNOWN_TARGET, text)
            .cured_by("Write ProxySet balancer://name key=value."));
    };
    let pairs = pairs(words, |word| {
        let text = "Invalid ProxySet parameter. Parameter must be in the form 'key=value'";
        let finding = reader.error(id::NOT_KEY_VALUE, format!("{text}: {}", quoted(word)));
        match create && url::parse(word).is_ok() {
            true => finding.cured_by("Leave the URL out: the section names it."),
            false => finding.cured_by(format!("Write {}=value.", shown(word))),
        }
    })?;
    let parsed = url::parse(&url).map_err(|bad| match create {
        true => reader.bad_url("ProxySet", bad),
        false => not_found(reader, &url, bad),
    })?;
    let target = assign::target(reader, parsed, &url, &pairs)?;
    Ok(Statement::Set { url, target, create })
}

/// Outside a section mod_proxy looks the URL up before it reads it.
fn not_found(reader: &Reader, url: &str, bad: BadUrl) -> Finding {
    let kind = if url::is_balancer(url) { "Balancer" } else { "Worker" };
    let forgotten =
        assign::pair(url).map(|pair| (pair.shown(), parameter::find(BALANCER, &pair.key).is_some()));
    if let Some((word, true)) = forgotten {
        let text = format!("ProxySet can not find '{word}' {kind}.");
        return reader.error(id::UNKNOWN_TARGET, text).cured_by(format!(
            "Write ProxySet balancer://name {word}, or move the line into <Proxy balancer://name>."
        ));
    }
    let text = format!("ProxySet can not find '{}' {kind}. {}", shown(url), bad.text);
    reader.error(id::UNKNOWN_TARGET, text).cured_by(bad.cure)
}

pub(super) fn read_container(reader: &mut Reader, args: &str) -> Result<Container, Finding> {
    let mut words = Words::new(args);
    // Without a word the section is about every URL, as with mod_proxy.
    let first = words.next().unwrap_or_default();
    let url = match first.get(..6) {
        Some(start) if start.eq_ignore_ascii_case("proxy:") => first[6..].to_owned(),
        _ => first,
    };
    let pattern = url.contains(['*', '?', '[']);
    let pairs = pairs(words, |word| {
        let text = "Invalid Proxy parameter. Parameter must be in the form 'key=value'";
        let text = format!("{text}: {}", quoted(word));
        reader.error(id::NOT_KEY_VALUE, text).cured_by(format!("Write {}=value.", shown(word)))
    })?;
    if pairs.is_empty() {
        return Ok(Container { url, statement: Statement::Nothing });
    }
    let refused = |text: &str| {
        let text = format!("{text}: {}", shown(&url));
        Err(reader.error(id::BAD_URL, text).cured_by("Parameters need the URL of one balancer or worker."))
    };
    if pattern {
        return refused("<Proxy> arguments are not supported for wildchar url.");
    }
    if !url.contains(':') {
        return refused("<Proxy> arguments are not supported for non url.");
    }
    let parsed = url::parse(&url).map_err(|bad| reader.bad_url("<Proxy", bad))?;
    let target = assign::target(reader, parsed, &url, &pairs)?;
    let statement = Statement::Set { url: url.clone(), target, create: true };
    Ok(Container { url, statement })
}

fn pairs(words: Words, wrong: impl Fn(&str) -> Finding) -> Result<Vec<Pair>, Finding> {
    words.map(|word| assign::pair(&word).ok_or_else(|| wrong(&word))).collect()
}
