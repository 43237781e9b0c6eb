//! The `xbeat` command: its words, its options, its exit codes. `docs/operations.md` is the same for people.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::control::client::{self, ClientError};
use crate::control::{Command, Reply, ResourceSet};
use crate::status::{Style, render};
use crate::{config, driver, record};

mod help;
mod probe;
mod progress;
mod upgrade;

use progress::Progress;

/// How a command ends. Scripts may rely on these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; for `status`: running and healthy.
    Done = 0,
    /// Not done, or a negative answer; the reason is on stderr.
    NotDone = 1,
    /// Wrong words on the command line (clap's own code).
    Usage = 2,
    /// No agent runs here; for probe: the target never answered.
    NotRunning = 3,
    /// The configuration has errors; they are on stderr.
    Configuration = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Fast failover of virtual IP addresses.
#[derive(Debug, Parser)]
#[command(name = "xbeat", version, after_help = help::PROGRAM, arg_required_else_help = true)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Run the agent in the foreground
    #[command(after_help = help::RUN)]
    Run(Run),
    /// Validate the configuration and say everything that is wrong with it
    #[command(after_help = help::CHECK)]
    Check(Check),
    /// Show nodes, links, groups and gates
    #[command(after_help = help::STATUS)]
    Status(Show),
    /// Hand groups over to the other nodes; returns when it is done
    #[command(after_help = help::STANDBY)]
    Standby(Move),
    /// Fetch groups from the other nodes; returns when it is done
    #[command(after_help = help::TAKEOVER)]
    Takeover(Move),
    /// Say that a silent node is off, where STONITH cannot find out: its groups start here
    #[command(after_help = help::CONFIRM)]
    Confirm(Confirm),
    /// Read the files anew and take over what changed, without a restart; returns when it is done
    #[command(after_help = help::RELOAD)]
    Reload(Reload),
    /// Hand everything over and end the agent; returns when it is done
    #[command(after_help = help::STOP)]
    Stop(Stop),
    /// After a new version was installed: restart the agent into it, without losing a request where that is possible
    #[command(after_help = help::UPGRADE)]
    Upgrade(upgrade::Upgrade),
    /// Step a recording through the election and show each decision
    #[command(after_help = help::REPLAY)]
    Replay(Replay),
    /// Measure from a client how long an address is away: any address, whoever keeps it
    #[command(after_help = help::PROBE)]
    Probe(probe::Probe),
}

#[derive(Debug, Args)]
struct Run {
    /// Where ha.cf, haresources, authkeys and resource.d are
    #[arg(long, value_name = "DIR", default_value = "/etc/ha.d")]
    config_dir: PathBuf,
    #[command(flatten)]
    run: RunDir,
    /// Where what must outlive a reboot is kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/xbeat")]
    state_dir: PathBuf,
    /// This node's name in ha.cf [default: the host's name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Record everything that the election is told, for `xbeat replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Replay {
    /// What `xbeat run --record` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Check {
    /// Where ha.cf, haresources and authkeys are
    #[arg(long, value_name = "DIR", default_value = "/etc/ha.d")]
    config_dir: PathBuf,
    /// Check as the node of this name would see it [default: the host's name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

#[derive(Debug, Args)]
struct Show {
    /// Print the whole status as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    run: RunDir,
    /// Longest time to wait for the agent's answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
}

#[derive(Debug, Args)]
struct Move {
    /// all, local (that prefer this node), foreign (that prefer others), failback (each to where it is at home), or
    /// the key of a group as `xbeat status` shows it
    #[arg(value_name = "all|local|foreign|failback|GROUP", default_value = "all")]
    set: ResourceSet,
    #[command(flatten)]
    run: RunDir,
    /// Longest time to wait until it is done, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
}

#[derive(Debug, Args)]
struct Confirm {
    /// The node that is off
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    run: RunDir,
    /// Longest time to wait for the agent's answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
}

#[derive(Debug, Args)]
struct Reload {
    #[command(flatten)]
    run: RunDir,
    /// Longest time to wait until it is done, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
}

#[derive(Debug, Args)]
struct Stop {
    /// Restart: leave what is open to the next agent, which must come within two seconds (or one lease, if longer)
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    run: RunDir,
    /// Longest time to wait until it is done, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
}

#[derive(Debug, Args)]
struct RunDir {
    /// Where the agent keeps its control socket; one agent per directory
    #[arg(long, value_name = "DIR", default_value = "/run/xbeat")]
    run_dir: PathBuf,
}

/// A positive number of seconds; fractions are fine.
fn seconds(text: &str) -> Result<Duration, String> {
    let duration = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Subject::Run(options) => run(options),
        Subject::Check(options) => check(&options).into(),
        Subject::Status(options) => status(&options).into(),
        Subject::Standby(options) => {
            order(&options.run, &Command::Standby { set: options.set }, options.timeout)
        }
        Subject::Takeover(options) => {
            order(&options.run, &Command::Takeover { set: options.set }, options.timeout)
        }
        Subject::Confirm(options) => {
            order(&options.run, &Command::Confirm { node: options.node }, options.timeout)
        }
        Subject::Reload(options) => order(&options.run, &Command::Reload, options.timeout),
        Subject::Stop(options) => order(&options.run, &Command::Stop { keep: options.keep }, options.timeout),
        Subject::Upgrade(options) => upgrade::run(&options).into(),
        Subject::Replay(options) => replay(&options).into(),
        Subject::Probe(options) => probe::run(options),
    }
}

