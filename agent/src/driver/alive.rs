//! Signs of life for those who end a loop that is stuck: systemd (`WatchdogSec`), which starts the agent again, and a watchdog
//! device (`watchdog` in ha.cf), which resets the machine.
//!
//! Each has a thread, and the loop hands that a token now and then. A socket that is full or a device that is slow holds up
//! its own thread, never a decision; and what the loop does not hand out nobody passes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;

use super::setup::nanos;
use crate::config::Config;
use crate::sys::{schedule, watchdog};

/// The device waits so much longer than a node's death takes, as Heartbeat had it.
const DEVICE_MARGIN: Duration = Duration::from_millis(10);
/// How long the end of the agent waits for a device that is being closed.
const CLOSING: Duration = Duration::from_secs(1);
/// How long the end of the agent waits for systemd to hear of it.
const PARTING: Duration = Duration::from_millis(100);
/// What tells a device that the silence to come is meant ("magic close").
const FAREWELL: &[u8] = b"V";

/// Tells systemd that the agent is there. Not from the loop: the socket may be full.
pub(super) fn tell_of_start() {
    drop(tokio::task::spawn_blocking(|| sd_notify::notify(&[NotifyState::Ready])));
}

/// Tells systemd that the agent ends, and waits a little until it knows: a systemd that reads nothing holds up nobody.
pub(super) fn tell_of_end() {
    let (telling, told) = sync_channel(1);
    let teller = std::thread::Builder::new().name("xbeat-parting".to_owned()).spawn(move || {
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        let _ = telling.send(());
    });
    if teller.is_ok() {
        let _ = told.recv_timeout(PARTING);
    }
}

/// Whom the loop gives signs of life.
#[derive(Debug, Default)]
pub(super) struct Signs {
    systemd: Option<Sign>,
    device: Option<Sign>,
}

impl Signs {
    /// Whoever asked for signs: systemd by its environment, the configuration by a device. What cannot be had is an error in
    /// the log, and returned with what it costs.
    pub(super) fn start(config: &Config, realtime: bool) -> (Self, Vec<String>) {
        let mut lost = Vec::new();
        let systemd = sd_notify::watchdog_enabled().and_then(|limit| {
            let sign = Sign::start("xbeat-alive", realtime, limit, |tokens| {
                for _ in tokens {
                    let _ = sd_notify::notify(&[NotifyState::Watchdog]);
                }
            });
            sign.map_err(|error| lost.push(format!("no thread for systemd's watchdog ({error})"))).ok()
        });
        let device = config.watchdog.as_deref().and_then(|path| {
            let sign = open(path).and_then(|device| {
                let path = path.to_owned();
                let limit = limit(config.deadtime);
                Sign::start("xbeat-watchdog", realtime, limit, move |tokens| feed(device, &path, tokens))
            });
            let why = |error| {
                format!("no watchdog {} ({error}): a stuck agent does not reset this machine", path.display())
            };
            sign.map_err(|error| lost.push(why(error))).ok()
        });
        lost.iter().for_each(|lost| tracing::error!("{lost}"));
        (Self { systemd, device }, lost)
    }

    /// The loop turns. `deadtime` may have changed since the last time.
    pub(super) fn give(&mut self, now: u64, deadtime: Duration) {
        if let Some(systemd) = &mut self.systemd {
            systemd.give(now, systemd.limit);
        }
        if let Some(device) = &mut self.device {
            device.give(now, limit(deadtime));
        }
    }

    /// When the next signs are due, if nothing happens before.
    pub(super) fn due(&self) -> Option<u64> {
        [&self.systemd, &self.device].into_iter().flatten().map(|sign| sign.next).min()
    }

