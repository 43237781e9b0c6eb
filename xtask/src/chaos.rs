//! `cargo xtask chaos`: real agents under random faults, for as long as one likes.
//!
//! Two nodes with how-to 001 at `keepalive 1ms`, `deadtime 3ms` if not said otherwise. Round after round a fault is played on one of them, with or
//! without hogs on the processors, and repaired; then the two must agree again. A client sends 5,000 requests a second
//! and notes who answered which; a witness asks ARP for the address. At the end: what each kind of fault cost, groups
//! that moved without need, and questions that two nodes answered. Of those there must be none, except in a partition.

mod fault;
mod random;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::unistd::geteuid;
use xbeat_tests::files::Files;
use xbeat_tests::stage::Stage;
use xbeat_tests::wait::{self, EXIT_INTERRUPTED, Interrupted};
use xbeat_tests::{client, clock};

use crate::demo;
use fault::{Fault, Load};
use random::Random;
use report::{Report, Round};

/// Play random faults on real agents, and fail if two nodes ever answer
#[derive(Debug, Args)]
pub(crate) struct ChaosArgs {
    /// For how long
    #[arg(long, value_name = "M", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Where the random numbers begin: the same seed plays the same faults in the same order
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Play this kind of fault only (may be given several times)
    #[arg(long, value_enum, value_name = "FAULT")]
    only: Vec<Fault>,
    /// `deadtime` of the nodes. They share the processors of one machine: where that stands still for longer than this, a
    /// living node is taken for dead, and answers late what it was asked meanwhile
    #[arg(long, value_name = "TIME", default_value = "3ms")]
    deadtime: String,
    /// Show the agents' logs of every round that is remarkable: the group moved without need or did not move, the outage was
    /// long, two nodes answered
    #[arg(long)]
    logs: bool,
    /// Use this agent instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// Between two faults, so that what one of them breaks is not booked to the next.
const REST: Duration = Duration::from_millis(500);

/// Plays the chaos.
pub(crate) fn run(args: &ChaosArgs) -> Result<ExitCode> {
    let binary = match &args.binary {
        Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
        None => demo::build()?,
    };
    let seed = args.seed.unwrap_or_else(clock::now);
    if !geteuid().is_root() {
        let mut arguments = vec!["--minutes".to_owned(), args.minutes.to_string()];
        arguments.extend(["--seed".to_owned(), seed.to_string()]);
        for fault in &args.only {
            arguments.extend(["--only".to_owned(), fault.name().to_owned()]);
        }
        arguments.extend(["--deadtime".to_owned(), args.deadtime.clone()]);
        if args.logs {
            arguments.push("--logs".to_owned());
        }
        demo::again_as_root("chaos", &binary, &arguments)?;
    }
    wait::catch_interrupts()?;
    println!("seed {seed}");
    let faults = if args.only.is_empty() { Fault::ALL.to_vec() } else { args.only.clone() };
    let end = Instant::now() + Duration::from_secs(args.minutes * 60);
    let files = Files::howto_001().fast().directive("auto_failback", "off");
    let files = files.directive("deadtime", &args.deadtime);
    let chaos = Chaos { random: Random::new(seed), faults, files, end, logs: args.logs };
    let code = chaos.play(&binary);
    println!("seed {seed}");
    code
}

struct Chaos {
    random: Random,
    faults: Vec<Fault>,
    files: Files,
    end: Instant,
    logs: bool,
}

impl Chaos {
    fn play(mut self, binary: &Path) -> Result<ExitCode> {
        let mut stage = Stage::new(binary.to_owned(), &self.files, client::PERIOD)?;
        let mut rounds = Vec::new();
        let played = self.rounds(&mut stage, &mut rounds);
        let interrupted =
            played.as_ref().is_err_and(|error| error.is::<Interrupted>() || wait::interrupted());
        if played.is_err() && !interrupted {
            eprintln!("{}", stage.logs());
        }
        let report = Report::new(&rounds, &stage.finish()?);
        for (remark, logs) in report.remarks() {
            println!("{remark}{}", if self.logs { format!("\n{logs}") } else { String::new() });
        }
        print!("{}", report.text());
        if interrupted {
            eprintln!("interrupted: everything that was started has been taken down");
            return Ok(ExitCode::from(u8::try_from(EXIT_INTERRUPTED)?));
        }
        played?;
        if report.two_owners() > 0 {
            bail!("two nodes answered");
        }
        Ok(ExitCode::SUCCESS)
    }

    fn rounds(&mut self, stage: &mut Stage, rounds: &mut Vec<Round>) -> Result<()> {
        stage.start_all(0)?;
        wait::pause(REST)?;
        let begin = Instant::now();
        while Instant::now() < self.end {
            let fault = self.faults[self.random.below(self.faults.len() as u64) as usize];
            let load = *self.random.choose(&Load::ALL);
            let from = clock::now();
            let logged = logged(stage);
            let played = fault.play(stage, &mut self.random, load);
            let number = rounds.len() + 1;
            let what = match load.name() {
                "" => fault.name().to_owned(),
                load => format!("{} under {load}", fault.name()),
            };
            let moves = played.with_context(|| format!("round {number}, {what}"))?;
            fault::settle(stage).with_context(|| format!("after round {number}, {what}"))?;
            wait::pause(REST)?;
            rounds.push(Round {
                fault,
                load,
                from,
                to: clock::now(),
                moves,
                logs: logs_since(stage, &logged),
            });
            let owner = stage.client.answerer().map_or("nobody", |owner| xbeat_tests::stage::NODES[owner]);
            println!("{:>7.1} s  round {number:<4} {what:<40} {owner}", begin.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// How much each agent has logged.
fn logged(stage: &Stage) -> Vec<usize> {
    stage.hosts.iter().map(|host| host.log().len()).collect()
}

/// What the agents have logged since then.
fn logs_since(stage: &Stage, logged: &[usize]) -> String {
    let news = stage.hosts.iter().zip(logged).map(|(host, &from)| {
        let log = host.log();
        format!("--- {}\n{}", host.name(), log.get(from..).unwrap_or_default())
    });
    news.collect()
}
