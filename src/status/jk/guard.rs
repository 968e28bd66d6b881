// SPDX-License-Identifier: Apache-2.0
//! Changes that another web site makes a browser ask for are refused. Programs that are no browsers go on as with mod_jk.
//!
//! Browsers say where a request comes from (`Sec-Fetch-Site`, `Origin`, `Referer`), and the page that sends it cannot say
//! otherwise; at most it can have them say nothing. A browser that says nothing is therefore refused, too.

/// What the headers of a request say about who made it. Values as received, `None` if not there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    pub fetch_site: Option<&'a str>,
    pub origin: Option<&'a str>,
    pub referer: Option<&'a str>,
    pub host: Option<&'a str>,
    /// The host that the client named to a proxy in front of this server.
    pub forwarded_host: Option<&'a str>,
    pub user_agent: Option<&'a str>,
    pub accept_language: Option<&'a str>,
}

impl Evidence<'_> {
    /// May the request change something?
    pub fn is_from_here(&self) -> bool {
        if let Some(site) = self.fetch_site {
            // `none`: typed in, or from the bookmarks.
            return matches!(site.trim(), "same-origin" | "none");
        }
        match (self.origin, self.referer) {
            (Some(url), _) | (None, Some(url)) => authority(url).is_some_and(|from| self.is_this_host(from)),
            (None, None) => !self.is_browser(),
        }
    }

    fn is_this_host(&self, authority: &str) -> bool {
        let forwarded = self.forwarded_host.into_iter().flat_map(|hosts| hosts.split(','));
        self.host
            .into_iter()
            .chain(forwarded)
            .any(|host| bare(host.trim()).eq_ignore_ascii_case(bare(authority)))
    }

    /// Tools give one of these names, too, but no languages.
    fn is_browser(&self) -> bool {
        self.user_agent.is_some_and(|agent| agent.contains("Mozilla/")) && self.accept_language.is_some()
    }
}

/// Host and port of a URL.
fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.trim().split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?;
    Some(host).filter(|host| !host.is_empty())
}

/// Without the port that every browser leaves out.
fn bare(authority: &str) -> &str {
    authority.strip_suffix(":80").or_else(|| authority.strip_suffix(":443")).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Evidence<'static> = Evidence {
        fetch_site: None,
        origin: None,
        referer: None,
        host: Some("www.example:8080"),
        forwarded_host: None,
        user_agent: None,
        accept_language: None,
    };

    #[test]
    fn programs_without_these_headers_may_change_things() {
        assert!(HOST.is_from_here());
        assert!(Evidence { user_agent: Some("curl/8.0"), ..HOST }.is_from_here());
        assert!(Evidence { user_agent: Some("Mozilla/5.0 WindowsPowerShell/5.1"), ..HOST }.is_from_here());
    }

    #[test]
    fn what_a_browser_says_about_the_origin_counts() {
        for (site, allowed) in
            [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false), ("", false)]
        {
            let referer = Some("http://www.example:8080/jk");
            assert_eq!(
                Evidence { fetch_site: Some(site), referer, ..HOST }.is_from_here(),
                allowed,
                "{site}"
            );
        }
    }

    #[test]
    fn pages_of_other_hosts_and_ports_are_refused() {
        for (url, allowed) in [
            ("http://www.example:8080/jkmanager?cmd=list", true),
            ("http://WWW.Example:8080", true),
            ("http://www.example/", false),
            ("http://www.example:8081/", false),
            ("http://evil/?http://www.example:8080/", false),
            ("http://www.example:8080@evil/", false),
            ("http://evil\\@www.example:8080/", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(Evidence { referer: Some(url), ..HOST }.is_from_here(), allowed, "referer {url}");
            assert_eq!(Evidence { origin: Some(url), ..HOST }.is_from_here(), allowed, "origin {url}");
        }
        assert!(Evidence { origin: Some("https://a"), host: Some("a:443"), ..HOST }.is_from_here());
        assert!(
            Evidence { origin: Some("http://front"), forwarded_host: Some("front, mid"), ..HOST }
                .is_from_here()
        );
    }

    #[test]
    fn a_browser_that_says_nothing_is_refused() {
        let silent = Evidence { user_agent: Some("Mozilla/5.0 (X11)"), accept_language: Some("en"), ..HOST };
        assert!(!silent.is_from_here());
    }
}
