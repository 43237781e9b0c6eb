//! One case: one system, one fault, one condition, from a fresh network to the end.

use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use xbeat_tests::clock;
use xbeat_tests::hog::{self, Hogs, Kind};
use xbeat_tests::lan::Network;
use xbeat_tests::peers::System;
use xbeat_tests::peers::pair::Pair;
use xbeat_tests::peers::seen::Seen;
use xbeat_tests::wait::pause;

/// What is done to the node that has the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// Power fails; its switch port keeps its carrier and drops everything
    Silent,
    /// Its cable is pulled: it loses its carrier and lives on
    Carrier,
    /// SIGKILL of all processes of its daemon
    Kill,
    /// SIGSTOP of all processes of its daemon, for six seconds
    Freeze,
    /// The operator gives the address to the other node
    HandOver,
    /// The preferred node comes back after a power failure and takes the address back
    Return,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] =
        [Self::Silent, Self::Carrier, Self::Kill, Self::Freeze, Self::HandOver, Self::Return];

    /// As on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Carrier => "carrier",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::HandOver => "hand-over",
            Self::Return => "return",
        }
    }

    /// Who serves when it is over. After a freeze whoever does: it depends on how long the system needs to notice.
    const fn winner(self) -> Option<usize> {
        match self {
            Self::Silent | Self::Carrier | Self::Kill | Self::HandOver => Some(1),
            Self::Freeze => None,
            Self::Return => Some(0),
        }
    }

    /// How long it is watched. Nobody is without service while a node starts, and some take their time on a busy machine.
    fn limit(self, limit: Duration) -> Duration {
        if self == Self::Return { limit.max(START_LIMIT) } else { limit }
    }
}

/// What else takes the processors while the fault is played.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Condition {
    /// Nothing of ours
    #[default]
    Quiet,
    /// Two ordinary hogs per processor
    Busy,
    /// A SCHED_FIFO hog on every processor for nine milliseconds in ten, of lower priority than what is real-time in the systems
    Realtime,
}

impl Condition {
    pub(crate) const ALL: [Self; 3] = [Self::Quiet, Self::Busy, Self::Realtime];

    /// As on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Busy => "busy",
            Self::Realtime => "realtime",
        }
    }

    /// Until it is dropped.
    pub(crate) fn start(self) -> Result<Option<Hogs>> {
        Ok(match self {
            Self::Quiet => None,
            Self::Busy => Some(Hogs::start(Kind::Ordinary)?),
            Self::Realtime => Some(Hogs::on_every_processor()?),
        })
    }
}

/// What one case cost.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// The longest time without an answered request, or between the last answer of one node and the first of the other.
    pub(super) outage_us: u64,
    /// Requests without an answer.
    pub(super) lost: usize,
    /// Windows in which two nodes answered.
    pub(super) windows: usize,
    /// Their total length.
    pub(super) windows_us: u64,
    /// Whether in the end one node served alone, the right one.
    pub(super) recovered: bool,
    /// The longest pause of the client in the outage: it cannot be known more exactly.
    pub(super) pause_us: u64,
    /// Why the case could not be played to the end.
    pub(super) error: Option<String>,
    /// The end of the nodes' logs.
    pub(super) logs: String,
}

/// To start a daemon on a busy machine takes far less.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(90);

/// How long everything runs under the condition before the fault.
const BEFORE: Duration = Duration::from_millis(500);

/// How long a daemon is frozen: longer than every deadtime.
const FROZEN: Duration = Duration::from_secs(6);

/// How long one node must have served alone for the fault to be over, in nanoseconds.
const STABLE: u64 = 1500 * clock::MS;

/// Without an answer for so long, in nanoseconds, nobody serves.
const SILENT: u64 = 100 * clock::MS;

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Plays it. What goes wrong is part of the outcome: the comparison goes on.
pub(super) fn play(system: &dyn System, fault: Fault, condition: Condition, limit: Duration) -> Outcome {
    let failed = |error: anyhow::Error| Outcome { error: Some(format!("{error:#}")), ..Outcome::default() };
    let mut pair = match Pair::new(system) {
        Ok(pair) => pair,
        Err(error) => return failed(error),
    };
    let played = prepare(&mut pair, fault).and_then(|()| {
        under(condition, || {
            pause(BEFORE)?;
            pair.client.changes().for_each(drop);
            let from = clock::now();
            let recovered = inflict(&mut pair, fault, limit)?;
            Ok((from, clock::now(), recovered))
        })
    });
    let logs = pair.logs();
    let measured =
        played.and_then(|(from, to, recovered)| Ok(Outcome::measured(&pair.finish()?, from, to, recovered)));
    Outcome { logs, ..measured.unwrap_or_else(failed) }
}

