//! How fast a line can be asked: from its baud rate and the longest frame that it carries.
//!
//! One byte is ten bits (8N1). Let `T` be the time that a frame takes. A line is full duplex; in each direction go the probes
//! of one side and its pongs to the other's. At worst a probe waits for a pong that is being sent, and its pong for a probe of
//! the other side: `4 T` from probe to pong. That, and what the machines take, is the **grace**, and a line is asked once in
//! that time at most: half of what it carries.

use std::time::Duration;

use reflex::watch::UNANSWERED;

/// What interrupts, drivers and schedulers of both sides take, generously.
const SLACK: Duration = Duration::from_millis(5);
/// Bits that a byte takes: start, eight, stop.
const BITS_PER_BYTE: u64 = 10;

/// The times of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    baud: u32,
    frame: Duration,
}

impl Pace {
    /// A line of `baud` bits per second that carries frames of at most `frame_len` bytes.
    #[must_use]
    pub fn new(baud: u32, frame_len: usize) -> Self {
        let mut pace = Self { baud: baud.max(1), frame: Duration::ZERO };
        pace.frame = pace.time_of(frame_len);
        pace
    }

    /// How long these many bytes take.
    #[must_use]
    pub fn time_of(self, bytes: usize) -> Duration {
        let bits = (bytes as u64).saturating_mul(BITS_PER_BYTE);
        Duration::from_nanos(bits.saturating_mul(1_000_000_000) / u64::from(self.baud))
    }

    /// Age at which an unanswered probe counts: longer than any answer takes.
    #[must_use]
    pub fn grace(self) -> Duration {
        self.frame * 4 + SLACK
    }

    /// Time between two probes: what is configured, but not faster than the line can carry.
    #[must_use]
    pub fn keepalive(self, configured: Duration) -> Duration {
        configured.max(self.grace())
    }

    /// Silence after which a node is dead on this line, where no `linkdead` says otherwise: the longest of deadtime, what the
    /// line takes for three unanswered probes and an answer, and [`Self::safe_deadtime`].
    #[must_use]
    pub fn deadtime(self, configured: Duration, keepalive: Duration, lease: Duration) -> Duration {
        let asking = self.grace() * (u32::try_from(UNANSWERED).unwrap_or(u32::MAX) + 1);
        configured.max(asking).max(self.safe_deadtime(keepalive, lease))
    }

    /// Silence after which the lease of an agent that stands still is over. The line is served by the agent, so its
    /// kernel cannot say over it that it has fenced, as it does on the network. The last word may be a keepalive older
    /// than the last renewal of the lease.
    #[must_use]
    pub fn safe_deadtime(self, keepalive: Duration, lease: Duration) -> Duration {
        lease + self.keepalive(keepalive) + self.grace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::serial::framing::encoded_bound;

    #[test]
    fn times_by_baud_rate() {
        let ms = Duration::from_millis;
        let frame = encoded_bound(1, 20);
        for (baud, keepalive, deadtime) in
            [(9600, 400, 1603), (19_200, 202, 811), (115_200, 37, 151), (921_600, 9, 36)]
        {
            let pace = Pace::new(baud, frame);
            assert_eq!(pace.keepalive(ms(1)).as_millis(), keepalive, "{baud}");
            assert_eq!(pace.deadtime(ms(3), ms(1), ms(10)).as_millis(), deadtime, "{baud}");
            // Probe and pong in each direction, once per keepalive: half of the line at most.
            assert!(pace.time_of(frame) * 4 <= pace.keepalive(ms(1)), "{baud}");
        }
    }

    #[test]
    fn slow_times_are_taken_as_configured() {
        let second = Duration::from_secs;
        let pace = Pace::new(19_200, encoded_bound(1, 20));
        let deadtime = pace.deadtime(second(15), second(5), Duration::from_millis(7500));
        assert_eq!((pace.keepalive(second(5)), deadtime), (second(5), second(15)));
    }

    #[test]
    fn a_line_is_silent_for_longer_than_the_lease_of_who_stands_still() {
        let ms = Duration::from_millis;
        let pace = Pace::new(115_200, encoded_bound(1, 20));
        assert_eq!(pace.deadtime(ms(100), ms(20), ms(1000)).as_millis(), 1000 + 37 + 38);
        assert_eq!(pace.deadtime(ms(100), ms(500), ms(1000)).as_millis(), 1000 + 500 + 37);
    }

    #[test]
    fn no_rate_and_no_length_is_too_much() {
        let pace = Pace::new(0, usize::MAX);
        assert!(pace.keepalive(Duration::ZERO) > Duration::from_secs(60));
    }
}
