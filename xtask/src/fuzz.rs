//! `cargo xtask fuzz`: builds the fuzz targets and runs each for a while, from the corpus that is kept in `fuzz/corpus`.
//!
//! cargo-fuzz builds them (stable Rust is enough: coverage needs no nightly, and there is no `unsafe` in what is fuzzed
//! that a sanitizer could watch). They are run here, two or more at a time, so that one table says what came of it.

mod report;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Mutex,
    thread,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{ebpf, process, toolchain};
use report::Report;

/// Feed arbitrary bytes to everything that reads what others wrote: frames, serial lines, configuration, control socket, recordings
#[derive(Args)]
pub(crate) struct FuzzArgs {
    /// Run only these targets
    target: Vec<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Begin with this luck: nearly the same inputs again; another each time if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seed: Option<u32>,
    /// Run this input alone, once: what a crash left
    #[arg(long, value_name = "FILE", conflicts_with = "keep")]
    input: Option<PathBuf>,
    /// Add what is new to the kept corpus, and drop from it what others cover
    #[arg(long)]
    keep: bool,
    /// Targets that run at once; as many as there are processors if not given
    #[arg(long, short)]
    jobs: Option<usize>,
    /// Install what is missing (cargo-fuzz, a C++ compiler) and end
    #[arg(long, exclusive = true)]
    install: bool,
}

/// What is particular to one target.
struct Target {
    name: &'static str,
    /// Longest input that is tried, bytes.
    length_max: u32,
}

/// Those of `fuzz/Cargo.toml`.
const TARGETS: [Target; 10] = [
    Target { name: "frames", length_max: 1_152 },
    Target { name: "signed", length_max: 4_096 },
    Target { name: "arp", length_max: 84 },
    Target { name: "serial", length_max: 512 },
    Target { name: "nd", length_max: 172 },
    Target { name: "ha_cf", length_max: 1_024 },
    Target { name: "haresources", length_max: 512 },
    Target { name: "authkeys", length_max: 512 },
    Target { name: "control", length_max: 8_192 },
    Target { name: "recording", length_max: 8_192 },
];

/// An input that takes longer, in seconds, is a finding: each should take a fraction of a millisecond.
const HANGS: u32 = 60;
/// An input that takes more memory, in MiB, is one too.
const MEMORY_MAX: u32 = 1_024;

/// Inputs that are kept for a target, besides its seeds: they live in the repository.
const KEPT_MAX: usize = 150;

/// Runs the task.
pub(crate) fn run(workspace: &Path, args: &FuzzArgs) -> Result<ExitCode> {
    if args.install {
        toolchain::install_fuzzer()?;
        return Ok(ExitCode::SUCCESS);
    }
    let fuzz = Fuzz::build(workspace, wanted(&args.target)?)?;
    if let Some(input) = &args.input {
        return fuzz.play(input);
    }
    let reports = fuzz.run_all(args)?;
    reports.iter().for_each(|report| print!("{report}"));
    let failed = reports.iter().filter(|report| report.failed()).count();
    println!("{} targets, {} s each: {failed} failed", reports.len(), args.seconds);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All targets built, each run for a few seconds, with that luck.
pub(crate) fn smoke(workspace: &Path, seconds: u64, seed: u32) -> Result<()> {
    let args = FuzzArgs {
        target: Vec::new(),
        seconds,
        seed: Some(seed),
        input: None,
        keep: false,
        jobs: None,
        install: false,
    };
    if run(workspace, &args)? != ExitCode::SUCCESS {
        bail!("a target found something");
    }
    Ok(())
}

fn wanted(names: &[String]) -> Result<Vec<&'static Target>> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    let find = |name: &String| {
        let all = TARGETS.map(|target| target.name).join(", ");
        let found = TARGETS.iter().find(|target| target.name == name);
        found.with_context(|| format!("no target is called `{name}`; there are: {all}"))
    };
    names.iter().map(find).collect()
}

/// The targets, built.
struct Fuzz {
    /// The package.
    directory: PathBuf,
    /// Where the executables are.
    executables: PathBuf,
    targets: Vec<&'static Target>,
}

impl Fuzz {
    fn build(workspace: &Path, targets: Vec<&'static Target>) -> Result<Self> {
        toolchain::find_fuzzer()?;
        let directory = workspace.join("fuzz");
        let manifest = directory.join("Cargo.toml");
        // cargo-fuzz itself would change the lock file and say nothing.
        let mut fetch = process::cargo();
        fetch.args(["fetch", "--quiet", "--locked", "--manifest-path"]).arg(&manifest);
        process::run(&mut fetch).context(
            "fuzz/Cargo.lock does not fit; to mend it: cargo update --workspace --manifest-path fuzz/Cargo.toml",
        )?;
        let target_directory = ebpf::target_directory(workspace).with_file_name("fuzz");
        let mut build = process::cargo();
        build.current_dir(&directory).args(["fuzz", "build", "--sanitizer", "none", "--target-dir"]);
        build.arg(&target_directory);
        if let [target] = targets[..] {
            build.arg(target.name);
        }
        println!("building {}", targets.iter().map(|target| target.name).collect::<Vec<_>>().join(", "));
        let output = build.stdin(Stdio::null()).output().context("starting cargo fuzz")?;
        if !output.status.success() {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            bail!("`{}` ended with {}", process::shown(&build), output.status);
        }
        let executables = target_directory.join(toolchain::host()?).join("release");
        Ok(Self { directory, executables, targets })
    }

