//! `cargo xtask ci`: everything a change must pass, in one command, on any machine that has the toolchain of the
//! kernel programs (`cargo xtask ebpf --install`) and cargo-fuzz (`cargo xtask fuzz --install`).

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::{
    ebpf, fuzz, links, process, sim,
    test::{self, Tally},
    toolchain::{self, TARGET},
};

/// Run every check a change must pass; each step is named, timed, and says how to repeat it
#[derive(Args)]
pub(crate) struct CiArgs {
    /// Run only these steps
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Step>,
    /// Leave these steps out
    #[arg(long, value_enum, value_delimiter = ',')]
    skip: Vec<Step>,
}

/// The steps, in order: what is quick and often wrong comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// The formatting.
    Fmt,
    /// Lints, as errors.
    Clippy,
    /// `cluster` and `reflex` do no IO.
    Purity,
    /// The links of the documentation.
    Links,
    /// The documentation of the code.
    Doc,
    /// The committed kernel object.
    Ebpf,
    /// The simulator, with many seeds.
    Sim,
    /// The fuzz targets: all are built, each runs for a few seconds.
    Fuzz,
    /// All tests.
    Test,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Purity => "purity",
            Self::Links => "links",
            Self::Doc => "doc",
            Self::Ebpf => "ebpf",
            Self::Sim => "sim",
            Self::Fuzz => "fuzz",
            Self::Test => "test",
        }
    }

    /// What a person types to see the same again.
    fn repeat(self) -> &'static str {
        match self {
            Self::Fmt => "cargo fmt --all --check, here and in fuzz/ (without `--check` it mends)",
            Self::Clippy => "cargo clippy --all-targets -- -D warnings, here and in fuzz/",
            Self::Purity => "cargo xtask ci --only purity",
            Self::Links => "cargo xtask ci --only links",
            Self::Doc => "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps",
            Self::Ebpf => "cargo xtask ebpf --check",
            Self::Sim => "cargo xtask sim --seeds 10000",
            Self::Fuzz => "cargo xtask fuzz --seconds 5 --seed 1",
            Self::Test => "cargo xtask test",
        }
    }
}

