// SPDX-License-Identifier: Apache-2.0
//! Plays a table on both servers and compares what was seen, case by case.

use crate::cases::{Case, Table};
use crate::stage::Stage;
use crate::support::httpd::Front;

/// Fails with every case of a table in which the fronts disagree without a reason, or agree in spite of one.
/// `MARGAY_SHOW` in the environment prints what stock did.
#[track_caller]
pub fn assert_alike(folder: &str, name: &str, stock: Front) {
    let table = Table::read(folder, name);
    let stage = Stage::start(name, &table, stock);
    let shows = std::env::var_os("MARGAY_SHOW").is_some();
    let mut wrong = Vec::new();
    for site in &table.sites {
        for case in &site.cases {
            let (stock, margay) = stage.play(site, case);
            if shows {
                eprintln!("[{} / {}]\n    {}", site.name, case.name, stock.join("\n    "));
            }
            if let Some(complaint) = judge(case, &stock, &margay) {
                wrong.push(format!("[{} / {}] line {}: {complaint}", site.name, case.name, case.line));
            }
        }
    }
    stage.assert_no_crash();
    assert!(wrong.is_empty(), "{name}.cases: {} cases are wrong\n\n{}", wrong.len(), wrong.join("\n\n"));
}

fn judge(case: &Case, stock: &[String], margay: &[String]) -> Option<String> {
    let (mut only_stock, mut only_margay) =
        (lines_missing_in(margay, stock), lines_missing_in(stock, margay));
    let speaks_of_length =
        case.differs.as_ref().is_some_and(|meant| meant.words.iter().any(|word| word.contains("Length")));
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
    match &case.differs {
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
