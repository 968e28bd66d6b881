// SPDX-License-Identifier: Apache-2.0
//! The one and two byte codes of AJP13: methods, header names, attributes, message types.

/// Whose bytes a request imitates. Tomcat treats both alike; the difference is seen only on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// mod_proxy_ajp: ACL and SEARCH go as stored methods; all fourteen known header names are coded.
    #[default]
    ModProxy,
    /// mod_jk: ACL and SEARCH are coded; Accept-Charset, Accept-Encoding and Accept-Language go as text.
    ModJk,
}

/// The method code that says "the name is in attribute [`attribute::STORED_METHOD`]".
pub(super) const STORED_METHOD: u8 = 0xFF;

/// The code of Content-Length among the request headers.
pub(super) const CONTENT_LENGTH: u16 = 0xA008;

/// The high byte that tells a coded header name from the length of a textual one.
pub(super) const CODED_NAME: u8 = 0xA0;

/// Codes of the request attributes.
pub(super) mod attribute {
    pub const REMOTE_USER: u8 = 0x03;
    pub const AUTH_TYPE: u8 = 0x04;
    pub const QUERY_STRING: u8 = 0x05;
    pub const JVM_ROUTE: u8 = 0x06;
    pub const SSL_CERT: u8 = 0x07;
    pub const SSL_CIPHER: u8 = 0x08;
    pub const SSL_SESSION: u8 = 0x09;
    pub const REQUEST_ATTRIBUTE: u8 = 0x0A;
    pub const SSL_KEY_SIZE: u8 = 0x0B;
    pub const SECRET: u8 = 0x0C;
    pub const STORED_METHOD: u8 = 0x0D;
    pub const END: u8 = 0xFF;
}

/// Types of the messages, the first byte of a payload.
pub(super) mod message {
    pub const FORWARD_REQUEST: u8 = 0x02;
    pub const SEND_BODY_CHUNK: u8 = 0x03;
    pub const SEND_HEADERS: u8 = 0x04;
    pub const END_RESPONSE: u8 = 0x05;
    pub const GET_BODY_CHUNK: u8 = 0x06;
    pub const CPONG: u8 = 0x09;
}

/// The code of a method, or [`STORED_METHOD`]. Method names are case sensitive.
pub(super) fn method_code(dialect: Dialect, method: &[u8]) -> u8 {
    match method {
        b"OPTIONS" => 1,
        b"GET" => 2,
        b"HEAD" => 3,
        b"POST" => 4,
        b"PUT" => 5,
        b"DELETE" => 6,
        b"TRACE" => 7,
        b"PROPFIND" => 8,
        b"PROPPATCH" => 9,
        b"MKCOL" => 10,
        b"COPY" => 11,
        b"MOVE" => 12,
        b"LOCK" => 13,
        b"UNLOCK" => 14,
        b"ACL" if dialect == Dialect::ModJk => 15,
        b"REPORT" => 16,
        b"VERSION-CONTROL" => 17,
        b"CHECKIN" => 18,
        b"CHECKOUT" => 19,
        b"UNCHECKOUT" => 20,
        b"SEARCH" if dialect == Dialect::ModJk => 21,
        b"MKWORKSPACE" => 22,
        b"UPDATE" => 23,
        b"LABEL" => 24,
        b"MERGE" => 25,
        b"BASELINE-CONTROL" => 26,
        b"MKACTIVITY" => 27,
        _ => STORED_METHOD,
    }
}

/// The coded request header names, in the order of their codes from A001 on.
const REQUEST_HEADERS: [&[u8]; 14] = [
    b"Accept",
    b"Accept-Charset",
    b"Accept-Encoding",
    b"Accept-Language",
    b"Authorization",
    b"Connection",
    b"Content-Type",
    b"Content-Length",
    b"Cookie",
    b"Cookie2",
    b"Host",
    b"Pragma",
    b"Referer",
    b"User-Agent",
];

/// The code of a request header name in any letter case; `None`: it goes as text.
pub(super) fn request_header_code(dialect: Dialect, name: &[u8]) -> Option<u16> {
    // The length leaves one or two names to compare with.
    let candidates: &[u16] = match name.len() {
        4 => &[0xA00B],
        6 => &[0xA009, 0xA001, 0xA00C],
        7 => &[0xA00D, 0xA00A],
        10 => &[0xA00E, 0xA006],
        12 => &[0xA007],
        13 => &[0xA005],
        14 => &[0xA008, 0xA002],
        15 => &[0xA003, 0xA004],
        _ => return None,
    };
    // A different first letter spares the comparison of the others.
    let is_named = |code: &u16| {
        let known = REQUEST_HEADERS[usize::from(code - 0xA001)];
        name[0] | 0x20 == known[0] | 0x20 && name.eq_ignore_ascii_case(known)
    };
    let code = *candidates.iter().find(|code| is_named(code))?;
    match (dialect, code) {
        (Dialect::ModJk, 0xA002..=0xA004) => None,
        _ => Some(code),
    }
}

/// The coded response header names, in the order of their codes from A001 on.
const RESPONSE_HEADERS: [&[u8]; 11] = [
    b"Content-Type",
    b"Content-Language",
    b"Content-Length",
    b"Date",
    b"Last-Modified",
    b"Location",
    b"Set-Cookie",
    b"Set-Cookie2",
    b"Servlet-Engine",
    b"Status",
    b"WWW-Authenticate",
];

/// The name a code of a response header stands for.
pub(super) fn response_header_name(code: u16) -> Option<&'static [u8]> {
    let index = usize::from(code.checked_sub(0xA001)?);
    RESPONSE_HEADERS.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(method_code(Dialect::ModProxy, b"GET"), 2);
        assert_eq!(method_code(Dialect::ModProxy, b"get"), STORED_METHOD);
    }

    #[test]
    fn only_mod_jk_codes_acl_and_search() {
        for (method, code) in [(&b"ACL"[..], 15), (b"SEARCH", 21)] {
            assert_eq!(method_code(Dialect::ModJk, method), code);
            assert_eq!(method_code(Dialect::ModProxy, method), STORED_METHOD);
        }
    }

    #[test]
    fn request_header_names_match_in_any_case() {
        assert_eq!(request_header_code(Dialect::ModProxy, b"content-LENGTH"), Some(CONTENT_LENGTH));
        assert_eq!(request_header_code(Dialect::ModProxy, b"User-agent"), Some(0xA00E));
        assert_eq!(request_header_code(Dialect::ModProxy, b"Accept-Ranges"), None);
    }

    #[test]
    fn mod_jk_sends_three_accept_headers_as_text() {
        for name in [&b"Accept-Charset"[..], b"Accept-Encoding", b"Accept-Language"] {
            assert_eq!(request_header_code(Dialect::ModJk, name), None);
            assert!(request_header_code(Dialect::ModProxy, name).is_some());
        }
        assert_eq!(request_header_code(Dialect::ModJk, b"Accept"), Some(0xA001));
    }

    #[test]
    fn response_codes_outside_the_table_have_no_name() {
        assert_eq!(response_header_name(0xA001), Some(&b"Content-Type"[..]));
        assert_eq!(response_header_name(0xA00B), Some(&b"WWW-Authenticate"[..]));
        for code in [0, 0xA000, 0xA00C, 0xA0FF, 0xFFFF] {
            assert_eq!(response_header_name(code), None);
        }
    }
}
