// SPDX-License-Identifier: Apache-2.0
//! The benchmark farm: Margay, the stock modules, nginx and HAProxy under the same load, on this machine, in turn.
//!
//! - [`case`] says what is asked, [`front`] who answers, [`target`] what is hoped for
//! - [`parts`] finds and builds the programs, [`server`] runs them
//! - [`responder`] with [`ajp`] and [`http`] is the back end, [`load`] with [`reply`] the clients
//! - [`measure`] runs the rounds, [`cpu`] and [`calls`] read what they cost, [`report`] prints it

#![forbid(unsafe_code)]

mod ajp;
mod body;
mod calls;
mod case;
mod cpu;
mod front;
mod http;
mod load;
mod measure;
mod options;
mod parts;
mod reply;
mod report;
mod responder;
mod server;
mod target;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use case::{CALLS, CALLS_FRONTS, CASES, Case};
use measure::Table;
use options::{Asked, Options};
use parts::Parts;
use report::CallRow;
use server::{Failure, Yard};

fn main() -> ExitCode {
    let done = match Options::parse(std::env::args().skip(1)) {
        Ok(Asked::Run(options)) => run(&options),
        Ok(Asked::Help) => {
            println!("{}", options::USAGE);
            Ok(true)
        }
        Ok(Asked::Nothing) => Ok(true),
        Err(what) => Err(format!("{what}\n{}", options::USAGE)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("farm: a server did not start or gave a wrong answer, see above");
            ExitCode::FAILURE
        }
        Err(what) => {
            eprintln!("farm: {what}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything asked for. False if a server did not start or an answer was wrong.
fn run(options: &Options) -> Result<bool, String> {
    // Cargo's directory for scratch files of benches is one below the target directory.
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let target = scratch.parent().ok_or("no target directory")?;
    let parts = Parts::gather(target)?;
    let dir = run_dir(&target.join("bench"))?;
    let no_back_end = |e| format!("cannot start a back end: {e}");
    let yard = Yard {
        parts: &parts,
        ajp_port: responder::start(ajp::Ajp).map_err(no_back_end)?,
        http_port: responder::start(http::Http).map_err(no_back_end)?,
        dir,
        is_root: fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0),
    };
    report::introduce(options);
    let tables = measure_all(&yard, options);
    let calls = if options.wants(CALLS) { count_calls(&yard) } else { Vec::new() };
    report::calls(&calls);
    target::print(&tables, &calls);
    let is_right = !tables.iter().any(Table::has_wrong) && !calls.iter().any(CallRow::is_wrong);
    if is_right {
        // What stays behind is small and goes with the next run.
        let _ = fs::remove_dir_all(&yard.dir);
    } else {
        println!("\nThe files of the servers are kept in {}.", yard.dir.display());
    }
    Ok(is_right)
}

fn measure_all(yard: &Yard, options: &Options) -> Vec<Table> {
    let cases: Vec<&'static Case> = CASES.iter().filter(|case| options.wants(case.name)).collect();
    let mut tables = Vec::new();
    for &mpm in &options.mpms {
        let servers = measure::start_servers(yard, mpm, &cases);
        for case in &cases {
            let table = measure::run(case, mpm, &servers, options);
            report::table(&table);
            tables.push(table);
        }
    }
    tables
}

fn count_calls(yard: &Yard) -> Vec<CallRow> {
    let strace = calls::check_strace();
    let count = |front| match &strace {
        Ok(()) => calls::count(yard, front),
        Err(reason) => Err(Failure::Skipped(reason.clone())),
    };
    CALLS_FRONTS.iter().map(|&front| CallRow { front, calls: count(front) }).collect()
}

/// A fresh directory for this run; those of runs that are over are removed.
fn run_dir(parent: &Path) -> Result<PathBuf, String> {
    let failed = |e| format!("cannot use {}: {e}", parent.display());
    fs::create_dir_all(parent).map_err(failed)?;
    for entry in fs::read_dir(parent).map_err(failed)?.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("run-"));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // A directory of another user stays; it is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let dir = parent.join(format!("run-{}", std::process::id()));
    fs::create_dir(&dir).map_err(failed)?;
    Ok(dir)
}
