// SPDX-License-Identifier: Apache-2.0
//! Finding session values in cookies and URLs, by mod_proxy's rules. Nothing is copied: results are parts of the input.

/// How names are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    Exact,
    Ignore,
}

/// A name as it was written by the client, and its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found<'a> {
    pub name: &'a [u8],
    /// Never empty.
    pub value: &'a [u8],
}

/// All cookies of one name, in the order in which the client sent them.
///
/// A name counts at the start of a header or after `;`, `,` or white space; white space may stand before the `=`. The
/// value ends at `;` or `,`. Quotes belong to the value. Cookies with an empty value are left out.
pub fn find_cookie<'a, 'n, I>(headers: I, name: &'n [u8], case: Case) -> Cookies<'a, 'n, I::IntoIter>
where
    I: IntoIterator<Item = &'a [u8]>,
{
    Cookies { headers: headers.into_iter(), header: b"", at: 0, name, case }
}

/// See [`find_cookie`].
#[derive(Clone, Debug)]
pub struct Cookies<'a, 'n, I> {
    headers: I,
    header: &'a [u8],
    at: usize,
    name: &'n [u8],
    case: Case,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Iterator for Cookies<'a, '_, I> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        if self.name.is_empty() {
            return None;
        }
        loop {
            if let Some(found) = self.next_in_header() {
                return Some(found);
            }
            self.header = self.headers.next()?;
            self.at = 0;
        }
    }
}

impl<'a, I> Cookies<'a, '_, I> {
    fn next_in_header(&mut self) -> Option<Found<'a>> {
        while self.at < self.header.len() {
            let start = self.at;
            self.at += 1;
            let starts_a_name = start == 0 || is_cookie_boundary(self.header[start - 1]);
            if starts_a_name
                && let Some((found, end)) = cookie_at(&self.header[start..], self.name, self.case)
            {
                self.at = start + end;
                return Some(found);
            }
        }
        None
    }
}

fn is_cookie_boundary(byte: u8) -> bool {
    matches!(byte, b';' | b',') || is_space(byte)
}

/// White space as C's `isspace` has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The cookie at the start of `text`, and where its value ends.
fn cookie_at<'a>(text: &'a [u8], name: &[u8], case: Case) -> Option<(Found<'a>, usize)> {
    let written = text.get(..name.len()).filter(|written| case.is_equal(written, name))?;
    let spaces = text[name.len()..].iter().take_while(|byte| is_space(**byte)).count();
    let start = name.len() + spaces;
    let value = text[start..].strip_prefix(b"=")?;
    let length = value.iter().take_while(|byte| !matches!(byte, b';' | b',')).count();
    let found = Found { name: written, value: trim(&value[..length]) };
    (!found.value.is_empty()).then_some((found, start + 1 + length))
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().take_while(|byte| is_space(**byte)).count();
    let end = text[start..].iter().rev().take_while(|byte| is_space(**byte)).count();
    &text[start..text.len() - end]
}

impl Case {
    fn is_equal(self, one: &[u8], other: &[u8]) -> bool {
        match self {
            Case::Exact => one == other,
            Case::Ignore => one.eq_ignore_ascii_case(other),
        }
    }
}

/// The session value in a URL: what follows the first `name=` with a value. The value ends at `?` or `&`, and at `;`
/// if `semicolon_ends`; a `/` never ends it.
///
/// With [`Case::Exact`], as stock does, the byte before the name is not looked at: `?XJSESSIONID=s.B` is found too. A
/// name in another letter case, which stock never finds, must stand at the start or after `;`, `?` or `&`.
pub fn find_in_url<'a>(url: &'a [u8], name: &[u8], semicolon_ends: bool, case: Case) -> Option<Found<'a>> {
    if name.is_empty() {
        return None;
    }
    let is_start = |byte: u8| byte.eq_ignore_ascii_case(&name[0]);
    let ends = |byte: &u8| matches!(byte, b'?' | b'&') || (semicolon_ends && *byte == b';');
    url.windows(name.len()).enumerate().find_map(|(start, written)| {
        if !is_start(written[0])
            || !case.is_equal(written, name)
            || (case == Case::Ignore && !starts_parameter(url, start))
        {
            return None;
        }
        let value = url[start + name.len()..].strip_prefix(b"=")?;
        let length = value.iter().position(ends).unwrap_or(value.len());
        (length > 0).then(|| Found { name: written, value: &value[..length] })
    })
}

