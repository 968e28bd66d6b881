// SPDX-License-Identifier: Apache-2.0
//! The session a request carries, and the route in it. Nothing is copied.
//!
//! As stock: the URL first, then the cookies; a value in the URL hides the cookies even without a route. Beyond stock:
//! a name that differs only in letter case is used when nothing has the exact name, of several cookies of one name
//! the one whose route exists wins, and an empty path name means that the URL is not looked at.

use super::in_force::StickyInForce;
use crate::wire::cookie::{Case, Found, find_cookie, find_in_url, route_of};

/// What stickiness looks at in a request.
#[derive(Clone, Debug)]
pub struct RequestView<'a, C> {
    /// Decoded path with its `;parameters`.
    pub path: &'a [u8],
    /// Query string as received, without the `?`.
    pub query: Option<&'a [u8]>,
    /// Values of the `Cookie` headers.
    pub cookies: C,
}

/// Where a session was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    Url,
    Cookie,
}

/// A session value and what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session<'a> {
    /// The cookie's or parameter's name as configured (`BALANCER_SESSION_STICKY`).
    pub name: &'a str,
    pub value: &'a [u8],
    /// The route in the value (`BALANCER_SESSION_ROUTE`); `None` = it has none.
    pub route: Option<&'a [u8]>,
    pub source: Source,
    /// The name as the client wrote it, if it differs from the configured one in letter case: stock would not stick.
    pub case_differs: Option<&'a [u8]>,
}

/// Finds the session of a request. `is_known` says whether some member has a route.
pub fn lookup<'a, C>(
    sticky: &'a StickyInForce<'_>,
    request: &RequestView<'a, C>,
    is_known: impl Fn(&[u8]) -> bool,
) -> Option<Session<'a>>
where
    C: Iterator<Item = &'a [u8]> + Clone,
{
    [Case::Exact, Case::Ignore].into_iter().find_map(|case| {
        in_url(sticky, request, case).or_else(|| in_cookies(sticky, request.cookies.clone(), &is_known, case))
    })
}

fn in_url<'a, C>(
    sticky: &'a StickyInForce<'_>,
    request: &RequestView<'a, C>,
    case: Case,
) -> Option<Session<'a>> {
    let find = |text| find_in_url(text, sticky.path().as_bytes(), sticky.semicolon_ends(), case);
    let found = find(request.path).or_else(|| request.query.and_then(find))?;
    Some(session(sticky, Source::Url, found, case))
}

fn in_cookies<'a>(
    sticky: &'a StickyInForce<'_>,
    cookies: impl Iterator<Item = &'a [u8]>,
    is_known: impl Fn(&[u8]) -> bool,
    case: Case,
) -> Option<Session<'a>> {
    let mut first = None;
    for found in find_cookie(cookies, sticky.cookie().as_bytes(), case) {
        let session = session(sticky, Source::Cookie, found, case);
        if session.route.is_some_and(&is_known) {
            return Some(session);
        }
        first = first.or(Some(session));
    }
    first
}

