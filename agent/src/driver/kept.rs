//! What a planned restart leaves for the next agent: which groups are up, so that no script is asked twice, and which do not
//! go home, so that nothing moves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    /// The life that wrote it, in hex: of another one it says nothing.
    session: String,
    #[serde(flatten)]
    kept: Kept,
}

/// What is known of the groups, by key.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Those whose resources are up.
    pub(super) started: BTreeSet<String>,
    /// Those that do not go back to their home node, in which life of that: [`cluster::GroupReport::stays`].
    #[serde(default)]
    pub(super) stays: BTreeMap<String, u64>,
}

fn file(state_dir: &Path) -> PathBuf {
    state_dir.join("kept.json")
}

/// Writes the note.
pub(super) fn write(state_dir: &Path, session: u64, kept: Kept) -> Result<()> {
    let note = Note { session: format!("{session:016x}"), kept };
    let file = file(state_dir);
    fs::write(&file, serde_json::to_vec(&note)?).with_context(|| format!("writing {}", file.display()))
}

/// How it was when the agent with that session ended in a planned restart. Whatever is wrong with the note, the answer is
/// that nothing is known: then every resource is asked for its status.
pub(super) fn read(state_dir: &Path, session: u64) -> Kept {
    let read = || -> Result<Note> { Ok(serde_json::from_slice(&fs::read(file(state_dir))?)?) };
    let note = read().unwrap_or_default();
    // Read once: after a crash it would be wrong.
    let _ = fs::remove_file(file(state_dir));
    if note.session == format!("{session:016x}") { note.kept } else { Kept::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_for_its_own_session_and_for_one_reader() {
        let dir = tempfile::tempdir().unwrap();
        let key = "IPaddr::192.0.2.100".to_owned();
        let kept = || Kept {
            started: BTreeSet::from([key.clone()]),
            stays: BTreeMap::from([(key.clone(), u64::MAX)]),
        };
        write(dir.path(), 7, kept()).unwrap();
        assert_eq!(read(dir.path(), 7), kept());
        assert_eq!(read(dir.path(), 7), Kept::default());
        write(dir.path(), 7, kept()).unwrap();
        assert_eq!(read(dir.path(), 8), Kept::default());
    }

    #[test]
    fn a_broken_note_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(file(dir.path()), b"{").unwrap();
        assert_eq!(read(dir.path(), 7), Kept::default());
    }

    #[test]
    fn a_note_of_an_older_agent_says_what_is_up() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(file(dir.path()), br#"{"session":"0000000000000007","started":["a"]}"#).unwrap();
        let kept = Kept { started: BTreeSet::from(["a".to_owned()]), ..Kept::default() };
        assert_eq!(read(dir.path(), 7), kept);
    }
}
