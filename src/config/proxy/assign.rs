// SPDX-License-Identifier: Apache-2.0
//! `key=value` words to settings, with the messages that say which word is wrong and where it belongs.

use super::{Reader, health};
use crate::base::text::{leading_integer, nearest, quoted};
use crate::config::directive::Directive;
use crate::config::finding::{Finding, id};
use crate::config::parameter::{self, BALANCER, MEMBER, OFTEN_MEANT, Parameter};
use crate::config::plan::Scheme;
use crate::config::setting::{BalancerSettings, MemberSettings};
use crate::config::statement::{Pair, TargetLine};
use crate::config::url::{self, Url, shown};
use crate::config::value::{Refused, Taken};

/// Whose settings a line sets: its URL as written, and the balancer a member belongs to.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub url: &'a str,
    pub balancer: Option<&'a str>,
}

/// Splits `key=value`.
pub(super) fn pair(word: &str) -> Option<Pair> {
    let (key, value) = word.split_once('=')?;
    Some(Pair { key: key.to_owned(), value: value.to_owned() })
}

/// The settings of the words for either kind of target.
pub(super) fn target(
    reader: &mut Reader,
    url: Url,
    text: &str,
    pairs: &[Pair],
) -> Result<TargetLine, Finding> {
    match url {
        Url::Balancer(url) => {
            let whose = Whose { url: text, balancer: Some(&url.name) };
            let settings = balancer(reader, whose, pairs)?;
            Ok(TargetLine::Balancer(url, Box::new(settings)))
        }
        Url::Member(url) => {
            let settings = member(reader, Whose { url: text, balancer: None }, pairs)?;
            Ok(TargetLine::Member(url, Box::new(settings)))
        }
    }
}

/// The settings of a member or plain worker.
pub(super) fn member(reader: &mut Reader, whose: Whose, pairs: &[Pair]) -> Result<MemberSettings, Finding> {
    let mut settings = MemberSettings::default();
    for pair in pairs {
        one(reader, whose, pair, &mut settings)?;
    }
    health::remark(reader, whose, pairs, &settings);
    Ok(settings)
}

/// One word of a member.
pub(super) fn one(
    reader: &mut Reader,
    whose: Whose,
    pair: &Pair,
    settings: &mut MemberSettings,
) -> Result<(), Finding> {
    let Some(known) = parameter::find(MEMBER, &pair.key) else {
        return Err(match parameter::find(BALANCER, &pair.key) {
            Some(other) => balancer_word_on_member(reader, whose, pair, other.name),
            None => unknown(reader, whose, pair, "Worker", MEMBER, BALANCER),
        });
    };
    set(reader, whose, pair, known, settings)?;
    health::refer(reader, whose, pair, known.name, settings)
}

/// The settings of a balancer.
pub(super) fn balancer(
    reader: &mut Reader,
    whose: Whose,
    pairs: &[Pair],
) -> Result<BalancerSettings, Finding> {
    let mut settings = BalancerSettings::default();
    for pair in pairs {
        let Some(known) = parameter::find(BALANCER, &pair.key) else {
            return Err(match parameter::find(MEMBER, &pair.key) {
                Some(other) => member_word_on_balancer(reader, whose, pair, other.name),
                None => unknown(reader, whose, pair, "Balancer", BALANCER, MEMBER),
            });
        };
        set(reader, whose, pair, known, &mut settings)?;
    }
    if let Some(sticky) = &mut settings.sticky {
        sticky.origin = Some(reader.origin.clone());
        if sticky.cookie.is_empty() && !sticky.path.is_empty() {
            let text = "stickysession without a cookie name in front of the | is no stickiness at all";
            let cure = format!("Write stickysession=JSESSIONID|{}.", shown(&sticky.path));
            reader.warn(id::STICKY_NAME, text, cure);
        }
    }
    Ok(settings)
}

