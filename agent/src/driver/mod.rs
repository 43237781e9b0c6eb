//! The loop that connects everything: the only reader of the clock and the owner of the election.
//!
//! A turn: carry out what the election asks for; wait for one thing to happen; renew the lease; look at what the reflex
//! found; tell the election; repeat. The reflex acts without waiting for any of it.
//!
//! ```text
//!   kernel events, scripts done, commands, signals, netlink, time
//!                                |
//!                              turn ----- observe ----> Cluster::handle
//!                                ^                            |
//!                                +-- act (orders, runners) <--+ poll_action
//! ```

mod act;
mod adopt;
mod alive;
mod assembly;
mod base;
mod directions;
mod guard;
mod handover;
mod hooks;
mod kept;
mod left;
mod links;
mod listing;
mod notes;
mod observe;
mod old_lines;
mod pace;
mod paths;
mod post;
mod reload;
mod report;
mod requests;
mod runner;
mod setup;
mod sources;
mod stonith;
mod turn;
mod upgrade;
mod window;

pub use old_lines::LINES as OLD_LINES;
pub use setup::refusal;
pub use upgrade::{Prospect, prospect};

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cli::Exit;
use crate::config::{self, Config};
use crate::record::Recorder;
use crate::sys::schedule;
use crate::{control, logging};

/// Where the agent finds and leaves things.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// `ha.cf`, `haresources`, `authkeys`, `resource.d`.
    pub config_dir: PathBuf,
    /// Control socket and lock.
    pub run_dir: PathBuf,
    /// What outlives the agent.
    pub state_dir: PathBuf,
    /// This node's name; none: as the configuration finds it.
    pub node: Option<String>,
    /// Where to record what the election is told.
    pub record: Option<PathBuf>,
}

/// What the loop obtained from the system.
#[derive(Clone, Copy, Debug)]
struct Realtime {
    fifo: bool,
    memory_locked: bool,
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// When it cannot start, or what it stands on breaks.
pub fn run(options: RunOptions) -> Result<ExitCode> {
    let config = match config::load(&options.config_dir, options.node.as_deref()) {
        Ok(config) => config,
        Err(diagnostics) => return refuse(&config::render(&diagnostics)),
    };
    if let Some(reason) = refusal(&config) {
        return refuse(&format!("error: {reason}\n"));
    }
    schedule::set_priority(config.rtprio);
    let logging = logging::init(&logging::LogOptions::from(&config)).context("setting up logs")?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!("Configuration validated. Starting heartbeat {} (xbeat)", env!("CARGO_PKG_VERSION"));
    std::fs::create_dir_all(&options.state_dir)
        .with_context(|| format!("making {}", options.state_dir.display()))?;
    let server = control::serve(&options.run_dir)?;
    let recorder = match &options.record {
        Some(path) => {
            Some(Recorder::start(path).with_context(|| format!("recording to {}", path.display()))?)
        }
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = tokio::task::LocalSet::new()
        .block_on(&runtime, turn::serve(config, options, server, recorder, &logging));
    // Files that are just being read, from a disk that hangs perhaps, are not waited for.
    runtime.shutdown_background();
    served.map(|()| Exit::Done.into())
}

#[allow(clippy::print_stderr, reason = "there is no log yet")]
fn refuse(text: &str) -> Result<ExitCode> {
    eprint!("{text}");
    Ok(Exit::Configuration.into())
}

/// The decision loop outranks ordinary work, and no page of it waits for a disk. What is refused is said and done without.
///
/// To be called when all is set up: the kernel verifies programs for some hundred milliseconds, and in real time that
/// would take a processor from everything else on the machine, other agents included, for longer than a lease.
fn enter_realtime(config: &Config) -> Realtime {
    if !config.realtime {
        return Realtime { fifo: false, memory_locked: false };
    }
    let fifo = schedule::fifo();
    if let Err(error) = &fifo {
        tracing::warn!("SCHED_FIFO refused for the decision loop ({error}): it is slow under load");
    }
    let locked = schedule::lock_memory();
    if let Err(error) = &locked {
        tracing::warn!("cannot lock memory ({error}): page faults may delay decisions");
    }
    Realtime { fifo: fifo.is_ok(), memory_locked: locked.is_ok() }
}

/// How often the loop turns when nothing happens: four times per lease, so that three turns may be late.
fn tick(config: &Config) -> Duration {
    config.lease / 4
}