    fn command(&self, target: &Target) -> Command {
        let mut command = Command::new(self.executables.join(target.name));
        command.current_dir(&self.directory).stdin(Stdio::null());
        command.arg(format!("-rss_limit_mb={MEMORY_MAX}")).arg(format!("-timeout={HANGS}"));
        command
    }

    fn corpus(&self, target: &Target) -> PathBuf {
        self.directory.join("corpus").join(target.name)
    }

    /// One input, with all that it says.
    fn play(&self, input: &Path) -> Result<ExitCode> {
        let [target] = self.targets[..] else { bail!("which target is {} for?", input.display()) };
        let input = input.canonicalize().with_context(|| format!("no input {}", input.display()))?;
        let status = self.command(target).env("RUST_BACKTRACE", "1").arg(&input).status()?;
        println!("{}: {status}", target.name);
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn run_all(&self, args: &FuzzArgs) -> Result<Vec<Report>> {
        let jobs = args.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let (waiting, done) = (Mutex::new(self.targets.iter()), Mutex::new(Vec::new()));
        let next = || waiting.lock().map(|mut waiting| waiting.next()).ok().flatten();
        thread::scope(|scope| {
            for _ in 0..jobs.max(1) {
                scope.spawn(|| {
                    while let Some(target) = next() {
                        let report = self.run_one(target, args);
                        if let Ok(mut done) = done.lock() {
                            done.push(report);
                        }
                    }
                });
            }
        });
        let reports = done.into_inner().unwrap_or_default();
        reports.into_iter().collect()
    }

    /// Runs one target. What it finds goes to a directory that vanishes: the kept corpus is only read.
    fn run_one(&self, target: &Target, args: &FuzzArgs) -> Result<Report> {
        let corpus = self.corpus(target);
        let kept = fs::read_dir(&corpus).with_context(|| format!("no corpus {}", corpus.display()))?.count();
        let new = tempfile::tempdir().context("making a directory")?;
        let artifacts = self.directory.join("artifacts").join(target.name);
        fs::create_dir_all(&artifacts)?;
        let mut command = self.command(target);
        command.arg(new.path()).arg(&corpus);
        command.arg(format!("-max_total_time={}", args.seconds));
        command.arg(format!("-max_len={}", target.length_max)).arg("-print_final_stats=1");
        if let Some(seed) = args.seed {
            command.arg(format!("-seed={seed}"));
        }
        command.arg(option("-artifact_prefix=", &artifacts.join("")));
        let dictionary = self.directory.join("dictionaries").join(target.name);
        if dictionary.is_file() {
            command.arg(option("-dict=", &dictionary));
        }
        let output = command.output().with_context(|| format!("starting {}", target.name))?;
        let report = Report::new(target.name, kept, output.status, &output.stderr);
        if args.keep && !report.failed() {
            self.keep(target, new.path())?;
        }
        Ok(report)
    }

    /// Puts what is new into the kept corpus: few inputs that reach the same code, [`KEPT_MAX`] at most. Files named
    /// `seed-…` were written by people, or for them, and stay.
    fn keep(&self, target: &Target, new: &Path) -> Result<()> {
        let corpus = self.corpus(target);
        let chosen = tempfile::tempdir().context("making a directory")?;
        let seeds = tempfile::tempdir().context("making a directory")?;
        for file in files(&corpus)?.iter().filter(|file| is_seed(file)) {
            for directory in [&seeds, &chosen] {
                fs::copy(file, directory.path().join(file.file_name().context("a file without a name")?))?;
            }
        }
        // By edges alone: how often each was passed makes ten times as many files, and little difference.
        let mut merge = self.command(target);
        merge.args(["-set_cover_merge=1", "-use_counters=0"]).arg(format!("-max_len={}", target.length_max));
        merge.arg(chosen.path()).arg(&corpus).arg(new);
        let output = merge.output().context("choosing inputs")?;
        if !output.status.success() {
            bail!("{}: {}", target.name, String::from_utf8_lossy(&output.stderr));
        }
        for file in files(&corpus)?.iter().filter(|file| !is_seed(file)) {
            fs::remove_file(file)?;
        }
        // libFuzzer writes first what reaches most.
        let mut best: Vec<_> = files(chosen.path())?.into_iter().filter(|file| !is_seed(file)).collect();
        best.sort_by_key(|file| fs::metadata(file).and_then(|file| file.modified()).ok());
        for file in best.iter().take(KEPT_MAX) {
            fs::copy(file, corpus.join(file.file_name().context("a file without a name")?))?;
        }
        Ok(())
    }
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn is_seed(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-"))
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}
