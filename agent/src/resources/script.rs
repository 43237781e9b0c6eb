//! Runs one program for one operation, and says how it ended.
//!
//! Which program that is, and by which contract it is judged, is in `lookup.rs`; a resource script is called as
//! `NAME ARG… start|stop|status` by root, standard input empty.
//!
//! Where Heartbeat would wait for ever, this module does not: when the time is over all that the script has started is
//! killed (`process.rs`). A script sees nothing of the agent's priority, memory locks, signals and descriptors
//! ([`crate::sys::script`]).

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::process::{ChildStdin, Command};
use tokio::time::{Instant, timeout};

use super::builtin::Pseudo;
use super::capture::{Captured, LineLog, Stream};
use super::lookup::{Call, Manner};
use super::mail::Mailer;
use super::process::{MARK, Process, mark};
use super::{Spec, Status, ocf};
use crate::sys::schedule;

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

/// Where scripts are found and what they are told. A cheap handle of a few strings: every group has one.
#[derive(Debug, Clone)]
pub struct Scripts {
    /// `<config-dir>/resource.d`, looked into first.
    pub resource_d: PathBuf,
    /// `/etc/init.d`.
    pub init_d: PathBuf,
    /// Added to the agent's own environment ([`super::environment`]).
    pub env: Vec<(String, String)>,
    /// What sends the mails of `MailTo`.
    pub mailer: Option<Mailer>,
    /// What is up of those built-in resources that are nothing but their operations.
    pub pseudo: Pseudo,
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
    #[error(
        "Cannot locate resource script {name}: no such file in {} or {}, and no systemd unit",
        resource_d.display(), init_d.display()
    )]
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
    /// What stands behind `systemd::` is no unit.
    #[error("{0:?} is no name of a systemd unit; it has to be systemd::NAME or systemd::NAME.service")]
    BadUnit(String),
    /// A unit was asked for where there is no systemd.
    #[error("cannot find systemctl on the PATH: systemd units are started by it")]
    NoSystemctl,
    /// systemd did not say whether it knows the unit.
    #[error("no script {name}, and systemctl does not say whether there is such a unit: {why}")]
    UnitUnknown {
        /// The name looked for.
        name: String,
        /// What became of the question.
        why: String,
    },
    /// What stands behind `ocf::` or `OCF::` is no agent.
    #[error("{word}: {why}")]
    BadOcf {
        /// As written.
        word: String,
        /// What would be right.
        why: String,
    },
    /// There is no such agent.
    #[error("there is no OCF agent {}", .0.display())]
    NoAgent(PathBuf),
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
    /// By which contract it was called.
    pub manner: Manner,
}

impl Report {
    fn not_run(error: ScriptError) -> Self {
        Self::without_a_run(Ending::NotRun(error))
    }

    /// Its time was over before it began.
    fn too_late(limit: Duration) -> Self {
        Self::without_a_run(Ending::TimedOut(limit))
    }

    fn without_a_run(ending: Ending) -> Self {
        Self {
            ending,
            stdout: Captured::default(),
            stderr: Captured::default(),
            took: Duration::ZERO,
            manner: Manner::Script,
        }
    }

    /// Did it exit 0? What counts for `start` and `stop`.
    pub fn succeeded(&self) -> bool {
        matches!(self.ending, Ending::Exited(0))
    }

    /// What the answer to `status` says, by the contract of what was asked.
    pub fn status(&self) -> Status {
        self.manner.judge(self.code(), &self.stdout.text())
    }

    /// Whether the answer to `status` leaves no doubt that nothing runs. A program that could not finish saying it proves
    /// nothing. One that does not exist cannot have started anything: a misspelt name must not look like a service
    /// out of control.
    pub(super) fn is_surely_stopped(&self) -> bool {
        match &self.ending {
            Ending::Exited(_) => self.manner.is_surely_stopped(self.code(), &self.stdout.text()),
            Ending::NotRun(ScriptError::Spawn { .. } | ScriptError::UnitUnknown { .. }) => false,
            Ending::NotRun(_) => true,
            Ending::Signalled(_) | Ending::TimedOut(_) | Ending::Unknown(_) => false,
        }
    }

    /// Why it did not succeed.
    pub(super) fn into_reason(self) -> super::Reason {
        let code = self.code().filter(|_| self.manner == Manner::Ocf);
        match code.and_then(ocf::meaning) {
            Some(meaning) => super::Reason::Ocf(self.ending, meaning),
            None => super::Reason::Script(self.ending),
        }
    }

    fn code(&self) -> Option<i32> {
        match self.ending {
            Ending::Exited(code) => Some(code),
            Ending::Signalled(_) | Ending::TimedOut(_) | Ending::NotRun(_) | Ending::Unknown(_) => None,
        }
    }
}

impl Scripts {
    /// Runs a resource's program for an operation, for at most `limit` (plus [`GRACE`](super::process::GRACE) if it does
    /// not heed `SIGTERM`).
    ///
    /// May be cancelled at any point: dropping the future kills all that was started, at once. Must be called within a
    /// tokio runtime with IO and time.
    pub async fn run(&self, resource: &Spec, operation: Operation, limit: Duration) -> Report {
        let Ok(found) = timeout(limit, self.find(resource, operation)).await else {
            return Report::too_late(limit);
        };
        match found {
            Ok(mut call) => {
                if call.manner == Manner::Ocf {
                    // In milliseconds, as agents expect it.
                    let limit = limit.as_millis().to_string();
                    call.env.push(("OCF_RESKEY_CRM_meta_timeout".to_owned(), limit));
                }
                self.execute(call, resource.to_string().into(), operation, limit).await
            }
            Err(error) => Report::not_run(error),
        }
    }

