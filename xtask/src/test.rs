//! `cargo xtask test`: every test of the workspace in one go.
//!
//! Everything is built as the caller. Unit and property tests run as the caller too, and so does the simulator. The
//! other suites of the package `tests` make network namespaces and load kernel programs, so their executables run as
//! root: those that disturb one another one after the other, of all others a few tests at once, each in a process of
//! its own.
//!
//! A test that lacks its means prints a line `skipped: REASON` and returns; it is counted as skipped. In CI a skip
//! is a failure.

mod pool;
mod report;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process;
use report::Report;
pub(crate) use report::Tally;

/// Run all tests: unit, property, and (as root, by sudo where needed) the suites in network namespaces
#[derive(Args, Default)]
pub(crate) struct TestArgs {
    /// Run only the tests whose name contains one of these
    filter: Vec<String>,
    /// Run only these suites, named as in the report (`agent`, `tests/xdp`, or a part of it)
    #[arg(long, value_name = "SUITE")]
    suite: Vec<String>,
    /// Leave out what needs root
    #[arg(long)]
    no_root: bool,
    /// Test a debug build of the agent instead of the release build
    #[arg(long)]
    debug_agent: bool,
    /// Compile with, and run unit tests on, this many processors (how many tests run at once as root is fixed)
    #[arg(long, short, value_name = "N")]
    jobs: Option<u32>,
    /// Show every test and its output
    #[arg(long, short)]
    verbose: bool,
}

/// Runs the task; the last line is `N passed, N failed`.
pub(crate) fn run(workspace: &Path, args: &TestArgs) -> Result<ExitCode> {
    let tally = run_all(workspace, args)?;
    let verdict = tally.verdict();
    match &verdict {
        Ok(()) => println!(),
        Err(why) => println!("\n{why}"),
    }
    println!("{tally}");
    Ok(if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The suite of the kernel programs alone, on the object in the file `object` instead of the committed one.
pub(crate) fn run_kernel_suite(workspace: &Path, object: &Path) -> Result<()> {
    let args = TestArgs { suite: vec!["tests/xdp".into()], ..TestArgs::default() };
    let plan = Plan { object: Some(object.to_owned()), ..Plan::new(workspace, &args) };
    let tally = plan.run()?;
    println!("{tally}");
    if tally.passed == 0 {
        bail!("no test of the kernel programs ran");
    }
    tally.verdict()
}

/// Runs everything the arguments ask for and returns the counts.
pub(crate) fn run_all(workspace: &Path, args: &TestArgs) -> Result<Tally> {
    Plan::new(workspace, args).run()
}

/// What to run, and with what.
struct Plan<'a> {
    workspace: &'a Path,
    args: &'a TestArgs,
    /// Replaces the object embedded in the tests.
    object: Option<PathBuf>,
}

/// One test executable.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Suite {
    /// `agent`, `agent/cluster`, `tests/xdp`: the package's directory, and the target if it is no library.
    name: String,
    /// The package's directory, where its tests run.
    directory: PathBuf,
    executable: PathBuf,
    /// Built with the test harness, not a program.
    is_test: bool,
    needs_root: bool,
}

impl<'a> Plan<'a> {
    fn new(workspace: &'a Path, args: &'a TestArgs) -> Self {
        Self { workspace, args, object: None }
    }

    fn run(&self) -> Result<Tally> {
        let agent = self.build_agent()?;
        let all = self.build_suites()?;
        let names = all.iter().map(|suite| suite.name.as_str()).collect::<Vec<_>>().join(", ");
        let suites: Vec<Suite> = all.iter().filter(|suite| self.wants(suite)).cloned().collect();
        if suites.is_empty() {
            bail!("no suite is named like {}; there are: {names}", self.args.suite.join(", "));
        }
        let mut tally = Tally::default();
        let (as_root, as_caller): (Vec<_>, Vec<_>) = suites.into_iter().partition(|suite| suite.needs_root);
        for suite in &as_caller {
            tally += self.run_suite(suite, Command::new(&suite.executable), &agent)?;
        }
        if self.args.filter.is_empty() && self.args.suite.is_empty() {
            tally += self.run_examples()?;
        }
        tally += self.run_as_root(&as_root, &agent)?;
        if tally == Tally::default() && !self.args.filter.is_empty() {
            bail!("no test is named like {}", self.args.filter.join(", "));
        }
        Ok(tally)
    }

