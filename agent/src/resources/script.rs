//! Runs one script for one operation, and says how it ended.
//!
//! Heartbeat's contract: `<config-dir>/resource.d/NAME`, else `/etc/init.d/NAME`, called as
//! `NAME ARG… start|stop|status` by root, standard input empty. `start` and `stop` are judged by exit code,
//! `status` by what it prints ([`super::judge`]).
//!
//! Where Heartbeat would wait for ever, this module does not: when the time is over the script's whole process
//! group gets `SIGTERM`, then `SIGKILL`. A script sees nothing of the agent's priority, memory locks,
//! signals and descriptors ([`crate::sys::script`]).

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::io::AsyncRead;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::capture::{Captured, LineLog, Stream};
use super::{Spec, Status, judge};

/// How long a script that was sent `SIGTERM` may tidy up before `SIGKILL`.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long to wait for a killed process: longer only if it hangs inside the kernel (dead NFS server, broken
/// disk), where nothing more can be done.
const KILLED: Duration = Duration::from_secs(1);

/// Variables by which a service manager speaks to the agent alone. A script that told systemd `READY=1` or fed its
/// watchdog would speak for the agent.
const NOT_FOR_SCRIPTS: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
];

/// Where scripts are found and what they are told.
#[derive(Debug, Clone)]
pub struct Scripts {
    /// `<config-dir>/resource.d`, looked into first.
    pub resource_d: PathBuf,
    /// `/etc/init.d`.
    pub init_d: PathBuf,
    /// Added to the agent's own environment ([`super::environment`]).
    pub env: Vec<(String, String)>,
}

/// What a script is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Start serving. Must exit 0.
    Start,
    /// Stop serving. Must exit 0, also when already stopped.
    Stop,
    /// Say whether it serves.
    Status,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Status => "status",
        })
    }
}

/// Why a script could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Neither directory has it.
    #[error("cannot locate resource script {name}: no such file in {} or {}", resource_d.display(), init_d.display())]
    NotFound {
        /// The name looked for.
        name: String,
        /// Looked into first.
        resource_d: PathBuf,
        /// Looked into second.
        init_d: PathBuf,
    },
    /// There is such a file, but it cannot be run.
    #[error("{} is no executable file: it has to be a regular file with an execute bit (chmod +x)", .0.display())]
    NotExecutable(PathBuf),
    /// The name would lead out of the two directories.
    #[error("{0:?} is no script name: it must not be empty, \".\", \"..\" or contain \"/\"")]
    BadName(String),
    /// The system refused to run it.
    #[error("cannot run {}: {source}", path.display())]
    Spawn {
        /// The script.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How a script ended.
#[derive(Debug)]
pub enum Ending {
    /// By itself, with this exit code.
    Exited(i32),
    /// Killed by this signal, which was not ours.
    Signalled(i32),
    /// Killed by us, after this much time.
    TimedOut(Duration),
    /// Never began.
    NotRun(ScriptError),
    /// Somebody else waited for our child, so nobody knows.
    Unknown(io::Error),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "return code {code}"),
            Self::Signalled(signal) => match Signal::try_from(*signal) {
                Ok(known) => write!(f, "killed by {known}"),
                Err(_) => write!(f, "killed by signal {signal}"),
            },
            Self::TimedOut(limit) => write!(f, "not finished after {limit:?}, killed"),
            Self::NotRun(error) => error.fmt(f),
            Self::Unknown(error) => write!(f, "ended nobody knows how: {error}"),
        }
    }
}

/// One run of a script.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// What it printed to standard output.
    pub stdout: Captured,
    /// What it printed to standard error.
    pub stderr: Captured,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    fn not_run(error: ScriptError) -> Self {
        Self {
            ending: Ending::NotRun(error),
            stdout: Captured::default(),
            stderr: Captured::default(),
            took: Duration::ZERO,
        }
    }

    /// Did it exit 0? What counts for `start` and `stop`.
    pub fn succeeded(&self) -> bool {
        matches!(self.ending, Ending::Exited(0))
    }

    /// What the printed text says. What counts for `status`, whatever the exit code.
    pub fn status(&self) -> Status {
        judge(&self.stdout.text())
    }
}

