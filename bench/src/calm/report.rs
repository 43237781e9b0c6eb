//! What the calm run saw: one column for each system.

use std::fmt::Write as _;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use xbeat_tests::peers::System;
use xbeat_tests::peers::seen::Seen;
use xbeat_tests::stage::NODES;

use super::Load;
use crate::figures::millis;
use crate::file::Header;

/// How many changes the JSON file lists for each system.
const EVENTS: usize = 1000;

/// The whole run.
pub(super) struct Report {
    pub(super) header: Header,
    pub(super) figures: Calm,
}

/// The figures in the JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Calm {
    pub(crate) load: Load,
    pub(crate) seconds: f64,
    pub(crate) systems: Vec<Column>,
}

/// What one system did. Times in milliseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) summary: String,
    pub(crate) settings: String,
    /// How often the second node, which is not preferred, began to answer.
    pub(crate) false_failovers: usize,
    /// How often the answering node changed.
    pub(crate) changes: usize,
    pub(crate) requests: usize,
    pub(crate) lost_requests: usize,
    /// The sum of all gaps: times in which no request was answered.
    pub(crate) lost_ms: f64,
    pub(crate) longest_gap_ms: f64,
    pub(crate) arp_rounds: usize,
    /// Of them, how many two nodes answered.
    pub(crate) arp_doubled: usize,
    pub(crate) two_owner_windows: usize,
    pub(crate) two_owner_ms: f64,
    /// The longest time that its client stood still: how exact all this is.
    pub(crate) client_pause_ms: f64,
    pub(crate) events: Vec<Event>,
}

/// A change of the answering node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) at_ms: f64,
    pub(crate) to: String,
    pub(crate) after_ms: f64,
}

impl Report {
    pub(super) fn new(header: Header, load: Load, seconds: f64) -> Self {
        Self { header, figures: Calm { load, seconds, systems: Vec::new() } }
    }

    /// Adds what was seen of `system` in `time` (nanoseconds of the harness's clock).
    pub(super) fn add(&mut self, system: &dyn System, seen: &Seen, time: Range<u64>) {
        let column = Column {
            name: system.name().to_owned(),
            version: system.version(),
            summary: system.summary(),
            settings: system.settings(),
            ..Column::measured(seen, time)
        };
        self.figures.systems.push(column);
    }

    /// Whether `system` stayed where it was, alone.
    pub(super) fn is_calm(&self, system: &str) -> bool {
        let mut columns = self.figures.systems.iter().filter(|column| column.name == system);
        columns.all(|column| column.changes == 0 && column.arp_doubled == 0)
    }

    /// The table, one column per system.
    pub(super) fn text(&self) -> String {
        let Calm { load, seconds, systems } = &self.figures;
        let mut text = String::new();
        let mut row = |what: &str, value: &dyn Fn(&Column) -> String| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{what:<34}");
            for column in systems {
                let _ = write!(text, " {:>16}", value(column));
            }
            let _ = writeln!(text);
        };
        row("", &|_| String::new());
        row("", &|column| column.name.clone());
        row("false failovers", &|column| column.false_failovers.to_string());
        row("changes of the answering node", &|column| column.changes.to_string());
        row("requests", &|column| column.requests.to_string());
        row("requests lost", &|column| column.lost_requests.to_string());
        row("time without service", &|column| ms(column.lost_ms));
        row("the longest", &|column| ms(column.longest_gap_ms));
        row("ARP rounds", &|column| column.arp_rounds.to_string());
        row("ARP rounds that two answered", &|column| column.arp_doubled.to_string());
        row("windows with two owners", &|column| column.two_owner_windows.to_string());
        row("time with two owners", &|column| ms(column.two_owner_ms));
        row("longest pause of the client", &|column| ms(column.client_pause_ms));
        let _ = writeln!(text, "\n{seconds:.0} s, load: {}", load.says());
        for column in systems {
            let version = column.version.as_deref().unwrap_or("version unknown");
            let _ = writeln!(text, "{}: {version}; {}", column.name, column.summary);
        }
        text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

impl Column {
    fn measured(seen: &Seen, time: Range<u64>) -> Self {
        let (from, to) = (time.start, time.end);
        let (changes, gaps, windows) = (seen.changes(from, to), seen.gaps(from, to), seen.windows(from, to));
        let event = |change: &xbeat_tests::peers::seen::Change| Event {
            at_ms: millis(change.at - from),
            to: NODES[change.to].to_owned(),
            after_ms: millis(change.after),
        };
        let sent = |at: u64| seen.record.requests.partition_point(|request| request.sent < at);
        Self {
            false_failovers: changes.iter().filter(|change| change.to != 0).count(),
            changes: changes.len(),
            requests: sent(to) - sent(from),
            lost_requests: gaps.iter().map(|gap| gap.lost).sum(),
            lost_ms: millis(gaps.iter().map(|gap| gap.length).sum()),
            longest_gap_ms: millis(gaps.iter().map(|gap| gap.length).max().unwrap_or(0)),
            arp_rounds: seen.asked(from, to),
            arp_doubled: seen.doubled(from, to),
            two_owner_windows: windows.len(),
            two_owner_ms: millis(windows.iter().map(|window| window.end - window.start).sum()),
            client_pause_ms: millis(seen.client_pause(from, to)),
            events: changes.iter().take(EVENTS).map(event).collect(),
            ..Self::default()
        }
    }
}

impl Load {
    pub(crate) const fn says(self) -> &'static str {
        match self {
            Self::Rest => "nothing of ours",
            Self::Hogs => "two ordinary hogs per processor",
            Self::RealTime => "a SCHED_FIFO hog of lower priority than the agents",
            Self::Both => {
                "two ordinary hogs per processor, and a SCHED_FIFO hog of lower priority than the agents"
            }
        }
    }
}

fn ms(value: f64) -> String {
    format!("{value:.2} ms")
}

#[cfg(test)]
mod tests {
    use xbeat_tests::client::Record;
    use xbeat_tests::outage::{Answer, Request};
    use xbeat_tests::peers::keepalived::Keepalived;

    use super::*;

    /// One request each millisecond: a digit is the node that answered, `-` a lost request.
    fn seen(picture: &str) -> Seen {
        let request = |(slot, answerer): (usize, char)| {
            let sent = slot as u64 * 1_000_000;
            let by = answerer.to_digit(10).map(|node| node as usize);
            Request { sent, answer: by.map(|by| Answer { at: sent, by }) }
        };
        let requests = picture.chars().enumerate().map(request).collect();
        Seen { record: Record { requests, ..Record::default() }, ..Seen::default() }
    }

    fn report(picture: &str) -> Report {
        let mut report = Report::new(Header::new("calm"), Load::Rest, 1.0);
        report.add(&Keepalived::tuned(), &seen(picture), 0..u64::MAX);
        report
    }

    #[test]
    fn a_failover_and_its_end_are_two_changes() {
        let report = report("00--11-00");
        let column = &report.figures.systems[0];
        assert_eq!((column.false_failovers, column.changes, column.lost_requests), (1, 2, 3));
        assert_eq!((column.lost_ms, column.longest_gap_ms), (5.0, 3.0));
        assert!(!report.is_calm("keepalived"));
    }

    #[test]
    fn losses_alone_are_no_failover() {
        let report = report("0000-000");
        assert!(report.is_calm("keepalived"));
        assert!(
            report
                .text()
                .lines()
                .any(|line| line.starts_with("time without service") && line.ends_with("2.00 ms"))
        );
    }
}
