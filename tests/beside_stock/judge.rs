// SPDX-License-Identifier: Apache-2.0
//! Compares what was seen with stock's modules and with Margay.

use crate::cases::{Case, Difference};

/// What is wrong with a case: a difference without a reason, or a reason without a difference.
pub fn judge(case: &Case, stock: &[String], margay: &[String]) -> Option<String> {
    judge_by(case.differs.as_ref(), stock, margay)
}

/// The same for a table of AJP members with HTTP members: what is meant to differ there may differ here or not.
#[allow(dead_code)] // one of the two programs that have this file asks
pub fn judge_over_http(case: &Case, stock: &[String], margay: &[String]) -> Option<String> {
    if let Some(meant) = &case.differs_over_http {
        return judge_by(Some(meant), stock, margay);
    }
    let complaint = judge_by(None, stock, margay)?;
    case.differs.as_ref().map_or(Some(complaint), |meant| judge_by(Some(meant), stock, margay))
}

fn judge_by(differs: Option<&Difference>, stock: &[String], margay: &[String]) -> Option<String> {
    let (mut only_stock, mut only_margay) =
        (lines_missing_in(margay, stock), lines_missing_in(stock, margay));
    let speaks_of_length =
        differs.is_some_and(|meant| meant.words.iter().any(|word| word.contains("Length")));
    if !speaks_of_length {
        forgive_lengths(&mut only_stock, &mut only_margay);
    }
    let same = only_stock.is_empty() && only_margay.is_empty();
    let shown = || {
        let mark = |sign: &str, lines: &[&String]| {
            lines.iter().map(|line| format!("\n  {sign} {line}")).collect::<String>()
        };
        mark("stock ", &only_stock) + &mark("margay", &only_margay)
    };
    match differs {
        None if same => None,
        None => Some(format!("they differ{}", shown())),
        Some(difference) if same => Some(format!("nothing differs any more: {}", difference.reason)),
        Some(difference) => {
            let meant = |line: &&String| difference.words.iter().any(|word| line.contains(word.as_str()));
            let all_meant = only_stock.iter().chain(&only_margay).all(meant);
            (!all_meant).then(|| format!("more differs than {:?}{}", difference.words, shown()))
        }
    }
}

/// A short response leaves Margay in one piece, and httpd counts it; stock's comes in two, and httpd cannot.
fn forgive_lengths(only_stock: &mut Vec<&String>, only_margay: &mut Vec<&String>) {
    only_stock.retain(|line| *line != "client header: Transfer-Encoding: chunked");
    only_margay.retain(|line| !line.starts_with("client header: Content-Length: "));
}

/// The lines of `whole` that `other` does not have, as often as they are too many.
fn lines_missing_in<'a>(other: &[String], whole: &'a [String]) -> Vec<&'a String> {
    let mut rest: Vec<&String> = other.iter().collect();
    let mut missing = Vec::new();
    for line in whole {
        match rest.iter().position(|candidate| *candidate == line) {
            Some(at) => drop(rest.swap_remove(at)),
            None => missing.push(line),
        }
    }
    missing
}