fn set<S>(
    reader: &mut Reader,
    whose: Whose,
    pair: &Pair,
    known: &Parameter<S>,
    settings: &mut S,
) -> Result<(), Finding> {
    if HTTP_ONLY.contains(&known.name) && is_ajp(whose.url) {
        reader.note(format!("{} {} acts for http:// members only", reader.name(), pair.shown()));
    }
    let taken = (known.set)(settings, &pair.value)
        .map_err(|refused| bad_value(reader, whose, pair, known.name, known.allowed, refused))?;
    let start = format!("{} {}", reader.name(), pair.shown());
    if pair.value.starts_with(['"', '\'']) {
        let cure =
            format!("Quotes go around the whole word: \"{}={}\".", known.name, unquoted(&pair.shown_value()));
        reader.warn(id::QUOTED_VALUE, format!("{start}: the quotes become part of the value"), cure);
    }
    match taken {
        Taken::Whole => {}
        Taken::Number(number) => {
            let rest = leading_integer(&pair.value).1;
            let ignored = if rest.is_empty() {
                "there is none".to_owned()
            } else {
                format!("{} is ignored", quoted(rest))
            };
            reader.warn(
                id::NUMBER_REST,
                format!("{start}: only the whole number at the start counts, which is {number}; {ignored}"),
                number_cure(known.name, "=", number, rest),
            );
        }
        Taken::NoEffect => reader.note(format!("{start} has no effect on ajp:// members")),
    }
    Ok(())
}

const HTTP_ONLY: [&str; 2] = ["responsefieldsize", "upgrade"];

fn is_ajp(url: &str) -> bool {
    matches!(url::parse(url), Ok(Url::Member(member)) if member.scheme == Scheme::Ajp)
}

/// What to write instead of a number with something behind it.
pub(super) fn number_cure(name: &str, joint: &str, number: i64, rest: &str) -> String {
    let in_seconds = matches!(name, "timeout" | "retry" | "ttl" | "ProxyTimeout");
    let other = match rest {
        "ms" if in_seconds => Some((number + 999) / 1000),
        _ if in_seconds && rest.starts_with("mi") => Some(number.saturating_mul(60)),
        "m" if in_seconds => Some(number.saturating_mul(60)),
        _ if in_seconds && rest.starts_with('h') => Some(number.saturating_mul(3600)),
        _ => None,
    };
    match other {
        Some(seconds) => format!(
            "{name} counts whole seconds: write {name}{joint}{seconds}, or {name}{joint}{number} if {number} seconds are meant."
        ),
        None => format!("Write {name}{joint}{number}."),
    }
}

/// mod_proxy's text with its prefix and, where it has one, its ending.
pub(super) fn stock(reader: &Reader, whose: Whose, pair: &Pair, text: &str) -> String {
    let (word, url) = (pair.shown(), shown(whose.url));
    match reader.directive {
        Directive::ProxySet => format!("ProxySet: {text} {word}; {url}"),
        Directive::ProxyContainer => format!("<Proxy {text} {word}; {url}"),
        Directive::ProxyHCTemplate => format!("ProxyHCTemplate: {text} {word}; {url}"),
        _ => format!("{} {text}", reader.name()),
    }
}

fn unquoted(value: &str) -> &str {
    value.trim_matches(['"', '\''])
}

fn bad_value(
    reader: &Reader,
    whose: Whose,
    pair: &Pair,
    name: &str,
    allowed: &str,
    refused: Refused,
) -> Finding {
    let start = stock(reader, whose, pair, refused.stock);
    let joint = if start.ends_with('.') { "" } else { ":" };
    let why = refused.why.map(|why| format!(", {why}")).unwrap_or_default();
    let word = match reader.directive {
        // mod_proxy's own text names the word already.
        Directive::ProxySet | Directive::ProxyContainer | Directive::ProxyHCTemplate => {
            "the value".to_owned()
        }
        _ => quoted(&pair.shown()),
    };
    let text = format!("{start}{joint} {word} cannot be used{why}");
    let bare = unquoted(&pair.value);
    let cure = match refused.guess {
        Some(guess) => format!("Did you mean {name}={guess}? Allowed: {allowed}."),
        None if bare.len() < pair.value.len() && !pair.is_secret() => {
            format!("Quotes go around the whole word: \"{name}={}\".", shown(bare))
        }
        None => format!("Allowed for {name}: {allowed}."),
    };
    reader.error(id::BAD_VALUE, text).cured_by(cure)
}

