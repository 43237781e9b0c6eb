//! What a script prints: kept within a bound, and passed on line by line to the log.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout};

use super::script::Operation;

/// How much of the beginning, and as much again of the end, of each stream is kept: 64 KiB. A status text
/// is one line; a stack trace of a failed start fits easily.
pub(super) const KEPT: usize = 64 << 10;

/// Lines of each stream that reach the log per run. A script in an endless loop must not fill the disk.
pub(super) const LOGGED_LINES_MAX: usize = 1000;

/// A longer line is logged in pieces of this many bytes.
pub(super) const LOGGED_LINE_LENGTH_MAX: usize = 1024;

/// The beginning and the end of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    omitted: u64,
}

impl Captured {
    /// Takes in what came next.
    pub fn push(&mut self, bytes: &[u8]) {
        let to_head = bytes.len().min(KEPT - self.head.len());
        self.head.extend_from_slice(&bytes[..to_head]);
        let rest = &bytes[to_head..];
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..excess);
        self.omitted += excess as u64;
    }

    /// Bytes between the two kept parts that were let go.
    pub fn omitted(&self) -> u64 {
        self.omitted
    }

    /// What was kept, as text; a line break stands for what was let go.
    pub fn text(&self) -> String {
        let mut bytes = self.head.clone();
        if self.omitted > 0 {
            bytes.push(b'\n');
        }
        bytes.extend(&self.tail);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// How long after a script's exit the end of its output may take before one looks whether anything is left to be read.
/// All it wrote itself is in the pipe by then; the end comes later only if something it left behind holds
/// the pipe open.
const QUIET: Duration = Duration::from_millis(20);

/// When to stop listening to something left behind that never stops talking.
const LISTEN_MAX: Duration = Duration::from_secs(1);

/// Between two reads (of 16 KiB) from something a script left behind: it may go on at 1.6 MB/s.
const LINGERING_PAUSE: Duration = Duration::from_millis(10);

/// Nobody prints that much who means well: from there on reading is slowed down, so that a script which prints gigabytes
/// takes no processor from the decisions that are made on the same thread.
const FLOOD: u64 = 1 << 20;

/// Between two reads of a flood (of 64 KiB at most): 64 MB/s.
const FLOOD_PAUSE: Duration = Duration::from_millis(1);

/// A stream being read by a task of its own.
///
/// The task goes on for as long as somebody has the other end open, which may be a service that the script
/// started and that never lets go of its output: closing our end would kill such a service at its next
/// word (`SIGPIPE`). After [`Stream::finish`] the task only logs.
pub(super) struct Stream {
    kept: Arc<Mutex<Captured>>,
    reader: tokio::task::JoinHandle<()>,
    /// The same pipe, to see whether it holds anything.
    pipe: OwnedFd,
}

impl Stream {
    /// Begins to read. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// When this process has no descriptor left.
    pub(super) fn begin(
        pipe: impl AsyncRead + AsFd + Unpin + Send + 'static,
        log: LineLog,
    ) -> io::Result<Self> {
        let same = pipe.as_fd().try_clone_to_owned()?;
        let kept = Arc::new(Mutex::new(Captured::default()));
        let reader = tokio::spawn(read_all(pipe, Arc::downgrade(&kept), log));
        Ok(Self { kept, reader, pipe: same })
    }

    /// What was printed, to be called when the script has ended. Also where this process got no CPU for a while
    /// nothing is missed: a `status` that looks empty would start a service twice.
    pub(super) async fn finish(mut self) -> Captured {
        let until = Instant::now() + LISTEN_MAX;
        while timeout(QUIET, &mut self.reader).await.is_err() && self.holds_more() && Instant::now() < until {
        }
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn holds_more(&self) -> bool {
        let mut look = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut look, PollTimeout::ZERO), Ok(1..))
    }
}

async fn read_all(
    mut pipe: impl AsyncRead + Unpin,
    kept: std::sync::Weak<Mutex<Captured>>,
    mut log: LineLog,
) {
    let mut buffer = vec![0; 16 << 10];
    let mut total = 0;
    // A read error means what the end means: nothing more will come.
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        log.push(&buffer[..read]);
        total += read as u64;
        if total > FLOOD {
            buffer.resize(64 << 10, 0);
            tokio::time::sleep(FLOOD_PAUSE).await;
        }
        match kept.upgrade() {
            Some(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..read]),
            // The script is long over. Who still talks must not keep the agent busy.
            None => tokio::time::sleep(LINGERING_PAUSE).await,
        }
    }
    log.end();
}

