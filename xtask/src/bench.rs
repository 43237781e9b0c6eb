//! `cargo xtask bench` and `cargo xtask calm`: the measurements of the package `bench`, built for it and run as root.
//!
//! Everything is measured by optimised code, the harness too: it shares the processors with what it measures.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use xbeat_tests::wait::{self, EXIT_INTERRUPTED};

use crate::process::{as_root, cargo};

/// Measure (`compare`, `waterfall`, `voip`, ...; `all` does everything) and make the `report`; each has `--help`
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct BenchArgs {
    /// What to measure, and its options
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "MEASUREMENT")]
    arguments: Vec<OsString>,
}

/// Look for false failovers on a busy machine, with keepalived beside (`--help` shows the options)
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct CalmArgs {
    /// The options of `bench calm`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    arguments: Vec<OsString>,
}

/// Runs `bench` with the arguments given.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    let arguments: Vec<&OsStr> = args.arguments.iter().map(OsString::as_os_str).collect();
    bench(&arguments)
}

/// Runs `bench calm`.
pub(crate) fn calm(args: &CalmArgs) -> Result<ExitCode> {
    let options = args.arguments.iter().map(OsString::as_os_str);
    let arguments: Vec<&OsStr> = std::iter::once(OsStr::new("calm")).chain(options).collect();
    bench(&arguments)
}

fn bench(arguments: &[&OsStr]) -> Result<ExitCode> {
    let built = build()?;
    // Through `env`, because sudo keeps no variables.
    let mut agent = OsString::from("XBEAT_BIN=");
    agent.push(&built.agent);
    // The report measures nothing.
    let is_report = arguments.first().is_some_and(|what| *what == "report");
    let command = if is_report { Some(Command::new("env")) } else { as_root("env") };
    let Some(mut command) = command else {
        bail!("measuring makes network namespaces: run it as root, or install sudo");
    };
    command.arg(agent).arg(&built.bench).args(arguments);
    let mut child = command.spawn().with_context(|| built.bench.display().to_string())?;
    // From here on a Ctrl-C is the measurement's own to answer; this process only waits for it.
    wait::catch_interrupts()?;
    let code = child.wait()?.code().unwrap_or(EXIT_INTERRUPTED);
    Ok(ExitCode::from(u8::try_from(code)?))
}

/// What was built.
struct Built {
    agent: PathBuf,
    bench: PathBuf,
}

/// Builds agent and bench and returns their paths, as cargo tells them.
fn build() -> Result<Built> {
    let mut command = cargo();
    command.args(["build", "--release", "--package", "xbeat", "--package", "bench"]);
    let told = told(command.arg("--message-format=json-render-diagnostics"))?;
    let find = |name: &str| {
        let found = told.lines().rev().find_map(|line| executable(line, name));
        found.with_context(|| format!("cargo built package {name} but named no executable of it"))
    };
    Ok(Built { agent: find("xbeat")?, bench: find("bench")? })
}

fn told(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cargo build")?;
    if !output.status.success() {
        bail!("cargo build --release --package xbeat --package bench: {}", output.status);
    }
    String::from_utf8(output.stdout).context("cargo's messages")
}

/// The path of the program `name`, if that is what this message of cargo's is about.
fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let path = message["executable"].as_str().map(Path::new)?;
    (message["target"]["name"] == name).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_tells_where_a_program_is() {
        let message = r#"{"target": {"name": "bench"}, "executable": "/t/release/bench"}"#;
        assert_eq!(executable(message, "bench"), Some(PathBuf::from("/t/release/bench")));
        assert_eq!(executable(message, "xbeat"), None);
        assert_eq!(executable(r#"{"target": {"name": "bench"}, "executable": null}"#, "bench"), None);
        assert_eq!(executable("no message", "bench"), None);
    }
}