    /// The same for scripts that see these fields too, each as `HA_NAME`.
    #[must_use]
    pub fn with(&self, fields: &[(String, String)]) -> Self {
        let mut scripts = self.clone();
        scripts.env.extend(fields.iter().map(|(name, value)| (format!("HA_{name}"), value.clone())));
        scripts
    }

    /// Runs a program; `name` is what the log calls what it prints by.
    pub(super) async fn execute(
        &self,
        call: Call,
        name: Arc<str>,
        operation: Operation,
        limit: Duration,
    ) -> Report {
        log_running(&call, operation);
        let began = Instant::now();
        let mut process = match timeout(limit, self.spawn(&call)).await {
            Ok(Ok(process)) => process,
            Ok(Err(source)) => return Report::not_run(ScriptError::Spawn { path: call.program, source }),
            Err(_) => return Report::too_late(limit),
        };
        let log = || LineLog::new(name.clone(), operation);
        if let Some(stdin) = process.child.stdin.take() {
            tokio::spawn(feed(stdin, call.stdin));
        }
        let stdout = process.child.stdout.take().and_then(|pipe| listen(pipe, log()));
        let stderr = process.child.stderr.take().and_then(|pipe| listen(pipe, log()));
        let ending = process.finish(limit).await;
        let (stdout, stderr) = tokio::join!(finished(stdout), finished(stderr));
        Report { ending, stdout, stderr, took: began.elapsed(), manner: call.manner }
    }

    async fn spawn(&self, call: &Call) -> io::Result<Process> {
        let mark = mark()?;
        let mut command = Command::new(&call.program);
        command
            .args(&call.args)
            .args(call.verb)
            .args(&call.unit)
            .current_dir("/")
            .stdin(if call.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        forget_the_service_manager(&mut command);
        let env = self.env.iter().chain(&call.env);
        command.envs(env.map(|(name, value)| (name, value))).env(MARK, &mark);
        crate::sys::script::make_ordinary(&mut command)?;
        let cancelled = Cancelled::default();
        let (flag, in_haste) = (Arc::clone(&cancelled.0), schedule::is_fifo());
        let begun = tokio::task::spawn_blocking(move || begin(command, mark, &flag, in_haste)).await;
        begun.map_err(io::Error::other)?
    }
}

/// Nobody waits for it any more.
#[derive(Default)]
struct Cancelled(Arc<AtomicBool>);

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Starts the program. Takes its time, so not in the decision loop: the fork copies the page tables of a process whose memory is
/// locked, and the system says that it went well only when the child, one ordinary process among others, has got as far as to
/// be the program.
///
/// When nobody waits any more, it is killed before it has done anything: with the value that is returned.
fn begin(mut command: Command, mark: String, cancelled: &AtomicBool, in_haste: bool) -> io::Result<Process> {
    // A fork locks the address space. Who holds that lock must not be kept from a processor by ordinary work: the loop may
    // need it.
    let hurries = in_haste && schedule::fifo().is_ok();
    // A script that is being written at this moment is worth waiting for, a little.
    let mut tries = 10;
    let begun = loop {
        if cancelled.load(Ordering::Relaxed) {
            break Err(io::ErrorKind::Interrupted.into());
        }
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) && tries > 0 => tries -= 1,
            other => break other.map(|child| Process::new(child, mark)),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    if hurries && let Err(error) = schedule::ordinary() {
        tracing::debug!("a helper thread stays in real time: {error}");
    }
    begun
}

/// Takes from a program what is between the service manager and the agent.
pub(super) fn forget_the_service_manager(command: &mut Command) {
    for name in NOT_FOR_SCRIPTS {
        command.env_remove(name);
    }
}

/// What a program prints goes to the log, and nowhere else.
pub(super) fn log_output(process: &mut Process, name: &Arc<str>) {
    let log = || LineLog::new(name.clone(), Operation::Start);
    // Each is read to its end by a task of its own.
    drop(process.child.stdout.take().and_then(|pipe| listen(pipe, log())));
    drop(process.child.stderr.take().and_then(|pipe| listen(pipe, log())));
}

/// A program that does not want to hear it all is no error.
async fn feed(mut stdin: ChildStdin, bytes: Vec<u8>) {
    let _ = stdin.write_all(&bytes).await;
}

/// Operators search their logs for this line.
fn log_running(call: &Call, operation: Operation) {
    let mut line = format!("Running {}", call.program.display());
    let words = call.args.iter().map(String::as_str).chain(call.verb).chain(call.unit.as_deref());
    for word in words {
        line.push(' ');
        line.push_str(word);
    }
    match operation {
        Operation::Start | Operation::Stop => tracing::info!("{line}"),
        Operation::Status => tracing::debug!("{line}"),
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

/// How a process ended, in our words.
pub(super) fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, signal) => Ending::Signalled(signal.unwrap_or_default()),
    }
}
