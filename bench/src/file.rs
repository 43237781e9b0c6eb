//! The JSON file of a measurement: what was measured, when, on what, and the command that repeats it; then the figures.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// Changes when a reader of an earlier one would misunderstand a file.
pub(crate) const SCHEMA: u32 = 1;

/// What every file begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The subcommand, such as `compare`.
    pub(crate) measurement: String,
    pub(crate) schema: u32,
    /// What repeats it.
    pub(crate) command: String,
    /// When it began, in UTC: `2026-11-20`.
    pub(crate) day: String,
    pub(crate) machine: Machine,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct File<T> {
    #[serde(flatten)]
    pub(crate) header: Header,
    #[serde(flatten)]
    pub(crate) figures: T,
}

impl Header {
    /// Of this run.
    pub(crate) fn new(measurement: &str) -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self {
            measurement: measurement.to_owned(),
            schema: SCHEMA,
            command: command(measurement, &arguments),
            day: day(SystemTime::now()),
            machine: Machine::this(),
        }
    }
}

/// Writes the figures of a measurement to `file`, if one is wanted.
pub(crate) fn save<T: Serialize>(file: Option<&Path>, header: &Header, figures: &T) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    // Whole or not at all: it may be read while a longer measurement goes on.
    let part = file.with_extension("part");
    let text = serde_json::to_string_pretty(&File { header: header.clone(), figures })? + "\n";
    fs::write(&part, text).with_context(|| part.display().to_string())?;
    fs::rename(&part, file).with_context(|| file.display().to_string())
}

/// The command line as a person types it, without the name of the file that was written.
fn command(measurement: &str, arguments: &[String]) -> String {
    let mut words = vec![format!("cargo xtask bench {measurement}")];
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => drop(arguments.next()),
            word if word.starts_with("--json=") => {}
            word if word.contains(' ') => words.push(format!("'{word}'")),
            word => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

/// The day of `time` in UTC, in the proleptic Gregorian calendar (Howard Hinnant's `civil_from_days`).
fn day(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    // Counted from 1 March 0000, so that the leap day is the last of a year.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let of = |seconds| day(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!([of(0), of(951_782_400), of(951_868_800)], ["1970-01-01", "2000-02-29", "2000-03-01"]);
        assert_eq!([of(1_795_132_799), of(1_795_132_800)], ["2026-11-19", "2026-11-20"]);
    }

    #[test]
    fn the_command_is_what_a_person_types() {
        let words = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            command("compare", &words("compare|--repeat|9|--json|/tmp/a file|--only|xbeat")),
            "cargo xtask bench compare --repeat 9 --only xbeat"
        );
        assert_eq!(command("xdp", &words("xdp|--json=a|--x|a b")), "cargo xtask bench xdp --x 'a b'");
    }

    #[test]
    fn a_file_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("figures.json");
        let header = Header::new("compare");
        save(Some(&path), &header, &serde_json::json!({"repeat": 3})).unwrap();
        let file: File<serde_json::Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((&file.header, &file.figures["repeat"]), (&header, &3.into()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }
}
