//! `heartbeat`: starts, stops and asks for the daemon, as init scripts did.

use std::ffi::OsString;
use std::process::{Child, Command as Process, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;

use super::{NAMES, config_dir, order, run_dir, say, status, tell};
use crate::cli::Exit;
use crate::control::Command;
use crate::control::client::{self, ClientError};
use crate::{config, driver};

/// A status is there at once, or the agent is in trouble.
const STATUS_LIMIT: Duration = Duration::from_secs(5);
/// As long as Heartbeat gave its resources to stop.
const STOP_LIMIT: Duration = Duration::from_secs(3600);
const RELOAD_LIMIT: Duration = Duration::from_secs(60);
/// A daemon answers within this time, or has said why not.
const START_LIMIT: Duration = Duration::from_secs(30);
const START_LOOK_EVERY: Duration = Duration::from_millis(50);

/// LSB's code for what is not running.
const STOPPED: u8 = 3;
/// Something is left of it, and it does not run.
const DEAD: u8 = 1;

/// Heartbeat's daemon. Without an option: start it in the background.
#[derive(Debug, Parser)]
#[command(name = "heartbeat", disable_version_flag = true, disable_help_flag = true)]
struct Options {
    /// Is it running?
    #[arg(short = 's')]
    status: bool,
    /// Stop it, when all is handed over
    #[arg(short = 'k')]
    kill: bool,
    /// Read the files anew
    #[arg(short = 'r')]
    reload: bool,
    /// Print the version
    #[arg(short = 'V')]
    version: bool,
    /// Print the default of every directive
    #[arg(short = 'D', short_alias = 'W')]
    defaults: bool,
    /// Stay in the foreground
    #[arg(short = 'f')]
    foreground: bool,
    /// Ignored: see `debug` in ha.cf
    #[arg(short = 'd', action = clap::ArgAction::Count)]
    debug: u8,
    /// Ignored: see `realtime` in ha.cf
    #[arg(short = 'l')]
    not_realtime: bool,
    /// Ignored: see `xbeat check`
    #[arg(short = 'v')]
    dump: bool,
}

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let arguments = std::iter::once(OsString::from(NAMES[0].name)).chain(arguments.iter().cloned());
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            tell(&error.to_string());
            return Exit::Usage.into();
        }
    };
    if options.version {
        say(concat!(env!("CARGO_PKG_VERSION"), " (xbeat)\n"));
        Exit::Done.into()
    } else if options.defaults {
        say(&defaults());
        Exit::Done.into()
    } else if options.status {
        running().into()
    } else if options.kill {
        stop().into()
    } else if options.reload {
        reload().into()
    } else if options.foreground {
        run()
    } else {
        start().into()
    }
}

/// The directives that have a default of their own; the others follow from these, or are off.
fn defaults() -> String {
    let mut table = format!("{:<25}{}\n{}\n", "Directive", "Default", "-".repeat(40));
    for (name, default) in config::defaults() {
        table.push_str(&format!("{name:<25}{default}\n"));
    }
    table
}

fn pid() -> Option<i32> {
    client::agent(&run_dir())
}

fn running() -> u8 {
    match status(STATUS_LIMIT) {
        Ok(status) => {
            let pid = pid().map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
            say(&format!(
                "heartbeat OK [pid {pid} et al] is running on {} [{}]...\n",
                status.node, status.node
            ));
            Exit::Done as u8
        }
        Err(ClientError::NotRunning { path }) => {
            say("heartbeat is stopped. No process\n");
            if path.exists() { DEAD } else { STOPPED }
        }
        Err(error) => {
            tell(&format!("heartbeat: {error}\n"));
            DEAD
        }
    }
}

fn stop() -> u8 {
    if pid().is_none() {
        tell("INFO: Heartbeat already stopped.\n");
        return Exit::Done as u8;
    }
    order(NAMES[0].name, &Command::Stop { keep: false }, STOP_LIMIT)
}

/// Files with an error are refused here already, with all that is wrong in them.
fn reload() -> u8 {
    let node = match status(STATUS_LIMIT) {
        Ok(status) => status.node,
        Err(error) => {
            tell(&format!("ERROR: Heartbeat not currently running: {error}\n"));
            return Exit::NotDone as u8;
        }
    };
    if let Err(errors) = config::load(&config_dir(), Some(&node)) {
        tell(&config::render(&errors));
        return Exit::Configuration as u8;
    }
    order(NAMES[0].name, &Command::Reload, RELOAD_LIMIT)
}

/// The daemon itself, as `xbeat run`.
fn run() -> ExitCode {
    // In the background it belongs to nobody's terminal. A leader of its group, as in the foreground, keeps what it has.
    let _ = nix::unistd::setsid();
    let options = driver::RunOptions {
        config_dir: config_dir(),
        run_dir: run_dir(),
        state_dir: super::state_dir(),
        node: None,
        record: None,
    };
    match driver::run(options) {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("heartbeat: {error:#}\n"));
            Exit::NotDone.into()
        }
    }
}

/// Starts it in the background and comes back when it answers. Heartbeat came back before it had opened a socket, so that a
/// start that failed looked like one that had not.
fn start() -> u8 {
    if let Some(pid) = pid() {
        tell(&format!("heartbeat: already running [pid {pid}].\n"));
        return Exit::Done as u8;
    }
    if let Err(errors) = config::load(&config_dir(), None) {
        tell(&config::render(&errors));
        tell("ERROR: Heartbeat not started: configuration error.\n");
        return Exit::Configuration as u8;
    }
    let daemon = std::env::current_exe().and_then(|program| {
        let null = Stdio::null;
        Process::new(program).args([NAMES[0].name, "-f"]).stdin(null()).stdout(null()).stderr(null()).spawn()
    });
    match daemon {
        Ok(daemon) => wait_for(daemon),
        Err(error) => {
            tell(&format!("heartbeat: cannot start the daemon: {error}\n"));
            Exit::NotDone as u8
        }
    }
}

fn wait_for(mut daemon: Child) -> u8 {
    let since = Instant::now();
    while since.elapsed() < START_LIMIT {
        if let Ok(Some(ended)) = daemon.try_wait() {
            tell(&format!(
                "ERROR: Heartbeat not started ({ended}): `heartbeat -f` says why, and so does its log.\n"
            ));
            return ended.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1).max(1);
        }
        if pid().is_some() && status(STATUS_LIMIT).is_ok() {
            return Exit::Done as u8;
        }
        std::thread::sleep(START_LOOK_EVERY);
    }
    tell(&format!("heartbeat: the daemon (process {}) does not answer yet: see its log\n", daemon.id()));
    Exit::NotDone as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_may_stand_together_and_unknown_ones_are_usage() {
        let parse = |words: &[&str]| Options::try_parse_from([&["heartbeat"], words].concat());
        let options = parse(&["-dd", "-sv"]).unwrap();
        assert!(options.status && options.dump && options.debug == 2 && !options.kill);
        assert!(parse(&["-h"]).is_err() && parse(&["-C", "all"]).is_err() && parse(&["stop"]).is_err());
    }

    #[test]
    fn the_defaults_name_every_time_that_has_one() {
        let table = defaults();
        for line in ["keepalive", "deadtime", "auto_failback"] {
            assert!(table.lines().any(|found| found.starts_with(line)), "{line} is not in:\n{table}");
        }
    }
}
