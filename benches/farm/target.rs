// SPDX-License-Identifier: Apache-2.0
//! What Margay is meant to reach, beside what it reached. A missed target is news, not an error.

use crate::case::{CALLS_CASE, Case};
use crate::front::{EMPTY, FrontEnd, MARGAY, MARGAY_RULES, MOD_JK, MOD_PROXY_AJP, NGINX};
use crate::measure::Table;
use crate::report::CallRow;

struct Target {
    what: String,
    /// `None` if a row it needs is missing.
    figure: Option<f64>,
    most: f64,
}

/// Prints every target the tables have to do with.
pub fn print(tables: &[Table], calls: &[CallRow]) {
    println!("\nTargets");
    for target in tables.iter().flat_map(of_table).chain(of_calls(calls)) {
        let (what, most) = (&target.what, target.most);
        let (figure, verdict) = match target.figure {
            Some(figure) if figure <= most => (format!("{figure:.2}"), "met"),
            Some(figure) => (format!("{figure:.2}"), "MISSED"),
            None => ("–".to_owned(), "not measured"),
        };
        println!("  {what:62}{figure:>8}   at most {most:.2}   {verdict}");
    }
}

fn of_table(table: &Table) -> Vec<Target> {
    match table.case {
        Case { name: "get-1k", .. } => [&MOD_PROXY_AJP, &MOD_JK].map(|rival| over_empty(table, rival)).into(),
        Case { name: "get-64k", .. } => [(&MOD_PROXY_AJP, 0.55), (&MOD_JK, 0.55), (&NGINX, 1.0)]
            .map(|(rival, most)| total(table, rival, most))
            .into(),
        Case { name: "rules", .. } => vec![Target {
            what: format!("{}, µs of CPU: 5 000 rules minus one rule", table.mpm.name()),
            figure: table.over(&MARGAY_RULES, &MARGAY),
            most: 2.0,
        }],
        _ => Vec::new(),
    }
}

fn over_empty(table: &Table, rival: &FrontEnd) -> Target {
    let (mpm, title) = (table.mpm.name(), table.case.title);
    Target {
        what: format!("{mpm}, {title}, CPU over empty: Margay / {}", rival.name),
        figure: table.ratio_over(&MARGAY, rival, &EMPTY),
        most: 0.80,
    }
}

fn total(table: &Table, rival: &FrontEnd, most: f64) -> Target {
    let (mpm, title) = (table.mpm.name(), table.case.title);
    Target {
        what: format!("{mpm}, {title}, CPU: Margay / {}", rival.name),
        figure: table.ratio(&MARGAY, rival, |s| s.cpu),
        most,
    }
}

fn of_calls(calls: &[CallRow]) -> Option<Target> {
    let row = calls.iter().find(|row| row.front.name == MARGAY.name)?;
    Some(Target {
        what: format!("system calls of Margay towards the back end, {}", CALLS_CASE.title),
        figure: row.calls.as_ref().ok().map(|calls| calls.towards_back_end),
        most: 2.0,
    })
}
