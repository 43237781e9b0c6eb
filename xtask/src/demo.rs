//! `cargo xtask demo`: see a virtual address fail over.
//!
//! Builds the agent as whoever calls it, then, as root, plays how-to 001 in four network namespaces: start, silent
//! owner, its return with failback, standby, killed agent, frozen agent, isolated owner, healed network. A client and an ARP witness measure from outside. Nothing stays
//! behind, whatever ends the demo; the namespaces and processes are the [`xbeat_tests`] package's harness.

mod play;
mod report;
mod timeline;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use nix::unistd::geteuid;
use xbeat_tests::wait::{self, EXIT_INTERRUPTED, Interrupted};

use report::Report;
use timeline::Timeline;

/// Arguments of `cargo xtask demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Play the whole story so many times, and show minimum, median and maximum
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Also write the results to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How the agents handle frames (`xdp` in ha.cf)
    #[arg(long, value_enum, default_value_t = Datapath::Auto)]
    datapath: Datapath,
    /// Show the table only, not the timeline
    #[arg(long)]
    quiet: bool,
    /// Use this agent instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// The values of `xdp` in ha.cf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Datapath {
    /// The best that the interface can do
    Auto,
    /// XDP in the driver
    Native,
    /// XDP behind the driver
    Generic,
    /// TC ingress
    Tc,
    /// No eBPF
    Off,
}

impl Datapath {
    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
            Self::Off => "off",
        }
    }
}

/// Plays the demo.
pub(crate) fn run(args: DemoArgs) -> Result<()> {
    let binary = match &args.binary {
        Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
        None => build()?,
    };
    if let Some(path) = &args.json {
        // Before any work, and as whoever calls: the file then belongs to them.
        File::create(path).with_context(|| path.display().to_string())?;
    }
    if !geteuid().is_root() {
        return as_root(&args, &binary);
    }
    wait::catch_interrupts()?;
    match play_all(&args, &binary) {
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("interrupted: everything the demo started has been taken down");
            std::process::exit(EXIT_INTERRUPTED)
        }
        result => result,
    }
}

fn play_all(args: &DemoArgs, binary: &Path) -> Result<()> {
    let terminal = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut report = Report::default();
    for run in 1..=args.runs {
        let mut timeline = Timeline::new(terminal, args.quiet);
        if args.runs > 1 {
            timeline.headline(&format!("Run {run} of {}", args.runs));
        }
        report.add_run(play::play(binary, args.datapath, &mut timeline)?);
    }
    print!("{}", report.table());
    if let Some(path) = &args.json {
        fs::write(path, report.json()?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Builds the agent and returns its path, as cargo tells it.
pub(crate) fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut child = Command::new(cargo)
        .args(["build", "--release", "--package", "xbeat", "--message-format=json-render-diagnostics"])
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo build")?;
    let output = child.stdout.take().context("cargo's output")?;
    let executable =
        BufReader::new(output).lines().map_while(Result::ok).filter_map(|line| built(&line)).last();
    let status = child.wait()?;
    if !status.success() {
        bail!("cargo build --release --package xbeat: {status}");
    }
    executable.context("cargo built package xbeat but named no executable of it")
}

/// The path of the agent, if that is what this message of cargo's is about.
fn built(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    (message["target"]["name"] == "xbeat").then(|| message["executable"].as_str().map(PathBuf::from))?
}

/// Runs the same demo through sudo, with the agent that is already built.
fn as_root(args: &DemoArgs, binary: &Path) -> Result<()> {
    let mut arguments = vec!["--runs".into(), args.runs.to_string()];
    arguments.extend(["--datapath".into(), args.datapath.word().into()]);
    if args.quiet {
        arguments.push("--quiet".into());
    }
    if let Some(path) = &args.json {
        arguments.extend(["--json".into(), path.display().to_string()]);
    }
    again_as_root("demo", binary, &arguments)
}

/// Runs this program's task `name` through sudo and ends as it ends.
pub(crate) fn again_as_root(name: &str, binary: &Path, arguments: &[String]) -> Result<()> {
    let program = std::env::current_exe().context("the running executable")?;
    let mut command = Command::new("sudo");
    // The name of the package's directory is what tells the task that cargo has started it.
    command.arg("--").arg("env");
    if let Some(package) = std::env::var_os("CARGO_MANIFEST_DIR") {
        let mut variable = std::ffi::OsString::from("CARGO_MANIFEST_DIR=");
        variable.push(package);
        command.arg(variable);
    }
    command.arg(&program).arg(name).arg("--binary").arg(binary).args(arguments);
    eprintln!("The {name} makes network namespaces and loads XDP programs: it goes on as root, by sudo.");
    let mut sudo = command.spawn().with_context(|| {
        let again = format!("{} {name} --binary {}", program.display(), binary.display());
        format!("the {name} needs root and cannot start sudo; as root, run `{again}`")
    })?;
    // From here on a Ctrl-C is the task's own to answer; this process only waits for it.
    wait::catch_interrupts()?;
    let status = sudo.wait()?;
    // The task has said what there is to say.
    std::process::exit(status.code().unwrap_or(EXIT_INTERRUPTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_found_in_cargos_messages() {
        let agent = r#"{"reason":"compiler-artifact","target":{"name":"xbeat","kind":["bin"]},"executable":"/t/xbeat"}"#;
        assert_eq!(built(agent), Some(PathBuf::from("/t/xbeat")));
        let library =
            r#"{"reason":"compiler-artifact","target":{"name":"xbeat","kind":["lib"]},"executable":null}"#;
        let other = r#"{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/t/other"}"#;
        assert_eq!([built(library), built(other), built("not json")], [None, None, None]);
    }
}
