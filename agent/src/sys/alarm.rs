//! A sleep until a moment, which others can end sooner without a race.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Wakes one sleeper.
#[derive(Debug, Default)]
pub struct Alarm {
    rung: AtomicU32,
}

impl Alarm {
    /// How often it was rung: to be read before what a ring is about is looked at.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.rung.load(Ordering::Acquire)
    }

    /// Ends the sleep of who sleeps, or will sleep on a count of before.
    pub fn ring(&self) {
        self.rung.fetch_add(1, Ordering::Release);
        // SAFETY: futex(2) FUTEX_WAKE reads nothing but the address of a word that outlives the call.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.rung.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                i32::MAX,
            );
        }
    }

    /// Sleeps until `until` (ns on the monotonic clock), or until it was rung more often than `count`. Absolute as
    /// [`super::clock::sleep_until`], and as exact: the same kind of timer of the kernel.
    pub fn sleep_until(&self, count: u32, until: u64) {
        let time = libc::timespec {
            tv_sec: i64::try_from(until / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(until % 1_000_000_000).unwrap_or(0),
        };
        loop {
            // SAFETY: futex(2) FUTEX_WAIT_BITSET, whose timeout is absolute on CLOCK_MONOTONIC, compares the word and
            // reads the time; both outlive the call.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    self.rung.as_ptr(),
                    libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
                    count,
                    &raw const time,
                    ptr::null::<u32>(),
                    libc::FUTEX_BITSET_MATCH_ANY,
                )
            };
            let is_signal = io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
            if result == 0 || !is_signal || self.count() != count {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;

    const LONG: u64 = 3_600_000_000_000;

    #[test]
    fn a_ring_ends_the_sleep() {
        let alarm = Alarm::default();
        std::thread::scope(|scope| {
            let (sleeper, count) = (&alarm, alarm.count());
            let sleeper = scope.spawn(move || sleeper.sleep_until(count, clock::now() + LONG));
            alarm.ring();
            sleeper.join().unwrap();
        });
    }

    #[test]
    fn a_ring_before_the_sleep_is_not_lost() {
        let alarm = Alarm::default();
        let count = alarm.count();
        alarm.ring();
        alarm.sleep_until(count, clock::now() + LONG);
    }

    #[test]
    fn without_a_ring_it_sleeps_until_the_moment() {
        let alarm = Alarm::default();
        let until = clock::now() + 2_000_000;
        alarm.sleep_until(alarm.count(), until);
        assert!(clock::now() >= until);
        // And not at all when that has passed.
        alarm.sleep_until(alarm.count(), 1);
    }
}
