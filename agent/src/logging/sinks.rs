//! The destinations, all in the writer's thread. Each one that takes nothing loses its own lines alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::Level;

use super::LogOptions;
use super::line::{Form, WallTime, lines};
use super::queue::Record;
use crate::config::Facility;

/// Where the local syslog daemon listens.
const SYSLOG_SOCKET: &str = "/dev/log";
/// Where daemons log when nothing is configured.
const DAEMON: Facility = Facility { name: "daemon", code: 3 };

/// Everything a record may go to.
pub(super) struct Sinks {
    all: Vec<Sink>,
}

pub(super) struct Sink {
    form: Form,
    /// The most detailed level it takes.
    level: Level,
    target: Target,
    /// Lines it did not take since it last took one.
    lost: u64,
}

enum Target {
    Stderr,
    File(LogFile),
    Syslog { path: PathBuf, socket: Option<UnixDatagram> },
}

impl Sinks {
    pub(super) fn new(options: &LogOptions) -> Self {
        let journal = journal_reads(io::stderr().as_fd());
        let stderr_form = if journal { Form::Journal } else { Form::Terminal };
        let mut all = vec![Sink::new(stderr_form, Level::TRACE, Target::Stderr)];
        // The level in force is the layer's business: `debug` 0 makes no debug records in the first place.
        for (path, level) in [(&options.logfile, Level::INFO), (&options.debugfile, Level::TRACE)] {
            // Heartbeat's way to say "off".
            if let Some(path) = path.as_deref().filter(|path| *path != Path::new("/dev/null")) {
                let form = Form::File { host: options.host.clone() };
                all.push(Sink::new(form, level, Target::File(LogFile::new(path))));
            }
        }
        // With the journal on stderr, syslog by default would only say everything twice.
        let configured = options.logfile.is_some() || options.debugfile.is_some();
        let by_default =
            options.syslog_by_default && !configured && !journal && Path::new(SYSLOG_SOCKET).exists();
        if let Some(facility) = options.facility.or_else(|| by_default.then_some(DAEMON)) {
            all.push(syslog(Path::new(SYSLOG_SOCKET), facility));
        }
        Self { all }
    }

    /// Writes `records` to every destination that wants them, then says how many were dropped before they came here.
    pub(super) fn write(&mut self, records: &[Record], dropped: u64) {
        let stamped: Vec<(&Record, WallTime)> =
            records.iter().map(|record| (record, WallTime::of(record.time))).collect();
        let complaint = (dropped > 0).then(|| complaint(dropped, "the log's queue was full"));
        let mut failures = Vec::new();
        for sink in &mut self.all {
            sink.target.prepare();
            for (record, now) in &stamped {
                sink.put(record, *now, &mut failures);
            }
            if let Some(record) = &complaint {
                sink.put(record, WallTime::of(record.time), &mut failures);
            }
        }
        // A destination that begins to fail is named where somebody may still see it.
        let now = SystemTime::now();
        for text in failures {
            let record = Record { time: now, level: Level::WARN, text };
            for sink in self.all.iter_mut().filter(|sink| matches!(sink.target, Target::Stderr)) {
                sink.put(&record, WallTime::of(now), &mut Vec::new());
            }
        }
    }
}

fn complaint(count: u64, why: &str) -> Record {
    Record { time: SystemTime::now(), level: Level::WARN, text: format!("{count} log lines lost: {why}") }
}

/// The syslog daemon that listens on `path`; connected when there is something to say.
pub(super) fn syslog(path: &Path, facility: Facility) -> Sink {
    let target = Target::Syslog { path: path.to_owned(), socket: None };
    Sink::new(Form::Syslog { facility }, Level::TRACE, target)
}

impl Sink {
    fn new(form: Form, level: Level, target: Target) -> Self {
        Self { form, level, target, lost: 0 }
    }

    /// Writes one record; the first failure after a success goes to `failures`.
    pub(super) fn put(&mut self, record: &Record, now: WallTime, failures: &mut Vec<String>) {
        if record.level > self.level {
            return;
        }
        if self.lost > 0 {
            let gap = complaint(self.lost, "this destination did not take them");
            if !lines(&gap, now, &self.form).iter().all(|line| self.target.put(line).is_ok()) {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        for line in lines(record, now, &self.form) {
            if let Err(error) = self.target.put(&line) {
                if self.lost == 0 {
                    failures.push(format!("cannot log to {}: {error}", self.target.name()));
                }
                self.lost += 1;
            }
        }
    }
}

impl Target {
    fn name(&self) -> String {
        match self {
            Self::Stderr => "stderr".to_owned(),
            Self::File(file) => file.path.display().to_string(),
            Self::Syslog { path, .. } => path.display().to_string(),
        }
    }

    /// Once per batch.
    fn prepare(&mut self) {
        match self {
            Self::File(file) => file.reopen_if_moved(),
            Self::Stderr | Self::Syslog { .. } => {}
        }
    }

    /// Takes one line whole, or not at all. Does not wait.
    fn put(&mut self, line: &str) -> io::Result<()> {
        match self {
            Self::Stderr => {
                let mut stderr = io::stderr();
                if !is_writable(stderr.as_fd()) {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                stderr.write_all(line.as_bytes())
            }
            Self::File(file) => file.put(line),
            Self::Syslog { path, socket } => {
                let connected = match socket.take() {
                    Some(socket) => socket,
                    None => connect(path)?,
                };
                // On an error the socket is made anew next time: the daemon may have restarted.
                connected.send(line.trim_end().as_bytes())?;
                *socket = Some(connected);
                Ok(())
            }
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

/// Stderr may be a terminal that is held, or a pipe that nobody empties. It is shared with others, so it cannot be made
/// non-blocking; it can be asked.
fn is_writable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    let ready = PollFlags::POLLOUT | PollFlags::POLLERR | PollFlags::POLLHUP;
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1))
        && fds[0].revents().is_some_and(|got| got.intersects(ready))
}

/// systemd names the journal's stream by device and inode in the environment (systemd.exec(5), `JOURNAL_STREAM`).
fn journal_reads(fd: BorrowedFd<'_>) -> bool {
    if fd.is_terminal() {
        return false;
    }
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    nix::sys::stat::fstat(fd).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// A log file that may be moved away under us.
pub(super) struct LogFile {
    path: PathBuf,
    file: Option<File>,
}

impl LogFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None }
    }

    pub(super) fn reopen_if_moved(&mut self) {
        let Some(file) = &self.file else { return };
        let same = match (file.metadata(), fs::metadata(&self.path)) {
            (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
            (Err(_), _) | (_, Err(_)) => false,
        };
        if !same {
            self.file = None;
        }
    }

    pub(super) fn put(&mut self, line: &str) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        file.write_all(line.as_bytes())?;
        self.file = Some(file);
        Ok(())
    }

    /// Not blocking: for a named pipe without a reader, which would hold us here. Logs name hosts and scripts' output,
    /// so others need not read them.
    fn open(&self) -> io::Result<File> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(libc::O_NONBLOCK)
            .open(&self.path)
    }
}