fn run(options: Run) -> ExitCode {
    let Run { config_dir, run, state_dir, node, record } = options;
    match driver::run(driver::RunOptions { config_dir, run_dir: run.run_dir, state_dir, node, record }) {
        Ok(code) => code,
        Err(error) => refuse(&format!("{error:#}")).into(),
    }
}

fn replay(options: &Replay) -> Exit {
    let shown = options.file.display();
    let file = match File::open(&options.file) {
        Ok(file) => BufReader::new(file),
        Err(error) => return refuse(&format!("cannot read {shown}: {error}")),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let result = record::replay(file, &mut out).and_then(|()| Ok(out.flush()?));
    // What came before a broken line was replayed.
    let _ = out.flush();
    match result {
        Ok(()) => Exit::Done,
        Err(record::Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => refuse(&format!("{shown}: {error}")),
    }
}

fn check(options: &Check) -> Exit {
    match config::load(&options.config_dir, options.node.as_deref()) {
        Ok(config) => {
            if !config.warnings.is_empty() {
                tell(&config::render(&config.warnings));
            }
            if let Some(reason) = driver::refusal(&config) {
                tell(&format!("error: {reason}\n"));
                return Exit::Configuration;
            }
            say(&format!("the configuration in {} is valid\n", options.config_dir.display()))
        }
        Err(errors) => {
            tell(&config::render(&errors));
            Exit::Configuration
        }
    }
}

fn status(options: &Show) -> Exit {
    let reply = match client::call(&options.run.run_dir, &Command::Status, options.timeout, &mut |_| {}) {
        Ok(reply) => reply,
        Err(error) => return unanswered(&error),
    };
    let Reply { ok: true, status: Some(status), .. } = reply else { return refuse(&reply.message) };
    let page = if options.json {
        match serde_json::to_string_pretty(&status) {
            Ok(json) => json + "\n",
            Err(error) => return refuse(&format!("the status cannot be written as JSON: {error}")),
        }
    } else {
        render(&status, style())
    };
    let said = say(&page);
    let problems = status.problems();
    if said != Exit::Done || problems.is_empty() {
        return said;
    }
    // The page says what is wrong; of the JSON only this does in words.
    if options.json {
        tell(&format!("xbeat: {}\n", problems.join("; ")));
    }
    Exit::NotDone
}

/// Standby, takeover, reload, stop.
fn order(run: &RunDir, command: &Command, limit: Duration) -> ExitCode {
    let mut progress = Progress::new(&run.run_dir);
    let exit = match client::call(&run.run_dir, command, limit, &mut |waited| progress.show(waited)) {
        Ok(Reply { ok: true, message, .. }) if message.is_empty() => Exit::Done,
        Ok(Reply { ok: true, message, .. }) => say(&format!("{message}\n")),
        Ok(Reply { ok: false, message, .. }) => refuse(&message),
        Err(error) => unanswered(&error),
    };
    exit.into()
}

fn unanswered(error: &ClientError) -> Exit {
    tell(&format!("xbeat: {error}\n"));
    match error {
        ClientError::NotRunning { .. } => Exit::NotRunning,
        ClientError::Denied { .. }
        | ClientError::TimedOut { .. }
        | ClientError::Lost
        | ClientError::Garbled { .. }
        | ClientError::Io { .. } => Exit::NotDone,
    }
}

fn refuse(reason: &str) -> Exit {
    tell(&format!("xbeat: {reason}\n"));
    Exit::NotDone
}

/// Colour on a terminal that can show it, unless the user declines (no-color.org).
fn style() -> Style {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if io::stdout().is_terminal() && !dumb && !set("NO_COLOR") { Style::Colour } else { Style::Plain }
}

/// To stdout. A reader that has seen enough (`| head`) is no failure.
fn say(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => refuse(&format!("cannot write to stdout: {error}")),
    }
}

/// To stderr, where a failure could not be reported anyway.
fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
