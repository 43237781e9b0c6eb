//! `cargo xtask sim`: plays seeds in the simulator, or one of them with everything that happened.

use std::{
    cell::Cell,
    hash::{BuildHasher as _, RandomState},
    io::{IsTerminal as _, Write as _},
    ops::RangeInclusive,
    path::Path,
    process::{Command, ExitCode},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use xbeat_tests::sim::{self, Detail, Mutation, Options, Outcome};

use crate::process;

/// Play whole clusters in virtual time: many seeds, or one with all that happened
#[derive(Args)]
pub(crate) struct SimArgs {
    /// Play so many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// From this one on
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// And so many more from a place that is drawn anew each time, and printed
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    fresh: u64,
    /// Play this seed alone and show every fault, input, action and change of a gate
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// With --seed: show every frame too
    #[arg(long, requires = "seed")]
    frames: bool,
    /// Nodes of a cluster: a number, or the smallest and the largest, as in 2-5
    #[arg(long, default_value = "2-5", value_parser = sizes)]
    nodes: RangeInclusive<usize>,
    /// Threads; as many as there are processors if not given
    #[arg(long, short)]
    jobs: Option<usize>,
    /// Take a rule out: egress, stickiness, unanswered, sent
    #[arg(long, value_parser = mutation)]
    without: Option<Mutation>,
}

/// What CI plays: the same seeds each time, in a build that is fast enough for them.
pub(crate) fn play_in_ci(workspace: &Path) -> Result<()> {
    let mut cargo = release(workspace);
    process::run(cargo.args(["sim", "--seeds", CI_SEEDS]))
}

/// Seeds that CI plays: a minute or two on two processors.
pub(crate) const CI_SEEDS: &str = "10000";

/// The release build of these tasks: it plays twenty times as many seeds in a second.
fn release(workspace: &Path) -> Command {
    let mut cargo = process::cargo();
    cargo.current_dir(workspace);
    cargo.args(["run", "--quiet", "--locked", "--release", "--package=xtask", "--"]);
    cargo
}

/// Runs the task. A debug build builds the release one and lets that do the work: it is faster by far.
pub(crate) fn run(workspace: &Path, args: &SimArgs) -> Result<ExitCode> {
    if cfg!(debug_assertions) {
        let arguments = std::env::args_os().skip(1);
        let status = release(workspace).args(arguments).status().context("starting cargo")?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let options = Options {
        nodes: args.nodes.clone(),
        mutation: args.without.unwrap_or_default(),
        detail: match (args.seed, args.frames) {
            (None, _) => Detail::None,
            (Some(_), false) => Detail::Decisions,
            (Some(_), true) => Detail::Frames,
        },
    };
    tell_of_panics(args);
    match args.seed {
        Some(seed) => Ok(replay(seed, &options)),
        None => play_all(args, &options),
    }
}

thread_local! {
    /// The seed that this thread plays.
    static PLAYING: Cell<u64> = const { Cell::new(0) };
}

/// A panic ends the process; whoever sees it must know the seed.
fn tell_of_panics(args: &SimArgs) {
    let (usual, rest) = (std::panic::take_hook(), args.rest());
    std::panic::set_hook(Box::new(move |panic| {
        let seed = PLAYING.get();
        eprintln!("seed {seed} panics; again, with all that happened: cargo xtask sim --seed {seed}{rest}");
        usual(panic);
    }));
}

/// Plays one seed and prints what happened.
fn replay(seed: u64, options: &Options) -> ExitCode {
    PLAYING.set(seed);
    let outcome = sim::play(seed, options);
    let mut out = std::io::stdout().lock();
    for line in &outcome.trace {
        // A reader that has seen enough closes the pipe.
        if writeln!(out, "{line}").is_err() {
            break;
        }
    }
    let _ = writeln!(out, "\n{}\n\n{outcome}", outcome.end);
    if outcome.violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Failures that are shown; after as many nobody waits for more.
const SHOWN_MAX: usize = 5;

/// What the threads share.
struct Tally {
    /// Where the fresh seeds begin.
    fresh_from: u64,
    next: AtomicU64,
    played: AtomicU64,
    steps: AtomicU64,
    changes: AtomicU64,
    shared: AtomicU64,
    enough: AtomicBool,
    failures: Mutex<Vec<Outcome>>,
}

impl Tally {
    fn new(args: &SimArgs) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            // The standard library's own randomness, which is another in every process.
            fresh_from: if args.fresh > 0 { RandomState::new().hash_one(args.first) } else { 0 },
            next: zero(),
            played: zero(),
            steps: zero(),
            changes: zero(),
            shared: zero(),
            enough: AtomicBool::new(false),
            failures: Mutex::default(),
        }
    }

    /// The next seed to be played, if there is one.
    fn next_seed(&self, args: &SimArgs) -> Option<u64> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        match turn.checked_sub(args.seeds) {
            None => Some(args.first.wrapping_add(turn)),
            Some(turn) => (turn < args.fresh).then(|| self.fresh_from.wrapping_add(turn)),
        }
    }
}

