//! Child processes that cannot outlive the harness.
//!
//! All children are spawned by one thread, the *nursery*, which lives as long as this process: the kernel ties a
//! parent-death signal to the spawning thread, and a test's thread is gone sooner than its process.
//!
//! Grandchildren (an agent's scripts) inherit no such signal. For them, and for the temporary directory, there is
//! the *keeper*: a shell that waits on a pipe from this process. When the pipe closes, because this process ended
//! in whatever way, the keeper kills what still runs in the network namespaces made here and removes the
//! directories.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sched::CloneFlags;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{sys, wait};

/// Namespaces for a child to enter, in this order.
pub(crate) type Namespaces = Vec<(OwnedFd, CloneFlags)>;

/// A child in the harness's care: killed and reaped when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` inside `namespaces`. It dies with this process, also by SIGKILL, and does not hear the
    /// terminal's Ctrl-C: its end is the harness's decision.
    pub(crate) fn spawn(mut command: Command, namespaces: Namespaces) -> io::Result<Self> {
        command.process_group(0);
        sys::prepare(&mut command, namespaces, Some(Pid::this()));
        Ok(Self { child: in_nursery(command)? })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if it has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends `signal`. Safe against a recycled id: the child is not reaped before [`Process::exit_status`] saw it.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.exit_status() {
            bail!("{signal} to process {}: it has ended already, {status}", self.id());
        }
        kill(self.pid(), signal).with_context(|| format!("{signal} to process {}", self.id()))
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        // An error means that it has ended and was reaped, which is what was asked for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a finished command left.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// All it wrote to standard output.
    pub stdout: String,
    /// All it wrote to standard error.
    pub stderr: String,
}

impl Output {
    /// The output, if the command succeeded; else an error with its exit status and standard error.
    pub fn ok(self) -> Result<Self> {
        if !self.status.success() {
            bail!("{}: {}", self.status, self.stderr.trim());
        }
        Ok(self)
    }
}

/// Runs `command` inside `namespaces` to its end. Killed with an error after `limit`.
pub(crate) fn run(mut command: Command, namespaces: Namespaces, limit: Duration) -> Result<Output> {
    let what = format!("{command:?}");
    // Files instead of pipes: a command that writes much can never block on us.
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut process = Process::spawn(command, namespaces).with_context(|| what.clone())?;
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = process.exit_status() {
            break status;
        }
        if Instant::now() > end {
            bail!("{what}: not done after {limit:?}");
        }
        wait::pause(Duration::from_millis(1))?;
    };
    Ok(Output { status, stdout: contents(&mut stdout)?, stderr: contents(&mut stderr)? })
}

fn contents(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Order {
    command: Command,
    done: Sender<io::Result<Child>>,
}

fn in_nursery(command: Command) -> io::Result<Child> {
    static NURSERY: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for mut order in inbox {
                // The asker waits for the answer; if it has panicked meanwhile, the child must not stay.
                if let Err(unwanted) = order.done.send(order.command.spawn())
                    && let Ok(mut child) = unwanted.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        Mutex::new(orders)
    });
    let (done, answer) = channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    nursery.lock().map_err(|_| gone())?.send(Order { command, done }).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// The keeper's program. Its input: `+net:[N]` a namespace was made, `-net:[N]` it was given up, `d PATH` a
/// directory was made. Directories other than the harness's own are never touched.
const KEEPER: &str = r#"
spaces=' '
while read -r line; do
  case "$line" in
    +*) spaces="$spaces${line#+} " ;;
    -*) gone=${line#-}; spaces="${spaces%% "$gone" *} ${spaces#* "$gone" }" ;;
    'd '*/xbeat-harness-*) set -- "$@" "${line#d }" ;;
  esac
done
for process in /proc/[0-9]*; do
  space=$(readlink "$process/ns/net" 2>/dev/null) || continue
  case "$spaces" in *" $space "*) kill -9 "${process#/proc/}" 2>/dev/null ;; esac
done
for directory; do rm -rf -- "$directory"; done
"#;

fn tell_keeper(line: &str) {
    static KEEPER_INPUT: OnceLock<Option<Mutex<ChildStdin>>> = OnceLock::new();
    let input = KEEPER_INPUT.get_or_init(|| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEPER, "xbeat-keeper"]).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Without a shell only the last safety net is missing; everything is still cleaned up on drop.
        in_nursery(command).ok()?.stdin.map(Mutex::new)
    });
    if let Some(Ok(mut input)) = input.as_ref().map(Mutex::lock) {
        let _ = writeln!(input, "{line}");
    }
}

/// From now on the processes in the network namespace `inode` die when this process is gone.
pub(crate) fn keep_namespace(inode: u64) {
    tell_keeper(&format!("+net:[{inode}]"));
}

/// The namespace is about to be closed; its number may soon mean another one.
pub(crate) fn forget_namespace(inode: u64) {
    tell_keeper(&format!("-net:[{inode}]"));
}

/// The harness's directory `path` is removed when this process is gone.
pub(crate) fn keep_directory(path: &Path) {
    tell_keeper(&format!("d {}", path.display()));
}
