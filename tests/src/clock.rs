//! The one clock of the harness: `CLOCK_MONOTONIC` in nanoseconds, and waking on it exactly.

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;

const NS_PER_S: u64 = 1_000_000_000;

/// Now, in nanoseconds of `CLOCK_MONOTONIC`. The same clock for all namespaces of a run.
pub fn now() -> u64 {
    match clock_gettime(ClockId::CLOCK_MONOTONIC) {
        Ok(t) => t.tv_sec().unsigned_abs() * NS_PER_S + t.tv_nsec().unsigned_abs(),
        // POSIX demands this clock, and the pointer is ours: it cannot be refused.
        Err(errno) => unreachable!("CLOCK_MONOTONIC: {errno}"),
    }
}

/// Sleeps until `deadline` (nanoseconds of [`now`]). An absolute deadline does not drift, and one that has
/// passed returns at once.
pub fn sleep_until(deadline: u64) {
    let request = TimeSpec::new((deadline / NS_PER_S).cast_signed(), (deadline % NS_PER_S).cast_signed());
    // A signal may interrupt the sleep; the deadline stays the same.
    while clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &request)
        == Err(Errno::EINTR)
    {}
}
