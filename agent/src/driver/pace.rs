//! How long the loop's turns take, and how late it comes to them: it must never wait, and here one sees whether it did.

use crate::status;

/// The worst so far.
#[derive(Debug)]
pub(super) struct Pace {
    /// A turn that takes longer than this is told of, ns.
    patience: u64,
    /// When the turn began that is under way, ns.
    began: u64,
    /// When the next one is due, ns.
    due: u64,
    longest: u64,
    /// What the longest one was about.
    longest_of: &'static str,
    latest: u64,
}

impl Pace {
    /// For a loop that should turn again after `patience` ns.
    pub(super) const fn new(patience: u64) -> Self {
        Self { patience, began: 0, due: u64::MAX, longest: 0, longest_of: "", latest: 0 }
    }

    /// The loop waits, at most until `due`.
    pub(super) fn waits(&mut self, due: u64) {
        self.due = due;
    }

    /// A turn begins.
    pub(super) fn begins(&mut self, now: u64) {
        self.began = now;
        let late = now.saturating_sub(self.due);
        if late > self.latest {
            self.latest = late;
            if late > self.patience {
                tracing::warn!("the decision loop came {} ms late to its turn", late / 1_000_000);
            }
        }
    }

    /// It ends; `of` is what it was about.
    pub(super) fn ends(&mut self, now: u64, of: &'static str) {
        let took = now.saturating_sub(self.began);
        if took > self.longest {
            (self.longest, self.longest_of) = (took, of);
            if took > self.patience {
                tracing::warn!("the decision loop stood still for {} ms ({of})", took / 1_000_000);
            }
        }
    }

    pub(super) fn report(&self) -> status::Turns {
        status::Turns {
            longest_us: self.longest / 1000,
            longest_of: self.longest_of.to_owned(),
            latest_us: self.latest / 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_worst_is_kept_with_what_it_was_about() {
        let mut pace = Pace::new(50 * MS);
        for (due, began, ended, of) in [
            (10, 11, 12, "time"),
            (20, 20, 90, "a command"),
            (100, 97, 99, "a list"),
            (110, 114, 115, "time"),
        ] {
            pace.waits(due * MS);
            pace.begins(began * MS);
            pace.ends(ended * MS, of);
        }
        let worst = status::Turns { longest_us: 70_000, longest_of: "a command".into(), latest_us: 4_000 };
        assert_eq!(pace.report(), worst);
    }
}
