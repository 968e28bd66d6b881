// SPDX-License-Identifier: Apache-2.0
//! Where a URL leads that no rule of ours wrote as it is: from `RewriteRule … [P]`, `SetHandler "proxy:…"`, or a target
//! with groups of a regular expression.

use super::compile::{Compiler, Facts};
use super::draft::Draft;
use super::origin::Origin;
use super::plan::{MemberId, Plan, Site, Worker};
use super::setting::MemberSettings;
use super::url::{self, Url};

/// Who is to get the request.
#[derive(Debug)]
pub enum Recipient {
    /// A balancer or plain worker of the configuration.
    Known(Worker),
    /// Nobody declared it: a plan with one plain worker that keeps no connection and has the server's time limits.
    Stranger(Box<Plan>),
}

/// A URL taken apart.
#[derive(Debug)]
pub struct Outside {
    pub recipient: Recipient,
    /// Where the path begins in the URL; its length for a URL without one.
    pub path_at: usize,
}

/// Why nobody gets the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreachable {
    /// There is no such balancer, or no such protocol; for the log.
    Nobody(String),
    /// The text is no URL; for the log.
    NoUrl(String),
}

/// Finds who gets a request for `url` on a server: the balancer of that name, the plain worker whose name covers most of
/// it, or a worker made for this one request.
///
/// `of_file`: the text stands in a configuration file as it is, so that it may name a socket.
///
/// # Errors
/// [`Unreachable`].
pub fn find(plan: &Plan, site: &Site, url: &[u8], of_file: bool) -> Result<Outside, Unreachable> {
    let path_at = path_start(url);
    let bytes = &url[..path_at];
    let authority = std::str::from_utf8(bytes)
        .map_err(|_| Unreachable::NoUrl(format!("{} is no URL", String::from_utf8_lossy(bytes))))?;
    let parsed = url::parse(authority).map_err(|bad| match bad.scheme {
        true => Unreachable::Nobody(bad.text),
        false => Unreachable::NoUrl(bad.text),
    })?;
    let recipient = match parsed {
        Url::Balancer(balancer) => {
            let known = site.balancers.iter().find(|(name, _)| *name == balancer.name);
            let (_, id) = known.ok_or_else(|| {
                Unreachable::Nobody(format!("this server has no balancer://{}", balancer.name))
            })?;
            Recipient::Known(Worker::Balancer(*id))
        }
        Url::Member(member) => match longest(plan, site, &member.name, &url[path_at..]) {
            Some(id) => Recipient::Known(Worker::Member(id)),
            // A request may have had a hand in the URL, and must not choose a file of this machine (CVE-2021-40438).
            None if member.socket.is_some() && !of_file => {
                let text =
                    "a socket is reached only if SetHandler, ProxyPass or <Proxy> declares it".to_owned();
                return Err(Unreachable::Nobody(text));
            }
            None => Recipient::Stranger(Box::new(lone(member))),
        },
    };
    Ok(Outside { recipient, path_at })
}

/// Finds who gets a request that a client of a forward proxy made for `url`, as it came. As [`find`], but a socket of this
/// machine is never reached, and `ftp://` needs another proxy, which speaks HTTP to us.
///
/// # Errors
/// [`Unreachable`].
pub fn find_foreign(plan: &Plan, site: &Site, url: &[u8]) -> Result<Foreign, Unreachable> {
    let scheme = url.split(|byte| *byte == b':').next().unwrap_or_default();
    if scheme.eq_ignore_ascii_case(b"unix") {
        return Err(Unreachable::Nobody("a client cannot ask for a socket of this machine".to_owned()));
    }
    if !scheme.eq_ignore_ascii_case(b"ftp") {
        return find(plan, site, url, false).map(|found| Foreign { found, only_remote: false });
    }
    let rest = &url[scheme.len()..];
    let found = find_stranger(&[b"http", rest].concat())?;
    let path_at = found.path_at - b"http".len() + scheme.len();
    Ok(Foreign { found: Outside { path_at, ..found }, only_remote: true })
}

/// What a client of a forward proxy asked for.
#[derive(Debug)]
pub struct Foreign {
    pub found: Outside,
    /// Only another proxy (`ProxyRemote`) can reach it.
    pub only_remote: bool,
}

