//! What a planned restart leaves for the next agent: which groups are up, so that no script is asked twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The life that wrote it, in hex: of another one it says nothing.
    session: String,
    /// Keys of the groups whose resources are up.
    started: BTreeSet<String>,
}

fn file(state_dir: &Path) -> PathBuf {
    state_dir.join("kept.json")
}

/// Writes the note.
pub(super) fn write(state_dir: &Path, session: u64, started: BTreeSet<String>) -> Result<()> {
    let kept = Kept { session: format!("{session:016x}"), started };
    let file = file(state_dir);
    fs::write(&file, serde_json::to_vec(&kept)?).with_context(|| format!("writing {}", file.display()))
}

/// The groups that were up when the agent with that session ended in a planned restart. Whatever is wrong with the
/// note, the answer is none: then every resource is asked for its status.
pub(super) fn read(state_dir: &Path, session: u64) -> BTreeSet<String> {
    let read = || -> Result<Kept> { Ok(serde_json::from_slice(&fs::read(file(state_dir))?)?) };
    let kept = read().unwrap_or_default();
    // Read once: after a crash it would be wrong.
    let _ = fs::remove_file(file(state_dir));
    if kept.session == format!("{session:016x}") { kept.started } else { BTreeSet::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_for_its_own_session_and_for_one_reader() {
        let dir = tempfile::tempdir().unwrap();
        let keys = BTreeSet::from(["IPaddr::192.0.2.100".to_owned()]);
        write(dir.path(), 7, keys.clone()).unwrap();
        assert_eq!(read(dir.path(), 7), keys);
        assert!(read(dir.path(), 7).is_empty());
        write(dir.path(), 7, keys).unwrap();
        assert!(read(dir.path(), 8).is_empty());
    }

    #[test]
    fn a_broken_note_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(file(dir.path()), b"{").unwrap();
        assert!(read(dir.path(), 7).is_empty());
    }
}
