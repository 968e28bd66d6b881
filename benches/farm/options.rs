// SPDX-License-Identifier: Apache-2.0
//! The command line.

use std::time::Duration;

use crate::case::{CALLS, CASES};
use crate::front::Mpm;

pub const USAGE: &str = "\
Usage: cargo bench --bench farm -- [OPTIONS]

  --rounds N       times each front end is measured in each case (default 5)
  --seconds S      length of one measurement, fractions allowed (default 1)
  --only CASE      get-1k, get-64k, get-1m, post-4k, http-1k, http-64k, http-1m, rules, mounts or calls; may be repeated (default all)
  --mpm MPM        event or prefork (default both)
  --help           this text";

/// What the user asked for.
pub struct Options {
    pub rounds: usize,
    pub measured: Duration,
    only: Vec<String>,
    pub mpms: Vec<Mpm>,
}

/// What to do with the command line.
pub enum Asked {
    Run(Options),
    Help,
    /// Started by `cargo test --all-targets`, which wants no measurement.
    Nothing,
}

impl Options {
    /// Reads the arguments after the program's name.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
        let mut options = Options {
            rounds: 5,
            measured: Duration::from_secs(1),
            only: Vec::new(),
            mpms: vec![Mpm::Event, Mpm::Prefork],
        };
        let mut is_bench = false;
        while let Some(word) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--bench" => is_bench = true,
                "--help" | "-h" => return Ok(Asked::Help),
                "--rounds" => options.rounds = number(&word, &value()?, 1.0, 1000.0)? as usize,
                "--seconds" => {
                    options.measured = Duration::from_secs_f64(number(&word, &value()?, 0.05, 600.0)?)
                }
                "--only" => options.only.push(case_name(value()?)?),
                "--mpm" => options.mpms = vec![mpm(&value()?)?],
                _ => return Err(format!("unknown option {word}")),
            }
        }
        Ok(if is_bench { Asked::Run(options) } else { Asked::Nothing })
    }

    /// Whether the case of this name is to be run.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn number(option: &str, value: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = value.parse().ok().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| format!("{option} takes a number from {least} to {most}, not \"{value}\""))
}

fn case_name(value: String) -> Result<String, String> {
    if value == CALLS || CASES.iter().any(|case| case.name == value) {
        return Ok(value);
    }
    Err(format!("there is no case \"{value}\""))
}

fn mpm(value: &str) -> Result<Mpm, String> {
    let known = [Mpm::Event, Mpm::Prefork].into_iter().find(|mpm| mpm.name() == value);
    known.ok_or_else(|| format!("--mpm takes event or prefork, not \"{value}\""))
}
