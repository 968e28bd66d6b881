// SPDX-License-Identifier: Apache-2.0
//! Targets of rules and URLs of members: what this version can reach, and the canonical name of each.

use super::expression::names_groups;
use super::plan::Scheme;
use crate::base::text::{nearest, quoted};

/// `balancer://name/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BalancerUrl {
    /// Lower case, without the scheme.
    pub name: String,
    pub path: String,
}

/// `ajp://host:port/path`, `http://…`, `https://…`, `ws://…`, `wss://…`, or one of them behind `unix:/socket|`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberUrl {
    /// Lower-case scheme and host, no default port, the path as written.
    pub name: String,
    /// Length of the part of `name` in front of the path.
    pub authority: usize,
    pub scheme: Scheme,
    /// Lower case, without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// Path of the UNIX socket that takes the place of host and port.
    pub socket: Option<String>,
    pub path: String,
}

impl MemberUrl {
    /// Does a declaration of this URL cover `other`? Scheme, host and port must be equal, the path a text prefix.
    pub fn covers(&self, other: &MemberUrl) -> bool {
        self.name[..self.authority] == other.name[..other.authority] && other.path.starts_with(&self.path)
    }
}

/// What a URL in the configuration points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Url {
    Balancer(BalancerUrl),
    Member(MemberUrl),
}

/// Why a URL cannot be used. The message of mod_proxy, ours, and whether the scheme is to blame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadUrl {
    pub text: String,
    pub cure: String,
    pub scheme: bool,
}

impl BadUrl {
    fn new(text: String, cure: impl Into<String>) -> Self {
        Self { text, cure: cure.into(), scheme: false }
    }
}

const OTHER_SCHEMES: [&str; 6] = ["h2", "h2c", "fcgi", "scgi", "uwsgi", "ftp"];
const EXAMPLE: &str = "Write it like ajp://127.0.0.1:8009, http://127.0.0.1:8080 or balancer://name/.";
const SOCKET_EXAMPLE: &str = "Write it like unix:/run/app.sock|http://localhost/.";

/// Longest `balancer://name`, as in mod_proxy.
const LONGEST_BALANCER_NAME: usize = 95;
const LONGEST_HOST: usize = 255;
/// Longest path of a UNIX socket, as in mod_proxy.
const LONGEST_SOCKET: usize = 95;

/// The URL of a member that is yet to come.
pub(super) fn nowhere() -> MemberUrl {
    MemberUrl {
        name: String::new(),
        authority: 0,
        scheme: Scheme::Http,
        host: String::new(),
        port: 0,
        socket: None,
        path: String::new(),
    }
}

/// Reads a URL.
pub(crate) fn parse(url: &str) -> Result<Url, BadUrl> {
    let Some((scheme, rest)) = split_scheme(url) else {
        return Err(BadUrl::new(format!("URL must be absolute!: {}", shown(url)), EXAMPLE));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "balancer" => balancer(url, rest).map(Url::Balancer),
        "unix" => behind_socket(url, rest).map(Url::Member),
        other => match Scheme::from_name(other) {
            Some(scheme) => member(url, scheme, rest, None).map(Url::Member),
            None => Err(unknown_scheme(url, other)),
        },
    }
}

/// Is this text meant as the name of a balancer?
pub(crate) fn is_balancer(url: &str) -> bool {
    split_scheme(url).is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("balancer"))
}

/// Are scheme, host, port or the name of a balancer put together from groups of an expression?
pub(crate) fn authority_names_groups(url: &str) -> bool {
    names_groups(authority_of(url))
}

/// What stands in front of the path.
pub(crate) fn authority_of(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    &url[..end]
}

/// Text of the line for a message: as it is, unless it would break the line.
pub(crate) fn shown(text: &str) -> String {
    let quoted = quoted(text);
    quoted[1..quoted.len() - 1].to_owned()
}

fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    valid.then_some((scheme, rest))
}

fn unknown_scheme(url: &str, scheme: &str) -> BadUrl {
    let known = OTHER_SCHEMES.contains(&scheme);
    let guess = if known { None } else { nearest(scheme, ["ajp", "http", "https", "ws", "wss", "balancer"]) };
    let cure = match guess {
        Some(guess) => format!("Did you mean {guess}://?"),
        None => "Write ajp://host:port or http://host:port for a member, or balancer://name/ for a balancer."
            .into(),
    };
    let reason = if known { "this version cannot speak" } else { "there is no protocol" };
    BadUrl {
        text: format!(
            "URL {}: {reason} {}, only ajp://, http://, https://, ws://, wss:// and balancer:// work",
            shown(url),
            shown(scheme)
        ),
        cure,
        scheme: true,
    }
}

