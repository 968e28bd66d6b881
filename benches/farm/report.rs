// SPDX-License-Identifier: Apache-2.0
//! The tables as they are printed.

use crate::calls::Calls;
use crate::front::{EMPTY, FrontEnd, Program};
use crate::measure::{Outcome, Table};
use crate::options::Options;
use crate::server::Failure;

/// One line of the table of system calls.
pub struct CallRow {
    pub front: &'static FrontEnd,
    pub calls: Result<Calls, Failure>,
}

impl CallRow {
    /// Whether an answer was wrong while the calls were counted.
    pub fn is_wrong(&self) -> bool {
        matches!(self.calls, Err(Failure::Wrong(_)))
    }
}

/// Says what is going to happen.
pub fn introduce(options: &Options) {
    println!(
        "{} rounds of {:?} for each front end and case; figures are medians over the rounds.\n\
         CPU is user and system time of all processes of the front end, in µs for each request.",
        options.rounds, options.measured
    );
}

/// Prints the figures of one case.
pub fn table(table: &Table) {
    let (mpm, title, clients) = (table.mpm.name(), table.case.title, table.mpm.connections());
    println!("\n{title} ({mpm}, {clients} connections)");
    println!(
        "  {:26}{:>9}{:>9}{:>12}{:>16}{:>12}{:>16}",
        "", "CPU", "least", "over empty", "CPU/mod_proxy", "requests/s", "rate/mod_proxy"
    );
    for (front, outcome) in &table.rows {
        match outcome {
            Outcome::Measured(_) => println!("  {:26}{}", front.name, figures(table, front)),
            Outcome::Failed(Failure::Skipped(reason)) => println!("  {:26}  skipped: {reason}", front.name),
            Outcome::Failed(Failure::Wrong(what)) => println!("  {:26}  WRONG: {what}", front.name),
        }
    }
}

fn figures(table: &Table, front: &FrontEnd) -> String {
    let one =
        |figure: Option<f64>, digits: usize| figure.map_or("–".to_owned(), |f| format!("{f:.digits$}"));
    let least = table.samples(front).and_then(|all| all.iter().map(|s| s.cpu).reduce(f64::min));
    // The empty handler is httpd's share; beside other programs it means nothing.
    let has_share = front.program == Program::Httpd && front.name != EMPTY.name;
    let over_empty = table.over(front, &EMPTY).filter(|_| has_share);
    format!(
        "{:>9}{:>9}{:>12}{:>16}{:>12}{:>16}",
        one(table.median_of(front, |s| s.cpu), 1),
        one(least, 1),
        one(over_empty, 1),
        one(table.ratio(front, table.case.rival, |s| s.cpu), 2),
        one(table.median_of(front, |s| s.rate), 0),
        one(table.ratio(front, table.case.rival, |s| s.rate), 2),
    )
}

/// Prints the table of system calls.
pub fn calls(rows: &[CallRow]) {
    if rows.is_empty() {
        return;
    }
    println!("\nSystem calls for each GET of 1 KiB (prefork, one child, one connection)");
    println!("  {:26}{:>22}{:>9}", "", "towards the back end", "in all");
    for row in rows {
        match &row.calls {
            Ok(calls) => {
                println!("  {:26}{:>22.1}{:>9.1}", row.front.name, calls.towards_back_end, calls.total)
            }
            Err(Failure::Skipped(reason)) => println!("  {:26}  skipped: {reason}", row.front.name),
            Err(Failure::Wrong(what)) => println!("  {:26}  WRONG: {what}", row.front.name),
        }
    }
}
