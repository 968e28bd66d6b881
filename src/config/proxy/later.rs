// SPDX-License-Identifier: Apache-2.0
//! Directives of mod_proxy that do not act yet: refused where a server would behave otherwise than the line says, a
//! notice where it would not.

use super::Reader;
use crate::base::text::{Words, leading_integer, quoted};
use crate::config::directive::Directive;
use crate::config::finding::{Finding, id};
use crate::config::statement::Statement;

pub(super) fn read(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    use Directive as D;
    match reader.directive {
        D::BalancerGrowth => growth(reader, args)?,
        D::NoProxy => reader.note("NoProxy has no effect: members are asked directly anyway"),
        D::ProxyDomain => reader.note("ProxyDomain has no effect: it is for forward proxies"),
        _ => return Err(not_available(reader, args)),
    }
    Ok(Statement::Nothing)
}

fn growth(reader: &mut Reader, args: &str) -> Result<(), Finding> {
    let word = reader.words(args)?.swap_remove(0);
    let (number, _) = leading_integer(&word);
    if !(0..=1000).contains(&number) {
        let text = format!("BalancerGrowth must be between 0 and 1000: {} is not", quoted(&word));
        return Err(reader.error(id::BAD_VALUE, text));
    }
    reader.note("BalancerGrowth has no effect: no member is added while the server runs");
    Ok(())
}

fn not_available(reader: &Reader, args: &str) -> Finding {
    use Directive as D;
    let (why, cure) = match reader.directive {
        D::ProxyRemote | D::ProxyRemoteMatch => (
            "this version asks every member directly, not through another proxy",
            "Remove the line if the members can be reached directly; a later version will have it.",
        ),
        _ => (
            "this version does not refuse back ends by words of their names, and a line that guards must not be skipped",
            "Write <Proxy url> or <ProxyMatch regex> with Require all denied; a later version will have it.",
        ),
    };
    let word = Words::new(args).next().map(|word| format!(" {}", quoted(&word))).unwrap_or_default();
    reader.error(id::LATER_VERSION, format!("{}{word} is not available: {why}", reader.name())).cured_by(cure)
}
