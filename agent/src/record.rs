//! The recorder: everything that the election was told, one JSON line each, so that a bug report can be replayed.
//!
//! The election reads no clock and draws no luck: the same inputs at the same times give the same decisions. A recording is
//! therefore the whole story, however long the machine has been scrapped. Writing it never holds the decision loop up: a
//! thread of its own writes, the queue is bounded, and what does not fit is dropped and counted. A recording with a hole
//! says where.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cluster::{Config, GroupId, Held, Input, NodeId};
use serde::{Deserialize, Serialize};

mod replay;

pub use replay::{Error, Wrong, replay};

/// Changes whenever a line of an earlier version would be read wrongly.
pub const VERSION: u32 = 2;

/// Lines that may wait: 4,096 of some hundred bytes are below a megabyte, and more than [`NAP`] can fill.
const QUEUE_MAX: usize = 4096;
/// How often the writer looks. It is never woken: waking takes a lock, which the decision loop must not wait for.
const NAP: Duration = Duration::from_millis(50);

/// One line of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// An election begins.
    Begin {
        /// [`VERSION`].
        version: u32,
        /// When, on the monotonic clock, ns; as all times here.
        at: u64,
        /// What it knows.
        config: Config,
        /// Where it goes on, if an earlier agent left something open: see [`cluster::Cluster::resume`].
        resumed: Option<Vec<Held>>,
        /// What an earlier agent may have left running: see [`cluster::Cluster::clean_up`].
        left: Vec<GroupId>,
    },
    /// It was told something.
    Input {
        /// When.
        at: u64,
        /// What.
        input: Input,
    },
    /// Something happened on the way from the kernel to the network, which the election is not told: where the time of a
    /// failover goes. A replay passes over it.
    Stamp {
        /// When the agent saw or did it.
        at: u64,
        /// What.
        stamp: Stamp,
    },
    /// So many lines before this one were dropped.
    Dropped(u64),
}

/// What has a stamp of its own. `stamped` is the kernel's own, on the same clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stamp {
    /// The kernel declared a node dead.
    Verdict {
        /// Which.
        node: NodeId,
        /// When.
        stamped: u64,
        /// When the node was last heard.
        heard: u64,
    },
    /// The kernel opened a gate.
    Opened {
        /// Of which group.
        group: GroupId,
        /// When.
        stamped: u64,
    },
    /// The thread that puts its addresses up has heard that the gate of a group is open.
    Woken {
        /// The group.
        group: GroupId,
    },
    /// An address is on its interface.
    Added {
        /// The group that it belongs to.
        group: GroupId,
    },
    /// An address is announced: the frames have been handed to the interface.
    Announced {
        /// The group that it belongs to.
        group: GroupId,
    },
    /// An address is off its interface.
    Removed {
        /// The group that it belonged to.
        group: GroupId,
    },
    /// The agent said something to the others at once: the frames have been handed to the interfaces.
    Said,
}

/// Writes a recording. Dropping it writes what waits.
#[derive(Debug)]
pub struct Recorder {
    queue: Option<SyncSender<Line>>,
    dropped: Arc<AtomicU64>,
    writer: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Begins a recording in that file, which is replaced. To be called before the caller becomes real-time: the writer
    /// inherits how its caller is scheduled.
    ///
    /// # Errors
    /// When the file cannot be made, or no thread.
    pub fn start(path: &Path) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        let (queue, lines) = mpsc::sync_channel(QUEUE_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let (path, their_dropped) = (path.to_owned(), Arc::clone(&dropped));
        let writer = thread::Builder::new()
            .name("xbeat-recorder".into())
            .spawn(move || write_all(&path, file, &lines, &their_dropped))?;
        Ok(Self { queue: Some(queue), dropped, writer: Some(writer) })
    }

    /// Adds a line, or drops and counts it. Never waits.
    pub fn add(&self, line: Line) {
        if self.queue.as_ref().is_none_or(|queue| queue.try_send(line).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Without its sender the queue ends after what is in it.
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn write_all(path: &Path, mut file: impl Write, lines: &Receiver<Line>, dropped: &AtomicU64) {
    loop {
        let result = write_waiting(&mut file, lines, dropped);
        match result {
            Ok(true) => thread::sleep(NAP),
            Ok(false) => return,
            Err(error) => {
                tracing::error!("the recording in {} ends here: {error}", path.display());
                return;
            }
        }
    }
}

/// Writes what waits; false when nothing will come any more.
fn write_waiting(file: &mut impl Write, lines: &Receiver<Line>, dropped: &AtomicU64) -> io::Result<bool> {
    let more = loop {
        match lines.try_recv() {
            Ok(line) => write_line(file, &line)?,
            Err(TryRecvError::Empty) => break true,
            Err(TryRecvError::Disconnected) => break false,
        }
    };
    // After the lines: the queue was full of them when these were dropped.
    match dropped.swap(0, Ordering::Relaxed) {
        0 => {}
        lost => write_line(file, &Line::Dropped(lost))?,
    }
    file.flush()?;
    Ok(more)
}

fn write_line(file: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests;
