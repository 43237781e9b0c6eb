//! What the thread of a line does, turn by turn.

mod frames;

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use reflex::node::Desk;
use reflex::{Facts, Orders};

use super::Line;
use super::framing::{Decoder, Encoded};
use super::port::Port;
use crate::links::Findings;
use crate::sys::{Table, clock};

/// Between two attempts to open a device that is gone, ns.
const RETRY: u64 = 1_000_000_000;
/// Between two looks at the modem lines, ns.
const LOOK: u64 = 1_000_000_000;
/// Between two looks whether the driver has sent everything, when it ought to have, ns.
const DRAIN: u64 = 1_000_000;
/// Reads before what is due is sent.
const READS_MAX: usize = 8;

pub(super) struct Runner {
    line: Arc<Line>,
    id: u8,
    orders: Arc<Table<Orders>>,
    facts: Arc<Table<Facts>>,
    findings: Findings,
    desk: Desk,
    decoder: Decoder,
    port: Option<Port>,
    /// When the device is opened next, if it is not open.
    retry_at: u64,
    /// When the modem lines are looked at next.
    look_at: u64,
    /// When the next probe is due.
    due: u64,
    /// A probe is due and the line was not free yet.
    ask: bool,
    page: u8,
    /// Whom the next probe goes to while it is not known who is there.
    next: u8,
    /// The answer that waits for the line.
    pong: Option<Encoded>,
    /// The answer to a letter that waits for the line, behind all that says that this node lives.
    taken: Option<Encoded>,
    /// What the device has not taken yet of a frame, and how much it has taken.
    rest: Option<(Encoded, usize)>,
    /// When what was written has left, going by the baud rate.
    free_at: u64,
    /// The last frame was an answer: now a probe may go first.
    answered: bool,
}

impl Runner {
    pub(super) fn new(
        line: Arc<Line>,
        id: u8,
        orders: Arc<Table<Orders>>,
        facts: Arc<Table<Facts>>,
        findings: Findings,
    ) -> Self {
        Self {
            line,
            id,
            orders,
            facts,
            findings,
            desk: Desk::default(),
            decoder: Decoder::default(),
            port: None,
            retry_at: 0,
            look_at: 0,
            due: clock::now(),
            ask: false,
            page: 0,
            next: 0,
            pong: None,
            taken: None,
            rest: None,
            free_at: 0,
            answered: false,
        }
    }

    pub(super) fn run(&mut self) {
        while !self.line.is_stopped() {
            self.turn();
            self.wait();
        }
        self.finish();
    }

    /// Lets the last word leave, if the line takes it.
    fn finish(&mut self) {
        let until = clock::now() + 2 * nanos(self.line.pace.grace());
        while clock::now() < until && self.is_speaking() {
            self.turn();
            self.wait();
        }
    }

    fn is_speaking(&self) -> bool {
        let Some(port) = &self.port else { return false };
        self.line.is_urgent() || self.rest.is_some() || clock::now() < self.free_at || port.unsent() != 0
    }

    fn turn(&mut self) {
        if self.port.is_none() {
            self.open(clock::now());
        }
        let now = clock::now();
        if now >= self.due {
            // What was missed is not made up for: a burst would prove nothing.
            let keepalive = nanos(self.line.keepalive).max(1);
            self.due += keepalive * ((now - self.due) / keepalive + 1);
            self.ask = true;
        }
        let Some(mut port) = self.port.take() else { return self.ask_in_vain() };
        match self.serve(&mut port) {
            Ok(()) => self.port = Some(port),
            Err(error) => self.lose(&error.to_string()),
        }
    }

