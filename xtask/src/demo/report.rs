//! What the demo found: the table and the JSON file.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

/// The faults of one run, in the order of playing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fault {
    /// The owner is dead and its port drops everything.
    Silent,
    /// The old owner is back and gets the address back.
    Failback,
    /// The operator moves the address.
    Standby,
    /// The owner's agent is killed (SIGKILL), the machine lives.
    Sigkill,
    /// The owner's agent is stopped (SIGSTOP) and later goes on.
    Freeze,
    /// The owner is alive, and nobody hears it.
    Isolate,
    /// The isolated node is heard again.
    Heal,
}

const FAULTS: [Fault; 7] = [
    Fault::Silent,
    Fault::Failback,
    Fault::Standby,
    Fault::Sigkill,
    Fault::Freeze,
    Fault::Isolate,
    Fault::Heal,
];

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Failback => "failback",
            Self::Standby => "standby",
            Self::Sigkill => "sigkill",
            Self::Freeze => "freeze",
            Self::Isolate => "isolate",
            Self::Heal => "heal",
        }
    }
}

/// What one fault of one run cost. The field names are those of the JSON file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Measured {
    /// What was played.
    pub(crate) fault: Fault,
    /// The outage as the client saw it, in microseconds.
    pub(crate) outage_us: u64,
    /// Requests without an answer.
    pub(crate) lost: usize,
    /// ARP rounds that two nodes answered, outside of the partition.
    pub(crate) both_answered: usize,
    /// How the new owner handles frames.
    pub(crate) datapath: String,
}

/// All runs.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    runs: Vec<Measured>,
    #[serde(skip)]
    played: usize,
}

impl Report {
    /// Adds the results of one more run.
    pub(crate) fn add_run(&mut self, measured: Vec<Measured>) {
        self.runs.extend(measured);
        self.played += 1;
    }

    /// The JSON file: `{"runs": [{"fault", "outage_us", "lost", "both_answered", "datapath"}]}`.
    pub(crate) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self)? + "\n")
    }

    /// The table, one row per fault and run; with several runs also minimum, median and maximum.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        let mut line = |cells: [&str; 5]| {
            let [fault, outage, lost, both, datapath] = cells;
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{fault:<16}  {outage:>10}  {lost:>13}  {both:>25}  {datapath}");
        };
        line(["", "", "", "", ""]);
        line(["fault", "outage", "requests lost", "ARP answered by two nodes", "datapath"]);
        for row in &self.runs {
            let (outage, lost, both) =
                (ms(row.outage_us), row.lost.to_string(), row.both_answered.to_string());
            line([row.fault.name(), &outage, &lost, &both, &row.datapath]);
        }
        if self.played > 1 {
            for fault in FAULTS.into_iter().filter(|fault| self.runs.iter().any(|row| row.fault == *fault)) {
                let of = |value: fn(&Measured) -> u64| {
                    spread(self.runs.iter().filter(|row| row.fault == fault).map(value).collect())
                };
                let outages = of(|row| row.outage_us);
                let (lost, both) = (of(|row| row.lost as u64), of(|row| row.both_answered as u64));
                line(["", "", "", "", ""]);
                for (place, word) in ["min", "median", "max"].into_iter().enumerate() {
                    let (lost, both) = (lost[place].to_string(), both[place].to_string());
                    line([&format!("{} {word}", fault.name()), &ms(outages[place]), &lost, &both, ""]);
                }
            }
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

fn ms(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1000.0)
}

/// Minimum, median (of an even number of values the mean of the middle two, rounded down) and maximum.
fn spread(mut values: Vec<u64>) -> [u64; 3] {
    values.sort_unstable();
    let (Some(&min), Some(&max)) = (values.first(), values.last()) else { return [0; 3] };
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    [min, low.midpoint(high), max]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(silent: u64, both_answered: usize) -> Vec<Measured> {
        let row = |fault, outage_us, both_answered| {
            let (lost, datapath) = (usize::try_from(outage_us / 200).unwrap(), "native".to_owned());
            Measured { fault, outage_us, lost, both_answered, datapath }
        };
        vec![
            row(Fault::Silent, silent, both_answered),
            row(Fault::Failback, 200, 0),
            row(Fault::Standby, 400, 0),
        ]
    }

    #[test]
    fn one_run_is_three_rows() {
        let mut report = Report::default();
        report.add_run(run(3400, 0));
        let expected = "
fault                 outage  requests lost  ARP answered by two nodes  datapath
silent               3.40 ms             17                          0  native
failback             0.20 ms              1                          0  native
standby              0.40 ms              2                          0  native
";
        assert_eq!(report.table(), expected);
    }

    #[test]
    fn every_fault_has_a_name_of_its_own_the_same_in_table_and_file() {
        for fault in FAULTS {
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.name());
        }
        let names: std::collections::BTreeSet<_> = FAULTS.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), FAULTS.len());
    }

    #[test]
    fn several_runs_are_summed_up() {
        let mut report = Report::default();
        for (silent, both) in [(3000, 0), (9000, 2), (4000, 0), (3600, 0)] {
            report.add_run(run(silent, both));
        }
        let table = report.table();
        let summary: Vec<_> = table.lines().filter(|line| line.starts_with("silent m")).collect();
        let expected = [
            "silent min           3.00 ms             15                          0",
            "silent median        3.80 ms             19                          0",
            "silent max           9.00 ms             45                          2",
        ];
        assert_eq!(summary, expected);
    }

    #[test]
    fn the_json_file_has_the_agreed_fields() {
        let mut report = Report::default();
        report.add_run(run(3400, 1));
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 1);
        let first = serde_json::json!({
            "fault": "silent", "outage_us": 3400, "lost": 17, "both_answered": 1, "datapath": "native"
        });
        assert_eq!(json["runs"][0], first);
        assert_eq!(json["runs"].as_array().unwrap().len(), 3);
    }
}
