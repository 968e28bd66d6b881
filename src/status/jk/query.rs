// SPDX-License-Identifier: Apache-2.0
//! What a request for the status worker asks: the parameters of its query string.

use crate::base::text::leading_integer;

/// `opt`: what is left out of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options(pub u32);

impl Options {
    pub const NO_MEMBERS: u32 = 1;
    pub const NO_MAPS: u32 = 2;
    pub const NO_LEGEND: u32 = 4;
    pub const NO_BALANCERS: u32 = 8;
    pub const NO_AJP: u32 = 16;
    pub const READ_ONLY: u32 = 32;
    pub const NO_BALANCER_SETTINGS: u32 = 64;
    pub const NO_BALANCER_SUMMARY: u32 = 128;
    pub const NO_AJP_SETTINGS: u32 = 256;

    pub fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
}

/// `cmd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    List,
    Show,
    Edit,
    Update,
    Reset,
    Recover,
    Version,
    Dump,
}

impl Command {
    const ALL: [Self; 8] = [
        Self::List,
        Self::Show,
        Self::Edit,
        Self::Update,
        Self::Reset,
        Self::Recover,
        Self::Version,
        Self::Dump,
    ];

    /// As written in a query string.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Show => "show",
            Self::Edit => "edit",
            Self::Update => "update",
            Self::Reset => "reset",
            Self::Recover => "recover",
            Self::Version => "version",
            Self::Dump => "dump",
        }
    }

    /// Letter case counts.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.name() == name)
    }

    /// Does it change something?
    pub fn changes(self) -> bool {
        matches!(self, Self::Update | Self::Reset | Self::Recover)
    }

    /// May a page that is for reading only do it?
    pub fn is_reading(self) -> bool {
        matches!(self, Self::List | Self::Show | Self::Version | Self::Dump)
    }
}

/// `mime`: the format of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Html,
    Xml,
    Text,
    Properties,
}

impl Format {
    /// Letter case counts.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "html" => Some(Self::Html),
            "xml" => Some(Self::Xml),
            "txt" => Some(Self::Text),
            "prop" => Some(Self::Properties),
            _ => None,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html",
            Self::Xml => "text/xml",
            Self::Text | Self::Properties => "text/plain",
        }
    }
}

/// The parameters, decoded, in the order of the query string. A name that comes twice keeps its first place and its last value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
    raw: String,
    is_broken: bool,
}

impl Query {
    /// Never fails: what has no `=` or no name is left out. An escape that is none, or stands for a zero byte, breaks the
    /// query off if it is in a value, and costs the parameter if it is in a name.
    pub fn parse(text: &[u8]) -> Query {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut is_broken = false;
        for pair in text.split(|&byte| byte == b'&') {
            let Some(at) = pair.iter().position(|&byte| byte == b'=') else { continue };
            let (name, value) = (plain(&pair[..at]), plain(&pair[at + 1..]));
            if name.is_empty() || !is_whole(&pair[..at]) {
                continue;
            }
            if !is_whole(&pair[at + 1..]) {
                is_broken = true;
                break;
            }
            match pairs.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => pairs.push((name, value)),
            }
        }
        Query { pairs, raw: String::from_utf8_lossy(text).into_owned(), is_broken }
    }

    /// Has a value an escape in it that is none?
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// The value of a parameter; letter case counts.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The query string as it came.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The query string as it came, without the parameter `re`.
    pub fn raw_without_refresh(&self) -> String {
        let kept = self.raw.split('&').filter(|pair| !pair.starts_with("re="));
        kept.collect::<Vec<_>>().join("&")
    }

    /// `opt`; what is no number is 0, a negative number sets all bits that it has.
    pub fn options(&self) -> Options {
        let number = self.get("opt").map_or(0, |text| leading_integer(text).0);
        Options((number & i64::from(u32::MAX)) as u32)
    }

    /// `re`: seconds between two loads of the page; `None` if it is not to load itself.
    pub fn refresh(&self) -> Option<i64> {
        self.get("re").map(|text| leading_integer(text).0).filter(|seconds| *seconds > 0)
    }
}

/// Are all its escapes two hexadecimal digits, and no zero byte?
fn is_whole(text: &[u8]) -> bool {
    let mut parts = text.split(|&byte| byte == b'%').skip(1);
    parts.all(|part| {
        let digits = part.get(..2).unwrap_or_default();
        digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit) && digits != b"00"
    })
}

/// A decoded value. Characters that could mean something in markup become `@`, as in mod_jk, and so do control characters,
/// which could end a line of the plain formats.
fn plain(text: &[u8]) -> String {
    let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    let decoded = crate::status::params::decoded(&spaced);
    let text = String::from_utf8_lossy(&decoded);
    let is_harmless = |c: char| !matches!(c, '<' | '>' | '?' | '"') && !c.is_control();
    text.chars().map(|c| if is_harmless(c) { c } else { '@' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text.as_bytes())
    }

    #[test]
    fn values_are_decoded_once_and_cannot_hold_markup() {
        for (text, value) in [
            ("w=a%26b", "a&b"),
            ("w=a+b", "a b"),
            ("w=%3Cscript%3E%22%3F", "@script@@@"),
            ("w=%2525", "%25"),
            ("w=a%0d%0Ab", "a@@b"),
            ("w=", ""),
            ("w=x&w=y", "y"),
        ] {
            assert_eq!(query(text).get("w"), Some(value), "{text}");
        }
        assert_eq!(query("W=x&w").get("w"), None);
    }

    #[test]
    fn an_escape_that_is_none_breaks_the_query() {
        for (text, is_broken) in [
            ("w=%zz", true),
            ("w=%4", true),
            ("w=a%", true),
            ("w=%00", true),
            ("%zz=1", false),
            ("%zz", false),
            ("w=%41%20", false),
        ] {
            assert_eq!(query(text).is_broken(), is_broken, "{text}");
        }
        assert_eq!(query("%zz=1&w=1").pairs().count(), 1);
    }

    #[test]
    fn a_repeated_name_keeps_its_place() {
        let query = query("cmd=list&x=1&cmd=version&=y&&z");
        assert_eq!(query.pairs().collect::<Vec<_>>(), [("cmd", "version"), ("x", "1")]);
    }

    #[test]
    fn options_are_read_as_numbers_of_c() {
        for (text, bits) in [("opt=3", 3), ("opt=2x", 2), ("opt=abc", 0), ("opt=-1", u32::MAX), ("", 0)] {
            assert_eq!(query(text).options().0, bits, "{text}");
        }
    }

    #[test]
    fn only_a_positive_number_makes_a_page_load_itself() {
        assert_eq!(query("re=9x").refresh(), Some(9));
        assert_eq!(
            (query("re=0").refresh(), query("re=-5").refresh(), query("re=").refresh()),
            (None, None, None)
        );
        assert_eq!(query("x=1&re=3&y=2").raw_without_refresh(), "x=1&y=2");
    }
}
