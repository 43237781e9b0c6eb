//! Where log lines go: stderr, `logfile`, `debugfile` and syslog, in Heartbeat's line form.
//!
//! ```text
//! Jan 31 23:59:59 server1 xbeat: [4711]: info: Status update for node server2: status active
//! ```
//!
//! Promise: logging never makes the caller wait. A line goes into a bounded queue that a thread of its own
//! empties; where the queue is full, or a file, a pipe or syslog takes nothing, lines are dropped and counted, and
//! the count is logged when there is room again. Files are opened anew once somebody moved them (logrotate needs no
//! signal). What `debug` asks for is decided per event, before anything is formatted.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tracing::Level;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

mod layer;
mod line;
mod queue;
mod sinks;
#[cfg(test)]
mod tests;

use queue::Queue;

use crate::config::{Config, Facility};

/// How long ending may take to write what is queued.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);

/// What the configuration says about logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// `debug`: 0 logs information and worse, 1 adds debug lines, 2 and more traces.
    pub debug: u8,
    /// `logfile`: everything but debug lines.
    pub logfile: Option<PathBuf>,
    /// `debugfile`: everything that is logged.
    pub debugfile: Option<PathBuf>,
    /// `logfacility`.
    pub facility: Option<Facility>,
    /// With neither files nor facility: use syslog where there is one.
    pub syslog_by_default: bool,
    /// This node's name, for the lines of files.
    pub host: String,
}

impl From<&Config> for LogOptions {
    fn from(config: &Config) -> Self {
        Self {
            debug: config.debug,
            logfile: config.logfile.clone(),
            debugfile: config.debugfile.clone(),
            facility: config.logfacility,
            syslog_by_default: true,
            host: config.nodes[config.own].clone(),
        }
    }
}

/// The running log. Dropping it writes what is queued, for at most two seconds; keep it until the end.
#[derive(Debug)]
pub struct Logging {
    shared: Arc<Shared>,
    /// To the writer: where lines go from now on. A channel, because the writer must not be waited for.
    targets: mpsc::Sender<LogOptions>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What the layer, the writer and the owner share.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    debug: AtomicU8,
}

impl Shared {
    /// The most detailed level that is logged.
    fn level(&self) -> Level {
        match self.debug.load(Ordering::Relaxed) {
            0 => Level::INFO,
            1 => Level::DEBUG,
            _ => Level::TRACE,
        }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The writer's thread could not be started.
    #[error("cannot start the thread that writes logs: {0}")]
    Thread(#[source] std::io::Error),
    /// Something else in this process logs already.
    #[error("cannot take over logging: {0}")]
    Taken(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logging for the whole process, `log`-using libraries included. A file that cannot be opened is reported on
/// stderr, and tried again. The writer inherits the caller's scheduling: call this before asking for real-time.
///
/// # Errors
/// When the thread does not start, or logging was started before.
pub fn init(options: &LogOptions) -> Result<Logging, LogError> {
    let shared = Arc::new(Shared { queue: Queue::default(), debug: AtomicU8::new(options.debug) });
    let mut sinks = sinks::Sinks::new(options);
    let reader = Arc::clone(&shared);
    let (targets, changed) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("xbeat-log".to_owned())
        .spawn(move || {
            reader.queue.drain(|records, dropped| {
                if let Some(options) = changed.try_iter().last() {
                    sinks = sinks::Sinks::new(&options);
                }
                sinks.write(records, dropped);
            });
        })
        .map_err(LogError::Thread)?;
    let logging = Logging { shared: Arc::clone(&shared), targets, thread: Some(thread) };
    logging.shared.queue.wake_with(logging.thread.as_ref().map(|thread| thread.thread().clone()));
    tracing_subscriber::registry().with(layer::QueueLayer::new(shared)).try_init()?;
    Ok(logging)
}

impl Logging {
    /// The `debug` level in force.
    #[must_use]
    pub fn debug(&self) -> u8 {
        self.shared.debug.load(Ordering::Relaxed)
    }

    /// Sets the `debug` level (SIGUSR1 and SIGUSR2 move it).
    pub fn set_debug(&self, level: u8) {
        self.shared.debug.store(level, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// Lines go where `options` say from now on. Their `debug` is for [`Logging::set_debug`].
    pub fn set_targets(&self, options: LogOptions) {
        // The writer lives as long as this.
        let _ = self.targets.send(options);
    }

    /// Lines dropped because the writer could not keep up, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.queue.dropped()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.shared.queue.close();
        let Some(thread) = self.thread.take() else { return };
        let until = std::time::Instant::now() + FLUSH_TIME_MAX;
        while !thread.is_finished() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        // A writer that hangs in a file system that hangs is left behind: the process ends anyway.
        if thread.is_finished() && thread.join().is_err() {
            eprintln!("xbeat: the thread that writes logs panicked");
        }
    }
}
