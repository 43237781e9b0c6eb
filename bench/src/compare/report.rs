//! What the comparison found: the table and the JSON file (docs/benchmarks.md has its fields).

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use xbeat_tests::client;
use xbeat_tests::peers::System;
use xbeat_tests::peers::pair::ASK_EVERY;

use super::case::{Condition, Fault, Outcome};
use super::cells::Cell;
use super::plan::Next;
use super::{Skipped, Systems};
use crate::figures::{Spread, ms};
use crate::file::Header;

/// The whole comparison, as it grows.
pub(super) struct Report {
    pub(super) header: Header,
    repeat: u32,
    limit: u64,
    systems: Vec<Described>,
    skipped: Vec<Absent>,
    played: Vec<(Next, Outcome)>,
}

/// A system that is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) version: Option<String>,
    pub(crate) settings: String,
}

/// A system that is not installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Absent {
    pub(crate) name: String,
    pub(crate) program: String,
    pub(crate) install: String,
}

/// The figures in the JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) repeat: u32,
    pub(crate) limit_s: u64,
    pub(crate) request_period_us: u64,
    pub(crate) arp_period_us: u64,
    pub(crate) systems: Vec<Described>,
    pub(crate) skipped: Vec<Absent>,
    pub(crate) cells: Vec<Row>,
    pub(crate) samples: Vec<Sample>,
}

/// All repetitions of one case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) system: String,
    pub(crate) fault: Fault,
    pub(crate) condition: Condition,
    #[serde(flatten)]
    pub(crate) cell: Cell,
}

/// One repetition of one case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) system: String,
    pub(crate) fault: Fault,
    pub(crate) condition: Condition,
    pub(crate) repetition: u32,
    pub(crate) outage_us: u64,
    pub(crate) lost: usize,
    pub(crate) two_owner_windows: usize,
    pub(crate) two_owner_us: u64,
    pub(crate) recovered: bool,
    pub(crate) client_pause_us: u64,
    pub(crate) error: Option<String>,
}

impl Described {
    pub(crate) fn new(system: &dyn System) -> Self {
        Self {
            name: system.name().to_owned(),
            summary: system.summary(),
            version: system.version(),
            settings: system.settings(),
        }
    }
}

impl Absent {
    pub(crate) fn new((system, missing): &Skipped) -> Self {
        let (program, install) = (missing.program.clone(), missing.install.clone());
        Self { name: system.name().to_owned(), program, install }
    }
}

impl Report {
    pub(super) fn new(systems: &Systems, skipped: &[Skipped], repeat: u32, limit: u64) -> Self {
        Self {
            header: Header::new("compare"),
            repeat,
            limit,
            systems: systems.iter().map(|system| Described::new(system.as_ref())).collect(),
            skipped: skipped.iter().map(Absent::new).collect(),
            played: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, case: Next, outcome: Outcome) {
        self.played.push((case, outcome));
    }

    /// What the JSON file says.
    pub(super) fn figures(&self) -> Comparison {
        let samples = self.played.iter().map(|(case, outcome)| Sample {
            system: self.systems[case.system].name.clone(),
            fault: case.fault,
            condition: case.condition,
            repetition: case.repetition,
            outage_us: outcome.outage_us,
            lost: outcome.lost,
            two_owner_windows: outcome.windows,
            two_owner_us: outcome.windows_us,
            recovered: outcome.recovered,
            client_pause_us: outcome.pause_us,
            error: outcome.error.clone(),
        });
        Comparison {
            repeat: self.repeat,
            limit_s: self.limit,
            request_period_us: client::PERIOD.as_micros() as u64,
            arp_period_us: ASK_EVERY.as_micros() as u64,
            systems: self.systems.clone(),
            skipped: self.skipped.clone(),
            cells: self.cells(),
            samples: samples.collect(),
        }
    }

    /// One row for every case that was played, by condition, fault and system.
    fn cells(&self) -> Vec<Row> {
        let mut cases: Vec<_> =
            self.played.iter().map(|(case, _)| (case.condition, case.fault, case.system)).collect();
        cases.sort_unstable();
        cases.dedup();
        let row = |(condition, fault, system)| {
            let same = self
                .played
                .iter()
                .filter(|(case, _)| (case.condition, case.fault, case.system) == (condition, fault, system));
            let cell = Cell::of(same.map(|(_, outcome)| outcome));
            Row { system: self.systems[system].name.clone(), fault, condition, cell }
        };
        cases.into_iter().map(row).collect()
    }

    /// The table, and below it what each system is and how it was set up.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut group = None;
        for row in self.cells() {
            if group != Some((row.condition, row.fault)) {
                group = Some((row.condition, row.fault));
                let title = format!("{}, {}", row.fault.name(), row.condition.name());
                line(&mut text, [""; 10]);
                let head = ["n", "min ms", "median", "p99", "max", "lost", "two owners", "of ms", "never"];
                line(&mut text, [&[title.as_str()], head.as_slice()].concat().try_into().unwrap_or([""; 10]));
            }
            let outage = |of: fn(&Spread) -> u64| {
                row.cell.outage_us.as_ref().map_or_else(|| "-".to_owned(), |spread| ms(of(spread)))
            };
            let failed = match row.cell.failed {
                0 => String::new(),
                failed => format!("  ({failed} failed)"),
            };
            line(
                &mut text,
                [
                    &row.system,
                    &row.cell.n.to_string(),
                    &outage(|spread| spread.min),
                    &outage(|spread| spread.median),
                    &outage(|spread| spread.p99),
                    &outage(|spread| spread.max),
                    &row.cell.lost.to_string(),
                    &row.cell.two_owner_windows.to_string(),
                    &ms(row.cell.two_owner_us),
                    &format!("{}{failed}", row.cell.never),
                ],
            );
        }
        text + &self.setting()
    }

