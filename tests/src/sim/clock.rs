//! A node's monotonic clock: it drifts, and it stands still while the virtual machine is paused.

use super::times::DRIFT_PPM_MAX;

const MILLION: u64 = 1_000_000;

/// Reads `local` at true time `at`, and runs at `rate` parts per million from there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    at: u64,
    local: u64,
    rate: u64,
    stopped: bool,
}

impl Clock {
    /// A clock that reads `local` now; `skew` of 0 to 2 · [`DRIFT_PPM_MAX`] is the slowest to the fastest.
    pub(super) fn new(now: u64, local: u64, skew: u64) -> Self {
        Self { at: now, local, rate: MILLION - DRIFT_PPM_MAX + skew, stopped: false }
    }

    pub(super) fn read(&self, now: u64) -> u64 {
        if self.stopped {
            return self.local;
        }
        self.local + scale(now - self.at, self.rate, MILLION)
    }

    /// The true time at which this clock will read `local` or a little more; `None` while it stands still.
    pub(super) fn when(&self, local: u64) -> Option<u64> {
        let left = local.saturating_sub(self.local);
        // Rounded up, so that it has got there.
        (!self.stopped).then(|| self.at + scale(left, MILLION, self.rate) + 1)
    }

    pub(super) fn stop(&mut self, now: u64) {
        self.local = self.read(now);
        self.stopped = true;
    }

    /// Goes on, if it stood still.
    pub(super) fn resume(&mut self, now: u64) {
        if self.stopped {
            (self.at, self.stopped) = (now, false);
        }
    }
}

/// `ns · by / of`. What fits into a word, and in a run all does, takes no wide division.
fn scale(ns: u64, by: u64, of: u64) -> u64 {
    if let Some(product) = ns.checked_mul(by) {
        return product / of;
    }
    (u128::from(ns) * u128::from(by) / u128::from(of)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_rings_when_its_time_has_come() {
        for skew in [0, 1, DRIFT_PPM_MAX, 2 * DRIFT_PPM_MAX] {
            let clock = Clock::new(77, 1_000, skew);
            for local in [0, 1_000, 1_001, 123_456_789, 987_654_321_000] {
                let at = clock.when(local).unwrap();
                assert!(clock.read(at) >= local);
                assert!(clock.read(at) <= local.max(1_000) + 3);
            }
        }
    }

    #[test]
    fn a_stopped_clock_knows_nothing_of_the_pause() {
        let mut clock = Clock::new(0, 500, DRIFT_PPM_MAX);
        clock.stop(100);
        assert_eq!((clock.read(1_000), clock.when(700)), (600, None));
        clock.resume(1_000);
        assert_eq!(clock.read(1_010), 610);
    }
}
