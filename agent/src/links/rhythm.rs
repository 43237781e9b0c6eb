//! When probes are due: every keepalive, and a few times more when there is a reason to doubt that a node lives.

use reflex::watch;

/// When probes are due, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rhythm {
    /// The next one.
    pub(super) due: u64,
    /// From one to the next; at least 1.
    pub(super) keepalive: u64,
}

impl Rhythm {
    /// The one that was due has been sent, at `now`. What was missed is not made up for: a burst would prove nothing.
    pub(super) fn sent(&mut self, now: u64) {
        if now >= self.due {
            self.due += self.keepalive * ((now - self.due) / self.keepalive + 1);
        }
    }

    /// Another keepalive from now on. No gap is longer than the smaller of the two.
    pub(super) fn change(&mut self, keepalive: u64, now: u64) {
        let last = self.due.saturating_sub(self.keepalive);
        self.due = self.due.min(last.saturating_add(keepalive).max(now));
        self.keepalive = keepalive;
    }
}

/// Extra questions, when something speaks for a node's being gone.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// When the next one is due.
    pub(super) due: Option<u64>,
    left: u64,
    begun: Option<u64>,
}

impl Doubt {
    /// A round was sent at `now`. One burst per deadtime, its questions as far apart as they must be to count; and one
    /// question where a verdict `lacks` it.
    pub(super) fn asked(&mut self, now: u64, in_doubt: bool, lacks: bool, deadtime: u64, grace: u64) {
        let may_begin = self.begun.is_none_or(|begun| now.saturating_sub(begun) >= deadtime);
        if in_doubt && may_begin {
            (self.begun, self.left) = (Some(now), watch::UNANSWERED);
        }
        self.due = (self.left > 0 || lacks).then(|| now + grace);
        self.left = self.left.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let mut rhythm = Rhythm { due: 10 * MS, keepalive: MS };
        rhythm.sent(10 * MS + 3);
        assert_eq!(rhythm.due, 11 * MS);
        rhythm.sent(14 * MS + 3);
        assert_eq!(rhythm.due, 15 * MS);
    }

    #[test]
    fn a_shorter_keepalive_counts_from_the_last_probe() {
        // The last one went out at 0.
        let mut rhythm = Rhythm { due: 1000 * MS, keepalive: 1000 * MS };
        rhythm.change(100 * MS, 30 * MS);
        assert_eq!(rhythm, Rhythm { due: 100 * MS, keepalive: 100 * MS });
        // That long ago: now.
        let mut rhythm = Rhythm { due: 1000 * MS, keepalive: 1000 * MS };
        rhythm.change(MS, 700 * MS);
        assert_eq!(rhythm, Rhythm { due: 700 * MS, keepalive: MS });
    }

    #[test]
    fn a_longer_keepalive_counts_from_the_next_probe() {
        let mut rhythm = Rhythm { due: 10 * MS, keepalive: MS };
        rhythm.change(1000 * MS, 9 * MS + 5);
        assert_eq!(rhythm, Rhythm { due: 10 * MS, keepalive: 1000 * MS });
        rhythm.sent(10 * MS + 1);
        assert_eq!(rhythm.due, 1010 * MS);
    }

    #[test]
    fn a_change_while_a_probe_is_sent_asks_once_more_at_most() {
        let mut rhythm = Rhythm { due: 10 * MS, keepalive: 10 * MS };
        // Sent at 10 ms, and before that is noted:
        rhythm.change(MS, 10 * MS + 1);
        rhythm.sent(10 * MS);
        assert!(rhythm.due <= 11 * MS, "{rhythm:?}");
    }

    proptest::proptest! {
        #[test]
        fn no_gap_is_longer_than_the_smaller_keepalive(
            changes in proptest::collection::vec((1u64..50, 1u64..200), 1..40)
        ) {
            let (mut now, mut last) = (0, 0);
            let mut rhythm = Rhythm { due: 0, keepalive: 10 };
            let mut allowed = rhythm.keepalive;
            for (keepalive, after) in changes {
                let until = now + after;
                while rhythm.due < until {
                    now = rhythm.due.max(now);
                    proptest::prop_assert!(now - last <= allowed, "{} after {last}", now - last);
                    last = now;
                    rhythm.sent(now);
                    allowed = rhythm.keepalive;
                }
                now = until;
                // A probe that would be overdue by the new one goes out at once.
                allowed = allowed.min(keepalive.max(now - last));
                rhythm.change(keepalive, now);
            }
        }
    }

    #[test]
    fn the_question_that_a_verdict_lacks_is_asked_a_grace_later() {
        let mut doubt = Doubt::default();
        doubt.asked(1000, false, true, 100, 5);
        assert_eq!(doubt.due, Some(1005));
        doubt.asked(1005, false, false, 100, 5);
        assert_eq!(doubt.due, None);
    }

    #[test]
    fn doubt_asks_three_times_a_grace_apart_and_once_per_deadtime() {
        let mut doubt = Doubt::default();
        doubt.asked(1000, false, false, 100, 5);
        assert_eq!(doubt.due, None);
        let mut times = Vec::new();
        let mut now = 1000;
        doubt.asked(now, true, false, 100, 5);
        while let Some(due) = doubt.due {
            times.push(due);
            now = due;
            doubt.asked(now, true, false, 100, 5);
        }
        assert_eq!(times, [1005, 1010, 1015]);
        doubt.asked(1099, true, false, 100, 5);
        assert_eq!(doubt.due, None, "not again within deadtime");
        doubt.asked(1100, true, false, 100, 5);
        assert_eq!(doubt.due, Some(1105));
    }
}