    fn setting(&self) -> String {
        let mut text = format!(
            "\noutage: as a client sees it that asks each {} us; two owners: windows in which two nodes answered ARP\n\
             never: after {} s not one node served alone\n{}\n",
            client::PERIOD.as_micros(),
            self.limit,
            self.header.machine
        );
        for Described { name, summary, version, settings } in &self.systems {
            let version = version.as_deref().unwrap_or("version unknown");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\n{name}: {version}; {summary}");
            for line in settings.lines().filter(|line| !line.is_empty()) {
                let _ = writeln!(text, "    {line}");
            }
        }
        for Absent { name, program, install } in &self.skipped {
            let _ = writeln!(text, "\n{name}: skipped, there is no {program}; `{install}` installs it");
        }
        text
    }
}

fn line(text: &mut String, cells: [&str; 10]) {
    let [what, n, min, median, p99, max, lost, windows, of, never] = cells;
    let row = format!(
        "{what:<22} {n:>4} {min:>10} {median:>10} {p99:>10} {max:>10} {lost:>7} {windows:>10} {of:>10} {never:>6}"
    );
    text.push_str(row.trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use xbeat_tests::peers::keepalived::Keepalived;
    use xbeat_tests::peers::{Missing, ucarp::Ucarp};

    use super::*;

    fn report() -> Report {
        let systems: Box<Systems> = Box::new([Box::new(Keepalived::tuned())]);
        let missing = Missing { program: "/usr/sbin/ucarp".into(), install: "apt-get install ucarp".into() };
        let skipped: Vec<Skipped> = vec![(Box::new(Ucarp), missing)];
        let mut report = Report::new(&systems, &skipped, 2, 12);
        for (repetition, outage_us) in [(0, 24_100), (1, 25_900)] {
            let case = Next { system: 0, fault: Fault::Silent, condition: Condition::Quiet, repetition };
            report.add(case, Outcome { outage_us, recovered: true, ..Outcome::default() });
        }
        report
    }

    #[test]
    fn the_table_has_a_row_for_every_case() {
        let text = report().text();
        let row = text.lines().find(|line| line.starts_with("keepalived ")).unwrap();
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(words, ["keepalived", "2", "24.10", "24.10", "25.90", "25.90", "0", "0", "0.00", "0"]);
        assert!(text.contains("silent, quiet"), "{text}");
        assert!(text.contains("vrrp_rt_priority 50") && text.contains("apt-get install ucarp"), "{text}");
    }

    #[test]
    fn the_json_file_has_the_documented_fields() {
        let json = serde_json::to_value(report().figures()).unwrap();
        let cell = serde_json::json!({
            "system": "keepalived", "fault": "silent", "condition": "quiet", "n": 2,
            "outage_us": {"min": 24100, "median": 24100, "p99": 25900, "max": 25900},
            "lost": 0, "two_owner_windows": 0, "two_owner_us": 0, "never": 0, "failed": 0
        });
        assert_eq!(json["cells"], serde_json::json!([cell]));
        assert_eq!(json["samples"].as_array().unwrap().len(), 2);
        assert_eq!(json["skipped"][0]["install"], "apt-get install ucarp");
        assert_eq!(json["limit_s"], 12);
        let read: Comparison = serde_json::from_value(json).unwrap();
        assert_eq!(read.cells[0].cell, report().cells()[0].cell);
    }
}
