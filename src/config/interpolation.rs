// SPDX-License-Identifier: Apache-2.0
//! Variables of a request in rules: `ProxyPassInterpolateEnv` and the word `interpolate`.

/// `text` with each `${NAME}` replaced by what `value` knows; nothing for an unknown name. Values are not looked at again, and
/// a `${` without its `}` stays.
pub fn interpolated<'v>(text: &str, value: impl Fn(&str) -> Option<&'v [u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else { break };
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(value(name).unwrap_or_default());
        rest = behind;
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_replaced_once() {
        let value = |name: &str| match name {
            "A" => Some(&b"one"[..]),
            "B" => Some(&b"${A}"[..]),
            _ => None,
        };
        for (text, expected) in [
            ("/x/${A}/y", "/x/one/y"),
            ("${A}${A}", "oneone"),
            ("${B}", "${A}"),
            ("/${none}/", "//"),
            ("/${A", "/${A"),
            ("/$A/{A}", "/$A/{A}"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8(interpolated(text, value)).unwrap(), expected);
        }
    }
}