    /// Opens the device, if it is time to try.
    fn open(&mut self, now: u64) {
        if now < self.retry_at {
            return;
        }
        self.retry_at = now + RETRY;
        let name = self.line.device.display();
        match Port::open(&self.line.device, self.line.baud) {
            Ok((port, refused)) => {
                tracing::info!("Link {name} up.");
                refused.iter().for_each(|refused| tracing::warn!("link {name}: {refused}"));
                self.line.counters.opened.fetch_add(1, Ordering::Relaxed);
                let mut state = self.line.lock();
                (state.open, state.fault, state.refused) = (true, None, refused);
                drop(state);
                self.decoder.restart();
                (self.port, self.free_at, self.look_at) = (Some(port), now, now);
            }
            Err(fault) => {
                let fault = fault.to_string();
                let mut state = self.line.lock();
                if state.fault.as_ref() != Some(&fault) {
                    tracing::warn!("link {name}: {fault}");
                    state.fault = Some(fault);
                }
            }
        }
    }

    /// The device is gone. What waited for it is told to nobody.
    fn lose(&mut self, why: &str) {
        tracing::warn!("Link {} dead: {why}.", self.line.device.display());
        let mut state = self.line.lock();
        (state.open, state.is_stuck, state.signals) = (false, false, None);
        state.fault = Some(format!("{} is gone ({why})", self.line.device.display()));
        drop(state);
        (self.pong, self.taken, self.rest) = (None, None, None);
        self.retry_at = clock::now() + RETRY / 10;
    }

    /// A probe is due, and there is nothing to send it by: that asks nobody.
    fn ask_in_vain(&mut self) {
        while self.line.take_urgent().is_some() {}
        if std::mem::take(&mut self.ask) {
            let page = self.next_page();
            let node = self.whom();
            self.make_probe(node, page, clock::now());
        }
    }

    /// Takes what has arrived, then sends what the line can carry now.
    fn serve(&mut self, port: &mut Port) -> io::Result<()> {
        let mut buffer = [0; 512];
        for _ in 0..READS_MAX {
            let len = port.read(&mut buffer)?;
            if len == 0 {
                break;
            }
            self.hear(&buffer[..len]);
        }
        self.send(port)?;
        if clock::now() >= self.look_at {
            self.look_at = clock::now() + LOOK;
            self.look(port);
        }
        Ok(())
    }

    fn set_stuck(&self, stuck: bool) {
        let mut state = self.line.lock();
        if state.is_stuck != stuck {
            state.is_stuck = stuck;
            let name = self.line.device.display();
            if stuck {
                tracing::warn!("Link {name} dead: it takes nothing (no cable, or the other side is off).");
            } else {
                tracing::info!("Link {name} up: it takes frames again.");
            }
        }
    }

    /// Looks at the modem lines.
    fn look(&self, port: &mut Port) {
        let signals = port.signals();
        let mut state = self.line.lock();
        let there = |signals: Option<super::port::Signals>| signals.is_none_or(super::port::Signals::any);
        let (was, is) = (there(state.signals), there(signals));
        state.signals = signals;
        if was != is {
            let name = self.line.device.display();
            if is {
                tracing::info!("Link {name} up: the other side is there.");
            } else {
                tracing::warn!(
                    "Link {name} dead: no CTS, DSR or carrier (no cable, or the other side is off)."
                );
            }
        }
    }

    /// Waits until something arrives, is to be said, or is due.
    fn wait(&self) {
        let now = clock::now();
        let mut until = self.due;
        if self.port.is_none() {
            until = until.min(self.retry_at);
        } else {
            until = until.min(self.look_at);
            if self.has_something() || self.line.is_stopped() {
                until = until.min(if now < self.free_at { self.free_at } else { now + DRAIN });
            }
        }
        let wait = Duration::from_nanos(until.saturating_sub(now));
        let mut waited_for = vec![PollFd::new(self.line.wake().as_fd(), PollFlags::POLLIN)];
        if let Some(port) = &self.port {
            waited_for.push(PollFd::new(port.as_fd(), self.wanted()));
        }
        // Interrupted or not: the next turn looks at everything.
        let _ = ppoll(&mut waited_for, Some(TimeSpec::from_duration(wait)), None);
        let _ = self.line.wake().read();
    }

    /// What the device is asked for.
    fn wanted(&self) -> PollFlags {
        if self.rest.is_some() { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