fn find_stranger(url: &[u8]) -> Result<Outside, Unreachable> {
    let nobody = Plan { sites: vec![Site::default()], ..Plan::default() };
    find(&nobody, &nobody.sites[0], url, false)
}

/// Where the path of an absolute URL begins.
fn path_start(url: &[u8]) -> usize {
    let authority = url.windows(3).position(|part| part == b"://").map_or(url.len(), |at| at + 3);
    url[authority..].iter().position(|byte| *byte == b'/').map_or(url.len(), |at| authority + at)
}

/// The plain worker of a server whose name is the longest prefix of `authority` and `path` together.
fn longest(plan: &Plan, site: &Site, authority: &str, path: &[u8]) -> Option<MemberId> {
    let covering = site.workers.iter().filter_map(|&id| {
        let of_worker = plan.member(id).name.strip_prefix(authority)?;
        let covers = of_worker.is_empty() || of_worker.starts_with('/');
        (covers && path.starts_with(of_worker.as_bytes())).then_some((of_worker.len(), id))
    });
    // Of equals, the server's own stands before the inherited one.
    covering.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, id)| id)
}

fn lone(url: url::MemberUrl) -> Plan {
    let mut draft = Draft::new();
    draft.site("a request", None);
    let settings = MemberSettings { reuse: Some(false), ..MemberSettings::default() };
    draft.sites[0].worker(url, &settings, &Origin::new("(a request)", 0));
    Compiler::new(&draft, &Facts::default()).run().0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::SiteId;
    use crate::config::{Directive, Place};

    fn plan() -> Plan {
        let mut draft = Draft::new();
        let site = draft.site("main server", None);
        for rule in ["/c balancer://C/x", "/a ajp://h:1/app", "/b ajp://h:1/app2", "/d ajp://h:10"] {
            let place = Place { site, section: None };
            draft.directive(Directive::ProxyPass, place, rule, Origin::new("t", 1)).unwrap();
        }
        draft.compile(&Facts::default()).plan.unwrap()
    }

    fn found(url: &str) -> Result<(String, String), Unreachable> {
        let plan = plan();
        let outside = find(&plan, plan.site(SiteId(0)), url.as_bytes(), false)?;
        let name = match &outside.recipient {
            Recipient::Known(Worker::Balancer(id)) => format!("balancer://{}", plan.balancer(*id).name),
            Recipient::Known(Worker::Member(id)) => plan.member(*id).name.clone(),
            Recipient::Stranger(plan) => format!("stranger {}", plan.members[0].name),
        };
        Ok((name, url[outside.path_at..].to_owned()))
    }

    #[test]
    fn the_name_that_covers_most_gets_the_request() {
        for (url, name, path) in [
            ("balancer://c/y?z", "balancer://c", "/y?z"),
            ("BALANCER://C", "balancer://c", ""),
            ("ajp://H:1/app/x", "ajp://h:1/app", "/app/x"),
            ("ajp://h:1/app2/x", "ajp://h:1/app", "/app2/x"),
            ("ajp://h:10/x", "ajp://h:10", "/x"),
            ("ajp://h:1/other", "stranger ajp://h:1", "/other"),
            ("ajp://h:100/x", "stranger ajp://h:100", "/x"),
            ("ajp://h", "stranger ajp://h", ""),
        ] {
            assert_eq!(found(url), Ok((name.to_owned(), path.to_owned())), "{url}");
        }
    }

    #[test]
    fn what_nobody_can_answer_says_why() {
        assert!(
            matches!(found("balancer://other/"), Err(Unreachable::Nobody(text)) if text.contains("other"))
        );
        assert!(matches!(found("gopher://h/"), Err(Unreachable::Nobody(_))));
        assert!(
            matches!(found("unix:/run/x.sock|http://h/"), Err(Unreachable::Nobody(text)) if text.contains("socket"))
        );
        for text in ["", "/x", "ajp:/x", "ajp://", "ajp:///x", "ajp://h:x/", "ajp://a b/", "ajp://u@h/"] {
            assert!(matches!(found(text), Err(Unreachable::NoUrl(_))), "{text}");
        }
        let plan = plan();
        let garbage = find(&plan, plan.site(SiteId(0)), b"ajp://\xff/", false);
        assert!(matches!(garbage, Err(Unreachable::NoUrl(_))));
    }

    #[test]
    fn a_client_can_ask_for_what_a_rule_can_ask_for_but_for_sockets() {
        let plan = plan();
        let foreign = |url: &str| find_foreign(&plan, plan.site(SiteId(0)), url.as_bytes());
        for (url, name, path, only_remote) in [
            ("http://Some.Host:8080/a?b", "http://some.host:8080", "/a?b", false),
            ("https://h", "https://h", "", false),
            ("HTTP://[::1]:81/x", "http://[::1]:81", "/x", false),
            ("ftp://h/a", "http://h", "/a", true),
            ("FTP://h:2121", "http://h:2121", "", true),
        ] {
            let found = foreign(url).unwrap();
            let Recipient::Stranger(stranger) = &found.found.recipient else { panic!("{url}") };
            let path_of_url = &url[found.found.path_at..];
            assert_eq!(
                (stranger.members[0].name.as_str(), path_of_url, found.only_remote),
                (name, path, only_remote)
            );
        }
        assert!(matches!(
            foreign("ajp://h:1/app/x").unwrap().found.recipient,
            Recipient::Known(Worker::Member(_))
        ));
        for url in ["unix:/run/x|http://h/", "gopher://h/", "h2c://h/", "fcgi://h/"] {
            assert!(matches!(foreign(url), Err(Unreachable::Nobody(_))), "{url}");
        }
        for url in ["https:///x", "http://h:99999/", "http://h:0/", "http://h:1?q", "http://[x]/", "ftp://"] {
            assert!(matches!(foreign(url), Err(Unreachable::NoUrl(_))), "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_found_or_refused(url in proptest::collection::vec(proptest::num::u8::ANY, 0..60), start in 0usize..6) {
            let start = ["", "http://", "ftp://", "https://h:", "unix:/", "balancer://"][start];
            let url = [start.as_bytes(), &url].concat();
            let plan = plan();
            if let Ok(foreign) = find_foreign(&plan, plan.site(SiteId(0)), &url) {
                proptest::prop_assert!(foreign.found.path_at <= url.len());
                let rest = &url[foreign.found.path_at..];
                proptest::prop_assert!(rest.is_empty() || rest[0] == b'/');
                let rest = String::from_utf8_lossy(&url[..foreign.found.path_at]).to_ascii_lowercase();
                if let Recipient::Stranger(plan) = &foreign.found.recipient {
                    // What is connected to is what stands in the URL.
                    proptest::prop_assert!(rest.contains(&plan.members[0].host));
                    proptest::prop_assert!(plan.members[0].socket.is_none());
                }
            }
        }
    }

    #[test]
    fn a_stranger_keeps_no_connection() {
        let plan = plan();
        let outside = find(&plan, plan.site(SiteId(0)), b"ajp://new/", false).unwrap();
        let Recipient::Stranger(plan) = outside.recipient else { panic!("somebody is known") };
        assert!(!plan.members[0].pool.reuse);
        assert_eq!((plan.members.len(), plan.balancers.len()), (1, 0));
    }

    #[test]
    fn a_socket_nobody_declared_is_never_connected_to() {
        let mut draft = Draft::new();
        let site = draft.site("main server", None);
        let place = Place { site, section: None };
        let line = Origin::new("httpd.conf", 1);
        draft.directive(Directive::ProxyPass, place, "/a unix:/run/a.sock|http://h", line).unwrap();
        let plan = draft.compile(&Facts::default()).plan.unwrap();
        let outside = |url: &str| find(&plan, plan.site(SiteId(0)), url.as_bytes(), false);
        let known = outside("unix:/run/a.sock|http://h/x").unwrap();
        assert!(matches!(known.recipient, Recipient::Known(Worker::Member(_))));
        for url in
            ["unix:/run/b.sock|http://h/x", "unix:/run/a.sock|http://other/", "unix:/run/a.sock|ajp://h/"]
        {
            assert!(matches!(outside(url), Err(Unreachable::Nobody(_))), "{url}");
        }
        let by_handler = find(&plan, plan.site(SiteId(0)), b"unix:/run/b.sock|http://h/x", true).unwrap();
        assert!(matches!(by_handler.recipient, Recipient::Stranger(_)));
    }
}
