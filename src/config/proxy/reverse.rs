// SPDX-License-Identifier: Apache-2.0
//! `ProxyPassReverse` and the cookie rules.

use super::Reader;
use crate::base::text::quoted;
use crate::config::directive::Directive;
use crate::config::finding::{Finding, id};
use crate::config::parameter::{self, BALANCER};
use crate::config::statement::Statement;
use crate::config::url::shown;

pub(super) fn read(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    let mut words = reader.words(args)?.into_iter();
    let first = words.next().unwrap_or_default();
    let (second, third) = (words.next(), words.next());
    let (public, url, extra, interpolate) = match (reader.section, second) {
        (Some(_), None) => (None, first, None, false),
        (Some(_), Some(second)) => {
            if !second.eq_ignore_ascii_case("interpolate") {
                return Err(path_in_section(reader, &first, &second));
            }
            (None, first, third, true)
        }
        (None, Some(url)) if !url.eq_ignore_ascii_case("interpolate") => {
            let is_on = third.is_some();
            (Some(first), url, third, is_on)
        }
        (None, _) => {
            let text = "ProxyPassReverse needs a path when not defined in a location";
            let cure = match first.starts_with('/') {
                true => format!("Write ProxyPassReverse {} balancer://name/.", shown(&first)),
                false => format!("Write ProxyPassReverse / {}.", shown(&first)),
            };
            return Err(reader.error(id::PATH_AND_SECTION, text).cured_by(cure));
        }
    };
    if let Some(extra) = extra.filter(|word| !word.eq_ignore_ascii_case("interpolate")) {
        third_word(reader, &url, &extra);
    }
    if url.contains(char::is_whitespace) {
        let text = format!("ProxyPassReverse {} has blanks in its URL and rewrites nothing", quoted(&url));
        reader.warn(id::REVERSE_WORD, text, "Write only the URL in the quotes.");
    }
    let has_names = url.contains("${") || public.as_deref().is_some_and(|path: &str| path.contains("${"));
    if has_names && !interpolate {
        let text = format!("ProxyPassReverse {}: variables have no effect without interpolate", shown(&url));
        reader.warn(
            id::REVERSE_WORD,
            text,
            "Write interpolate at the end of the line, and ProxyPassInterpolateEnv On.",
        );
    }
    Ok(Statement::Reverse { public, url, interpolate })
}

fn path_in_section(reader: &Reader, first: &str, second: &str) -> Finding {
    let text = "ProxyPassReverse can not have a path when defined in a location";
    let finding =
        reader.error(id::PATH_AND_SECTION, format!("{text}: {} is one word too many", quoted(second)));
    match balancer_word(second) {
        Some(name) => finding.cured_by(format!(
            "Write ProxyPassReverse {}, and {name} at the end of the ProxyPass line.",
            shown(first)
        )),
        None => finding.cured_by(format!("Write ProxyPassReverse {}.", shown(second))),
    }
}

/// mod_proxy takes any third word for `interpolate`, so the line must work; but nobody means that.
fn third_word(reader: &mut Reader, url: &str, word: &str) {
    let text = format!("ProxyPassReverse {}: {} has no effect here", shown(url), quoted(word));
    match balancer_word(word) {
        Some(name) => reader.warn(
            id::REVERSE_WORD,
            format!("{text}, {name} is a parameter of the balancer"),
            format!("Write {} at the end of the ProxyPass line instead.", shown(word)),
        ),
        None => reader.warn(id::REVERSE_WORD, text, "Remove the word."),
    }
}

fn balancer_word(word: &str) -> Option<&'static str> {
    let (key, _) = word.split_once('=')?;
    parameter::find(BALANCER, key).map(|known| known.name)
}

pub(super) fn read_cookie(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    let mut words = reader.words(args)?.into_iter();
    let (internal, public) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    // As stock has it, any third word is taken for `interpolate`.
    let interpolate = words.next().is_some();
    Ok(match reader.directive {
        Directive::ProxyPassReverseCookieDomain => Statement::CookieDomain { internal, public, interpolate },
        _ => Statement::CookiePath { internal, public, interpolate },
    })
}
