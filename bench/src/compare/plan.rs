//! In which order the cases are played, and how long the rest will take.

use std::collections::BTreeMap;
use std::time::Duration;

use super::case::{Condition, Fault};

/// A case to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    /// Index of the system.
    pub(super) system: usize,
    pub(super) fault: Fault,
    pub(super) condition: Condition,
    /// From 0.
    pub(super) repetition: u32,
}

/// All cases. The systems take turns within every fault, condition and repetition.
#[derive(Debug)]
pub(super) struct Plan {
    cases: Vec<Next>,
    /// How many have been handed out.
    played: usize,
    /// Time and number of what was played, by system and fault.
    times: BTreeMap<(usize, Fault), (Duration, u32)>,
}

/// Before anything was played.
const GUESS: Duration = Duration::from_secs(10);

impl Plan {
    pub(super) fn new(systems: usize, faults: &[Fault], conditions: &[Condition], repeat: u32) -> Self {
        let mut cases = Vec::new();
        for repetition in 0..repeat {
            for &condition in conditions {
                for &fault in faults {
                    cases.extend((0..systems).map(|system| Next { system, fault, condition, repetition }));
                }
            }
        }
        Self { cases, played: 0, times: BTreeMap::new() }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Option<Next> {
        let next = self.cases.get(self.played).copied()?;
        self.played += 1;
        Some(next)
    }

    /// The newest one took this long.
    pub(super) fn took(&mut self, time: Duration) {
        let Some(last) = self.played.checked_sub(1).and_then(|last| self.cases.get(last)) else { return };
        let (sum, number) = self.times.entry((last.system, last.fault)).or_default();
        *sum += time;
        *number += 1;
    }

    /// The number of the newest one, and of all.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.played, self.cases.len())
    }

    /// The time that the newest one and all after it will take, for a person.
    pub(super) fn left(&self) -> String {
        let (all, number) =
            self.times.values().fold((Duration::ZERO, 0), |(sum, n), (time, m)| (sum + *time, n + m));
        let usual = if number == 0 { GUESS } else { all / number };
        let cases = self.cases.iter().skip(self.played.saturating_sub(1));
        let left: Duration = cases
            .map(|case| match self.times.get(&(case.system, case.fault)) {
                Some((time, number)) => *time / *number,
                None => usual,
            })
            .sum();
        let minutes = left.as_secs().div_ceil(60);
        if minutes < 60 {
            format!("{minutes:>2} min")
        } else {
            format!("{} h {:>2} min", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_take_turns() {
        let faults = [Fault::Silent, Fault::Kill];
        let mut plan = Plan::new(2, &faults, &[Condition::Quiet], 2);
        let order: Vec<_> = std::iter::from_fn(|| plan.next())
            .map(|next| (next.repetition, next.fault, next.system))
            .collect();
        let expected = [
            (0, Fault::Silent, 0),
            (0, Fault::Silent, 1),
            (0, Fault::Kill, 0),
            (0, Fault::Kill, 1),
            (1, Fault::Silent, 0),
            (1, Fault::Silent, 1),
            (1, Fault::Kill, 0),
            (1, Fault::Kill, 1),
        ];
        assert_eq!(order, expected);
        assert_eq!(plan.progress(), (8, 8));
    }

    #[test]
    fn the_estimate_goes_by_what_was_played() {
        let mut plan = Plan::new(2, &[Fault::Silent], &[Condition::Quiet], 31);
        plan.next();
        assert_eq!(plan.left(), "11 min", "62 times the guess of 10 s");
        plan.took(Duration::from_secs(60));
        plan.next();
        assert_eq!(plan.left(), "1 h  1 min", "61 cases, all as the one that is known");
        plan.took(Duration::from_secs(2));
        plan.next();
        assert_eq!(plan.left(), "31 min", "30 of each system");
    }
}
