//! What an agent that ends without stopping leaves running: a note of the groups whose resources may be up here, for the
//! next agent to stop what it does not go on with.
//!
//! The note lies in the run directory, which a boot empties, as it ends all resources. It says more rather than less: a
//! group is on it from before the first start until after a stop that succeeded.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The note, and what it says now.
#[derive(Debug)]
pub(super) struct Left {
    file: PathBuf,
    keys: BTreeSet<String>,
}

impl Left {
    /// The note in `run_dir`, as the last agent left it.
    pub(super) fn read(run_dir: &Path) -> Self {
        let file = run_dir.join("groups-up");
        let keys = fs::read_to_string(&file).unwrap_or_default().lines().map(str::to_owned).collect();
        Self { file, keys }
    }

    /// Whether resources of that group may be up.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// The group is about to be started.
    pub(super) fn started(&mut self, key: &str) {
        if self.keys.insert(key.to_owned()) {
            self.write();
        }
    }

    /// The group is down.
    pub(super) fn stopped(&mut self, key: &str) {
        if self.keys.remove(key) {
            self.write();
        }
    }

    fn write(&self) {
        let lines: String = self.keys.iter().map(|key| format!("{key}\n")).collect();
        if let Err(error) = fs::write(&self.file, lines) {
            let file = self.file.display();
            tracing::warn!(
                "cannot write {file} ({error}): after a crash nobody stops what this agent started"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_agent_reads_what_was_not_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let mut left = Left::read(dir.path());
        left.started("IPaddr::192.0.2.100");
        left.started("www");
        left.stopped("www");
        let next = Left::read(dir.path());
        assert!(next.has("IPaddr::192.0.2.100") && !next.has("www"));
    }

    #[test]
    fn without_a_note_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!Left::read(dir.path()).has("www"));
    }
}
