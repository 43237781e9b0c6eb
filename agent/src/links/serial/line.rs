//! One line and the thread that runs it: it reads, answers, asks at the line's own pace, and opens the device again when it
//! was gone.
//!
//! Nobody ever waits for a line. What is to be said is noted ([`Line::say`]) and said when the line is free, with what is
//! true by then: only the newest probe waits, and only the newest answer. What the line does not take in time is discarded.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use reflex::verdict::VERDICTS;
use reflex::{Facts, Frame, Orders, PAGES_MAX};

use super::Pace;
use super::port::Signals;
use super::runner::Runner;
use crate::links::Findings;
use crate::status;
use crate::sys::{Table, schedule};

/// A serial line, as it is configured and as it stands.
#[derive(Debug)]
pub struct Line {
    /// Path of the device.
    pub device: PathBuf,
    /// Bits per second.
    pub baud: u32,
    /// What it can carry.
    pub pace: Pace,
    /// Time between two probes.
    pub keepalive: Duration,
    /// How it stands, for the status. The thread writes it when something changed.
    state: Mutex<State>,
    /// What passed.
    pub counters: Counters,
    /// Frames by verdict.
    verdicts: [AtomicU64; VERDICTS],
    /// Pages that are to be said as soon as the line is free, bit by page.
    urgent: [AtomicU64; PAGES_MAX / 64],
    /// The letter that waits for the line. Another one takes its place: it comes again.
    letter: Mutex<Option<Frame>>,
    stop: AtomicBool,
    wake: EventFd,
}

/// How a line stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The device is open.
    pub open: bool,
    /// Why it is not, in words.
    pub fault: Option<String>,
    /// It takes no frames.
    pub is_stuck: bool,
    /// The modem lines, where the device has any.
    pub signals: Option<Signals>,
    /// What the device refused of its settings.
    pub refused: Vec<String>,
    /// The node at the other end, once one was heard.
    pub peer: Option<u8>,
}

impl State {
    /// Whether frames can pass, as far as this side can tell.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.open && !self.is_stuck && self.signals.is_none_or(Signals::any)
    }

    /// What keeps frames from passing, in words.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        if !self.open {
            return Some(self.fault.clone().unwrap_or_else(|| "it is not open yet".to_owned()));
        }
        let signals = self.signals.map(|signals| {
            let on = |name: &str, is: bool| format!("{name} {}", if is { "on" } else { "off" });
            let all = [on("CTS", signals.cts), on("DSR", signals.dsr), on("CD", signals.cd)];
            format!(": {}", all.join(", "))
        });
        let told = signals.unwrap_or_default();
        (!self.is_up())
            .then(|| format!("no cable, the other side is off, or a cable without handshake lines{told}"))
    }
}

/// What passed over a line since the agent started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes written.
    pub bytes_out: AtomicU64,
    /// Bytes read.
    pub bytes_in: AtomicU64,
    /// Frames written.
    pub frames_out: AtomicU64,
    /// Frames read that were whole.
    pub frames_in: AtomicU64,
    /// Pieces read that were no frame.
    pub garbage: AtomicU64,
    /// Frames that were ready and never left: a newer one took their place, or the line did not take them.
    pub dropped: AtomicU64,
    /// How often the device was opened.
    pub opened: AtomicU64,
}

impl Counters {
    /// As the status tells them.
    #[must_use]
    pub fn report(&self) -> status::Line {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        status::Line {
            bytes_out: count(&self.bytes_out),
            bytes_in: count(&self.bytes_in),
            frames_out: count(&self.frames_out),
            frames_in: count(&self.frames_in),
            garbage: count(&self.garbage),
            dropped: count(&self.dropped),
            opened: count(&self.opened),
            ..status::Line::default()
        }
    }
}

impl Line {
    /// A line that is not running yet.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn new(device: PathBuf, baud: u32, pace: Pace, keepalive: Duration) -> std::io::Result<Self> {
        Ok(Self {
            device,
            baud,
            pace,
            keepalive: pace.keepalive(keepalive),
            state: Mutex::default(),
            counters: Counters::default(),
            verdicts: std::array::from_fn(|_| AtomicU64::new(0)),
            urgent: std::array::from_fn(|_| AtomicU64::new(0)),
            letter: Mutex::default(),
            stop: AtomicBool::new(false),
            wake: EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?,
        })
    }

    /// A probe about this page as soon as the line is free. Does not wait.
    pub fn say(&self, page: u8) {
        self.urgent[usize::from(page) / 64 % self.urgent.len()].fetch_or(1 << (page % 64), Ordering::AcqRel);
        // Full means that it is awake already.
        let _ = self.wake.write(1);
    }

    /// Whether this node may be at the other end, as far as is known.
    #[must_use]
    pub fn may_lead_to(&self, node: u8) -> bool {
        self.lock().peer.is_none_or(|peer| peer == node)
    }

    /// This letter as soon as the line is free. Does not wait.
    pub fn post(&self, letter: Frame) {
        *self.letter.lock().unwrap_or_else(PoisonError::into_inner) = Some(letter);
        let _ = self.wake.write(1);
    }

    /// The letter that waits, taken away.
    pub(super) fn take_letter(&self) -> Option<Frame> {
        self.letter.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn has_letter(&self) -> bool {
        self.letter.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Frames by verdict.
    #[must_use]
    pub fn verdicts(&self) -> [u64; VERDICTS] {
        std::array::from_fn(|i| self.verdicts[i].load(Ordering::Relaxed))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic with it would have ended the agent; the state is whole after every write.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, verdict: reflex::Verdict) {
        self.verdicts[verdict as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// One of the pages that are to be said, taken off the list.
    pub(super) fn take_urgent(&self) -> Option<u8> {
        for (i, pages) in (0u8..).zip(&self.urgent) {
            let waiting = pages.load(Ordering::Acquire);
            if waiting != 0 {
                let page = waiting.trailing_zeros();
                pages.fetch_and(!(1 << page), Ordering::AcqRel);
                return Some(i * 64 + page as u8);
            }
        }
        None
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.urgent.iter().any(|pages| pages.load(Ordering::Acquire) != 0)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) const fn wake(&self) -> &EventFd {
        &self.wake
    }
}

/// The thread of a line; ends when it is dropped.
pub struct Running {
    line: Arc<Line>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts the thread for `line`, which is link number `id`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        line: Arc<Line>,
        id: u8,
        orders: Arc<Table<Orders>>,
        facts: Arc<Table<Facts>>,
        findings: Findings,
        realtime: bool,
    ) -> std::io::Result<Self> {
        let theirs = Arc::clone(&line);
        let thread = std::thread::Builder::new().name("xbeat-serial".into()).spawn(move || {
            if realtime {
                // Refused means late under load; the agent has said so for its loop already.
                let _ = schedule::fifo();
            }
            Runner::new(theirs, id, orders, facts, findings).run();
        })?;
        Ok(Self { line, thread: Some(thread) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.line.stop.store(true, Ordering::Relaxed);
        let _ = self.line.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
