//! The monotonic clock, as the kernel programs read it too (`bpf_ktime_get_ns`).

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// Now, in ns.
#[must_use]
pub fn now() -> u64 {
    // CLOCK_MONOTONIC exists on every Linux, so the call cannot fail.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
    })
}

/// Sleeps until `until` (ns on the monotonic clock), through signals.
pub fn sleep_until(until: u64) {
    let seconds = i64::try_from(until / 1_000_000_000).unwrap_or(i64::MAX);
    let nanos = i64::try_from(until % 1_000_000_000).unwrap_or(0);
    let until = TimeSpec::new(seconds, nanos);
    while clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &until)
        == Err(Errno::EINTR)
    {}
}
