//! Network namespaces without names.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::panic::resume_unwind;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::Signal;

use crate::process::{self, Output, Process};
use crate::sys;

/// A network namespace that exists only through an open file: when that is closed and nothing runs inside any
/// more, the kernel takes the namespace away with everything in it.
#[derive(Debug)]
pub struct Netns {
    file: File,
    inode: u64,
}

impl Netns {
    /// A fresh namespace: loopback down, no other interface, IPv6 off (its address checks would add frames and
    /// delays of their own to what is measured).
    pub fn new() -> Result<Self> {
        let file = thread::scope(|scope| {
            let maker = scope.spawn(|| -> Result<File> {
                unshare(CloneFlags::CLONE_NEWNET).context("unshare(CLONE_NEWNET)")?;
                ipv6_off()?;
                File::open("/proc/thread-self/ns/net").context("/proc/thread-self/ns/net")
            });
            maker.join().unwrap_or_else(|panic| resume_unwind(panic))
        })?;
        let inode = file.metadata()?.ino();
        process::keep_namespace(inode);
        Ok(Self { file, inode })
    }

    /// Runs `work` on a thread inside the namespace and returns its result.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let worker = scope.spawn(|| enter(&self.file).map(|()| work()));
            worker.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Starts a thread called `name` that does `work` inside the namespace.
    pub fn thread<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T>>> {
        let file = self.file.try_clone()?;
        let builder = thread::Builder::new().name(name.into());
        Ok(builder.spawn(move || enter(&file).map(|()| work()))?)
    }

    /// Starts `command` inside the namespace.
    pub fn spawn(&self, command: Command) -> Result<Process> {
        Ok(Process::spawn(command, vec![self.for_child()?])?)
    }

    /// Runs `command` inside the namespace to its end; after `limit` it is killed and an error returned.
    pub fn output(&self, command: Command, limit: Duration) -> Result<Output> {
        process::run(command, vec![self.for_child()?], limit)
    }

    pub(crate) fn for_child(&self) -> io::Result<(OwnedFd, CloneFlags)> {
        Ok((self.file.try_clone()?.into(), CloneFlags::CLONE_NEWNET))
    }

    /// The ids of all processes inside. This process's own threads do not count.
    pub fn processes(&self) -> Vec<i32> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter(|&pid| pid != std::process::id().cast_signed() && self.contains(pid)).collect()
    }

    /// Kills every process inside, however it came to be there, and waits until none is left.
    pub fn kill_all(&self) -> Result<()> {
        // More than enough: a killed process is gone within milliseconds.
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let inside = self.processes();
            if inside.is_empty() {
                return Ok(());
            }
            self.signal(&inside, Signal::SIGKILL);
            if Instant::now() > end {
                bail!("processes {inside:?} survived SIGKILL for ten seconds");
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends `signal` to every process inside, however it came to be there.
    pub fn signal_all(&self, signal: Signal) {
        self.signal(&self.processes(), signal);
    }

    /// Sends `signal` to those of `processes` that are inside.
    pub(crate) fn signal(&self, processes: &[i32], signal: Signal) {
        for pid in processes {
            // Opened first, looked at again, then sent: the id cannot change its meaning in between.
            if let Ok(pidfd) = sys::pidfd_open(*pid)
                && self.contains(*pid)
            {
                // An error means that it has ended by itself.
                let _ = sys::pidfd_signal(pidfd.as_fd(), signal);
            }
        }
    }

    fn contains(&self, pid: i32) -> bool {
        // A zombie has no namespaces any more: the link is unreadable, and it counts as gone.
        fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|namespace| namespace.ino() == self.inode)
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = self.kill_all();
        process::forget_namespace(self.inode);
    }
}

fn enter(file: &File) -> Result<()> {
    setns(file, CloneFlags::CLONE_NEWNET).context("setns to a network namespace of the harness")
}

/// /proc/sys/net is that of the calling thread's namespace, so this never reaches the machine's own settings.
fn ipv6_off() -> Result<()> {
    for which in ["all", "default"] {
        let path = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
        match fs::write(&path, "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // A kernel without IPv6.
            result => result.with_context(|| path)?,
        }
    }
    Ok(())
}