    fn wants(&self, suite: &Suite) -> bool {
        self.args.suite.is_empty() || self.args.suite.iter().any(|part| suite.name.contains(part.as_str()))
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = process::cargo();
        cargo.current_dir(self.workspace).args(arguments).arg("--locked");
        if let Some(jobs) = self.args.jobs {
            cargo.arg(format!("--jobs={jobs}"));
        }
        cargo
    }

    /// Builds the agent and returns its path: the suites start it as users would.
    fn build_agent(&self) -> Result<PathBuf> {
        println!("building the agent and the tests");
        let mut cargo = self.cargo(&["build", "--package=xbeat", "--bin=xbeat", MESSAGES]);
        if !self.args.debug_agent {
            cargo.arg("--release");
        }
        let built = executables(&process::output(&mut cargo).context("building the agent")?, self.workspace)?;
        let agent = built.into_iter().find(|built| built.name == "agent/xbeat");
        agent.map(|agent| agent.executable).context("cargo built no executable `xbeat`")
    }

    /// Builds every test executable of the default members.
    fn build_suites(&self) -> Result<Vec<Suite>> {
        let mut cargo = self.cargo(&["test", "--no-run", MESSAGES]);
        let messages = process::output(&mut cargo).context("building the tests")?;
        let mut suites = executables(&messages, self.workspace)?;
        // Cargo also names the programs that tests start.
        suites.retain(|suite| suite.is_test);
        suites.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(suites)
    }

    /// Runs a suite in one process.
    fn run_suite(&self, suite: &Suite, mut command: Command, agent: &Path) -> Result<Tally> {
        if suite.needs_root {
            command.args(["--test-threads=1", "--show-output"]);
        } else {
            command.args(self.args.jobs.map(|jobs| format!("--test-threads={jobs}")));
        }
        command.args(&self.args.filter);
        command.current_dir(&suite.directory);
        command.envs(self.environment(suite, agent));
        self.watch(&suite.name, command, suite.needs_root)
    }

    /// Runs the suites that need root: first those whose tests get along with each other, then the others.
    fn run_as_root(&self, suites: &[Suite], agent: &Path) -> Result<Tally> {
        let (alone, together): (Vec<_>, Vec<_>) =
            suites.iter().partition(|suite| ALONE.contains(&suite.name.as_str()));
        let mut tally = Tally::default();
        let why =
            if self.args.no_root { "left out by --no-root" } else { "needs root, and there is no sudo" };
        if self.args.no_root || process::as_root("true").is_none() {
            for suite in suites {
                tally += self.skip(suite, why)?;
            }
            return Ok(tally);
        }
        tally += pool::run(self, &together, agent)?;
        for suite in alone {
            tally += self.run_suite(suite, self.as_root(suite, agent)?, agent)?;
        }
        Ok(tally)
    }

    /// What a test finds in its environment. The package's directory is what cargo itself would set.
    fn environment(&self, suite: &Suite, agent: &Path) -> Vec<(&'static str, PathBuf)> {
        let mut all = vec![("XBEAT_BIN", agent.to_owned()), ("CARGO_MANIFEST_DIR", suite.directory.clone())];
        all.extend(self.object.clone().map(|object| ("XBEAT_BPF_OBJECT", object)));
        all
    }

    /// The suite's executable as root, in its environment.
    fn as_root(&self, suite: &Suite, agent: &Path) -> Result<Command> {
        if process::is_root() {
            return Ok(Command::new(&suite.executable));
        }
        // sudo drops the environment, so `env` sets it again on the other side.
        let mut command = process::as_root("env").context("there is no sudo")?;
        // The later setting of a name wins.
        let passed_on =
            |name: &str| name == "CI" || ["RUST_", "PROPTEST_", "XBEAT_"].iter().any(|p| name.starts_with(p));
        command.args(
            std::env::vars()
                .filter(|(name, _)| passed_on(name))
                .map(|(name, value)| format!("{name}={value}")),
        );
        let own = self.environment(suite, agent);
        command.args(own.into_iter().map(|(name, value)| format!("{name}={}", value.display())));
        command.arg(&suite.executable);
        Ok(command)
    }