fn balancer(url: &str, rest: &str) -> Result<BalancerUrl, BadUrl> {
    let name_and_path = rest.strip_prefix("//").unwrap_or("");
    let end = name_and_path.find('/').unwrap_or(name_and_path.len());
    let (name, path) = name_and_path.split_at(end);
    if name.is_empty() {
        let text = format!("Bad syntax for a balancer name ({})", shown(url));
        return Err(BadUrl::new(text, "Write it like balancer://name/."));
    }
    if name.len() + "balancer://".len() > LONGEST_BALANCER_NAME {
        let text = format!("balancer name ({}) too long", shown(name));
        return Err(BadUrl::new(text, "Use at most 84 characters after balancer://."));
    }
    Ok(BalancerUrl { name: name.to_ascii_lowercase(), path: path.to_owned() })
}

/// `unix:/path|http://host/`; `unix:/path|http:` means the host localhost.
fn behind_socket(url: &str, rest: &str) -> Result<MemberUrl, BadUrl> {
    let invalid = |why: &str| {
        let text = format!("uses an invalid \"unix:\" URL: {}: {why}", shown(url));
        BadUrl::new(text, SOCKET_EXAMPLE)
    };
    let (socket, behind) = rest.split_once('|').ok_or_else(|| invalid("there is no | behind the path"))?;
    if !socket.starts_with('/') || socket.contains(char::is_control) {
        return Err(invalid("the path of the socket must begin with a slash"));
    }
    if socket.len() > LONGEST_SOCKET {
        return Err(BadUrl::new(
            format!("worker uds path ({}) too long", shown(socket)),
            "Use at most 95 characters.",
        ));
    }
    let (scheme, rest) = split_scheme(behind).ok_or_else(|| invalid("there is no URL behind the |"))?;
    let word = scheme.to_ascii_lowercase();
    let scheme = Scheme::from_name(&word).ok_or_else(|| unknown_scheme(url, &word))?;
    let rest = match rest.strip_prefix("//") {
        None if rest.is_empty() => "//localhost".to_owned(),
        Some(path) if path.is_empty() || path.starts_with('/') => format!("//localhost{path}"),
        _ => rest.to_owned(),
    };
    member(url, scheme, &rest, Some(socket))
}

fn member(url: &str, scheme: Scheme, rest: &str, socket: Option<&str>) -> Result<MemberUrl, BadUrl> {
    let absolute = || BadUrl::new(format!("URL must be absolute!: {}", shown(url)), EXAMPLE);
    let unparsable = |why: &str| BadUrl::new(format!("Unable to parse URL: {}: {why}", shown(url)), EXAMPLE);
    let authority_and_path = rest.strip_prefix("//").ok_or_else(absolute)?;
    let end = authority_and_path.find('/').unwrap_or(authority_and_path.len());
    let (authority, path) = authority_and_path.split_at(end);
    if authority.contains('@') {
        return Err(unparsable("a user name has no meaning to a member"));
    }
    let (host, port) = host_and_port(authority).map_err(unparsable)?;
    let port = port.unwrap_or(scheme.default_port());
    if host.is_empty() {
        return Err(absolute());
    }
    if host.len() > LONGEST_HOST {
        return Err(BadUrl::new(
            format!("worker hostname ({}) too long", shown(host)),
            "Use at most 255 characters.",
        ));
    }
    if let Some(bad) = host.chars().find(|c| c.is_control() || c.is_whitespace() || "?#\\%<>\"".contains(*c))
    {
        return Err(unparsable(&format!("{} cannot be part of a host name", quoted(&bad.to_string()))));
    }
    Ok(named(scheme, host, port, path, socket))
}

