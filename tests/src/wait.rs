//! Waiting for conditions, and the interruption (Ctrl-C) that ends every wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::{SigSet, Signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// How often a condition is looked at. Short enough to be prompt, long enough not to load the machine that is
/// being measured.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Someone pressed Ctrl-C (or sent SIGTERM, SIGHUP): tidy up and go.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// From now on SIGINT, SIGTERM and SIGHUP end every wait of the harness with [`Interrupted`], so that the caller
/// unwinds and everything is taken down in order. A second signal ends the process at once (the keeper tidies
/// up). Call it first thing in `main`: threads started before keep the old behaviour.
pub fn catch_interrupts() -> Result<()> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block()?;
    thread::Builder::new().name("interrupts".into()).spawn(move || {
        while signals.wait().is_ok() {
            if INTERRUPTED.swap(true, Ordering::SeqCst) {
                std::process::exit(EXIT_INTERRUPTED);
            }
        }
    })?;
    Ok(())
}

/// The exit code shells use for a program ended by Ctrl-C: 128 + SIGINT.
pub const EXIT_INTERRUPTED: i32 = 130;

/// Whether an interrupt was caught.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Waits until `condition` holds; after `limit` fails with a message that names `what` was waited for.
pub fn eventually(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    eventually_some(limit, what, || condition().then_some(()))
}

/// Like [`eventually`], for a condition that yields something once it holds.
pub fn eventually_some<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed() >= limit {
            bail!("waited {limit:?} in vain: {what}");
        }
        pause(LOOK_EVERY)?;
    }
}

/// Lets time pass while things run, where passing time is the point (watching that nothing happens). Never a
/// substitute for [`eventually`].
pub fn pause(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    loop {
        if interrupted() {
            return Err(Interrupted.into());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(20)));
    }
}
