// SPDX-License-Identifier: Apache-2.0
//! What Margay is meant to reach, beside what it reached. A missed target is news, not an error.

use crate::case::{CALLS_CASE, Case};
use crate::front::{
    EMPTY, FrontEnd, MARGAY, MARGAY_HTTP, MARGAY_JK, MARGAY_JK_MOUNTS, MARGAY_RULES, MOD_JK, MOD_PROXY_AJP,
    MOD_PROXY_HTTP, NGINX,
};
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
        Case { name: "get-1k", .. } => [(&MARGAY, &MOD_PROXY_AJP), (&MARGAY, &MOD_JK), (&MARGAY_JK, &MOD_JK)]
            .map(|(ours, rival)| over_empty(table, ours, rival, 0.80))
            .into(),
        Case { name: "get-64k", .. } => [
            (&MARGAY, &MOD_PROXY_AJP, 0.55),
            (&MARGAY, &MOD_JK, 0.55),
            (&MARGAY, &NGINX, 1.0),
            (&MARGAY_JK, &MOD_JK, 0.55),
            (&MARGAY_JK, &NGINX, 1.0),
        ]
        .map(|(ours, rival, most)| total(table, ours, rival, most))
        .into(),
        Case { name: "http-1k", .. } => vec![over_empty(table, &MARGAY_HTTP, &MOD_PROXY_HTTP, 0.85)],
        Case { name: "http-64k", .. } => vec![total(table, &MARGAY_HTTP, &MOD_PROXY_HTTP, 0.65)],
        Case { name: "http-1m", .. } => vec![total(table, &MARGAY_HTTP, &NGINX, 1.0)],
        Case { name: "rules", .. } => vec![Target {
            what: format!("{}, µs of CPU: 5 000 rules minus one rule", table.mpm.name()),
            figure: table.over(&MARGAY_RULES, &MARGAY),
            most: 2.0,
        }],
        Case { name: "mounts", .. } => vec![Target {
            what: format!("{}, µs of CPU: 5 000 mounts minus one mount", table.mpm.name()),
            figure: table.over(&MARGAY_JK_MOUNTS, &MARGAY_JK),
            most: 2.0,
        }],
        _ => Vec::new(),
    }
}

fn over_empty(table: &Table, ours: &FrontEnd, rival: &FrontEnd, most: f64) -> Target {
    let (mpm, title) = (table.mpm.name(), table.case.title);
    Target {
        what: format!("{mpm}, {title}, CPU over empty: {} / {}", ours.name, rival.name),
        figure: table.ratio_over(ours, rival, &EMPTY),
        most,
    }
}

fn total(table: &Table, ours: &FrontEnd, rival: &FrontEnd, most: f64) -> Target {
    let (mpm, title) = (table.mpm.name(), table.case.title);
    Target {
        what: format!("{mpm}, {title}, CPU: {} / {}", ours.name, rival.name),
        figure: table.ratio(ours, rival, |s| s.cpu),
        most,
    }
}

fn of_calls(calls: &[CallRow]) -> impl Iterator<Item = Target> {
    let names = [MARGAY.name, MARGAY_JK.name, MARGAY_HTTP.name];
    let ours = calls.iter().filter(move |row| names.contains(&row.front.name));
    ours.map(|row| Target {
        what: format!("system calls of {} towards the back end, {}", row.front.name, CALLS_CASE.title),
        figure: row.calls.as_ref().ok().map(|calls| calls.towards_back_end),
        most: 2.0,
    })
}
