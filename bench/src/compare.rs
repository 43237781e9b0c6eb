//! xbeat and its peers, in the same networks, in one run: what each fault costs under each condition.
//!
//! The systems take turns, fault by fault, so that whatever the machine does meanwhile meets all of them. Every case begins
//! with a network and nodes of its own, because some systems do not come back from some faults; it ends when one node has
//! served alone for a while, or at the limit.

pub(crate) mod case;
mod cells;
mod plan;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use xbeat_tests::host;
use xbeat_tests::peers::{self, System};
use xbeat_tests::wait::{self, EXIT_INTERRUPTED, Interrupted};

use case::{Condition, Fault};
use plan::Plan;
use report::Report;
pub(crate) use report::{Absent, Comparison, Described, Row};

use crate::file;

/// Outages of xbeat and its peers by fault and condition
#[derive(Args)]
pub(crate) struct CompareArgs {
    /// How often each case is played
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Compare these systems only (may be given several times)
    #[arg(long, value_name = "SYSTEM")]
    only: Vec<String>,
    /// Play these faults only
    #[arg(long, value_enum, value_name = "FAULT", value_delimiter = ',')]
    faults: Vec<Fault>,
    /// Under these conditions only
    #[arg(long, value_enum, value_name = "CONDITION", value_delimiter = ',')]
    conditions: Vec<Condition>,
    /// After so many seconds a fault that is not over is noted as never. A node that returns has 90 seconds at least
    #[arg(long, value_name = "SECONDS", default_value_t = 12, value_parser = clap::value_parser!(u64).range(8..))]
    limit: u64,
    /// Show the end of every node's log after each case
    #[arg(long)]
    logs: bool,
    /// Also write the results to FILE, as JSON; it is complete after every repetition
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the comparison.
pub(crate) fn run(arguments: &CompareArgs) -> Result<ExitCode> {
    wait::catch_interrupts()?;
    let (systems, skipped) = sort_out(peers::all(&host::binary()?), &arguments.only)?;
    let faults = chosen(&arguments.faults, &Fault::ALL);
    let conditions = chosen(&arguments.conditions, &Condition::ALL);
    let mut plan = Plan::new(systems.len(), &faults, &conditions, arguments.repeat);
    let mut report = Report::new(&systems, &skipped, arguments.repeat, arguments.limit);
    let played = play_all(arguments, &systems, &mut plan, &mut report);
    print!("{}", report.text());
    file::save(arguments.json.as_deref(), &report.header, &report.figures())?;
    if wait::interrupted() || played.as_ref().is_err_and(|error| error.is::<Interrupted>()) {
        eprintln!("interrupted: everything that was started has been taken down");
        return Ok(ExitCode::from(u8::try_from(EXIT_INTERRUPTED)?));
    }
    played.map(|()| ExitCode::SUCCESS)
}

fn play_all(arguments: &CompareArgs, systems: &Systems, plan: &mut Plan, report: &mut Report) -> Result<()> {
    let limit = Duration::from_secs(arguments.limit);
    let mut repetition = 0;
    while let Some(next) = plan.next() {
        if next.repetition != repetition {
            repetition = next.repetition;
            file::save(arguments.json.as_deref(), &report.header, &report.figures())?;
        }
        let system = systems[next.system].as_ref();
        let what = format!("{} / {} / {}", next.condition.name(), next.fault.name(), system.name());
        let (done, all) = plan.progress();
        eprint!("{done:>5}/{all} {} left  {what:<48}", plan.left());
        let begin = Instant::now();
        let outcome = case::play(system, next.fault, next.condition, limit);
        if wait::interrupted() {
            eprintln!();
            return Err(Interrupted.into());
        }
        plan.took(begin.elapsed());
        eprintln!(" {}", outcome.says());
        if arguments.logs {
            eprintln!("{}", outcome.logs);
        }
        report.add(next, outcome);
    }
    Ok(())
}

/// `all`, or those of them that were asked for.
pub(crate) fn chosen<T: Copy + PartialEq>(asked: &[T], all: &[T]) -> Vec<T> {
    all.iter().copied().filter(|one| asked.is_empty() || asked.contains(one)).collect()
}

/// Those to compare.
pub(crate) type Systems = [Box<dyn System>];

/// One that is not installed, and what is missing.
pub(crate) type Skipped = (Box<dyn System>, peers::Missing);

/// Of `all` those that were asked for: the ones that can be compared here, and those that are not installed, which is said.
pub(crate) fn sort_out(all: Vec<Box<dyn System>>, only: &[String]) -> Result<(Box<Systems>, Vec<Skipped>)> {
    for name in only {
        let names: Vec<_> = all.iter().map(|system| system.name()).collect();
        ensure!(names.contains(&name.as_str()), "no system is called {name}; there are {}", names.join(", "));
    }
    let (mut here, mut skipped) = (Vec::new(), Vec::new());
    for system in all {
        if !only.is_empty() && !only.iter().any(|name| name == system.name()) {
            continue;
        }
        match system.missing() {
            None => here.push(system),
            Some(missing) => {
                let (name, program, install) = (system.name(), &missing.program, &missing.install);
                eprintln!("{name} is skipped: no {program}; `{install}` installs it");
                skipped.push((system, missing));
            }
        }
    }
    ensure!(!here.is_empty(), "none of the systems is installed");
    Ok((here.into(), skipped))
}
