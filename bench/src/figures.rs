//! Figures as all measurements have them: how values lie, and how they are written.
//!
//! A measurement keeps each of its values, some thousands at most, and they stand in its JSON file. So the figures are exact:
//! by nearest rank, each is a value that was measured.

use serde::{Deserialize, Serialize};

/// How values lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spread<T = u64> {
    pub(crate) min: T,
    pub(crate) median: T,
    pub(crate) p99: T,
    pub(crate) max: T,
}

impl<T: Copy + PartialOrd> Spread<T> {
    /// `None` without values.
    pub(crate) fn of(values: impl IntoIterator<Item = T>) -> Option<Self> {
        let values = sorted(values);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { min, median: rank(&values, 50)?, p99: rank(&values, 99)?, max })
    }

    /// The same in another unit.
    pub(crate) fn map<U>(self, of: impl Fn(T) -> U) -> Spread<U> {
        Spread { min: of(self.min), median: of(self.median), p99: of(self.p99), max: of(self.max) }
    }
}

/// In order. Values that cannot be compared (no number) stay where they are.
pub(crate) fn sorted<T: PartialOrd>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values
}

/// The value that `percent` of `sorted` are not above (nearest rank). `None` without values.
pub(crate) fn rank<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

/// The middle one, by nearest rank.
pub(crate) fn median<T: Copy + PartialOrd>(values: impl IntoIterator<Item = T>) -> Option<T> {
    rank(&sorted(values), 50)
}

/// Nanoseconds as milliseconds.
pub(crate) fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// Microseconds as milliseconds, written with two decimals.
pub(crate) fn ms(micros: u64) -> String {
    format!("{:.2}", micros as f64 / 1e3)
}

/// A number with three digits that count, for tables in which values lie far apart.
pub(crate) fn three(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_by_nearest_rank() {
        let spread = Spread::of((1..=200).rev()).unwrap();
        assert_eq!(spread, Spread { min: 1, median: 100, p99: 198, max: 200 });
        assert_eq!(Spread::of([7]), Some(Spread { min: 7, median: 7, p99: 7, max: 7 }));
        assert_eq!(Spread::<u64>::of([]), None);
        assert_eq!(Spread::of([2.5, 0.5, 1.5]).map(|spread| spread.median), Some(1.5));
    }

    #[test]
    fn numbers_have_three_digits_that_count() {
        assert_eq!([0.0, 0.1234, 1.234, 12.34, 1234.5].map(three), ["0", "0.123", "1.23", "12.3", "1234"]);
    }
}
