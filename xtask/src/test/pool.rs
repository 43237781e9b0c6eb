//! The suites in network namespaces. Their tests mostly wait, each in a network of its own, so a few run at once, of
//! whatever suite: each in a process of its own, so that what one leaves in its process does not reach another.
//!
//! A test that failed is played once more when nothing else runs. If it passes then, it is counted as passed and as
//! *unsteady*, and its first failure is shown: the machine stood still at the wrong moment, or the test expects too
//! much of it; somebody has to look. What nobody may excuse by a machine, an address that two nodes answered for, is
//! never played again.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::Result;
use xbeat_tests::witness::TWO_OWNERS;

use super::{Plan, Report, Suite, Tally, read};

/// How many tests run at once.
const TOGETHER: usize = 4;
/// If more than these failed, it is not the machine, and nothing is played again.
const REPEATED: usize = 5;

/// One test of a suite.
struct Scene<'a> {
    suite: &'a Suite,
    test: String,
}

/// How it went.
struct Played<'a> {
    scene: Scene<'a>,
    tally: Tally,
    report: Report,
}

/// Runs all tests of `suites`, with a line for each as it ends and for each suite when all have ended.
pub(super) fn run(plan: &Plan<'_>, suites: &[&Suite], agent: &Path) -> Result<Tally> {
    let mut scenes = Vec::new();
    for suite in suites {
        let tests = plan.list(suite)?;
        scenes.push(tests.into_iter().map(|test| Scene { suite, test }).collect::<Vec<_>>());
    }
    // Those of small suites are the long ones, whole how-tos with their own times: first, so that they do not come last.
    scenes.sort_by_key(Vec::len);
    let queue = Mutex::new(scenes.into_iter().flatten().collect::<VecDeque<_>>());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = || {
        let mut played = Vec::new();
        while let Some(scene) = next() {
            played.push(scene.play(plan, agent)?);
        }
        Ok(played)
    };
    let all = thread::scope(|scope| {
        let workers: Vec<_> = (0..TOGETHER).map(|_| scope.spawn(work)).collect();
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.collect::<Result<Vec<Vec<Played<'_>>>>>()
    })?;
    let mut all: Vec<Played<'_>> = all.into_iter().flatten().collect();
    repeat(&mut all, plan, agent)?;
    Ok(tell(&all))
}

impl<'a> Scene<'a> {
    fn play(self, plan: &Plan<'_>, agent: &Path) -> Result<Played<'a>> {
        let started = Instant::now();
        let mut command: Command = plan.as_root(self.suite, agent)?;
        command.args(["--exact", &self.test, "--test-threads=1", "--show-output"]);
        command.current_dir(&self.suite.directory).envs(plan.environment(self.suite, agent));
        let name = &self.suite.name;
        let (tally, report) = read(command, |line| {
            if plan.args.verbose {
                println!("{name}: {}: {line}", self.test);
            }
        })?;
        let verdict = if tally.failed > 0 { "FAILED" } else { "ok" };
        println!("{name}: test {} ... {verdict} in {:.1} s", self.test, started.elapsed().as_secs_f64());
        Ok(Played { scene: self, tally, report })
    }
}

/// Plays again, one by one, what failed and may be the machine's fault.
fn repeat(all: &mut [Played<'_>], plan: &Plan<'_>, agent: &Path) -> Result<()> {
    let failed: Vec<&mut Played<'_>> = all.iter_mut().filter(|played| played.tally.failed > 0).collect();
    let again = failed.len() <= REPEATED;
    for played in failed {
        let Scene { suite, test } = &played.scene;
        if !plan.args.verbose {
            played.report.print_failures(&format!("{} {test}", suite.name));
        }
        if again && !played.report.says(TWO_OWNERS) {
            println!("once more, with nothing beside it:");
            let second = Scene { suite, test: test.clone() }.play(plan, agent)?;
            if second.tally.failed == 0 {
                played.tally = Tally { unsteady: 1, ..second.tally };
            } else if !plan.args.verbose {
                second.report.print_failures(&format!("{} {test}", suite.name));
            }
        }
    }
    Ok(())
}

/// A line for each suite, with the tests of it that were skipped or unsteady; returns the sum.
fn tell(all: &[Played<'_>]) -> Tally {
    let mut suites = BTreeMap::<&str, Tally>::new();
    for played in all {
        played.report.print_skips();
        *suites.entry(&played.scene.suite.name).or_default() += played.tally;
        if played.tally.unsteady > 0 {
            println!("  {}: unsteady: it failed, and passed when it ran alone", played.scene.test);
        }
    }
    let mut sum = Tally::default();
    for (name, tally) in suites {
        println!("{name:<24} {tally}");
        sum += tally;
    }
    sum
}