fn unknown<S, T>(
    reader: &Reader,
    whose: Whose,
    pair: &Pair,
    kind: &str,
    own: &'static [Parameter<S>],
    other: &'static [Parameter<T>],
) -> Finding {
    let text = format!("{}: {}", unknown_start(reader, whose, pair, kind), no_such(pair));
    let meant =
        OFTEN_MEANT.iter().find(|(said, _)| said.eq_ignore_ascii_case(&pair.key)).map(|(_, meant)| *meant);
    let guess = meant
        .or_else(|| nearest(&pair.key, own.iter().map(|parameter| parameter.name)))
        .or_else(|| nearest(&pair.key, other.iter().map(|parameter| parameter.name)));
    let Some(guess) = guess else {
        let known: Vec<_> = own.iter().map(|parameter| parameter.name).collect();
        return reader
            .error(id::UNKNOWN_PARAMETER, text)
            .cured_by(format!("Known are: {}.", known.join(", ")));
    };
    let name = guess.split('=').next().unwrap_or(guess);
    let corrected =
        if guess.contains('=') { guess.to_owned() } else { format!("{guess}={}", pair.shown_value()) };
    let elsewhere = match (parameter::find(own, name).is_some(), kind) {
        (true, _) => String::new(),
        (false, "Worker") => {
            format!(" It is a parameter of the balancer. {}", write_on_balancer(whose, &corrected))
        }
        (false, _) => format!(" It is a parameter of a member. {}", write_on_member(whose, &corrected)),
    };
    reader.error(id::UNKNOWN_PARAMETER, text).cured_by(format!("Did you mean {corrected}?{elsewhere}"))
}

fn unknown_start(reader: &Reader, whose: Whose, pair: &Pair, kind: &str) -> String {
    let text = format!("unknown {kind} parameter");
    match reader.directive {
        Directive::ProxySet | Directive::ProxyContainer => stock(reader, whose, pair, &text),
        _ => format!("{} {}", stock(reader, whose, pair, &text), quoted(&pair.key)),
    }
}

fn no_such(pair: &Pair) -> String {
    format!("there is no parameter of that name (value {})", quoted(&pair.shown_value()))
}

fn balancer_word_on_member(reader: &Reader, whose: Whose, pair: &Pair, name: &str) -> Finding {
    let start = unknown_start(reader, whose, pair, "Worker");
    let text = format!("{start}: {name} is a parameter of the balancer, not of a member");
    let value = match name {
        "stickysession" if pair.value == "jsessionid" => "JSESSIONID|jsessionid".to_owned(),
        _ => pair.shown_value(),
    };
    reader
        .error(id::PARAMETER_OF_BALANCER, text)
        .cured_by(write_on_balancer(whose, &format!("{name}={value}")))
}

fn member_word_on_balancer(reader: &Reader, whose: Whose, pair: &Pair, name: &str) -> Finding {
    let start = unknown_start(reader, whose, pair, "Balancer");
    let text = format!("{start}: {name} is a parameter of a member, not of the balancer");
    let corrected = format!("{name}={}", pair.shown_value());
    reader.error(id::PARAMETER_OF_MEMBER, text).cured_by(write_on_member(whose, &corrected))
}

fn write_on_balancer(whose: Whose, words: &str) -> String {
    match whose.balancer {
        Some(name) => {
            let name = shown(name);
            format!(
                "Write \"ProxySet {words}\" into <Proxy balancer://{name}>, or {words} at the end of the ProxyPass line that leads to balancer://{name}."
            )
        }
        None => "A plain worker has no balancer: make it a member (BalancerMember in <Proxy balancer://name>) and write it there with ProxySet.".into(),
    }
}

fn write_on_member(whose: Whose, words: &str) -> String {
    let name = shown(whose.balancer.unwrap_or("name"));
    format!("Write {words} at the end of a BalancerMember line of balancer://{name}.")
}
