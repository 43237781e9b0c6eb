//! A cell of the table: all repetitions of one case.

use serde::{Deserialize, Serialize};

use super::case::Outcome;
use crate::figures::{self, Spread};

/// What the repetitions of a case cost together. The fields are those of the JSON file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Repetitions that were played to the end.
    pub(crate) n: usize,
    /// Outages, in microseconds. `None` if there was no repetition.
    pub(crate) outage_us: Option<Spread>,
    /// Median of the requests lost.
    pub(crate) lost: u64,
    /// Windows in which two nodes answered, of all repetitions.
    pub(crate) two_owner_windows: usize,
    /// Their total length.
    pub(crate) two_owner_us: u64,
    /// Repetitions after which in the end not one node served alone.
    pub(crate) never: usize,
    /// Repetitions that could not be played.
    pub(crate) failed: usize,
}

impl Cell {
    pub(super) fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let (played, failed): (Vec<_>, Vec<_>) = outcomes.partition(|outcome| outcome.error.is_none());
        let lost = figures::median(played.iter().map(|outcome| outcome.lost as u64));
        Self {
            n: played.len(),
            outage_us: Spread::of(played.iter().map(|outcome| outcome.outage_us)),
            lost: lost.unwrap_or(0),
            two_owner_windows: played.iter().map(|outcome| outcome.windows).sum(),
            two_owner_us: played.iter().map(|outcome| outcome.windows_us).sum(),
            never: played.iter().filter(|outcome| !outcome.recovered).count(),
            failed: failed.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_counted_apart() {
        let outcome = |outage_us, recovered| Outcome {
            outage_us,
            recovered,
            windows: 1,
            windows_us: 10,
            ..Outcome::default()
        };
        let failed = Outcome { error: Some("why".into()), ..Outcome::default() };
        let cell = Cell::of([outcome(5, true), failed, outcome(9, false)].iter());
        assert_eq!((cell.n, cell.failed, cell.never), (2, 1, 1));
        assert_eq!((cell.two_owner_windows, cell.two_owner_us), (2, 20));
        assert_eq!(cell.outage_us, Some(Spread { min: 5, median: 5, p99: 9, max: 9 }));
    }
}