    /// The names of a suite's tests.
    fn list(&self, suite: &Suite) -> Result<Vec<String>> {
        let mut list = Command::new(&suite.executable);
        list.args(&self.args.filter).args(["--list", "--format=terse"]);
        let listed = process::output(&mut list)?;
        Ok(listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    /// Counts a suite's tests as skipped.
    fn skip(&self, suite: &Suite, why: &str) -> Result<Tally> {
        let tests = self.list(suite)?.len();
        if tests > 0 {
            println!("{:<24} {tests} skipped: {why}", suite.name);
        }
        Ok(Tally { skipped: u64::try_from(tests)?, ..Tally::default() })
    }

    /// The examples in the documentation.
    fn run_examples(&self) -> Result<Tally> {
        self.watch("examples in the docs", self.cargo(&["test", "--quiet", "--doc"]), false)
    }

    /// Runs a test executable, reads its report as it comes, and prints what a person wants of it.
    fn watch(&self, name: &str, command: Command, live: bool) -> Result<Tally> {
        let started = Instant::now();
        let (tally, report) = read(command, |line| {
            if self.args.verbose || (live && report::is_result(line)) {
                println!("{name}: {line}");
            }
        })?;
        report.print_skips();
        if !self.args.verbose {
            report.print_failures(name);
        }
        if tally != Tally::default() {
            println!("{name:<24} {tally} in {:.1} s", started.elapsed().as_secs_f64());
        }
        Ok(tally)
    }
}

/// Runs a test executable and reads its report; `seen` gets each line as it comes.
fn read(mut command: Command, mut seen: impl FnMut(&str)) -> Result<(Tally, Report)> {
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("starting `{}`", process::shown(&command)))?;
    // The command holds the pipe's writing ends; without them the reader sees the end.
    drop(command);

    let mut report = Report::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line.context("reading a test's output")?).into_owned();
        seen(&line);
        report.line(line);
    }
    let status = child.wait().context("waiting for a test")?;
    Ok((report.finish(status), report))
}

/// The suite of the package `tests` that makes no namespace: virtual time needs no root.
const ROOTLESS: &str = "sim";
/// Suites whose tests disturb one another: they measure the machine, or load kernel programs by the dozen.
const ALONE: [&str; 2] = ["tests/harness", "tests/xdp"];
const MESSAGES: &str = "--message-format=json-render-diagnostics";

/// The executables that cargo's messages tell of.
fn executables(messages: &str, workspace: &Path) -> Result<Vec<Suite>> {
    let mut all = Vec::new();
    for line in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(line).context("reading cargo's messages")?;
        let (Some(executable), Some(manifest), Some(target)) = (
            message["executable"].as_str(),
            message["manifest_path"].as_str(),
            message["target"]["name"].as_str(),
        ) else {
            continue;
        };
        let directory = Path::new(manifest).parent().context("a package without a directory")?;
        let package = directory.strip_prefix(workspace).unwrap_or(directory).display();
        let is_library =
            message["target"]["kind"].as_array().is_some_and(|kind| kind.contains(&"lib".into()));
        all.push(Suite {
            needs_root: directory == workspace.join("tests") && target != ROOTLESS,
            name: if is_library { package.to_string() } else { format!("{package}/{target}") },
            directory: directory.to_owned(),
            executable: executable.into(),
            is_test: message["profile"]["test"] == true,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_named_by_directory_and_target() {
        let messages = [
            r#"{"reason":"compiler-artifact","manifest_path":"/w/agent/Cargo.toml","target":{"kind":["lib"],"name":"xbeat"},"executable":"/t/xbeat-1"}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/w/agent/Cargo.toml","target":{"kind":["lib"],"name":"xbeat"},"executable":null}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/w/tests/Cargo.toml","target":{"kind":["test"],"name":"xdp"},"profile":{"test":true},"executable":"/t/xdp-1"}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/w/tests/Cargo.toml","target":{"kind":["test"],"name":"sim"},"profile":{"test":true},"executable":"/t/sim-1"}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ];
        let found = executables(&messages.join("\n"), Path::new("/w")).unwrap();
        let names: Vec<_> = found.iter().map(|suite| (suite.name.as_str(), suite.needs_root)).collect();
        assert_eq!(names, [("agent", false), ("tests/xdp", true), ("tests/sim", false)]);
        assert_eq!(found.iter().map(|suite| suite.is_test).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(found[1].directory, Path::new("/w/tests"));
    }
}