/// Cuts a stream into lines and logs them.
pub(super) struct LineLog {
    /// The resource, as written in `haresources`.
    resource: Arc<str>,
    operation: Operation,
    line: Vec<u8>,
    logged: usize,
}

impl LineLog {
    pub(super) fn new(resource: Arc<str>, operation: Operation) -> Self {
        Self { resource, operation, line: Vec::new(), logged: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.logged > LOGGED_LINES_MAX {
                return;
            }
            if byte == b'\n' || self.line.len() == LOGGED_LINE_LENGTH_MAX {
                self.flush();
            }
            if byte != b'\n' {
                self.line.push(byte);
            }
        }
    }

    fn end(&mut self) {
        if !self.line.is_empty() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let line = printable(&self.line);
        self.line.clear();
        self.logged = self.logged.saturating_add(1);
        if self.logged > LOGGED_LINES_MAX {
            if self.logged == LOGGED_LINES_MAX + 1 {
                tracing::warn!(resource = %self.resource, lines = LOGGED_LINES_MAX, "further output is not logged");
            }
            return;
        }
        match self.operation {
            Operation::Status => tracing::debug!(resource = %self.resource, "{line}"),
            Operation::Start | Operation::Stop => tracing::info!(resource = %self.resource, "{line}"),
        }
    }
}

/// Text that cannot move the cursor of whoever reads the log.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[test]
    fn short_output_is_kept_whole() {
        let mut captured = Captured::default();
        captured.push(b"hello ");
        captured.push(b"world");
        assert_eq!((captured.text().as_str(), captured.omitted()), ("hello world", 0));
    }

    #[test]
    fn exactly_twice_the_bound_is_kept_whole_and_one_byte_more_is_not() {
        let mut captured = Captured::default();
        for _ in 0..2 * KEPT / 1000 {
            captured.push(&[b'x'; 1000]);
        }
        captured.push(&[b'x'; 2 * KEPT % 1000]);
        assert_eq!((captured.text().len(), captured.omitted()), (2 * KEPT, 0));
        captured.push(b"y");
        assert_eq!((captured.text().len(), captured.omitted()), (2 * KEPT + 1, 1));
        assert!(captured.text().ends_with("xy"));
    }

    #[test]
    fn beginning_and_end_of_a_long_output_are_kept() {
        let mut captured = Captured::default();
        captured.push(b"first");
        for _ in 0..300 {
            captured.push(&[b'.'; 1 << 12]);
        }
        captured.push(b"last");
        let text = captured.text();
        assert!(text.starts_with("first..") && text.ends_with("..last"));
        assert_eq!(captured.omitted(), 5 + 300 * (1 << 12) + 4 - 2 * KEPT as u64);
    }

    #[test]
    fn log_lines_hold_no_control_characters() {
        assert_eq!(printable(b"a\x1b[2Jb\tc\r\xff"), "a\u{fffd}[2Jb\tc\u{fffd}\u{fffd}");
    }

    /// The agent got no CPU between the end of the script and the end of its patience. When it comes back, the timer is
    /// over and the pipe still full, and the runtime looks at the timer first.
    #[tokio::test]
    async fn last_words_are_not_missed_by_a_starved_agent() {
        let (reader, mut writer) = io::pipe().unwrap();
        let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(reader.into()).unwrap();
        io::Write::write_all(&mut writer, b"running").unwrap();
        let stream = Stream::begin(reader, LineLog::new("web".into(), Operation::Status)).unwrap();

        let mut finish = std::pin::pin!(stream.finish());
        let first = std::future::poll_fn(|context| Poll::Ready(finish.as_mut().poll(context))).await;
        assert!(first.is_pending());
        std::thread::sleep(2 * QUIET);
        assert_eq!(finish.await.text(), "running");
        // Held open to the end, as by a service that the script left behind.
        drop(writer);
    }
}