fn session<'a>(sticky: &'a StickyInForce<'_>, source: Source, found: Found<'a>, case: Case) -> Session<'a> {
    Session {
        name: if source == Source::Url { sticky.path() } else { sticky.cookie() },
        value: found.value,
        route: route_of(found.value, sticky.separator()),
        source,
        case_differs: (case == Case::Ignore).then_some(found.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::origin::Origin;
    use crate::config::plan::Sticky;

    fn sticky(cookie: &str, path: &str) -> Sticky {
        Sticky {
            cookie: cookie.into(),
            path: path.into(),
            separator: Some(b'.'),
            semicolon_ends: false,
            origin: Origin::new("httpd.conf", 7),
        }
    }

    /// Name, route and differing name of what is found; members are A and B.
    fn find(sticky: &Sticky, url: &str, cookies: &[&str]) -> Option<(String, Option<String>, bool)> {
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
        let request = RequestView {
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
            cookies: cookies.iter().map(|cookie| cookie.as_bytes()),
        };
        let sticky = StickyInForce::planned(sticky);
        let session = lookup(&sticky, &request, |route| matches!(route, b"A" | b"B"))?;
        let route = session.route.map(|route| String::from_utf8_lossy(route).into_owned());
        Some((session.name.to_string(), route, session.case_differs.is_some()))
    }

    fn found(name: &str, route: &str) -> Option<(String, Option<String>, bool)> {
        Some((name.into(), Some(route.into()), false))
    }

    #[test]
    fn the_url_goes_before_the_cookie_even_without_a_route() {
        let stock = sticky("JSESSIONID", "JSESSIONID");
        assert_eq!(find(&stock, "/x;JSESSIONID=s.A", &["JSESSIONID=s.B"]), found("JSESSIONID", "A"));
        assert_eq!(find(&stock, "/x?JSESSIONID=s.A", &["JSESSIONID=s.B"]), found("JSESSIONID", "A"));
        let hidden = find(&stock, "/x;JSESSIONID=noroute", &["JSESSIONID=s.B"]);
        assert_eq!(hidden, Some(("JSESSIONID".into(), None, false)));
        assert_eq!(find(&stock, "/x;JSESSIONID=", &["JSESSIONID=s.B"]), found("JSESSIONID", "B"));
    }

    #[test]
    fn the_name_is_that_of_the_place_where_the_session_was_found() {
        let both = sticky("JSESSIONID", "jsessionid");
        assert_eq!(find(&both, "/x;jsessionid=s.A", &[]), found("jsessionid", "A"));
        assert_eq!(find(&both, "/x", &["JSESSIONID=s.B"]), found("JSESSIONID", "B"));
        assert_eq!(find(&both, "/x?a=1", &["a=1"]), None);
    }

    #[test]
    fn of_several_cookies_the_one_with_a_known_route_wins_else_the_first() {
        let stock = sticky("JSESSIONID", "JSESSIONID");
        let route = |cookies: &[&str]| find(&stock, "/", cookies).unwrap().1;
        assert_eq!(route(&["JSESSIONID=s.B; JSESSIONID=s.A"]).as_deref(), Some("B"));
        assert_eq!(route(&["JSESSIONID=s.Z; JSESSIONID=s.A"]).as_deref(), Some("A"));
        assert_eq!(route(&["JSESSIONID=s.Z", "JSESSIONID=s.B"]).as_deref(), Some("B"));
        assert_eq!(route(&["JSESSIONID=s.Z; JSESSIONID=s.Y"]).as_deref(), Some("Z"));
        assert_eq!(route(&["JSESSIONID=none; JSESSIONID=s.B"]).as_deref(), Some("B"));
    }

    #[test]
    fn another_letter_case_is_used_only_when_nothing_has_the_exact_name() {
        let lower = sticky("jsessionid", "jsessionid");
        let differs = |name: &str, route: &str| Some((name.into(), Some(route.into()), true));
        assert_eq!(find(&lower, "/x", &["JSESSIONID=s.A"]), differs("jsessionid", "A"));
        assert_eq!(find(&lower, "/x", &["JSESSIONID=s.A; jsessionid=s.B"]), found("jsessionid", "B"));
        assert_eq!(find(&lower, "/x;jsessionid=s.A", &["JSESSIONID=s.B"]), found("jsessionid", "A"));
        let upper = sticky("JSESSIONID", "JSESSIONID");
        assert_eq!(find(&upper, "/x;jsessionid=s.A", &[]), differs("JSESSIONID", "A"));
        assert_eq!(find(&upper, "/x;jsessionid=s.A", &["JSESSIONID=s.B"]), found("JSESSIONID", "B"));
    }

    #[test]
    fn an_empty_path_name_means_that_the_url_is_not_looked_at() {
        let cookie_only = sticky("JSESSIONID", "");
        assert_eq!(find(&cookie_only, "/x;JSESSIONID=s.A?=s.A", &[]), None);
        assert_eq!(find(&cookie_only, "/x;=s.A", &["JSESSIONID=s.B"]), found("JSESSIONID", "B"));
    }

    #[test]
    fn without_a_separator_the_whole_value_is_the_route() {
        let whole = Sticky { separator: None, ..sticky("ROUTE", "ROUTE") };
        assert_eq!(find(&whole, "/", &["ROUTE = B"]), found("ROUTE", "B"));
    }
}
