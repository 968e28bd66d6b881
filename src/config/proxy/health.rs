// SPDX-License-Identifier: Apache-2.0
//! `ProxyHCTemplate`, `ProxyHCExpr`, `ProxyHCTPsize`, and the words of members that name what those define.

use std::sync::Arc;

use super::assign::{self, Whose};
use super::{Reader, server};
use crate::base::text::{Words, leading_integer, nearest, quoted};
use crate::config::finding::{Finding, id};
use crate::config::health::{CheckMethod, Expression, copy_template};
use crate::config::parameter::{self, MEMBER};
use crate::config::setting::MemberSettings;
use crate::config::statement::{Pair, Statement};
use crate::config::url::shown;

/// mod_proxy keeps no longer name.
const LONGEST_NAME: usize = 15;

pub(super) fn read_template(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    let mut words = Words::new(args);
    let Some(name) = words.next().filter(|name| !name.is_empty()) else {
        return Err(reader
            .error(id::ARGUMENTS, "Missing template name for ProxyHCTemplate")
            .cured_by("Write ProxyHCTemplate name hcmethod=TCP."));
    };
    let mut settings = MemberSettings::default();
    for word in words {
        let Some(pair) = assign::pair(&word) else {
            let text = "Invalid ProxyHCTemplate parameter. Parameter must be in the form 'key=value'";
            return Err(reader
                .error(id::NOT_KEY_VALUE, format!("{text}: {}", quoted(&word)))
                .cured_by(format!("Write {}=value.", shown(&word))));
        };
        if !is_of_checks(&pair.key) {
            return Err(foreign_key(reader, &name, &pair));
        }
        assign::one(reader, Whose { url: &name, balancer: Some("") }, &pair, &mut settings)?;
    }
    Ok(Statement::HealthTemplate { name, settings: Box::new(settings) })
}

pub(super) fn is_of_checks(key: &str) -> bool {
    parameter::find(MEMBER, key).is_some_and(|known| known.name.starts_with("hc"))
}

fn foreign_key(reader: &Reader, name: &str, pair: &Pair) -> Finding {
    let text = format!("ProxyHCTemplate: unknown Worker hcheck param {}; {}", pair.shown(), shown(name));
    let known: Vec<_> = MEMBER.iter().map(|known| known.name).filter(|name| name.starts_with("hc")).collect();
    let finding = reader.error(id::UNKNOWN_PARAMETER, text);
    match nearest(&pair.key, known.iter().copied()) {
        Some(guess) => finding.cured_by(format!("Did you mean {guess}={}?", pair.shown_value())),
        None => finding.cured_by(format!("Known here are: {}.", known.join(", "))),
    }
}

/// A member's `hctemplate=` and `hcexpr=`: what they name must stand in front of the line, in the same server.
pub(super) fn refer(
    reader: &Reader,
    whose: Whose,
    pair: &Pair,
    name: &str,
    settings: &mut MemberSettings,
) -> Result<(), Finding> {
    match name {
        "hctemplate" => match reader.health.and_then(|names| names.template(&pair.value)) {
            Some(template) => copy_template(settings, template),
            None => return Err(unknown_name(reader, whose, pair, "ProxyHCTemplate")),
        },
        "hcexpr" => match reader.health.and_then(|names| names.expression(&pair.value)) {
            Some(expression) => settings.hc_expr = Some(Some(Arc::clone(expression))),
            None => return Err(unknown_name(reader, whose, pair, "ProxyHCExpr")),
        },
        _ => {}
    }
    Ok(())
}

/// Words about checks that change nothing where they stand.
pub(super) fn remark(reader: &mut Reader, whose: Whose, pairs: &[Pair], settings: &MemberSettings) {
    for pair in pairs.iter().filter(|pair| is_of_checks(&pair.key)) {
        let is_for_http = ["hcuri", "hcexpr"].iter().any(|name| name.eq_ignore_ascii_case(&pair.key));
        let why = match settings.hc_method {
            _ if whose.balancer.is_none() => "only members of balancers are checked",
            None => "without hcmethod the member is not checked",
            Some(Some(CheckMethod::Tcp | CheckMethod::Cping)) if is_for_http => {
                "hcmethod=TCP and CPING send no HTTP request"
            }
            _ => continue,
        };
        reader.note(format!("{} {} has no effect: {why}", reader.name(), pair.shown()));
    }
}

