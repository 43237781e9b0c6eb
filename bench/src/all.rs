//! Everything, one after the other, unattended: each measurement writes its file into one directory, then the report is made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Args;
use xbeat_tests::wait::{self, EXIT_INTERRUPTED};

use crate::report::{self, ReportArgs};

/// Every measurement and the report, unattended
#[derive(Args)]
pub(crate) struct AllArgs {
    /// Where files and report go
    #[arg(long, value_name = "DIR", default_value = "measured")]
    out: PathBuf,
    /// A few repetitions of everything, to see that it works: half an hour instead of many
    #[arg(long)]
    quick: bool,
    /// These measurements only
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Measure again what has a file already; without it, a run that was interrupted goes on after its last file
    #[arg(long)]
    again: bool,
    /// Also put the tables into this document (docs/benchmarks.md)
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
}

/// What is measured, shortest first; its options in full, and when it is to be quick.
const PLAN: [(&str, &[&str], &[&str]); 8] = [
    ("xdp", &["--takeovers", "1000"], &["--rounds", "5"]),
    ("agent", &["--seconds", "20"], &["--seconds", "3"]),
    (
        "waterfall",
        &["--runs", "100", "--conditions", "quiet,busy,realtime"],
        &["--runs", "5", "--conditions", "quiet,realtime"],
    ),
    ("growth", &[], &["--nodes", "2,4", "--groups", "1,100", "--addresses", "1,100", "--seconds", "3"]),
    ("calm", &["--minutes", "30"], &["--minutes", "0.5"]),
    (
        "detection",
        &["--seconds", "60", "--rounds", "20"],
        &["--deadtimes", "1000,3000,10000", "--seconds", "5", "--rounds", "2"],
    ),
    ("voip", &["--repeat", "20"], &["--repeat", "1"]),
    ("compare", &["--repeat", "30"], &["--repeat", "1"]),
];

/// Runs all of it.
pub(crate) fn run(arguments: &AllArgs) -> Result<ExitCode> {
    wait::catch_interrupts()?;
    fs::create_dir_all(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    let is_wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let mut failed = Vec::new();
    for (name, full, quick) in PLAN.into_iter().filter(|(name, ..)| is_wanted(name)) {
        let file = arguments.out.join(format!("{name}.json"));
        if file.exists() && !arguments.again {
            eprintln!("== {name}: {} is there", file.display());
            continue;
        }
        let part = arguments.out.join(format!("{name}.unfinished"));
        let done = measure(name, if arguments.quick { quick } else { full }, &part)?;
        if wait::interrupted() {
            return Ok(ExitCode::from(u8::try_from(EXIT_INTERRUPTED)?));
        }
        if done {
            fs::rename(&part, &file).with_context(|| part.display().to_string())?;
        } else {
            failed.push(name);
        }
    }
    let html = arguments.out.join("report.html");
    let files = vec![arguments.out.clone()];
    report::run(&ReportArgs { files, html, document: arguments.document.clone() })?;
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("not measured to the end: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Measures one in a process of its own; whether it came to its end and left its figures.
fn measure(name: &str, options: &[&str], file: &Path) -> Result<bool> {
    eprintln!("== {name} {}", options.join(" "));
    let begun = Instant::now();
    let mut command = Command::new(std::env::current_exe()?);
    let status = command.arg(name).args(options).arg("--json").arg(file).status()?;
    eprintln!("== {name}: {status} after {} min", begun.elapsed().as_secs().div_ceil(60));
    // `calm` ends with 1 when somebody moved: that was measured, too.
    let measured = status.success() || (name == "calm" && status.code() == Some(1));
    Ok(measured && file.exists())
}