fn starts_parameter(url: &[u8], start: usize) -> bool {
    start == 0 || matches!(url[start - 1], b';' | b'?' | b'&')
}

/// The route in a session value: what follows the first separator, or the whole value without one
/// (`stickysessionsep=Off`). `None` for an empty route.
pub fn route_of(value: &[u8], separator: Option<u8>) -> Option<&[u8]> {
    let route = match separator {
        None => value,
        Some(separator) => {
            let at = value.iter().position(|byte| *byte == separator)?;
            &value[at + 1..]
        }
    };
    (!route.is_empty()).then_some(route)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAME: &[u8] = b"JSESSIONID";

    fn cookie_routes(header: &str) -> Vec<Option<String>> {
        find_cookie([header.as_bytes()], NAME, Case::Exact).map(|found| route_text(found.value)).collect()
    }

    fn url_route(url: &str, semicolon_ends: bool) -> Option<String> {
        find_in_url(url.as_bytes(), NAME, semicolon_ends, Case::Exact)
            .and_then(|found| route_text(found.value))
    }

    fn route_text(value: &[u8]) -> Option<String> {
        route_of(value, Some(b'.')).map(|route| String::from_utf8(route.to_vec()).unwrap())
    }

    #[test]
    fn cookies_that_stock_finds_are_found() {
        for header in [
            "JSESSIONID=s.B",
            "a=1; JSESSIONID=s.B; c=2",
            "a=1,JSESSIONID=s.B,b=1",
            "JSESSIONID = s.B",
            "JSESSIONID=.B",
            "a=1;JSESSIONID=s.B ",
        ] {
            assert_eq!(cookie_routes(header), [Some("B".to_string())], "{header}");
        }
    }

    #[test]
    fn names_that_only_contain_the_name_are_not_found() {
        for header in
            ["XJSESSIONID=s.B", "jsessionid=s.B", "JSESSIONIDX=s.B", "JSESSIONID", "JSESSIONID=", ""]
        {
            assert!(cookie_routes(header).is_empty(), "{header}");
        }
    }

    #[test]
    fn the_route_is_what_follows_the_first_separator() {
        let route = |text: &str| Some(text.to_string());
        assert_eq!(cookie_routes("JSESSIONID=B"), [None]);
        assert_eq!(cookie_routes("JSESSIONID=s."), [None]);
        assert_eq!(cookie_routes("JSESSIONID=s.b"), [route("b")]);
        assert_eq!(cookie_routes("JSESSIONID=s.B.c"), [route("B.c")]);
        assert_eq!(cookie_routes("JSESSIONID=\"s.B\""), [route("B\"")]);
        assert_eq!(route_of(b"whole", None), Some(&b"whole"[..]));
        assert_eq!(route_of(b"", None), None);
    }

    #[test]
    fn every_cookie_of_the_name_is_offered_in_order() {
        let route = |text: &str| Some(text.to_string());
        assert_eq!(cookie_routes("JSESSIONID=s.B; JSESSIONID=s.A"), [route("B"), route("A")]);
        assert_eq!(cookie_routes("JSESSIONID=noroute; JSESSIONID=s.B"), [None, route("B")]);
        let headers = [&b"a=1"[..], b"JSESSIONID=x.1", b"", b"b=2; JSESSIONID=x.2"];
        let values: Vec<&[u8]> = find_cookie(headers, NAME, Case::Exact).map(|found| found.value).collect();
        assert_eq!(values, [b"x.1", b"x.2"]);
    }

    #[test]
    fn a_cookie_in_another_letter_case_comes_with_its_own_name() {
        let found = find_cookie([&b"JSessionId=s.B"[..]], NAME, Case::Ignore).next().unwrap();
        assert_eq!(found, Found { name: b"JSessionId", value: b"s.B" });
    }

    #[test]
    fn urls_that_stock_finds_are_found() {
        for url in [
            "/x;JSESSIONID=s.B",
            "/x?JSESSIONID=s.B",
            "/x?a=1&JSESSIONID=s.B&c=2",
            "/x;JSESSIONID=s.B?q=1",
            "/x?XJSESSIONID=s.B",
            "/JSESSIONID=s.B",
            "/x;JSESSIONID=;JSESSIONID=s.B",
        ] {
            let route = if url.contains("=;") { Some(";JSESSIONID=s.B") } else { None };
            let found = find_in_url(url.as_bytes(), NAME, false, Case::Exact).unwrap().value;
            assert_eq!(found, route.unwrap_or("s.B").as_bytes(), "{url}");
            assert_eq!(url_route(url, true).as_deref(), Some("B"), "{url}");
        }
    }

    #[test]
    fn a_slash_never_ends_a_value_and_a_semicolon_only_on_demand() {
        assert_eq!(url_route("/x;JSESSIONID=s.B/y", false).as_deref(), Some("B/y"));
        assert_eq!(url_route("/x;JSESSIONID=s.B;v=1", false).as_deref(), Some("B;v=1"));
        assert_eq!(url_route("/x;JSESSIONID=s.B;v=1", true).as_deref(), Some("B"));
    }

    #[test]
    fn an_empty_value_or_name_finds_nothing_in_a_url() {
        assert_eq!(find_in_url(b"/x;JSESSIONID=", NAME, false, Case::Exact), None);
        assert_eq!(find_in_url(b"/x;JSESSIONID=?a=1", NAME, false, Case::Exact), None);
        assert_eq!(find_in_url(b"/x;=a", b"", false, Case::Exact), None);
        assert_eq!(find_in_url(b"/x;jsessionid=s.B", NAME, false, Case::Exact), None);
    }

    #[test]
    fn another_letter_case_counts_in_a_url_only_where_a_parameter_starts() {
        let found = |url: &'static str| find_in_url(url.as_bytes(), NAME, false, Case::Ignore);
        assert_eq!(found("/x;jsessionid=s.B").unwrap().name, b"jsessionid");
        assert_eq!(found("/x?a=1&JsessionId=s.B").unwrap().value, b"s.B");
        assert_eq!(found("/x?myjsessionid=s.B"), None);
    }

    fn is_part(whole: &[u8], part: &[u8]) -> bool {
        let (whole, part) = (whole.as_ptr_range(), part.as_ptr_range());
        whole.start <= part.start && part.end <= whole.end
    }

    /// Bytes that mean something to the parsers, more often than chance would bring them.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => prop::sample::select(vec![&b"sid"[..], b"SID", b"=", b";", b",", b" ", b".", b"?", b"&", b"/"])
                .prop_map(<[u8]>::to_vec),
            1 => prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn results_are_parts_of_the_input(
            header in text(), second in text(), semicolon in any::<bool>(), ignore in any::<bool>(),
        ) {
            let case = if ignore { Case::Ignore } else { Case::Exact };
            for found in find_cookie([&header[..], &second[..]], b"sid", case) {
                let whole = if is_part(&header, found.value) { &header } else { &second };
                prop_assert!(is_part(whole, found.value) && is_part(whole, found.name));
                prop_assert!(!found.value.is_empty() && !found.value.contains(&b';'));
                if let Some(route) = route_of(found.value, Some(b'.')) {
                    prop_assert!(is_part(found.value, route) && !route.is_empty());
                }
            }
            if let Some(found) = find_in_url(&header, b"sid", semicolon, case) {
                prop_assert!(is_part(&header, found.value) && is_part(&header, found.name));
                prop_assert!(!found.value.is_empty() && !found.value.contains(&b'&'));
            }
        }

        #[test]
        fn a_cookie_is_found_behind_any_other_cookies(others in prop::collection::vec("[a-rt-z]{1,8}=[^;, \t]{0,8}", 0..5)) {
            let header = format!("{}; sid=v.R", others.join("; "));
            let found = find_cookie([header.as_bytes()], b"sid", Case::Exact).next();
            prop_assert_eq!(found.map(|found| found.value), Some(&b"v.R"[..]));
        }
    }
}
