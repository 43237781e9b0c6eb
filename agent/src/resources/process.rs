//! A running operation, and how it is ended whole.
//!
//! Every operation leads a session and a process group of its own, and carries a mark in its environment that no other
//! process has. When its time is over the group gets `SIGTERM`, then `SIGKILL`; and whatever else carries the mark, because
//! it made itself a session of its own (`setsid`, a daemon half started), is found by its mark and killed too.
//!
//! Why a mark: a control group would catch a process that has wiped its environment as well, but needs a hierarchy that the
//! agent may write to, and a service that a script starts would have to be moved out of it again. As a subreaper
//! (`PR_SET_CHILD_SUBREAPER`) the agent would become the parent of every daemon of the machine that a script has started.

use std::fs;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::script::{Ending, ending};
use crate::sys::pidfd::PidFd;

/// How long a script that was sent `SIGTERM` may tidy up before `SIGKILL`.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long to wait for a killed process: longer only if it hangs inside the kernel (dead NFS server, broken
/// disk), where nothing more can be done.
const KILLED: Duration = Duration::from_secs(1);

/// Name of the variable that holds an operation's mark.
pub(super) const MARK: &str = "XBEAT_OPERATION";

/// How often the marked are looked for: who forks while being looked for is found in the next round.
const ROUNDS: usize = 5;

/// A mark that no other operation has.
///
/// # Errors
///
/// When the system has no randomness to give.
pub(super) fn mark() -> io::Result<String> {
    Ok(format!("{:016x}", getrandom::u64().map_err(io::Error::other)?))
}

/// Kills every process that carries this mark. To be called on a thread of its own: reading another process's environment
/// waits while that hangs in the kernel.
fn sweep(mark: &str) {
    let wanted = format!("{MARK}={mark}");
    for _ in 0..ROUNDS {
        let found: Vec<PidFd> = marked(wanted.as_bytes()).collect();
        if found.is_empty() {
            return;
        }
        for process in found {
            // It may have ended by itself meanwhile.
            let _ = process.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The processes whose environment holds this variable.
fn marked(wanted: &[u8]) -> impl Iterator<Item = PidFd> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(move |pid| {
        // First the handle, then the look: so the number cannot be another process's by the time of the kill.
        let process = PidFd::open(pid).ok()?;
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        environment.split(|&byte| byte == 0).any(|variable| variable == wanted).then_some(process)
    })
}

/// A running script, leader of a process group of its own.
///
/// As long as the leader was not waited for, its number cannot be given to another process, so the group may be
/// signalled; afterwards never again.
pub(super) struct Process {
    pub(super) child: Child,
    /// `None` once the leader was waited for.
    group: Option<Pid>,
    mark: String,
}

impl Process {
    pub(super) fn new(child: Child, mark: String) -> Self {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Self { child, group, mark }
    }

    /// Waits for the end; after `limit` that is brought about.
    pub(super) async fn finish(&mut self, limit: Duration) -> Ending {
        if let Ok(status) = timeout(limit, self.reap()).await {
            return match status {
                Ok(status) => ending(status),
                Err(error) => Ending::Unknown(error),
            };
        }
        self.signal(Signal::SIGTERM);
        self.leader_gone(GRACE).await;
        // What the leader left behind is killed too: a start that took too long has failed, and must
        // not go on in the background while the other node starts the same.
        self.signal(Signal::SIGKILL);
        let swept = self.sweep();
        let _reaped = timeout(KILLED, self.reap()).await;
        let _swept = timeout(KILLED, swept).await;
        Ending::TimedOut(limit)
    }

    /// Waits for the leader and gives its number back.
    async fn reap(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.group = None;
        status
    }

    /// Waits until the leader has ended, without reaping it, or the time is over.
    async fn leader_gone(&self, patience: Duration) {
        const STEP: Duration = Duration::from_millis(10);
        let Some(leader) = self.group else { return };
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        let until = Instant::now() + patience;
        while Instant::now() < until && matches!(waitid(Id::Pid(leader), flags), Ok(WaitStatus::StillAlive)) {
            sleep(STEP).await;
        }
    }

    /// Kills what carries the mark, on a thread of its own; the answer comes when it is done.
    fn sweep(&self) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        let mark = self.mark.clone();
        let thread = std::thread::Builder::new().name("xbeat-sweep".into());
        let started = thread.spawn(move || {
            sweep(&mark);
            // Nobody waits for it where the run was cancelled.
            let _ = done.send(());
        });
        if let Err(error) = started {
            tracing::error!(%error, "cannot look for what a killed script left behind");
        }
        answer
    }

    fn signal(&self, signal: Signal) {
        let Some(group) = self.group else { return };
        match killpg(group, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => {
                tracing::error!(%group, %signal, %error, "cannot signal the script's process group")
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Waited for or killed already: then there is nothing to end.
        if self.group.is_some() {
            self.signal(Signal::SIGKILL);
            drop(self.sweep());
        }
    }
}
