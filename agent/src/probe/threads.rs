//! Sender and receiver: they note the clock, pass events on, and wait for nobody.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use super::Options;
use super::packet::{Mac, Wrong};
use super::wire::{Asker, Came, Hearer};
use crate::sys::{clock, schedule};

/// Below the agent's own threads, above everything ordinary. The receiver first: an answer's time is to be right.
const PRIORITY_SENDER: u32 = 20;
const PRIORITY_RECEIVER: u32 = 21;
/// A sender that sleeps long looks this often whether it shall end, in ns.
const LOOK_EVERY: u64 = 50_000_000;

/// What the threads tell. Times in ns of [`clock::now`].
#[derive(Debug)]
pub(super) enum Event {
    /// The next request leaves.
    Sent {
        at: u64,
    },
    /// It did not: the kernel refused.
    Unsent {
        error: io::Error,
    },
    Answered {
        number: Option<u64>,
        at: u64,
        mac: Option<Mac>,
        name: Vec<u8>,
    },
    Ignored(Wrong),
    /// All requests are sent.
    AllSent,
    /// A signal wants it to end.
    Interrupted,
    /// Real-time scheduling was refused.
    NoRealtime(io::Error),
}

/// When to send: slots of an absolute schedule. Slots that were slept through are left out, not made up for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    start: u64,
    rate: f64,
    slot: u64,
}

impl Pace {
    pub(super) fn new(start: u64, rate: f64) -> Self {
        Self { start, rate, slot: 0 }
    }

    /// When the current slot begins.
    pub(super) fn due(&self) -> u64 {
        self.start.saturating_add((self.slot as f64 * 1e9 / self.rate) as u64)
    }

    /// To the next slot that is not over yet.
    pub(super) fn advance(&mut self, now: u64) {
        self.slot += 1;
        if self.due() < now {
            let over = now.saturating_sub(self.start) as f64 * self.rate / 1e9;
            self.slot = self.slot.max(over.ceil() as u64);
        }
    }
}

/// Ends sender and receiver when dropped.
#[derive(Debug)]
pub(super) struct Threads {
    stop_sending: Arc<AtomicBool>,
    stop_receiving: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts both; they speak through `events`.
    pub(super) fn start(
        options: &Options,
        asker: Asker,
        hearer: Hearer,
        events: &Sender<Event>,
    ) -> io::Result<Self> {
        let (stop_sending, stop_receiving) = (Arc::default(), Arc::default());
        let mut threads = Self { stop_sending, stop_receiving, handles: Vec::new() };
        let (stop, told, realtime) = (threads.stop_receiving.clone(), events.clone(), options.realtime);
        let hearing = move || {
            if realtime && let Err(error) = schedule::fifo_at(PRIORITY_RECEIVER) {
                let _ = told.send(Event::NoRealtime(error));
            }
            hear(&hearer, &stop, &told);
        };
        threads.handles.push(thread::Builder::new().name("probe-rx".into()).spawn(hearing)?);
        let (stop, told, options) = (threads.stop_sending.clone(), events.clone(), options.clone());
        let asking = move || {
            // Told once, by the receiver. The slack is what an ordinary thread's timers may be late by.
            if !options.realtime || schedule::fifo_at(PRIORITY_SENDER).is_err() {
                let _ = nix::sys::prctl::set_timerslack(1);
            }
            ask(&asker, &options, &stop, &told);
            let _ = told.send(Event::AllSent);
        };
        threads.handles.push(thread::Builder::new().name("probe-tx".into()).spawn(asking)?);
        Ok(threads)
    }

    pub(super) fn stop_sending(&self) {
        self.stop_sending.store(true, Ordering::Release);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop_sending();
        self.stop_receiving.store(true, Ordering::Release);
        for handle in self.handles.drain(..) {
            // A panic was reported by its thread.
            let _ = handle.join();
        }
    }
}

// Nobody listens any more when the caller has ended: then sending an event fails, and does not matter.

fn ask(asker: &Asker, options: &Options, stop: &AtomicBool, events: &Sender<Event>) {
    let start = clock::now();
    let end = options.duration.map(|duration| start.saturating_add(nanos(duration)));
    let mut pace = Pace::new(start, options.rate);
    for number in 0..options.count.unwrap_or(u64::MAX) {
        let due = pace.due();
        if end.is_some_and(|end| due >= end) || !sleep_until(due, stop) {
            return;
        }
        let at = clock::now();
        // Before it leaves: the answer must not be told first.
        let _ = events.send(Event::Sent { at });
        if let Err(error) = asker.ask(number) {
            let _ = events.send(Event::Unsent { error });
        }
        pace.advance(clock::now());
    }
}

/// False when it shall end.
fn sleep_until(due: u64, stop: &AtomicBool) -> bool {
    loop {
        if stop.load(Ordering::Acquire) {
            return false;
        }
        let now = clock::now();
        if now >= due {
            return true;
        }
        clock::sleep_until(due.min(now.saturating_add(LOOK_EVERY)));
    }
}

fn hear(hearer: &Hearer, stop: &AtomicBool, events: &Sender<Event>) {
    while !stop.load(Ordering::Acquire) {
        let came = hearer.hear();
        let at = clock::now();
        match came {
            Ok(Came::Answer { number, mac, name }) => {
                let _ = events.send(Event::Answered { number, at, mac, name });
            }
            Ok(Came::Ignored(wrong)) => {
                let _ = events.send(Event::Ignored(wrong));
            }
            Ok(Came::Nothing) => {}
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {}
                // The interface is down. It may come back; until then this must not spin.
                _ => thread::sleep(Duration::from_millis(1)),
            },
        }
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP are events; the second one ends the process at once. To be called before any
/// thread is started.
pub(super) fn catch_signals(events: Sender<Event>) -> io::Result<()> {
    /// 128 and SIGINT, as shells have it.
    const KILLED: i32 = 130;
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block()?;
    let waiting = move || {
        let mut first = true;
        while signals.wait().is_ok() {
            if !std::mem::take(&mut first) {
                std::process::exit(KILLED);
            }
            let _ = events.send(Event::Interrupted);
        }
    };
    thread::Builder::new().name("probe-signals".into()).spawn(waiting).map(drop)
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_do_not_drift() {
        let mut pace = Pace::new(1_000, 3000.0);
        for slot in 0..30_000u64 {
            assert_eq!(pace.due(), 1_000 + (slot as f64 * 1e9 / 3000.0) as u64);
            // Each a little late.
            pace.advance(pace.due() + 50_000);
        }
        assert_eq!(pace.due(), 1_000 + 10_000_000_000);
    }

    #[test]
    fn slots_that_were_slept_through_are_left_out() {
        let mut pace = Pace::new(0, 1000.0);
        pace.advance(10_400_000);
        assert_eq!(pace.due(), 11_000_000);
        pace.advance(11_000_001);
        assert_eq!(pace.due(), 12_000_000);
    }
}
