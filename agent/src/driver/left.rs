//! What an agent that ends without stopping leaves running: a note of the groups whose resources may be up here, for the
//! next agent to stop what it does not go on with.
//!
//! The note lies in the run directory, which a boot empties, as it ends all resources. It says more rather than less: a
//! group is on it from before the first start until after a stop that succeeded.
//!
//! A thread of its own writes it, because a disk may take its time. Whoever is about to start a group waits for that; the
//! decision loop does not.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::sys::schedule;

/// Answers when the note is written, or could not be, which the log tells then.
pub(super) type Noted = oneshot::Receiver<()>;

/// The note, and what it says now.
#[derive(Debug)]
pub(super) struct Left {
    keys: BTreeSet<String>,
    notes: Option<Sender<Note>>,
    writer: Option<JoinHandle<()>>,
}

/// What the note is to say.
#[derive(Debug)]
struct Note {
    text: String,
    done: oneshot::Sender<()>,
}

impl Left {
    /// The note in `run_dir`, as the last agent left it.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn read(run_dir: &Path) -> io::Result<Self> {
        let file = run_dir.join("groups-up");
        let keys = fs::read_to_string(&file).unwrap_or_default().lines().map(str::to_owned).collect();
        let (notes, queue) = channel();
        let thread = std::thread::Builder::new().name("xbeat-note".into());
        let writer = thread.spawn(move || write_all(&file, &queue))?;
        Ok(Self { keys, notes: Some(notes), writer: Some(writer) })
    }

    /// Whether resources of that group may be up.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// The group is about to be started: to be done after the answer. None: the note says so already.
    pub(super) fn started(&mut self, key: &str) -> Option<Noted> {
        self.keys.insert(key.to_owned()).then(|| self.write()).flatten()
    }

    /// The group is down.
    pub(super) fn stopped(&mut self, key: &str) {
        if self.keys.remove(key) {
            // Nobody waits for that.
            drop(self.write());
        }
    }

    fn write(&self) -> Option<Noted> {
        let text = self.keys.iter().map(|key| format!("{key}\n")).collect();
        let (done, noted) = oneshot::channel();
        self.notes.as_ref()?.send(Note { text, done }).ok()?;
        Some(noted)
    }
}

/// The end waits for what is still to be written.
impl Drop for Left {
    fn drop(&mut self) {
        self.notes = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn write_all(file: &Path, queue: &Receiver<Note>) {
    // A start waits for it; where that is refused it is as fast as everything else.
    let _ = schedule::fifo();
    while let Ok(mut note) = queue.recv() {
        // Only the last one counts; it says all that is on those before.
        let mut done = Vec::new();
        while let Ok(later) = queue.try_recv() {
            done.push(std::mem::replace(&mut note, later).done);
        }
        if let Err(error) = replace(file, &note.text) {
            let file = file.display();
            tracing::warn!(
                "cannot write {file} ({error}): after a crash nobody stops what this agent started"
            );
        }
        done.push(note.done);
        // Who was to start it may have been told to stop meanwhile.
        for done in done {
            let _ = done.send(());
        }
    }
}

/// In one step: an agent that is killed in the middle leaves the old note, not half of one.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let new: PathBuf = file.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_agent_reads_what_was_not_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let mut left = Left::read(dir.path()).unwrap();
        assert!(left.started("IPaddr::192.0.2.100").is_some());
        assert!(left.started("www").is_some());
        left.stopped("www");
        drop(left);
        let next = Left::read(dir.path()).unwrap();
        assert!(next.has("IPaddr::192.0.2.100") && !next.has("www"));
    }

    #[test]
    fn without_a_note_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!Left::read(dir.path()).unwrap().has("www"));
    }

    #[test]
    fn the_note_is_there_before_the_answer_and_asked_for_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut left = Left::read(dir.path()).unwrap();
        left.started("www").unwrap().blocking_recv().unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("groups-up")).unwrap(), "www\n");
        assert!(left.started("www").is_none());
    }

    #[test]
    fn a_note_that_cannot_be_written_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut left = Left::read(&dir.path().join("gone")).unwrap();
        left.started("www").unwrap().blocking_recv().unwrap();
    }
}