impl Scripts {
    /// Finds the script of this name.
    ///
    /// # Errors
    ///
    /// When it is missing, not executable, or the name is a path.
    pub fn locate(&self, name: &str) -> Result<PathBuf, ScriptError> {
        if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
            return Err(ScriptError::BadName(name.to_owned()));
        }
        let candidates = [self.resource_d.join(name), self.init_d.join(name)];
        if let Some(found) = candidates.iter().find(|path| is_executable(path)) {
            return Ok(found.clone());
        }
        match candidates.into_iter().find(|path| path.exists()) {
            Some(present) => Err(ScriptError::NotExecutable(present)),
            None => Err(ScriptError::NotFound {
                name: name.to_owned(),
                resource_d: self.resource_d.clone(),
                init_d: self.init_d.clone(),
            }),
        }
    }

    /// Runs a resource's script, for at most `limit` (plus [`GRACE`] if it does not heed `SIGTERM`).
    ///
    /// May be cancelled at any point: dropping the future kills the script's process group at once. Must
    /// be called within a tokio runtime with IO and time.
    pub async fn run(&self, resource: &Spec, operation: Operation, limit: Duration) -> Report {
        let path = match self.locate(&resource.name) {
            Ok(path) => path,
            Err(error) => return Report::not_run(error),
        };
        log_running(&path, &resource.args, operation);
        let began = Instant::now();
        let mut process = match self.spawn(&path, &resource.args, operation).await {
            Ok(child) => Process::new(child),
            Err(source) => return Report::not_run(ScriptError::Spawn { path, source }),
        };
        let name: Arc<str> = resource.to_string().into();
        let log = || LineLog::new(name.clone(), operation);
        let stdout = process.child.stdout.take().and_then(|pipe| listen(pipe, log()));
        let stderr = process.child.stderr.take().and_then(|pipe| listen(pipe, log()));
        let ending = process.finish(limit).await;
        let (stdout, stderr) = tokio::join!(finished(stdout), finished(stderr));
        Report { ending, stdout, stderr, took: began.elapsed() }
    }

    async fn spawn(&self, path: &Path, args: &[String], operation: Operation) -> io::Result<Child> {
        let mut command = Command::new(path);
        command
            .args(args)
            .arg(operation.to_string())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in NOT_FOR_SCRIPTS {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        crate::sys::script::make_ordinary(&mut command)?;
        // A script that is being written at this moment is worth waiting for, a little.
        let mut tries = 10;
        loop {
            match command.spawn() {
                Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) && tries > 0 => tries -= 1,
                other => return other,
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Operators search their logs for this line.
fn log_running(path: &Path, args: &[String], operation: Operation) {
    let mut line = format!("Running {}", path.display());
    for arg in args {
        line.push(' ');
        line.push_str(arg);
    }
    match operation {
        Operation::Start | Operation::Stop => tracing::info!("{line} {operation}"),
        Operation::Status => tracing::debug!("{line} {operation}"),
    }
}

fn listen(pipe: impl AsyncRead + AsFd + Unpin + Send + 'static, log: LineLog) -> Option<Stream> {
    Stream::begin(pipe, log)
        .inspect_err(|error| tracing::error!(%error, "cannot read what a script prints"))
        .ok()
}

async fn finished(stream: Option<Stream>) -> Captured {
    match stream {
        Some(stream) => stream.finish().await,
        None => Captured::default(),
    }
}

/// A running script, leader of a process group of its own.
///
/// As long as the leader was not waited for, its number cannot be given to another process, so the group may be
/// signalled; afterwards never again.
struct Process {
    child: Child,
    /// `None` once the leader was waited for.
    group: Option<Pid>,
}

impl Process {
    fn new(child: Child) -> Self {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Self { child, group }
    }

    async fn finish(&mut self, limit: Duration) -> Ending {
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
        let _reaped = timeout(KILLED, self.reap()).await;
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
        self.signal(Signal::SIGKILL);
    }
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, signal) => Ending::Signalled(signal.unwrap_or_default()),
    }
}
