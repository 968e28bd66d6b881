// SPDX-License-Identifier: Apache-2.0
//! `ProxyErrorOverride`.

use super::Reader;
use crate::base::text::{Words, quoted};
use crate::config::finding::{Finding, id};
use crate::config::plan::ErrorOverride;
use crate::config::statement::Statement;

pub(super) fn read(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    let mut words = Words::new(args);
    let first = words.next().unwrap_or_default();
    let on = match first.to_ascii_lowercase().as_str() {
        "on" => true,
        "off" => false,
        _ => {
            let text = "ProxyErrorOverride first parameter must be one of: off | on";
            return Err(reader
                .error(id::BAD_VALUE, format!("{text}: not {}", quoted(&first)))
                .cured_by("Write ProxyErrorOverride On, or ProxyErrorOverride On 502 503."));
        }
    };
    let mut codes = Vec::new();
    for word in words {
        if !on {
            let text = "ProxyErrorOverride: status codes must follow a value of 'on'";
            return Err(reader.error(id::BAD_VALUE, format!("{text}: {}", quoted(&word))));
        }
        codes.push(code(reader, &word)?);
    }
    Ok(Statement::ErrorOverride(match (on, codes.is_empty()) {
        (false, _) => ErrorOverride::Off,
        (true, true) => ErrorOverride::All,
        (true, false) => ErrorOverride::Codes(codes),
    }))
}

fn code(reader: &Reader, word: &str) -> Result<u16, Finding> {
    let why = match word.parse::<i64>() {
        Ok(code @ 400..600) => return Ok(u16::try_from(code).unwrap_or(0)),
        Ok(_) => "valid HTTP Status Codes >=400 && <600",
        Err(_) => "numeric",
    };
    let text = format!("ProxyErrorOverride: status codes to intercept must be {why}: not {}", quoted(word));
    Err(reader.error(id::BAD_VALUE, text))
}