/// Host without brackets, and the port if there is one.
fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("the address has no closing bracket")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("the text in brackets is no IPv6 address");
            }
            match after.strip_prefix(':') {
                None if !after.is_empty() => return Err("only a port may follow the closing bracket"),
                port => (host, port),
            }
        }
        None => match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err("an IPv6 address needs brackets"),
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    match port {
        None | Some("") => Ok((host, None)),
        Some(digits) if !digits.bytes().all(|b| b.is_ascii_digit()) => Err("the port must be a number"),
        Some(digits) => match digits.parse() {
            Ok(port @ 1..) => Ok((host, Some(port))),
            _ => Err("a port lies between 1 and 65535"),
        },
    }
}

fn named(scheme: Scheme, host: &str, port: u16, path: &str, socket: Option<&str>) -> MemberUrl {
    let host = host.to_ascii_lowercase();
    let start = socket.map(|socket| format!("unix:{socket}|")).unwrap_or_default();
    let word = scheme.name();
    let mut name = if host.contains(':') {
        format!("{start}{word}://[{host}]")
    } else {
        format!("{start}{word}://{host}")
    };
    if port != scheme.default_port() {
        name.push_str(&format!(":{port}"));
    }
    let authority = name.len();
    name.push_str(path);
    let socket = socket.map(str::to_owned);
    MemberUrl { name, authority, scheme, host, port, socket, path: path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(url: &str) -> String {
        match parse(url).unwrap() {
            Url::Member(member) => member.name,
            Url::Balancer(balancer) => format!("{}|{}", balancer.name, balancer.path),
        }
    }

    #[test]
    fn names_are_canonical() {
        assert_eq!(name_of("AJP://Host.Example:8009"), "ajp://host.example");
        assert_eq!(name_of("ajp://h:8010/App"), "ajp://h:8010/App");
        assert_eq!(name_of("ajp://[::1]:8010"), "ajp://[::1]:8010");
        assert_eq!(name_of("BALANCER://C/App/"), "c|/App/");
        assert_eq!(name_of("balancer://c"), "c|");
        assert_eq!(name_of("HTTP://Host:80/App"), "http://host/App");
        assert_eq!(name_of("http://[::1]:8080/"), "http://[::1]:8080/");
        assert_eq!(name_of("ws://h"), "ws://h");
        assert_eq!(name_of("HTTPS://H:443/x"), "https://h/x");
        assert_eq!(name_of("wss://h:80"), "wss://h:80");
        assert_eq!(name_of("unix:/run/a.sock|https://h/"), "unix:/run/a.sock|https://h/");
        assert_eq!(name_of("unix:/run/A.sock|HTTP://H/x"), "unix:/run/A.sock|http://h/x");
        assert_eq!(name_of("unix:/run/a.sock|http:"), "unix:/run/a.sock|http://localhost");
    }

    #[test]
    fn an_unusable_url_says_why() {
        for (url, text) in [
            ("foo", "URL must be absolute!: foo"),
            ("ajp://", "URL must be absolute!: ajp://"),
            ("ajp:///x", "URL must be absolute!: ajp:///x"),
            ("ajp://h:x", "Unable to parse URL: ajp://h:x: the port must be a number"),
            ("ajp://h:70000", "Unable to parse URL: ajp://h:70000: a port lies between 1 and 65535"),
            ("unix:/p", "uses an invalid \"unix:\" URL: unix:/p: there is no | behind the path"),
            ("unix:/p|", "uses an invalid \"unix:\" URL: unix:/p|: there is no URL behind the |"),
            ("balancer:x", "Bad syntax for a balancer name (balancer:x)"),
            ("balancer://", "Bad syntax for a balancer name (balancer://)"),
        ] {
            assert_eq!(parse(url).unwrap_err().text, text);
        }
        assert!(parse("apj://h").unwrap_err().cure.contains("ajp"));
        for url in ["h2://h/", "fcgi://h/", "unix:/p|scgi://h/"] {
            let bad = parse(url).unwrap_err();
            assert!(bad.text.contains("cannot speak") && bad.scheme, "{bad:?}");
        }
    }

    #[test]
    fn one_worker_covers_urls_that_go_on_after_its_own() {
        let member = |url: &str| match parse(url).unwrap() {
            Url::Member(member) => member,
            Url::Balancer(_) => unreachable!("only members here"),
        };
        assert!(member("ajp://h/app").covers(&member("ajp://H:8009/app2")));
        assert!(!member("ajp://h/app").covers(&member("ajp://h/")));
        assert!(!member("ajp://h").covers(&member("ajp://h:8010")));
    }
}
