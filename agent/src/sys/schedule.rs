//! Real-time scheduling and locked memory.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Priority of real-time threads where `rtprio` says nothing. Above the kernel's threaded interrupts (50) nothing of ours
/// needs to be.
const PRIORITY: u32 = 49;

/// The priority in force: one for the whole process, told before its threads begin.
static FIFO_PRIORITY: AtomicU32 = AtomicU32::new(PRIORITY);

/// `struct sched_attr` of sched_setattr(2), version 0.
#[repr(C)]
#[derive(Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

const SCHED_OTHER: u32 = 0;
const SCHED_FIFO: u32 = 1;
const SCHED_DEADLINE: u32 = 6;
/// Children start with ordinary scheduling: no resource script runs in real time.
const SCHED_FLAG_RESET_ON_FORK: u64 = 1;

/// Puts the calling thread under SCHED_DEADLINE: `runtime` of work within `deadline` of each `period`. It
/// outranks SCHED_FIFO and the kernel's fair server, which SCHED_FIFO does not.
///
/// # Errors
/// Without privilege, or when the machine has no such bandwidth left.
pub fn deadline(runtime: Duration, deadline: Duration, period: Duration) -> io::Result<()> {
    set(&SchedAttr {
        policy: SCHED_DEADLINE,
        flags: SCHED_FLAG_RESET_ON_FORK,
        runtime: nanos(runtime),
        deadline: nanos(deadline),
        period: nanos(period),
        ..SchedAttr::default()
    })
}

/// Sets the priority of all threads that ask for real time from now on (`rtprio`); `None`: the usual one.
pub fn set_priority(priority: Option<u8>) {
    FIFO_PRIORITY.store(priority.map_or(PRIORITY, u32::from), Ordering::Relaxed);
}

/// Puts the calling thread under SCHED_FIFO, with the agent's priority.
///
/// # Errors
/// Without privilege.
pub fn fifo() -> io::Result<()> {
    fifo_at(FIFO_PRIORITY.load(Ordering::Relaxed))
}

/// Puts the calling thread under SCHED_FIFO, with this priority.
///
/// # Errors
/// Without privilege.
pub fn fifo_at(priority: u32) -> io::Result<()> {
    set(&SchedAttr { policy: SCHED_FIFO, flags: SCHED_FLAG_RESET_ON_FORK, priority, ..SchedAttr::default() })
}

/// Whether the calling thread is under SCHED_FIFO.
#[must_use]
pub fn is_fifo() -> bool {
    // SAFETY: sched_getscheduler(2) takes a number and touches no memory of ours; by number because musl's wrapper refuses.
    let policy = unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) };
    policy & !i64::from(libc::SCHED_RESET_ON_FORK) == i64::from(libc::SCHED_FIFO)
}

/// Puts the calling thread back under the ordinary scheduler.
///
/// # Errors
/// None that is known: everybody may do that.
pub fn ordinary() -> io::Result<()> {
    set(&SchedAttr { policy: SCHED_OTHER, ..SchedAttr::default() })
}

/// Locks all memory, present and future, so that no page fault waits for a disk.
///
/// # Errors
/// Without privilege, or above the limit (`RLIMIT_MEMLOCK`).
pub fn lock_memory() -> io::Result<()> {
    use nix::sys::mman::{MlockAllFlags, mlockall};
    Ok(mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)?)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn set(attr: &SchedAttr) -> io::Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    // SAFETY: sched_setattr(2) reads `size` bytes of the struct; there is no safe wrapper of it.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
