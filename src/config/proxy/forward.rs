// SPDX-License-Identifier: Apache-2.0
//! Lines about other proxies: `ProxyRemote`, `ProxyRemoteMatch`, `NoProxy`, `ProxyBlock`, `ProxyDomain`.

use super::Reader;
use crate::base::base64;
use crate::base::text::{Words, quoted};
use crate::config::directive::Directive;
use crate::config::expression::ExpressionId;
use crate::config::finding::{Finding, id};
use crate::config::forward::{DirectDraft, ForwardLine, Remote, Target};
use crate::config::setting::SiteSettings;
use crate::config::statement::Statement;
use crate::config::url::shown;

const EXAMPLE: &str = "Write it like http://proxy.example:3128.";

pub(super) fn read(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    use Directive as D;
    match reader.directive {
        D::ProxyDomain => domain(reader, args),
        D::NoProxy => {
            let words = some_words(reader, args)?;
            Ok(Statement::Forward(ForwardLine::Direct(
                words.iter().map(|word| direct(reader, word)).collect(),
            )))
        }
        D::ProxyBlock => {
            let words = some_words(reader, args)?;
            for word in words.iter().filter(|word| word.bytes().any(|byte| byte.is_ascii_uppercase())) {
                let text = format!("ProxyBlock {}: names of hosts are compared in lower case", quoted(word));
                let cure = format!("Write {}.", shown(&word.to_ascii_lowercase()));
                reader.warn(id::NEVER_MATCHES, text, cure);
            }
            Ok(Statement::Forward(ForwardLine::Block(words)))
        }
        _ => remote(reader, args),
    }
}

fn some_words(reader: &Reader, args: &str) -> Result<Vec<String>, Finding> {
    let words: Vec<String> = Words::new(args).collect();
    if words.first().is_none_or(String::is_empty) {
        let entry = reader.directive.entry();
        let text = format!("{} requires at least one argument, {}", entry.name, entry.help);
        return Err(reader.error(id::ARGUMENTS, text));
    }
    Ok(words.into_iter().filter(|word| !word.is_empty()).collect())
}

fn direct(reader: &mut Reader, word: &str) -> DirectDraft {
    let (direct, remark) = DirectDraft::read(word);
    if let Some(remark) = remark {
        let cure = "Write the network with its number of bits, for example 10.0.0.0/8.";
        reader.warn(id::NETWORK_MASK, format!("NoProxy {}: {remark}", shown(word)), cure);
    }
    direct
}

fn domain(reader: &Reader, args: &str) -> Result<Statement, Finding> {
    let word = reader.words(args)?.swap_remove(0);
    if !word.starts_with('.') {
        let text = format!("ProxyDomain: domain name must start with a dot. {} does not", quoted(&word));
        return Err(reader.error(id::BAD_VALUE, text).cured_by(format!("Write .{}.", shown(&word))));
    }
    Ok(Statement::Site(SiteSettings { proxy_domain: Some(word), ..SiteSettings::default() }))
}

fn remote(reader: &Reader, args: &str) -> Result<Statement, Finding> {
    let words = reader.words(args)?;
    let (host, port) = host_and_port(reader, &words[1])?;
    let name = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut remote = Remote {
        origin: reader.origin.clone(),
        target: Target::of_word(&words[0]),
        host,
        port,
        credentials: words.get(2).map(|words| format!("Basic {}", base64::encode(words.as_bytes()))),
        name,
    };
    Ok(Statement::Forward(if reader.directive == Directive::ProxyRemoteMatch {
        remote.target = Target::Expression(ExpressionId(0));
        ForwardLine::RemoteMatch { pattern: words[0].clone(), remote }
    } else {
        ForwardLine::Remote(remote)
    }))
}

/// Of `scheme://host:port`; the scheme only says which port is meant where none is written.
fn host_and_port(reader: &Reader, url: &str) -> Result<(String, u16), Finding> {
    let bad = |why: &str| {
        let name = reader.name();
        let text = format!("{name}: Bad syntax for a remote proxy server{why}: {}", quoted(url));
        reader.error(id::BAD_URL, text).cured_by(EXAMPLE)
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(|| bad(""))?;
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        // What stands there may be a password.
        let text = format!(
            "{}: Bad syntax for a remote proxy server: user and password stand in its URL",
            reader.name()
        );
        let cure = "Write them as a third word: http://proxy.example:3128 user:password.";
        return Err(reader.error(id::BAD_URL, text).cured_by(cure));
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() || scheme.is_empty() || host.contains(char::is_whitespace) {
        return Err(bad(""));
    }
    let port = match port {
        Some(digits) => {
            digits.parse().ok().filter(|port| *port > 0).ok_or_else(|| bad(" (bad port number)"))?
        }
        None => match scheme.to_ascii_lowercase().as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(bad(" (no port number)")),
        },
    };
    Ok((host.to_ascii_lowercase(), port))
}
