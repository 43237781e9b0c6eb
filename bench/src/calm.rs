//! Does anybody fail over when nothing happens? xbeat and keepalived, side by side on one busy machine.
//!
//! Each has two nodes, a network, a client and a witness of its own; nobody is disturbed but by what else takes the
//! processors, which both have to share in the same moments. Every change of the answering node is a false failover, or its
//! end.

mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use xbeat_tests::hog::{Hogs, Kind};
use xbeat_tests::peers::System;
use xbeat_tests::peers::keepalived::Keepalived;
use xbeat_tests::peers::pair::Pair;
use xbeat_tests::peers::xbeat::Xbeat;
use xbeat_tests::stage::NODES;
use xbeat_tests::wait::{self, EXIT_INTERRUPTED, pause};
use xbeat_tests::{clock, host};

pub(crate) use report::Calm;
use report::Report;

use crate::file::{self, Header};

/// False failovers of xbeat and, beside it, keepalived on a busy machine
#[derive(Args)]
pub(crate) struct CalmArgs {
    /// For how long (fractions are allowed)
    #[arg(long, value_name = "M", default_value_t = 10.0, value_parser = minutes)]
    minutes: f64,
    /// What else takes the processors
    #[arg(long, value_enum, default_value_t = Load::Both)]
    load: Load,
    /// `keepalive` of xbeat
    #[arg(long, value_name = "TIME", default_value = "1ms")]
    keepalive: String,
    /// `deadtime` of xbeat
    #[arg(long, value_name = "TIME", default_value = "3ms")]
    deadtime: String,
    /// Without keepalived
    #[arg(long)]
    alone: bool,
    /// Have xbeat's agents write recordings for `xbeat replay` into this directory
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Show the end of every node's log
    #[arg(long)]
    logs: bool,
    /// Also write the results to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| format!("{text} is no number of minutes"))?;
    if minutes > 0.0 && minutes <= 10_000.0 { Ok(minutes) } else { Err("more than 0, 10000 at most".into()) }
}

/// What else takes the processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Load {
    /// Nothing of ours
    Rest,
    /// Two ordinary hogs per processor
    Hogs,
    /// A SCHED_FIFO hog of lower priority than the agents
    RealTime,
    /// Both
    Both,
}

impl Load {
    fn start(self) -> Result<Vec<Hogs>> {
        let kinds: &[Kind] = match self {
            Self::Rest => &[],
            Self::Hogs => &[Kind::Ordinary],
            Self::RealTime => &[Kind::RealTime],
            Self::Both => &[Kind::Ordinary, Kind::RealTime],
        };
        kinds.iter().map(|&kind| Hogs::start(kind)).collect()
    }
}

/// Far more than starting takes.
const LIMIT: Duration = Duration::from_secs(60);

/// How often it is told how it stands.
const TELL_EVERY: Duration = Duration::from_secs(15);

/// How often the clients are asked who answers now.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Runs the measurement.
pub(crate) fn run(arguments: &CalmArgs) -> Result<ExitCode> {
    wait::catch_interrupts()?;
    if let Some(directory) = &arguments.record {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    let header = Header::new("calm");
    let systems = systems(arguments)?;
    let mut pairs = Vec::new();
    for system in &systems {
        let mut pair = Pair::new(system.as_ref())?;
        pair.start_all(LIMIT).with_context(|| pair.logs())?;
        eprintln!("{:<12} is at rest: {}", system.name(), system.summary());
        pairs.push(pair);
    }
    let hogs = arguments.load.start()?;
    let from = clock::now();
    let time = Duration::from_secs_f64(arguments.minutes * 60.0);
    let watched = watch(&pairs, time);
    let to = clock::now();
    drop(hogs);
    let logs: String = pairs.iter().map(Pair::logs).collect();
    let mut report = Report::new(header, arguments.load, (to - from) as f64 / 1e9);
    for pair in pairs {
        let system = pair.system();
        report.add(system, &pair.finish()?, from..to);
    }
    if arguments.logs {
        println!("{logs}");
    }
    print!("{}", report.text());
    file::save(arguments.json.as_deref(), &report.header, &report.figures)?;
    if wait::interrupted() {
        eprintln!("interrupted: everything that was started has been taken down");
        return Ok(ExitCode::from(u8::try_from(EXIT_INTERRUPTED)?));
    }
    watched?;
    Ok(if report.is_calm("xbeat") { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// xbeat, and keepalived if it is wanted and there.
fn systems(arguments: &CalmArgs) -> Result<Vec<Box<dyn System>>> {
    let xbeat = Xbeat::new("xbeat", &host::binary()?, &arguments.keepalive, &arguments.deadtime);
    let xbeat = match &arguments.record {
        Some(directory) => xbeat.record(&directory.canonicalize()?),
        None => xbeat,
    };
    let mut systems: Vec<Box<dyn System>> = vec![Box::new(xbeat)];
    if !arguments.alone {
        systems.push(Box::new(Keepalived::tuned()));
    }
    systems.retain(|system| match system.missing() {
        None => true,
        Some(missing) => {
            let (name, program, install) = (system.name(), missing.program, missing.install);
            eprintln!("{name} is skipped: no {program}; `{install}` installs it");
            false
        }
    });
    ensure!(!systems.is_empty(), "nothing to watch");
    Ok(systems)
}

/// Lets `time` pass and tells every change of the answering node, a few at a time.
fn watch(pairs: &[Pair<'_>], time: Duration) -> Result<()> {
    let begin = Instant::now();
    let mut changes = vec![0_usize; pairs.len()];
    let mut told = begin;
    while begin.elapsed() < time {
        pause(LOOK_EVERY.min(time.saturating_sub(begin.elapsed())))?;
        for (pair, count) in pairs.iter().zip(&mut changes) {
            let new: Vec<_> = pair.client.changes().collect();
            *count += new.len();
            if let Some(last) = new.last() {
                let (name, to) = (pair.system().name(), NODES[last.by]);
                eprintln!("{:>7.1} s  {name}: {to} answers", begin.elapsed().as_secs_f64());
            }
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let left = time.saturating_sub(begin.elapsed()).as_secs();
            let state = |(pair, count): (&Pair<'_>, &usize)| format!("{}: {count}", pair.system().name());
            let states: Vec<_> = pairs.iter().zip(&changes).map(state).collect();
            let elapsed = begin.elapsed().as_secs_f64();
            eprintln!(
                "{elapsed:>7.1} s  changes of the answering node: {}; {left} s left",
                states.join(", ")
            );
        }
    }
    Ok(())
}
