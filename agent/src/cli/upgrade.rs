//! `xbeat upgrade`: the agent of before gives way to this version.
//!
//! Asks of the running agent only what every version understands, and looks at its tables for the rest.

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::{Duration, Instant};

use clap::Args;

use super::{Exit, RunDir, refuse, say, seconds, tell, unanswered};
use crate::config::{self, Config};
use crate::control::client::{self, ClientError};
use crate::control::{Command, Reply, ResourceSet};
use crate::driver::{self, Prospect};

/// Between two looks for the new agent.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A status is there at once, or the agent is not yet there.
const STATUS_LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Upgrade {
    /// Where ha.cf, haresources and authkeys are
    #[arg(long, value_name = "DIR", default_value = "/etc/ha.d")]
    config_dir: PathBuf,
    #[command(flatten)]
    run: RunDir,
    /// This node's name in ha.cf [default: the host's name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Longest time to wait for a hand-over, and for the new agent, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
    /// What restarts the agent [default: only get ready for it]
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<String>,
}

/// Gets ready, restarts, and waits for the new agent.
pub(super) fn run(options: &Upgrade) -> Exit {
    let Some(old) = client::agent(&options.run.run_dir) else {
        let path = crate::control::socket_path(&options.run.run_dir);
        return unanswered(&ClientError::NotRunning { path });
    };
    let config = match read(options) {
        Ok(config) => config,
        Err(errors) => {
            tell(&errors);
            tell("xbeat: this version refuses the configuration; the agent of before goes on\n");
            return Exit::Configuration;
        }
    };
    let said = match driver::prospect(&config, &options.run.run_dir) {
        Prospect::OtherFiles => {
            return refuse(
                "ha.cf or haresources name other nodes or groups than the running agent has; that is more than an upgrade, \
                 and the agent of before goes on (docs/operations.md, new nodes or groups)",
            );
        }
        Prospect::GoesOn => say("this version goes on with the gates that are open\n"),
        Prospect::Idle => say("this node serves nothing now\n"),
        Prospect::OtherLayout => {
            hand_over(options, &config, "the tables of this version are laid out otherwise")
        }
        Prospect::NotPinned => hand_over(options, &config, "the running agent has pinned nothing"),
    };
    if said != Exit::Done {
        return said;
    }
    match options.command.split_first() {
        None => say("the agent may be restarted now\n"),
        Some((program, words)) => restart(options, old, Process::new(program).args(words)),
    }
}

fn read(options: &Upgrade) -> Result<Config, String> {
    let config = config::load(&options.config_dir, options.node.as_deref())
        .map_err(|errors| config::render(&errors))?;
    driver::refusal(&config).map_or(Ok(config), |reason| Err(format!("error: {reason}\n")))
}

/// The restart would close everything, so the others get it first. Where none can take it, that is said, and no obstacle.
fn hand_over(options: &Upgrade, config: &Config, why: &str) -> Exit {
    let standby = Command::Standby { set: ResourceSet::All };
    match client::call(&options.run.run_dir, &standby, options.timeout, &mut |_| {}) {
        Ok(Reply { ok: true, .. }) => say(&format!("{why}: all groups were handed over\n")),
        Ok(Reply { message, .. }) => {
            tell(&format!(
                "xbeat: {why}, and the groups cannot be handed over ({message}): what is served here will be away until the \
                 new agent has heard all nodes, or waited for `initdead` ({} s)\n",
                config.initdead.as_secs_f64()
            ));
            Exit::Done
        }
        Err(error) => unanswered(&error),
    }
}

fn restart(options: &Upgrade, old: i32, command: &mut Process) -> Exit {
    let shown = format!("{command:?}");
    let failed = match command.status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("{shown} ended with {status}")),
        Err(error) => Some(format!("cannot start {shown}: {error}")),
    };
    let since = Instant::now();
    while since.elapsed() < options.timeout {
        if let Some(failed) = &failed
            && client::agent(&options.run.run_dir) == Some(old)
        {
            return refuse(&format!("{failed}: the agent of before, process {old}, still runs"));
        }
        match client::agent(&options.run.run_dir) {
            Some(pid) if pid != old && answers(&options.run.run_dir) => {
                return say(&format!(
                    "the agent is version {} now, process {pid}\n",
                    env!("CARGO_PKG_VERSION")
                ));
            }
            Some(_) | None => std::thread::sleep(LOOK_EVERY),
        }
    }
    match client::agent(&options.run.run_dir) {
        Some(pid) if pid == old => refuse(&format!("the agent of before, process {old}, still runs")),
        Some(pid) => refuse(&format!("the new agent, process {pid}, does not answer yet: see its log")),
        None => refuse(&format!(
            "no agent runs now: see its log{}",
            failed.map_or_else(String::new, |failed| format!(" ({failed})"))
        )),
    }
}

fn answers(run_dir: &Path) -> bool {
    let reply = client::call(run_dir, &Command::Status, STATUS_LIMIT, &mut |_| {});
    reply.is_ok_and(|reply| {
        reply.ok && reply.status.is_some_and(|status| status.version == env!("CARGO_PKG_VERSION"))
    })
}
