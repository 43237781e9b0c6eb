//! What a child process must not inherit from the agent.
//!
//! The agent runs with real-time priority, locked memory and blocked signals. A resource script (and the
//! services it starts, for years) must see none of that: an `apache` under `SCHED_FIFO` would starve the
//! machine. This module does between fork and exec what `std::process` does not.
//!
//! A thread under `SCHED_DEADLINE` cannot fork at all (`sched(7)`): scripts are started from another one.

#![allow(unsafe_code, reason = "code between fork and exec can only be installed by an unsafe method")]

use std::io;

use nix::sys::resource::{Resource, getrlimit};
use tokio::process::Command;

/// Highest `RLIMIT_MEMLOCK` that a child keeps, in bytes: what Linux gives every process by default
/// (8 MiB since 5.16). The agent's own limit may be unlimited.
pub const MEMLOCK_MAX: u64 = 8 << 20;

/// Makes the child of `command` an ordinary process: leader of its own session and process group (so its
/// group id is its process id), normal scheduling at nice 0, no protection when memory runs out, default signal
/// handling with nothing blocked, at most [`MEMLOCK_MAX`] of lockable memory, no file descriptors but 0, 1 and 2.
///
/// # Errors
///
/// The system's error if this process's own limits cannot be read. Errors between fork and exec come
/// out of `spawn`.
pub fn make_ordinary(command: &mut Command) -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    let memlock = libc::rlimit { rlim_cur: soft.min(MEMLOCK_MAX), rlim_max: hard.min(MEMLOCK_MAX) };
    // SAFETY: the closure runs in the forked child of a process with threads, where only
    // async-signal-safe calls are sound. It makes plain system calls on values it owns, allocates
    // nothing and takes no lock.
    unsafe { command.pre_exec(move || become_ordinary(&memlock)) };
    Ok(())
}

/// Runs in the child. Calls that can only fail on an older kernel or for want of a privilege that
/// the agent does not have either are not checked.
fn become_ordinary(memlock: &libc::rlimit) -> io::Result<()> {
    let normal = libc::sched_param { sched_priority: 0 };
    // SAFETY: system calls on the calling process alone, with pointers to live locals. The scheduler is
    // set by number because musl's wrapper refuses. `signal` is told to use the default, so no
    // handler of ours is involved; for the two signals that cannot be changed it returns an error.
    unsafe {
        checked(libc::setsid())?;
        checked(libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const normal))?;
        libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        // The agent's unit keeps the agent from the kernel's killer of processes; a service that a script starts is one as any.
        let killer = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if killer >= 0 {
            libc::write(killer, c"0".as_ptr().cast(), 1);
            libc::close(killer);
        }
        checked(libc::setrlimit(libc::RLIMIT_MEMLOCK, memlock))?;
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        checked(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()))?;
        // Marked close-on-exec and not closed: std's own pipe reports a failed exec. Linux 5.11;
        // before that the agent's descriptors, all opened close-on-exec, are safe anyway.
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    Ok(())
}

fn checked<T: Into<i64>>(returned: T) -> io::Result<()> {
    if returned.into() < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
    use std::os::fd::AsRawFd;
    use std::process::Stdio;

    /// What the child says about itself, told by a shell that starts nothing else.
    const ABOUT: &str = "cat /proc/self/status /proc/self/limits /proc/self/stat; \
                         for f in /proc/$$/fd/*; do echo \"fd ${f##*/}\"; done";

    async fn about_child() -> String {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", ABOUT]).stdin(Stdio::null());
        make_ordinary(&mut command).unwrap();
        let output = command.output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn value<'a>(text: &'a str, key: &str) -> &'a str {
        let line = text.lines().find(|line| line.starts_with(key));
        line.unwrap_or_else(|| panic!("no line {key} in {text}"))[key.len()..].trim()
    }

    /// On a thread of its own, because it changes the thread's scheduling and signal mask.
    #[test]
    fn child_inherits_no_priority_mask_limit_or_descriptor() {
        std::thread::spawn(|| {
            let mut blocked = SigSet::empty();
            blocked.add(Signal::SIGUSR1);
            pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None).unwrap();
            let leaky = std::fs::File::open("/dev/null").unwrap();
            // SAFETY: a second descriptor, without close-on-exec and of a number no shell uses, for
            // a file that this test owns.
            let leaked = unsafe { libc::fcntl(leaky.as_raw_fd(), libc::F_DUPFD, 200) };
            assert!(leaked >= 200);
            let param = libc::sched_param { sched_priority: 1 };
            // SAFETY: changes the scheduling of the calling thread.
            let real_time = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const param) } == 0;
            if !real_time {
                eprintln!("SKIP real-time part: not permitted here");
            }

            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let text = runtime.block_on(about_child());

            assert_eq!(value(&text, "SigBlk:"), "0000000000000000");
            // std ignores SIGPIPE in this process. Signals 32 and 33 belong to the C library, which lets
            // nobody change them; whoever started this test may have ignored them.
            let ignored = u64::from_str_radix(value(&text, "SigIgn:"), 16).unwrap();
            assert_eq!(ignored & 0x7fff_ffff, 0, "{ignored:x}");
            let memlock = value(&text, "Max locked memory").split_whitespace().next().unwrap();
            assert!(memlock.parse::<u64>().unwrap() <= MEMLOCK_MAX, "{memlock}");
            // proc(5): field 41 of stat is the policy; the name in field 2 holds no blank here.
            let stat = text.lines().find(|line| line.contains("(cat)")).unwrap();
            assert_eq!(stat.split_whitespace().nth(40), Some("0"), "{stat}");
            assert!(text.contains("fd 0\n"));
            assert!(!text.contains(&format!("fd {leaked}\n")), "{text}");
        })
        .join()
        .unwrap();
    }
}
