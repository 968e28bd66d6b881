// SPDX-License-Identifier: Apache-2.0
//! The parameters of a manager request. As stock: names in any letter case, the last of several wins, values decoded
//! twice, a plus sign stays one.

/// How many bytes of a form are accepted. Stock looks at the first 1024 and drops the rest.
pub const LONGEST_FORM: usize = 64 * 1024;

/// Names and values of a query string or a form.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// A form. Never fails: what makes no sense is left out.
    pub fn parse(text: &[u8]) -> Params {
        Params::filtered(text, |_| true)
    }

    /// A query string: only the parameters that choose what is shown, in lower case.
    pub fn selection(text: &[u8]) -> Params {
        Params::filtered(text, |name| matches!(name, "b" | "w" | "nonce" | "xml"))
    }

    fn filtered(text: &[u8], is_wanted: impl Fn(&str) -> bool) -> Params {
        let pairs = text.split(|&byte| byte == b'&').filter_map(|pair| {
            let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let name = String::from_utf8(decoded(&pair[..at]))
                .ok()
                .filter(|name| !name.is_empty() && is_wanted(name))?;
            let value = decoded(&decoded(pair.get(at + 1..).unwrap_or_default()));
            let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
            let value = String::from_utf8(value[..end].to_vec()).ok()?;
            Some((name.to_ascii_lowercase(), value))
        });
        Params(pairs.collect())
    }

    /// The value of a parameter; its name in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One round of percent-decoding; what is no escape stays.
pub(in crate::status) fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let escape = (byte == b'%').then(|| Some((hex(*after.first()?)?, hex(*after.get(1)?)?))).flatten();
        match escape {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<String> {
        Params::parse(text.as_bytes()).get("w_wr").map(str::to_owned)
    }

    #[test]
    fn values_are_decoded_twice_as_stock_does() {
        for (text, expected) in [
            ("w_wr=a+b", "a+b"),
            ("w_wr=a%2Bb", "a+b"),
            ("w_wr=a%2526b", "a&b"),
            ("w_wr=a%zzb", "a%zzb"),
            ("w_wr=100%", "100%"),
            ("w_wr=%41%00b", "A"),
            ("w_wr=", ""),
            ("w_wr", ""),
            ("W_WR=up", "up"),
            ("w_wr=x&w_wr=y", "y"),
        ] {
            assert_eq!(value(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_text_is_left_out() {
        assert_eq!(value("w_wr=%ff%fe"), None);
        assert_eq!(value("&=x&&%ff=1"), None);
    }

    #[test]
    fn a_query_string_only_selects() {
        let params = Params::selection(b"b=c&w_lf=3&xml=1&nonce=n&W=u");
        assert_eq!(params.get("w"), None);
        assert_eq!((params.get("b"), params.get("xml"), params.get("w_lf")), (Some("c"), Some("1"), None));
    }
}