/// Runs the task. A failing step does not stop the later ones: one run shows everything that is wrong.
pub(crate) fn run(workspace: &Path, args: &CiArgs) -> Result<ExitCode> {
    let wanted =
        |step: &Step| (args.only.is_empty() || args.only.contains(step)) && !args.skip.contains(step);
    let mut ended = Vec::new();
    let mut tally = None;
    for step in Step::value_variants().iter().copied().filter(wanted) {
        println!("\n== {}: {}", step.name(), step.repeat());
        let started = Instant::now();
        let result = run_step(workspace, step, &mut tally);
        let took = started.elapsed();
        match &result {
            Ok(()) => println!("== {}: ok in {:.1} s", step.name(), took.as_secs_f64()),
            Err(error) => println!("== {}: FAILED in {:.1} s: {error:#}", step.name(), took.as_secs_f64()),
        }
        ended.push((step, took, result.is_ok()));
    }
    println!("\n{}", summary(&ended));
    if let Some(tally) = tally {
        println!("{tally}");
    }
    Ok(if ended.iter().all(|(_, _, ok)| *ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_step(workspace: &Path, step: Step, tally: &mut Option<Tally>) -> Result<()> {
    match step {
        Step::Fmt => {
            process::run(process::cargo().current_dir(workspace).args(["fmt", "--all", "--check"]))?;
            process::run(process::cargo().current_dir(workspace.join(FUZZ)).args(["fmt", "--check"]))
        }
        Step::Clippy => {
            let arguments = ["clippy", "--quiet", "--locked", "--all-targets", "--", "-D", "warnings"];
            process::run(process::cargo().current_dir(workspace).args(arguments))?;
            // With what was just checked, instead of a target directory of its own.
            let mut cargo = process::cargo();
            cargo.env("CARGO_TARGET_DIR", ebpf::target_directory(workspace).with_file_name(""));
            process::run(cargo.current_dir(workspace.join(FUZZ)).args(arguments))
        }
        Step::Purity => purity(workspace),
        Step::Links => links::check(workspace),
        Step::Doc => {
            let mut cargo = process::cargo();
            cargo.current_dir(workspace).args(["doc", "--quiet", "--locked", "--no-deps"]);
            process::run(cargo.env("RUSTDOCFLAGS", "-D warnings"))
        }
        Step::Ebpf => ebpf::check(workspace),
        Step::Sim => sim::play_in_ci(workspace),
        Step::Fuzz => fuzz::smoke(workspace, FUZZ_SECONDS, FUZZ_SEED),
        Step::Test => {
            let counted = test::run_all(workspace, &test::TestArgs::default())?;
            *tally = Some(counted);
            counted.verdict()
        }
    }
}

/// One line per step, with how to repeat what failed.
fn summary(ended: &[(Step, Duration, bool)]) -> String {
    let mut text = String::new();
    for (step, took, ok) in ended {
        let verdict = if *ok { "ok" } else { "FAILED" };
        let _ = write!(text, "{:<8} {:>6.1} s  {verdict}", step.name(), took.as_secs_f64());
        if !ok {
            let _ = write!(text, "   repeat: {}", step.repeat());
        }
        text.push('\n');
    }
    text
}

/// The package of the fuzz targets: a workspace of its own, which the commands for all packages leave out.
const FUZZ: &str = "fuzz";

/// How long each fuzz target runs: a smoke, which finds what everybody would find. Longer runs are a person's.
const FUZZ_SECONDS: u64 = 5;

/// The same luck for every change: what this finds came with the change, and is found again.
const FUZZ_SEED: u32 = 1;

/// The packages that decide and must not act, with the directory each is in.
const PURE: [(&str, &str); 2] = [("cluster", "agent/cluster"), ("reflex", "ebpf/reflex")];
/// What they may depend on: each other, and the derive of serde, which does no IO.
const PURE_MAY_USE: [&str; 9] = [
    "cluster",
    "reflex",
    "serde",
    "serde_core",
    "serde_derive",
    "proc-macro2",
    "quote",
    "syn",
    "unicode-ident",
];

/// `cluster` and `reflex` are `no_std`, depend on nothing that could do IO, and compile for a target that has none.
fn purity(workspace: &Path) -> Result<()> {
    for (package, directory) in PURE {
        let source = workspace.join(directory).join("src/lib.rs");
        let text = fs::read_to_string(&source).with_context(|| format!("reading {}", source.display()))?;
        if !text.lines().any(|line| NO_STD.contains(&line.trim())) {
            bail!("{directory}/src/lib.rs does not say `#![no_std]`");
        }
        let mut cargo = process::cargo();
        cargo.current_dir(workspace).args(["tree", "--locked", "--package", package]);
        cargo.args(["--all-features", "--edges=normal", "--prefix=none", "--format={lib}"]);
        let tree = process::output(&mut cargo)?;
        let foreign = foreign(&tree);
        if !foreign.is_empty() {
            bail!("{package} depends on {}, which a pure package may not", foreign.join(", "));
        }
    }
    let toolchain = toolchain::find(None).context("compiling for a target without std")?;
    let mut cargo = toolchain.cargo()?;
    cargo.current_dir(workspace).args(["check", "--quiet", "--locked", "--target", TARGET]);
    cargo.args(toolchain.cargo_options()).args(PURE.map(|(package, _)| format!("--package={package}")));
    // Not the kernel programs' directory: other flags would make each evict the other.
    cargo.arg("--target-dir").arg(ebpf::target_directory(workspace).join("purity"));
    process::run(&mut cargo).context("compiling for a target without std")?;
    println!("cluster and reflex: no_std, no package that does IO, and they compile for {TARGET}");
    Ok(())
}

/// Tests may use std, the package itself may not.
const NO_STD: [&str; 2] = ["#![no_std]", "#![cfg_attr(not(test), no_std)]"];

/// The libraries in `cargo tree`'s list that a pure package may not use.
fn foreign(tree: &str) -> Vec<&str> {
    let mut all: Vec<_> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|library| {
            !PURE_MAY_USE.contains(&library.replace('_', "-").as_str()) && !PURE_MAY_USE.contains(library)
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_does_io_is_foreign() {
        assert_eq!(foreign("reflex\nserde\nserde_core\nserde_derive (proc-macro)\nproc_macro2\n"), [""; 0]);
        assert_eq!(foreign("cluster\nreflex\ntokio\nlibc\ntokio (*)\n"), ["libc", "tokio"]);
    }

    #[test]
    fn what_a_step_does_is_what_its_repetition_does() {
        assert!(Step::Sim.repeat().ends_with(sim::CI_SEEDS));
        assert!(Step::Fuzz.repeat().ends_with(&format!("--seconds {FUZZ_SECONDS} --seed {FUZZ_SEED}")));
    }

    #[test]
    fn the_summary_says_how_to_repeat_only_what_failed() {
        let text = summary(&[
            (Step::Fmt, Duration::from_millis(300), true),
            (Step::Test, Duration::from_secs(61), false),
        ]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines, ["fmt         0.3 s  ok", "test       61.0 s  FAILED   repeat: cargo xtask test"]);
    }
}
