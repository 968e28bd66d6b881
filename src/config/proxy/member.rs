// SPDX-License-Identifier: Apache-2.0
//! `BalancerMember`.

use super::assign::{self, Whose};
use super::{Reader, Surroundings};
use crate::base::text::{Words, nearest, quoted};
use crate::config::finding::{Finding, id};
use crate::config::parameter::{BALANCER, MEMBER};
use crate::config::statement::{Pair, Statement};
use crate::config::url::{self, BadUrl, Url, shown};

pub(super) fn read(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    let (names, pairs) = sort(args);
    let section = reader.section.map(section_url);
    let (balancer, member) = names_of(reader, section, names)?;
    let balancer = match url::parse(&balancer) {
        Ok(Url::Balancer(balancer)) => balancer,
        Err(bad) if url::is_balancer(&balancer) => return Err(reader.bad_url("BalancerMember", bad)),
        _ => return Err(no_balancer(reader, &balancer)),
    };
    let parsed = match url::parse(&member) {
        Ok(Url::Member(parsed)) => parsed,
        Ok(Url::Balancer(_)) => {
            let text = format!("BalancerMember {}: a balancer cannot be a member", shown(&member));
            return Err(reader
                .error(id::BAD_URL, text)
                .cured_by("Write the URL of a member, ajp://host:port."));
        }
        Err(bad) => return Err(bad_member(reader, &member, bad)),
    };
    let whose = Whose { url: &member, balancer: Some(&balancer.name) };
    let settings = Box::new(assign::member(reader, whose, &pairs)?);
    Ok(Statement::Member { balancer, member: parsed, settings, pairs })
}

/// Words without `=`, and the others.
fn sort(args: &str) -> (Vec<String>, Vec<Pair>) {
    let (mut names, mut pairs) = (Vec::new(), Vec::new());
    for word in Words::new(args) {
        match assign::pair(&word) {
            Some(pair) => pairs.push(pair),
            None => names.push(word),
        }
    }
    (names, pairs)
}

fn section_url(section: Surroundings) -> String {
    section.proxy_url().unwrap_or_else(|| section.argument.to_owned())
}

/// The URLs of the balancer and the member.
fn names_of(
    reader: &Reader,
    section: Option<String>,
    names: Vec<String>,
) -> Result<(String, String), Finding> {
    let inside = section.is_some();
    let mut names = section.into_iter().chain(names);
    let balancer = names.next().ok_or_else(|| {
        let text = "BalancerMember must define balancer name when outside <Proxy > section";
        reader
            .error(id::BALANCER_NAME, text)
            .cured_by("Write BalancerMember balancer://name ajp://host:8009.")
    })?;
    let member = names.next().ok_or_else(|| {
        let cure = match inside {
            true => "Write BalancerMember ajp://host:8009.",
            false => "Write BalancerMember balancer://name ajp://host:8009, or move the line into <Proxy balancer://name>.",
        };
        reader.error(id::BAD_URL, "BalancerMember must define remote proxy server").cured_by(cure)
    })?;
    match names.next() {
        None => Ok((balancer, member)),
        Some(extra) => Err(extra_word(reader, inside, &member, &extra)),
    }
}

fn extra_word(reader: &Reader, inside: bool, first: &str, extra: &str) -> Finding {
    let stock = match inside {
        true => "BalancerMember can not have a balancer name when defined in a location",
        false => "Invalid BalancerMember parameter. Parameter must be in the form 'key=value'",
    };
    if extra.ends_with(['"', '\'']) {
        // The word may be the end of a secret, so it is not shown.
        let text = format!("{stock}: a quote inside a word does not keep it together");
        let cure = "Quotes go around the whole word: \"key=value\".";
        return reader.error(id::NOT_KEY_VALUE, text).cured_by(cure);
    }
    let words = MEMBER.iter().map(|known| known.name).chain(BALANCER.iter().map(|known| known.name));
    let cure = match nearest(extra, words) {
        Some(known) => format!("Did you mean {known}=value?"),
        None if inside && url::is_balancer(first) => {
            "Leave the balancer out: the section names it.".to_owned()
        }
        None => "One line names one member; parameters are written key=value.".to_owned(),
    };
    let text = format!("{stock}: {} is one word too many", quoted(extra));
    reader.error(id::NOT_KEY_VALUE, text).cured_by(cure)
}

fn no_balancer(reader: &Reader, url: &str) -> Finding {
    let text = format!("BalancerMember Bad syntax for a balancer name ({})", shown(url));
    let cure = match reader.section {
        Some(_) => "Move the line into <Proxy balancer://name>.",
        None => "Write BalancerMember balancer://name ajp://host:8009.",
    };
    reader.error(id::BALANCER_NAME, text).cured_by(cure)
}

fn bad_member(reader: &Reader, url: &str, bad: BadUrl) -> Finding {
    let words = MEMBER.iter().map(|known| known.name).chain(BALANCER.iter().map(|known| known.name));
    let meant = nearest(url, words).map(|known| format!("If a parameter is meant, write {known}=value."));
    let finding = reader.bad_url("BalancerMember", bad);
    match meant {
        Some(cure) => finding.cured_by(cure),
        None => finding,
    }
}
