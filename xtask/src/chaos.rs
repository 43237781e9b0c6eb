//! `cargo xtask chaos`: real agents under random faults, for as long as one likes.
//!
//! Two nodes with how-to 001 at `keepalive 1ms`, `deadtime 3ms` if not said otherwise. Round after round a fault is played
//! on one of them, with or without hogs on the processors, and repaired; then the two must agree again. A client sends
//! 5,000 requests a second and notes who answered which; a witness asks ARP for the address. At the end: what each kind
//! of fault cost, groups that moved without need, and questions that two nodes answered. Of those there must be none,
//! except in a partition. A round after which the two do not agree is shown with its logs, and a new pair goes on.

mod fault;
mod random;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use nix::unistd::geteuid;
use xbeat_tests::files::Files;
use xbeat_tests::stage::{Seen, Stage};
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
    /// Instead of a time: every fault so many times under every load, shuffled
    #[arg(long, value_name = "N", conflicts_with = "minutes", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Where the random numbers begin: the same seed plays the same faults in the same order
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Play this kind of fault only (may be given several times)
    #[arg(long, value_enum, value_name = "FAULT")]
    only: Vec<Fault>,
    /// Play under this load only (may be given several times)
    #[arg(long, value_enum, value_name = "LOAD")]
    load: Vec<Load>,
    /// How long each fault lasts, in milliseconds, instead of a random time of its own
    #[arg(long, value_name = "MS")]
    length: Option<u64>,
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

/// After so many rounds that came to no end it is not worth to go on.
const UNENDED_MAX: usize = 5;

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
        demo::again_as_root("chaos", &binary, &args.again(seed))?;
    }
    wait::catch_interrupts()?;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let plan = Plan::new(args, &mut random);
    let files = Files::howto_001().fast().directive("auto_failback", "off");
    let files = files.directive("deadtime", &args.deadtime);
    let chaos = Chaos { random, plan, length: args.length, files, logs: args.logs };
    let code = chaos.play(&binary);
    println!("seed {seed}");
    code
}

impl ChaosArgs {
    /// The same arguments, for the same program started as root.
    fn again(&self, seed: u64) -> Vec<String> {
        let mut words = match self.rounds {
            Some(rounds) => vec!["--rounds".to_owned(), rounds.to_string()],
            None => vec!["--minutes".to_owned(), self.minutes.to_string()],
        };
        let mut add = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
        add("--seed", &seed.to_string());
        add("--deadtime", &self.deadtime);
        self.only.iter().for_each(|fault| add("--only", fault.name()));
        self.load.iter().for_each(|load| add("--load", load.name()));
        if let Some(length) = self.length {
            add("--length", &length.to_string());
        }
        if self.logs {
            words.push("--logs".to_owned());
        }
        words
    }
}

/// What is played next.
enum Plan {
    /// Anything of these, until then.
    Until(Instant, Vec<Fault>, Vec<Load>),
    /// Exactly these, from the end.
    Rounds(Vec<(Fault, Load)>),
}

impl Plan {
    fn new(args: &ChaosArgs, random: &mut Random) -> Self {
        let faults = if args.only.is_empty() { Fault::ALL.to_vec() } else { args.only.clone() };
        let loads = if args.load.is_empty() { Load::ALL.to_vec() } else { args.load.clone() };
        let Some(rounds) = args.rounds else {
            return Self::Until(Instant::now() + Duration::from_secs(args.minutes * 60), faults, loads);
        };
        let pairs = faults.iter().flat_map(|&fault| loads.iter().map(move |&load| (fault, load)));
        let mut rounds: Vec<_> = pairs.flat_map(|pair| std::iter::repeat_n(pair, rounds as usize)).collect();
        random.shuffle(&mut rounds);
        Self::Rounds(rounds)
    }

    fn next(&mut self, random: &mut Random) -> Option<(Fault, Load)> {
        match self {
            Self::Until(end, ..) if Instant::now() >= *end => None,
            Self::Until(_, faults, loads) => Some((*random.choose(faults), *random.choose(loads))),
            Self::Rounds(rounds) => rounds.pop(),
        }
    }
}

struct Chaos {
    random: Random,
    plan: Plan,
    length: Option<u64>,
    files: Files,
    logs: bool,
}

impl Chaos {
    fn play(mut self, binary: &Path) -> Result<ExitCode> {
        let (mut rounds, mut seen, mut unended) = (Vec::new(), Seen::default(), Vec::new());
        let begin = Instant::now();
        let interrupted = loop {
            let mut stage = Stage::new(binary.to_owned(), &self.files, client::PERIOD)?;
            let played = self.rounds(&mut stage, &mut rounds, begin);
            let logs = stage.logs();
            seen.append(stage.finish()?);
            let Err(error) = played else { break false };
            if error.is::<Interrupted>() || wait::interrupted() {
                break true;
            }
            eprintln!("{logs}{error:#}");
            unended.push(format!("{error:#}"));
            if unended.len() == UNENDED_MAX {
                break false;
            }
        };
        let report = Report::new(&rounds, &seen);
        for (remark, logs) in report.remarks() {
            println!("{remark}{}", if self.logs { format!("\n{logs}") } else { String::new() });
        }
        print!("{}", report.text());
        unended.iter().for_each(|round| println!("did not end, and is not in the table: {round}"));
        if interrupted {
            eprintln!("interrupted: everything that was started has been taken down");
            return Ok(ExitCode::from(u8::try_from(EXIT_INTERRUPTED)?));
        }
        if report.two_owners() > 0 {
            bail!("two nodes answered");
        }
        ensure!(unended.is_empty(), "{} rounds did not end", unended.len());
        Ok(ExitCode::SUCCESS)
    }

    /// Plays on, with a pair that was made for it, until nothing is left or a round comes to no end.
    fn rounds(&mut self, stage: &mut Stage, rounds: &mut Vec<Round>, begin: Instant) -> Result<()> {
        stage.start_all(0)?;
        wait::pause(REST)?;
        while let Some((fault, load)) = self.plan.next(&mut self.random) {
            // Drawn before anything happens: the order of faults must not depend on times.
            let length = self.length.unwrap_or_else(|| fault.length(&mut self.random));
            let from = clock::now();
            let logged = logged(stage);
            let played = fault.play(stage, Duration::from_millis(length), load);
            let number = rounds.len() + 1;
            let what = match load {
                Load::Rest => fault.name().to_owned(),
                load => format!("{} under {}", fault.name(), load.words()),
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