    /// The agent ends and means it: nobody is to be reset for that.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

/// How long the device waits for a loop: whole seconds, not less than the others wait for this node.
fn limit(deadtime: Duration) -> Duration {
    Duration::from_secs((deadtime + DEVICE_MARGIN).as_nanos().div_ceil(1_000_000_000) as u64)
}

/// One who waits for signs.
#[derive(Debug)]
struct Sign {
    /// None when it ends.
    tokens: Option<SyncSender<Duration>>,
    ended: Receiver<()>,
    limit: Duration,
    next: u64,
}

impl Sign {
    /// Starts the thread that passes on what [`Sign::give`] hands out. The first sign is due at once.
    fn start(
        name: &str,
        realtime: bool,
        limit: Duration,
        pass_on: impl FnOnce(Receiver<Duration>) + Send + 'static,
    ) -> io::Result<Self> {
        // One token is as good as several.
        let (tokens, received) = sync_channel(1);
        let (ending, ended) = sync_channel(1);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if realtime {
                // Else a busy machine would be reset although the loop turns. Refused: the loop has said so.
                let _ = schedule::fifo();
            }
            pass_on(received);
            let _ = ending.send(());
        })?;
        Ok(Self { tokens: Some(tokens), ended, limit, next: 0 })
    }

    /// Four times per `limit`, so that three may be late.
    fn give(&mut self, now: u64, limit: Duration) {
        if now < self.next && limit == self.limit {
            return;
        }
        self.limit = limit;
        self.next = now + nanos(limit / 4);
        if let Some(tokens) = &self.tokens {
            // Full: the thread has not yet passed on the last one.
            let _ = tokens.try_send(limit);
        }
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        drop(self.tokens.take());
        let _ = self.ended.recv_timeout(CLOSING);
    }
}

/// From here on the device waits for signs.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

/// Feeds the device at each token, and closes it so that it waits no more.
fn feed(mut device: File, path: &Path, tokens: Receiver<Duration>) {
    let mut set = None;
    let mut failing = false;
    for limit in tokens {
        if set != Some(limit) {
            tell_limit(&device, path, limit);
            set = Some(limit);
        }
        let fed = device.write_all(&[0]);
        if let Err(error) = &fed
            && !failing
        {
            tracing::error!("watchdog {}: cannot feed it ({error})", path.display());
        }
        failing = fed.is_err();
    }
    if let Err(error) = device.write_all(FAREWELL) {
        tracing::error!("watchdog {}: cannot close it ({error}): it may reset this machine", path.display());
    }
}

fn tell_limit(device: &File, path: &Path, limit: Duration) {
    let path: PathBuf = path.to_owned();
    let seconds = i32::try_from(limit.as_secs()).unwrap_or(i32::MAX);
    match watchdog::set_timeout(device, seconds) {
        Ok(taken) => tracing::info!(
            "watchdog {} resets this machine when the agent stalls for {taken} s",
            path.display()
        ),
        Err(error) => tracing::error!(
            "watchdog {} does not take {seconds} s ({error}): it goes by its own time",
            path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_device_waits_for_whole_seconds_and_longer_than_the_others() {
        for (deadtime_ms, seconds) in [(5, 1), (990, 1), (991, 2), (1_000, 2), (30_000, 31)] {
            assert_eq!(
                limit(Duration::from_millis(deadtime_ms)),
                Duration::from_secs(seconds),
                "{deadtime_ms} ms"
            );
        }
    }

    #[test]
    fn a_device_is_fed_by_tokens_alone_and_closed_with_its_farewell() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watchdog");
        let device = File::create(&path).unwrap();
        let theirs = path.clone();
        let limit = Duration::from_secs(2);
        let mut sign =
            Sign::start("test", false, limit, move |tokens| feed(device, &theirs, tokens)).unwrap();
        sign.give(SECOND, limit);
        drop(sign);
        // The thread has ended, or is about to.
        let until = std::time::Instant::now() + Duration::from_secs(60);
        while std::fs::read(&path).unwrap() != b"\0V" {
            assert!(std::time::Instant::now() < until, "{:?}", std::fs::read(&path));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn signs_are_given_four_times_within_the_limit_and_at_once_when_it_changes() {
        let (seen, given) = std::sync::mpsc::channel();
        let limit = Duration::from_secs(4);
        let mut sign = Sign::start("test", false, limit, move |tokens| {
            tokens.into_iter().for_each(|token| seen.send(token).unwrap());
        })
        .unwrap();
        let patience = Duration::from_secs(60);
        sign.give(SECOND, limit);
        assert_eq!((given.recv_timeout(patience), sign.next), (Ok(limit), 2 * SECOND));
        // Too soon: nothing to pass on.
        sign.give(2 * SECOND - 1, limit);
        assert_eq!(sign.next, 2 * SECOND);
        let shorter = Duration::from_secs(2);
        sign.give(2 * SECOND - 1, shorter);
        assert_eq!(given.recv_timeout(patience), Ok(shorter));
        sign.give(sign.next, shorter);
        assert_eq!(given.recv_timeout(patience), Ok(shorter));
        drop(sign);
        assert!(given.recv().is_err(), "more was passed on than was given");
    }

    #[test]
    fn a_missing_device_is_a_loss_and_no_end() {
        let error = open(Path::new("/nonexistent/watchdog")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