/// Waits until the pair is at rest and ready for the fault.
fn prepare(pair: &mut Pair<'_>, fault: Fault) -> Result<()> {
    pair.start_all(START_LIMIT)?;
    if fault == Fault::Return {
        pair.power_off(0)?;
        pair.serves(1, START_LIMIT)?;
    }
    Ok(())
}

/// Does `work` on a thread that no hog of `condition` can hold up: faults must happen when they are meant to.
pub(crate) fn under<T: Send>(condition: Condition, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let conductor = scope.spawn(|| {
            hog::outrank();
            let _hogs = condition.start()?;
            work()
        });
        conductor.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Plays the fault and waits until it is over. False if it is not within `limit`.
fn inflict(pair: &mut Pair<'_>, fault: Fault, limit: Duration) -> Result<bool> {
    let end = Instant::now() + fault.limit(limit);
    match fault {
        Fault::Silent => pair.power_off(0)?,
        Fault::Carrier => pair.lan.pull(0, Network::Eth0)?,
        Fault::Kill => pair.node(0).kill()?,
        Fault::Freeze => {
            pair.node(0).freeze()?;
            pause(FROZEN)?;
            pair.node(0).thaw()?;
        }
        Fault::HandOver => pair.node(0).hand_over()?,
        Fault::Return => pair.power_on(0)?,
    }
    is_over(pair, fault.winner(), end)
}

fn is_over(pair: &Pair<'_>, winner: Option<usize>, end: Instant) -> Result<bool> {
    let mut since = clock::now();
    while Instant::now() < end {
        let changed = pair.client.changes().count() > 0;
        let silent = clock::now().saturating_sub(pair.client.answered_at()) > SILENT;
        let owner = pair.client.answerer();
        if changed || silent || winner.is_some_and(|winner| owner != Some(winner)) {
            since = clock::now();
        }
        since = since.max(pair.doubled_at());
        if clock::now().saturating_sub(since) >= STABLE {
            return Ok(true);
        }
        pause(LOOK_EVERY)?;
    }
    Ok(false)
}

impl Outcome {
    fn measured(seen: &Seen, from: u64, to: u64, recovered: bool) -> Self {
        let (outage, gaps, windows) = (seen.outage(from, to), seen.gaps(from, to), seen.windows(from, to));
        // A gap without an end is none for `outage`; here it counts with what was seen of it.
        let longest = gaps.iter().map(|gap| gap.length).max().unwrap_or(0);
        Self {
            outage_us: outage.length.max(longest) / 1000,
            lost: outage.lost,
            windows: windows.len(),
            windows_us: windows.iter().map(|window| window.end - window.start).sum::<u64>() / 1000,
            recovered,
            pause_us: outage.sender_pause / 1000,
            ..Self::default()
        }
    }

    /// For the line that tells the progress.
    pub(super) fn says(&self) -> String {
        if let Some(error) = &self.error {
            return format!("failed: {}", error.lines().next().unwrap_or_default());
        }
        let two = match self.windows {
            0 => String::new(),
            _ => format!(", two owners for {:.1} ms", self.windows_us as f64 / 1000.0),
        };
        let end = if self.recovered { "" } else { ", never over" };
        format!("{:>9.2} ms{two}{end}", self.outage_us as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use xbeat_tests::client::Record;
    use xbeat_tests::outage::{Answer, Request};

    use super::*;

    fn seen(picture: &str) -> Seen {
        let request = |(slot, answerer): (usize, char)| {
            let sent = slot as u64 * 1_000_000;
            let by = answerer.to_digit(10).map(|node| node as usize);
            Request { sent, answer: by.map(|by| Answer { at: sent, by }) }
        };
        let requests = picture.chars().enumerate().map(request).collect();
        Seen { record: Record { requests, ..Record::default() }, ..Seen::default() }
    }

    #[test]
    fn an_outage_without_an_end_counts_with_what_was_seen_of_it() {
        let outcome = Outcome::measured(&seen("00-1----"), 0, u64::MAX, false);
        assert_eq!((outcome.outage_us, outcome.lost), (4000, 5));
        assert_eq!(outcome.says(), "     4.00 ms, never over");
    }

    #[test]
    fn a_move_without_loss_costs_the_time_between_the_two_answers() {
        assert_eq!(Outcome::measured(&seen("0011"), 0, u64::MAX, true).outage_us, 1000);
    }
}
