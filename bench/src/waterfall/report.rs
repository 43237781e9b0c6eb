//! What was found, by agent, kind and condition: the figures in the JSON file, and the tables of them.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::{Kind, Moment, Run, WAITED_FOR};
use crate::compare::case::Condition;
use crate::figures::{self, Spread, three};

/// The figures in the JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Waterfall {
    pub(crate) keepalive: String,
    pub(crate) deadtime: String,
    pub(crate) request_period_us: u64,
    /// In the order of measuring; the last is the one of this tree.
    pub(crate) agents: Vec<String>,
    pub(crate) runs: Vec<Run>,
    /// Where runs are missing.
    #[serde(default)]
    pub(crate) left_out: Vec<LeftOut>,
}

/// Runs that were played and are not among the others, because a stamp of theirs is missing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) agent: String,
    pub(crate) kind: Kind,
    pub(crate) condition: Condition,
    pub(crate) runs: usize,
}

/// Runs that are told together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Series<'a> {
    pub(crate) agent: &'a str,
    pub(crate) kind: Kind,
    pub(crate) condition: Condition,
}

impl fmt::Display for Series<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.agent, self.kind.name(), self.condition.name())
    }
}

/// The figures of one step, over all runs of a series.
pub(crate) struct Step {
    pub(crate) moment: Moment,
    /// Since the beginning of the outage, us.
    pub(crate) at_us: Spread<f64>,
}

/// How long after the deadline the kernel's verdicts stood.
#[derive(Debug, PartialEq)]
pub(crate) struct AfterDeadline {
    /// By run, us.
    pub(crate) us: Spread<f64>,
    /// How many verdicts stood within [`IN_TIME_US`].
    in_time: usize,
    /// How many runs were played. One that was left out has no verdict in time that we know of.
    runs: usize,
}

/// What the agents promise under every condition, us.
const IN_TIME_US: f64 = 2000.0;

impl AfterDeadline {
    pub(crate) const NAME: &str = "verdict after the deadline (kernel)";

    /// `None` without verdicts. `left_out` runs have none.
    fn of(verdicts_us: impl Iterator<Item = f64> + Clone, left_out: usize) -> Option<Self> {
        let in_time = verdicts_us.clone().filter(|&us| us <= IN_TIME_US).count();
        let runs = verdicts_us.clone().count() + left_out;
        Some(Self { us: Spread::of(verdicts_us)?, in_time, runs })
    }

    /// How many were in time, for a person.
    pub(crate) fn says(&self) -> String {
        format!("of {} runs within {} ms: {}", self.runs, IN_TIME_US / 1e3, self.in_time)
    }
}

impl Waterfall {
    /// Nothing was measured yet.
    pub(super) fn new(keepalive: &str, deadtime: &str, request_period_us: u64, agents: Vec<String>) -> Self {
        let (keepalive, deadtime) = (keepalive.to_owned(), deadtime.to_owned());
        Self { keepalive, deadtime, request_period_us, agents, runs: Vec::new(), left_out: Vec::new() }
    }

    /// Adds the `runs` of `series` that have all their stamps, of `played`.
    pub(super) fn add(&mut self, series: Series<'_>, played: usize, runs: Vec<Run>) {
        let Series { agent, kind, condition } = series;
        if runs.len() < played {
            let runs = played - runs.len();
            self.left_out.push(LeftOut { agent: agent.to_owned(), kind, condition, runs });
        }
        self.runs.extend(runs);
    }

