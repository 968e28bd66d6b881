// SPDX-License-Identifier: Apache-2.0
//! Directives that set one value of a server.

use std::time::Duration;

use super::Reader;
use super::assign::number_cure;
use crate::base::text::{leading_integer, quoted};
use crate::config::directive::Directive;
use crate::config::finding::{Finding, id};
use crate::config::plan::Via;
use crate::config::setting::{SiteSettings, Switch};
use crate::config::statement::Statement;
use crate::config::url::shown;
use crate::wire::http1::BadHeader;

pub(super) fn read(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    use Directive as D;
    let mut site = SiteSettings::default();
    match reader.directive {
        D::ProxyRequests => {
            site.requests = Some(Switch { on: reader.flag(args)?, origin: reader.origin.clone() });
        }
        D::ProxyPassInherit => site.pass_inherit = Some(reader.flag(args)?),
        D::BalancerPersist => site.persist = Some(reader.flag(args)?),
        D::BalancerInherit => site.balancer_inherit = Some(reader.flag(args)?),
        _ => {
            let word = reader.words(args)?.swap_remove(0);
            one_word(reader, &mut site, &word)?;
        }
    }
    Ok(Statement::Site(site))
}

fn one_word(reader: &mut Reader, site: &mut SiteSettings, word: &str) -> Result<(), Finding> {
    use Directive as D;
    match reader.directive {
        D::ProxyBadHeader => site.bad_header = Some(bad_header(reader, word)?),
        D::ProxyVia => site.via = Some(via(reader, word)?),
        D::ProxyTimeout => site.timeout = Some(timeout(reader, word)?),
        D::ProxyMaxForwards => site.max_forwards = Some(u32::try_from(integer(reader, word)).ok()),
        D::ProxyIOBufferSize => site.io_buffer = Some(buffer(reader, word)?),
        D::ProxyReceiveBufferSize => site.receive_buffer = Some(buffer(reader, word)?),
        D::ProxyStatus => site.status = Some(status(reader, word)?),
        D::ProxySourceAddress => site.source_address = Some(source_address(reader, word)?),
        _ => {}
    }
    Ok(())
}

fn via(reader: &Reader, word: &str) -> Result<Via, Finding> {
    match word.to_ascii_lowercase().as_str() {
        "off" => Ok(Via::Off),
        "on" => Ok(Via::On),
        "full" => Ok(Via::Full),
        "block" => Ok(Via::Block),
        _ => {
            let text = format!("ProxyVia must be one of: off | on | full | block: not {}", quoted(word));
            Err(reader.error(id::BAD_VALUE, text))
        }
    }
}

fn status(reader: &Reader, word: &str) -> Result<bool, Finding> {
    match word.to_ascii_lowercase().as_str() {
        "off" => Ok(false),
        "on" | "full" => Ok(true),
        _ => {
            let text = format!("ProxyStatus must be one of: off | on | full: not {}", quoted(word));
            Err(reader.error(id::BAD_VALUE, text))
        }
    }
}

fn bad_header(reader: &Reader, word: &str) -> Result<BadHeader, Finding> {
    match word.to_ascii_lowercase().as_str() {
        "iserror" => Ok(BadHeader::IsError),
        "ignore" => Ok(BadHeader::Ignore),
        "startbody" => Ok(BadHeader::StartBody),
        _ => {
            let text = "ProxyBadHeader must be one of: IsError | Ignore | StartBody";
            Err(reader.error(id::BAD_VALUE, format!("{text}: not {}", quoted(word))))
        }
    }
}

fn timeout(reader: &mut Reader, word: &str) -> Result<Duration, Finding> {
    let seconds = u64::try_from(integer(reader, word)).unwrap_or(0).min(i32::MAX as u64);
    if seconds == 0 {
        let text = format!("Proxy Timeout must be at least 1 second. {} is not", quoted(word));
        return Err(reader
            .error(id::BAD_VALUE, text)
            .cured_by("Write whole seconds, for example ProxyTimeout 60."));
    }
    Ok(Duration::from_secs(seconds))
}

fn buffer(reader: &mut Reader, word: &str) -> Result<u32, Finding> {
    match u32::try_from(integer(reader, word)) {
        Ok(size) if size == 0 || size >= 512 => Ok(size),
        _ => {
            let stock = "must be >= 512 bytes, or 0 for system default.";
            Err(reader.error(id::BAD_VALUE, format!("{} {stock} {} is not", reader.name(), quoted(word))))
        }
    }
}

fn source_address(reader: &Reader, word: &str) -> Result<std::net::IpAddr, Finding> {
    word.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| {
        let text = format!("ProxySourceAddress invalid value: {} is no IP address", quoted(word));
        reader.error(id::BAD_VALUE, text).cured_by("Write an address of this machine, for example 192.0.2.7.")
    })
}

/// The number at the start of the word, with a remark if the word goes on.
pub(super) fn integer(reader: &mut Reader, word: &str) -> i64 {
    let (number, rest) = leading_integer(word);
    if !rest.is_empty() {
        let name = reader.name();
        let text = format!(
            "{name} {}: only the whole number at the start counts, which is {number}; {} is ignored",
            shown(word),
            quoted(rest)
        );
        reader.warn(id::NUMBER_REST, text, number_cure(name, " ", number, rest));
    }
    number
}
