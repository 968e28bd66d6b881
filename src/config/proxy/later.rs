// SPDX-License-Identifier: Apache-2.0
//! Directives of mod_proxy that do not act yet: a notice, where a server behaves all the same as the line says.

use super::Reader;
use crate::base::text::{leading_integer, quoted};
use crate::config::finding::{Finding, id};
use crate::config::statement::Statement;

/// `BalancerGrowth`.
pub(super) fn read(reader: &mut Reader, args: &str) -> Result<Statement, Finding> {
    let word = reader.words(args)?.swap_remove(0);
    let (number, _) = leading_integer(&word);
    if !(0..=1000).contains(&number) {
        let text = format!("BalancerGrowth must be between 0 and 1000: {} is not", quoted(&word));
        return Err(reader.error(id::BAD_VALUE, text));
    }
    reader.note("BalancerGrowth has no effect: nothing adds balancers while the server runs, and places for members are growth= of their balancer");
    Ok(Statement::Nothing)
}