fn unknown_name(reader: &Reader, whose: Whose, pair: &Pair, directive: &str) -> Finding {
    let stock = match directive {
        "ProxyHCTemplate" => format!("Unknown ProxyHCTemplate name: {}", shown(&pair.value)),
        _ => format!("Unknown health check condition expr: {}", shown(&pair.value)),
    };
    let names: Vec<&str> = match (reader.health, directive) {
        (None, _) => Vec::new(),
        (Some(known), "ProxyHCTemplate") => known.templates.iter().map(|(name, _)| name.as_str()).collect(),
        (Some(known), _) => known.expressions.iter().map(|known| known.name.as_str()).collect(),
    };
    let finding = reader.error(id::UNKNOWN_TARGET, assign::stock(reader, whose, pair, &stock));
    match nearest(&pair.value, names) {
        Some(guess) => finding.cured_by(format!("Did you mean {}?", shown(guess))),
        None => finding.cured_by(format!(
            "Write {directive} {} … in front of this line, in the same server: a virtual host does not know those of the \
             main server.",
            shown(&pair.value)
        )),
    }
}

pub(super) fn read_expression(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    let mut words = Words::new(args);
    let refused = |text: String| {
        Err(reader
            .error(id::ARGUMENTS, text)
            .cured_by("Write ProxyHCExpr name {%{REQUEST_STATUS} =~ /^[234]/}."))
    };
    let Some(name) = words.next().filter(|name| !name.is_empty()) else {
        return refused("Missing expression name for ProxyHCExpr".into());
    };
    if name.len() > LONGEST_NAME {
        return refused(format!(
            "Expression name limited to {LONGEST_NAME} characters: {} has {}",
            quoted(&name),
            name.len()
        ));
    }
    let (text, rest) = braced(words.rest());
    if text.is_empty() {
        return refused("Missing expression for ProxyHCExpr".into());
    }
    if let Some(extra) = Words::new(rest).next() {
        return refused(format!("error: extra parameter(s): {}", quoted(&extra)));
    }
    if let Some(test) = lookup_test(&text) {
        return refused(format!(
            "Could not parse expression \"{}\": {test} asks for the access to a URL within a request, and a check has none",
            shown(&text)
        ));
    }
    let origin = reader.origin.clone();
    Ok(Statement::HealthExpression(Expression { name, text, origin }))
}

/// The tests of httpd's expressions that start a subrequest.
fn lookup_test(text: &str) -> Option<&'static str> {
    let is_edge = |c: char| c.is_whitespace() || matches!(c, '(' | '!' | '\'' | '"' | '%');
    ["-U", "-F"].into_iter().find(|test| {
        text.match_indices(test).any(|(at, _)| {
            text[..at].chars().next_back().is_none_or(is_edge)
                && text[at + test.len()..].chars().next().is_none_or(is_edge)
        })
    })
}

/// A word that may also stand in braces, which may hold further pairs of braces, and what follows it.
fn braced(text: &str) -> (String, &str) {
    if !text.starts_with('{') {
        let mut words = Words::new(text);
        let word = words.next().unwrap_or_default();
        return (word, words.rest());
    }
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (text[1..at].to_owned(), &text[at + 1..]);
        }
    }
    (text[1..].to_owned(), "")
}

pub(super) fn read_threads(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    let word = reader.words(args)?.swap_remove(0);
    match u32::try_from(server::integer(reader, &word)) {
        Ok(count) => Ok(Statement::CheckThreads(count)),
        Err(_) => {
            let text = "Invalid ProxyHCTPsize parameter. Parameter must be >= 0";
            let (number, _) = leading_integer(&word);
            Err(reader.error(id::BAD_VALUE, format!("{text}: {number} is not")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{braced, lookup_test};

    #[test]
    fn tests_that_start_a_subrequest_are_found() {
        for text in ["-U '/x'", "!-F /x", "true && (-U '/x')"] {
            assert!(lookup_test(text).is_some(), "{text}");
        }
        for text in ["%{REQUEST_STATUS} =~ /^[234]/", "hc('body') =~ /a-Ux/", "-f '/run/x'"] {
            assert!(lookup_test(text).is_none(), "{text}");
        }
    }

    #[test]
    fn braces_keep_an_expression_together() {
        assert_eq!(
            braced("{%{REQUEST_STATUS} =~ /^[234]/} x"),
            ("%{REQUEST_STATUS} =~ /^[234]/".to_owned(), " x")
        );
        assert_eq!(braced("\"hc('body') =~ /up/\""), ("hc('body') =~ /up/".to_owned(), ""));
        assert_eq!(braced("{never closed"), ("never closed".to_owned(), ""));
        assert_eq!(braced(""), (String::new(), ""));
    }
}