    /// The series of one kind under one condition, by agent; those that have runs.
    pub(crate) fn series(&self, kind: Kind, condition: Condition) -> Vec<Series<'_>> {
        let series = self.agents.iter().map(|agent| Series { agent, kind, condition });
        series.filter(|&series| self.of(series).count() > 0).collect()
    }

    /// The runs of a series.
    pub(crate) fn of<'a>(&'a self, series: Series<'a>) -> impl Iterator<Item = &'a Run> + Clone {
        let Series { agent, kind, condition } = series;
        self.runs
            .iter()
            .filter(move |run| (run.agent.as_str(), run.kind, run.condition) == (agent, kind, condition))
    }

    /// How many of them had to be left out.
    fn left_out(&self, Series { agent, kind, condition }: Series<'_>) -> usize {
        let is_wanted =
            |left: &&LeftOut| (left.agent.as_str(), left.kind, left.condition) == (agent, kind, condition);
        self.left_out.iter().filter(is_wanted).map(|left| left.runs).sum()
    }

    /// How many runs a series has, for a person.
    pub(crate) fn count(&self, series: Series<'_>) -> String {
        let runs = self.of(series).count();
        match self.left_out(series) {
            0 => format!("{runs} runs"),
            left_out => format!("{runs} runs ({left_out} more left out: a stamp is missing)"),
        }
    }

    /// Their steps, in the order in which they happen.
    pub(crate) fn steps(&self, series: Series<'_>) -> Vec<Step> {
        let step = |&moment: &Moment| {
            let times = self.of(series).filter_map(|run| run.at(moment));
            Some(Step { moment, at_us: Spread::of(times)? })
        };
        let mut steps: Vec<Step> = Moment::ALL.iter().filter_map(step).collect();
        steps.sort_by(|a, b| a.at_us.median.total_cmp(&b.at_us.median));
        steps
    }

    /// From the open gate to `moment`, us.
    pub(crate) fn since_opened(&self, series: Series<'_>, moment: Moment) -> Option<Spread<f64>> {
        Spread::of(self.of(series).filter_map(|run| run.since_opened(moment)))
    }

    /// From the deadline to the verdict; `None` where nobody fell silent, and for files that do not tell.
    pub(crate) fn after_deadline(&self, series: Series<'_>) -> Option<AfterDeadline> {
        let verdicts = self.of(series).filter_map(|run| run.verdict_after_deadline_us);
        AfterDeadline::of(verdicts, self.left_out(series))
    }

    /// The outages of a series, us.
    pub(crate) fn outages(&self, series: Series<'_>) -> Option<Spread<f64>> {
        Spread::of(self.of(series).map(|run| run.outage_us))
    }

    /// A table for each series.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for condition in Condition::ALL {
            for kind in Kind::ALL {
                self.series(kind, condition).into_iter().for_each(|series| text += &self.table(series));
            }
        }
        text
    }

    fn table(&self, series: Series<'_>) -> String {
        let runs = self.count(series);
        let mut text = format!("\n{series}, {runs}: times since the last answered request was sent, us\n");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<52} {:>9} {:>9} {:>9} {:>9}", "", "min", "median", "p99", "max");
        let mut row = |what: &str, Spread { min, median, p99, max }: Spread<f64>| {
            let [min, median, p99, max] = [min, median, p99, max].map(three);
            let _ = writeln!(text, "{what:<52} {min:>9} {median:>9} {p99:>9} {max:>9}");
        };
        for step in self.steps(series) {
            row(step.moment.says(), step.at_us);
        }
        if let Some(outage) = self.outages(series) {
            row("outage", outage);
        }
        for (moment, says) in WAITED_FOR {
            if let Some(spread) = self.since_opened(series, moment) {
                row(says, spread);
            }
        }
        if let Some(verdict) = self.after_deadline(series) {
            row(AfterDeadline::NAME, verdict.us);
            let _ = writeln!(text, "{}", verdict.says());
        }
        let pause =
            figures::median(self.of(series).map(|run| run.client_pause_us)).map_or_else(String::new, three);
        let _ = writeln!(text, "the client stood still for {pause} us at most, in the middle run");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_two_milliseconds_after_the_deadline_is_in_time_and_a_run_left_out_is_not() {
        let verdicts = [150.0, 2000.0, 2000.1, 9000.0];
        let told = |left_out| AfterDeadline::of(verdicts.into_iter(), left_out).unwrap();
        let us = Spread { min: 150.0, median: 2000.0, p99: 9000.0, max: 9000.0 };
        assert_eq!(told(0), AfterDeadline { us, in_time: 2, runs: 4 });
        assert_eq!(told(0).says(), "of 4 runs within 2 ms: 2");
        assert_eq!(told(1).says(), "of 5 runs within 2 ms: 2");
        assert_eq!(AfterDeadline::of(std::iter::empty(), 3), None);
    }

    #[test]
    fn series_are_told_apart_and_files_of_old_are_of_a_quiet_machine() {
        let run = |more: &str| -> Run {
            let text = r#"{"agent": "xbeat", "kind": "silent", "moments": [], "outage_us": 1.0, "lost": 0,
                "client_pause_us": 50.0, "requests": []"#;
            serde_json::from_str(&format!("{text}{more}}}")).unwrap()
        };
        let late = run(r#", "condition": "realtime", "verdict_after_deadline_us": 2100.0"#);
        let mut figures = Waterfall::new("1ms", "3ms", 50, vec!["xbeat".to_owned()]);
        let of = |condition| Series { agent: "xbeat", kind: Kind::Silent, condition };
        let (quiet, realtime) = (of(Condition::Quiet), of(Condition::Realtime));
        figures.add(quiet, 1, vec![run("")]);
        figures.add(realtime, 2, vec![late]);
        assert_eq!((figures.of(quiet).count(), figures.after_deadline(quiet)), (1, None));
        assert_eq!(figures.count(quiet), "1 runs");
        assert_eq!(figures.count(realtime), "1 runs (1 more left out: a stamp is missing)");
        assert_eq!(figures.after_deadline(realtime).unwrap().says(), "of 2 runs within 2 ms: 0");
        assert_eq!(figures.series(Kind::Silent, Condition::Busy), []);
        let text = figures.text();
        assert_eq!(text.matches(AfterDeadline::NAME).count(), 1, "{text}");
    }
}