fn play_all(args: &SimArgs, options: &Options) -> Result<ExitCode> {
    let jobs = match args.jobs {
        Some(jobs) => jobs.max(1),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let (tally, started) = (Tally::new(args), Instant::now());
    if args.fresh > 0 {
        println!("fresh: {} seeds from {}", args.fresh, tally.fresh_from);
    }
    thread::scope(|scope| {
        let players: Vec<_> =
            (0..jobs).map(|_| scope.spawn(|| play_in_turn(args, options, &tally))).collect();
        let mut told = 0;
        while !players.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(200));
            told = progress(args, &tally, started, told);
        }
    });
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    let mut failures = tally.failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort_by_key(|outcome| outcome.seed);
    for failure in &failures {
        println!("{failure}");
        println!("  again, with all that happened: cargo xtask sim --seed {}{}", failure.seed, args.rest());
    }
    let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
    println!(
        "{} seeds from {}: {} failed; {} steps, gates opened or closed {} times, {} times beside another, in {:.1} s",
        count(&tally.played),
        args.first,
        failures.len(),
        count(&tally.steps),
        count(&tally.changes),
        count(&tally.shared),
        started.elapsed().as_secs_f64()
    );
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn play_in_turn(args: &SimArgs, options: &Options, tally: &Tally) {
    while !tally.enough.load(Ordering::Relaxed) {
        let Some(seed) = tally.next_seed(args) else { return };
        PLAYING.set(seed);
        let outcome = sim::play(seed, options);
        tally.played.fetch_add(1, Ordering::Relaxed);
        tally.steps.fetch_add(outcome.steps, Ordering::Relaxed);
        tally.changes.fetch_add(outcome.changes, Ordering::Relaxed);
        tally.shared.fetch_add(outcome.shared, Ordering::Relaxed);
        if outcome.violation.is_some() {
            let mut failures = tally.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push(outcome);
            tally.enough.fetch_or(failures.len() >= SHOWN_MAX, Ordering::Relaxed);
        }
    }
}

/// One line that is written over on a terminal; elsewhere one for each ten seconds, of which `told` were told of.
fn progress(args: &SimArgs, tally: &Tally, started: Instant, told: u64) -> u64 {
    let (played, seconds) = (tally.played.load(Ordering::Relaxed), started.elapsed().as_secs_f64());
    let line =
        format!("{played} of {} seeds, {:.0} a second", args.seeds + args.fresh, played as f64 / seconds);
    if std::io::stderr().is_terminal() {
        eprint!("\r{line}   ");
        return told;
    }
    let passed = started.elapsed().as_secs() / 10;
    if passed > told {
        eprintln!("{line}");
    }
    passed
}

impl SimArgs {
    /// What else a person must type to see the same run.
    fn rest(&self) -> String {
        let mut rest = String::new();
        if self.nodes != (2..=5) {
            rest += &format!(" --nodes {}-{}", self.nodes.start(), self.nodes.end());
        }
        match self.without {
            None | Some(Mutation::None) => {}
            Some(Mutation::NoEgressGate) => rest += " --without egress",
            Some(Mutation::NoStickiness) => rest += " --without stickiness",
            Some(Mutation::NoUnansweredRule) => rest += " --without unanswered",
            Some(Mutation::UnsentAsks) => rest += " --without sent",
        }
        rest
    }
}

fn sizes(text: &str) -> Result<RangeInclusive<usize>> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    let (least, most) = (least.trim().parse::<usize>()?, most.trim().parse::<usize>()?);
    if least < 2 || most > 5 || least > most {
        bail!("{text:?} is no size of a cluster: 2 to 5 nodes, as in 3 or 2-5");
    }
    Ok(least..=most)
}

fn mutation(text: &str) -> Result<Mutation> {
    match text {
        "egress" => Ok(Mutation::NoEgressGate),
        "stickiness" => Ok(Mutation::NoStickiness),
        "unanswered" => Ok(Mutation::NoUnansweredRule),
        "sent" => Ok(Mutation::UnsentAsks),
        _ => bail!("{text:?} is no rule; there are: egress, stickiness, unanswered, sent"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_a_number_or_two() {
        assert_eq!(sizes("3").unwrap(), 3..=3);
        assert_eq!(sizes("2-5").unwrap(), 2..=5);
        for wrong in ["", "1", "6", "4-2", "2-", "two"] {
            assert!(sizes(wrong).is_err(), "{wrong:?}");
        }
    }
}
