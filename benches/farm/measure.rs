// SPDX-License-Identifier: Apache-2.0
//! The rounds of a case: each front end in turn, so that a slow minute of the machine meets all of them.

use std::collections::HashMap;
use std::time::Duration;

use crate::case::Case;
use crate::cpu;
use crate::front::{FrontEnd, Mpm, Size};
use crate::load::{Load, Until};
use crate::options::Options;
use crate::server::{Failure, Server, Yard};

/// Unmeasured time before each measurement: connections are opened, caches are warm.
const WARM_UP: Duration = Duration::from_millis(150);

/// One front end in one round.
#[derive(Clone, Copy)]
pub struct Sample {
    /// CPU of the front end's processes, in microseconds for each request.
    pub cpu: f64,
    /// Requests in a second.
    pub rate: f64,
}

/// What became of a front end in a case.
pub enum Outcome {
    /// One sample for each round.
    Measured(Vec<Sample>),
    Failed(Failure),
}

/// All rows of a case under one MPM.
pub struct Table {
    pub mpm: Mpm,
    pub case: &'static Case,
    pub rows: Vec<(&'static FrontEnd, Outcome)>,
}

impl Table {
    /// The samples of a front end, if it was measured.
    pub fn samples(&self, front: &FrontEnd) -> Option<&[Sample]> {
        self.rows.iter().find_map(|(row, outcome)| match outcome {
            Outcome::Measured(samples) if row.name == front.name => Some(samples.as_slice()),
            _ => None,
        })
    }

    /// The median over the rounds.
    pub fn median_of(&self, front: &FrontEnd, figure: fn(&Sample) -> f64) -> Option<f64> {
        median(self.samples(front)?.iter().map(figure).collect())
    }

    /// The median of the rounds' ratios: the two samples of a round met the same state of the machine.
    pub fn ratio(&self, front: &FrontEnd, rival: &FrontEnd, figure: fn(&Sample) -> f64) -> Option<f64> {
        let rounds = self.samples(front)?.iter().zip(self.samples(rival)?);
        median(rounds.map(|(ours, theirs)| figure(ours) / figure(theirs)).collect())
    }

    /// The median of the rounds' differences in CPU.
    pub fn over(&self, front: &FrontEnd, base: &FrontEnd) -> Option<f64> {
        median(self.differences(front, base)?)
    }

    /// The ratio of what two front ends cost beyond `base`, from the medians: a single round's difference can be near 0.
    pub fn ratio_over(&self, front: &FrontEnd, rival: &FrontEnd, base: &FrontEnd) -> Option<f64> {
        let theirs = self.over(rival, base).filter(|&theirs| theirs > 0.0)?;
        Some(self.over(front, base)? / theirs)
    }

    /// Whether a front end did not start or gave a wrong answer.
    pub fn has_wrong(&self) -> bool {
        self.rows.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(Failure::Wrong(_))))
    }

    fn differences(&self, front: &FrontEnd, base: &FrontEnd) -> Option<Vec<f64>> {
        let rounds = self.samples(front)?.iter().zip(self.samples(base)?);
        Some(rounds.map(|(more, less)| more.cpu - less.cpu).collect())
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = figures.get(middle)?;
    Some(if figures.len() % 2 == 1 { *upper } else { (figures[middle - 1] + upper) / 2.0 })
}

/// Servers that keep running from case to case, by row name.
pub type Servers = HashMap<&'static str, Result<Server, Failure>>;

/// Starts what `cases` need.
pub fn start_servers(yard: &Yard, mpm: Mpm, cases: &[&'static Case]) -> Servers {
    let mut servers = Servers::new();
    for front in cases.iter().flat_map(|case| case.fronts) {
        servers.entry(front.name).or_insert_with(|| yard.start(front, mpm, Size::Farm, None));
    }
    servers
}

/// Measures all front ends of a case.
pub fn run(case: &'static Case, mpm: Mpm, servers: &Servers, options: &Options) -> Table {
    let first = |front: &&'static FrontEnd| match &servers[front.name] {
        Ok(_) => (*front, Outcome::Measured(Vec::new())),
        Err(failure) => (*front, Outcome::Failed(failure.clone())),
    };
    let mut rows: Vec<_> = case.fronts.iter().map(first).collect();
    for _ in 0..options.rounds {
        for (front, outcome) in &mut rows {
            let (Outcome::Measured(samples), Ok(server)) = (&mut *outcome, &servers[front.name]) else {
                continue;
            };
            match sample(server, case, mpm, options.measured) {
                Ok(sample) => samples.push(sample),
                Err(what) => {
                    let what = format!("{what}; log: {}", server.last_complaint());
                    *outcome = Outcome::Failed(Failure::Wrong(what));
                }
            }
        }
    }
    Table { mpm, case, rows }
}

fn sample(server: &Server, case: &Case, mpm: Mpm, measured: Duration) -> Result<Sample, String> {
    let mut load = Load::connect(server.port, case, mpm.connections())?;
    load.run(Until::Elapsed(WARM_UP))?;
    let parent = server.parent();
    let before = cpu::of_family(parent)?;
    let count = load.run(Until::Elapsed(measured))?;
    let used =
        cpu::of_family(parent)?.checked_sub(before).ok_or("CPU time went backwards: a child was lost")?;
    let requests = count.requests as f64;
    Ok(Sample { cpu: used.as_secs_f64() * 1e6 / requests, rate: requests / count.elapsed.as_secs_f64() })
}
